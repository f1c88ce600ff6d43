"""Settings of the service, from the environment."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.access.key import MAX_PER_MINUTE
from serving.edge.hosts import AllowedHosts, hosts_of
from serving.http.cors import origins_of


class ServingSettings(BaseSettings):
    """The HTTP service."""

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    host: str = Field(
        "127.0.0.1",
        description="the address to listen on (`patron serve --host`)",
        json_schema_extra={"unit": "address"},
    )
    port: int = Field(8000, ge=1, le=65535, description="the port to listen on (`patron serve --port`)")
    require_keys: bool = Field(False, description="require API keys on loopback addresses too")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="the number of processes that serve requests (`patron serve --workers`)",
        json_schema_extra={"unit": "processes"},
    )
    key_per_minute: int | None = Field(
        None,
        ge=1,
        le=MAX_PER_MINUTE,
        description="the rate limit of an API key that was created without `--per-minute`",
        json_schema_extra={"unit": "requests per minute", "default": "no limit"},
    )
    cors_origins: str = Field(
        "",
        description="the origins, separated by commas, whose web pages may send events from a browser,"
        " such as `https://shop.example`; `*` for all; no other route answers pages of other origins",
        json_schema_extra={"unit": "origins", "default": "none"},
    )
    allowed_hosts: str = Field(
        "",
        description="the host names, separated by commas, by which the service is reached, such as"
        " `patron.shop.example` or `*.shop.example`; `*` for all; requests for other hosts are refused",
        json_schema_extra={
            "unit": "host names",
            "default": "the names of the loopback interface and the address listened on; if that is every"
            " address, the machine's name and addresses",
        },
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="the addresses or networks, separated by commas, of the reverse proxies whose"
        " `X-Forwarded-For` and `X-Forwarded-Proto` are believed",
        json_schema_extra={"unit": "addresses"},
    )
    open_docs: bool = Field(
        False, description="serve `/docs`, `/redoc` and `/openapi.json` without a key where keys are required"
    )
    store_budget_ms: float = Field(
        50,
        gt=0,
        le=60_000,
        description="the longest wait of a score request for the online store, and for the database of"
        " customer ids, before the service uses the last known values",
        json_schema_extra={"unit": "ms"},
    )
    refresher: Literal["child", "off"] = Field(
        "child",
        description="`child`: the service starts `patron refresh` as a child process; `off`: it does not",
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        try:
            return ",".join(origins_of(text))
        except ValueError as error:
            raise PydanticCustomError("origins", "{reason}", {"reason": str(error)}) from error

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, text: str) -> str:
        try:
            return ",".join(hosts_of(text))
        except ValueError as error:
            raise PydanticCustomError("hosts", "{reason}", {"reason": str(error)}) from error

    @property
    def hosts(self) -> AllowedHosts:
        """The hosts that requests may name."""
        return AllowedHosts(hosts_of(self.allowed_hosts), self.host)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose web pages may send events."""
        return origins_of(self.cors_origins)

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service; False for a host name that is not an address."""
        try:
            return self.host.lower() == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def address(self) -> str:
        """The URL of the service."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def keys_needed(self) -> bool:
        """Whether a request without an API key is rejected."""
        return self.require_keys or not self.on_loopback
