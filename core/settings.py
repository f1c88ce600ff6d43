"""Settings of the home, its stores and its logs, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core import logging_setup
from core.home import Home


class FeatureSettings(BaseSettings):
    """The home, its stores and its logs."""

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    home: Path = Field(
        Path(".patron"), description="the folder that holds the shop", json_schema_extra={"unit": "path"}
    )
    database: str | None = Field(
        None,
        description="a PostgreSQL database, `postgresql://user:password@host:port/name`, one per shop",
        json_schema_extra={"unit": "URL", "default": "`patron.db` in the home"},
    )
    warehouse: str | None = Field(
        None,
        description="the warehouse that has the events of a shop of `patron init --warehouse`,"
        " `postgresql://user:password@host:port/name`, `clickhouse://user:password@host:port/name`,"
        " `snowflake://user:password@account/database/schema?warehouse=name` or `bigquery://project/dataset`",
        json_schema_extra={"unit": "URL", "default": "none"},
    )
    online_store: str | None = Field(
        None,
        description="a Redis database for the online features, `redis://host:port/db`, one per shop",
        json_schema_extra={"unit": "URL", "default": "`feast/online.db` in the home"},
    )
    spark_master: str = Field(
        "local[*,4]",
        description="where `patron build`, `patron score` and `patron monitor` compute with `--engine spark`:"
        " a cluster, such as `spark://host:7077`, or this machine with all cores and four attempts per task",
        json_schema_extra={"unit": "address"},
    )
    spark_storage: str | None = Field(
        None,
        description="a folder by which the executors of a cluster and the commands exchange files, if not all"
        " machines have the home at one path: an address of fsspec, such as `s3://bucket/patron`. A"
        " command removes its files at its end",
        json_schema_extra={"unit": "URL", "default": "the home"},
    )
    compact_after: int = Field(
        50_000,
        ge=1,
        description="the number of events in the database from which they are moved into the lake",
        json_schema_extra={"unit": "events"},
    )
    live_cache_mb: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="the size of the events of the lake that a refresher holds in memory",
        json_schema_extra={"unit": "MB"},
    )
    quarantine_events: int = Field(
        100_000,
        ge=1,
        le=100_000_000,
        description="the number of events that the quarantine holds; the oldest are deleted first",
        json_schema_extra={"unit": "events"},
    )
    quarantine_mb: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="the size of all events that the quarantine holds; the oldest are deleted first",
        json_schema_extra={"unit": "MB"},
    )
    quarantine_days: int = Field(
        90,
        ge=1,
        le=36_500,
        description="the time after which an event in the quarantine is deleted",
        json_schema_extra={"unit": "days"},
    )
    log_format: logging_setup.Format | None = Field(
        None,
        description="the log format of long-running processes",
        json_schema_extra={"default": "`text` on a terminal, else `json`"},
    )

    @field_validator("home", mode="before")
    @classmethod
    def _folder(cls, home: object) -> object:
        """The path of ``file:///path``; other addresses are refused."""
        scheme, separator, path = str(home).partition("://")
        if not separator:
            return home
        if scheme != "file":
            raise ValueError(
                f"a home is a folder, since its files are published by renaming them, and {scheme}:// is not"
                " one; mount the bucket or file system, and use the path at which it is mounted"
            )
        return path

    def open_home(self) -> Home:
        """The home; opens no file yet."""
        return Home(self.home.absolute(), self.database, warehouse=self.warehouse)
