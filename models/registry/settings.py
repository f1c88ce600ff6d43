"""Settings of the model side, from the environment."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class ModelSettings(BaseSettings):
    """``PATRON_MLFLOW_URI``: a tracking server; by default an SQLite file in the home.

    ``PATRON_USER``: who promotes and rolls back; by default the operating system's name of the user.
    """

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    mlflow_uri: str | None = None
    user: str | None = None
