"""Settings of the feature side, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from features.home import Home


class FeatureSettings(BaseSettings):
    """``PATRON_HOME``: the folder that holds the shop; ``.patron`` here by default."""

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    home: Path = Path(".patron")

    def open_home(self) -> Home:
        """The home as a place; nothing is read yet."""
        return Home(self.home.absolute())
