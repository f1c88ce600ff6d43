"""Settings of training, from the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrainingSettings(BaseSettings):
    """Training."""

    model_config = SettingsConfigDict(env_prefix="PATRON_")

    training_rows: int = Field(
        40_000_000,
        ge=1_000,
        description="the number of training rows, a customer at the first of a month or now, above which"
        " models are trained on a sample of the customers; their level is learnt from all",
        json_schema_extra={"unit": "rows"},
    )
