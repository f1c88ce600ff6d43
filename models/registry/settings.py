"""Settings of the model registry, from the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ModelSettings(BaseSettings):
    """The model registry."""

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    mlflow_uri: str | None = Field(
        None,
        description="an MLflow tracking server, `http://host:port`",
        json_schema_extra={"unit": "URL", "default": "`mlflow/mlflow.db` in the home"},
    )
    user: str | None = Field(
        None,
        description="the name that the record of promotions and rollbacks contains",
        json_schema_extra={"default": "the operating system's user"},
    )
