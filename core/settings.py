"""Settings of the feature side, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core import logging_setup as log_lines
from core.home import Home


class FeatureSettings(BaseSettings):
    """``PATRON_HOME``: the folder that holds the shop; ``.patron`` here by default.

    ``PATRON_DATABASE``: a PostgreSQL database, ``postgresql://user:password@host:port/name``, one per
    shop; by default a file of the home.

    ``PATRON_ONLINE_STORE``: a Redis database for the online rows, ``redis://host:port/db``, one per
    shop; by default they are in a file of the home.

    ``PATRON_COMPACT_AFTER``: how many messages wait in the database at most before they move into the lake.

    ``PATRON_LOG_FORMAT``: ``json`` or ``text``, as processes that stay log; by default text where stderr is
    a terminal, and JSON elsewhere.
    """

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    home: Path = Path(".patron")
    database: str | None = None
    online_store: str | None = None
    compact_after: int = Field(50_000, ge=1)
    log_format: log_lines.Format | None = None

    def open_home(self) -> Home:
        """The home as a place; nothing is read yet."""
        return Home(self.home.absolute(), self.database)
