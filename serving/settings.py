"""Settings of the service, from the environment."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.access.key import MOST_PER_MINUTE


class ServingSettings(BaseSettings):
    """``PATRON_HOST``, ``PATRON_PORT``, and ``PATRON_REQUIRE_KEYS``: also where only this machine asks.

    ``PATRON_WORKERS``: the processes that answer. ``PATRON_REFRESHER``: ``child`` starts `patron refresh`
    beside the service where events arrive, ``off`` leaves that to somebody else.

    ``PATRON_KEY_PER_MINUTE``: how many requests a minute a key may send that was made without a limit of
    its own; any number by default.

    ``PATRON_STORE_BUDGET_MS``: how many milliseconds a score may wait for the online store, and for the
    database that knows the customers, before it rests on what was last known.
    """

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    require_keys: bool = False
    workers: int = Field(1, ge=1, le=64)
    key_per_minute: int | None = Field(None, ge=1, le=MOST_PER_MINUTE)
    store_budget_ms: float = Field(50, gt=0, le=60_000)
    refresher: Literal["child", "off"] = "child"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service; where that is unclear, it is not so."""
        try:
            return self.host.lower() == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def address(self) -> str:
        """Where the service is found, as a URL."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def keys_needed(self) -> bool:
        """Whether a request without a key is refused."""
        return self.require_keys or not self.on_loopback
