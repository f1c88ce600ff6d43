"""Settings of the service, from the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServingSettings(BaseSettings):
    """``PATRON_HOST``, ``PATRON_PORT``, and how much one request may ask."""

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
