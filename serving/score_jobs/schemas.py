"""What is asked and answered about score jobs, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.files.tables import Kind
from serving.http.params import SegmentFilter


class JobRequest(BaseModel):
    """Whom to score, by which models."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"segment": "value_tier:A", "models": ["churn", "clv"]}]},
    )

    segment: SegmentFilter = None
    models: list[str] | None = Field(
        None, min_length=1, max_length=20, description="Which models; all by default."
    )


class JobState(BaseModel):
    """How far a job is."""

    job_id: str
    status: Annotated[
        Literal["running", "done", "failed", "stopped", "interrupted"],
        Field(description="A job that was interrupted goes on where it was when the service starts again."),
    ]
    error: str | None = Field(description="Why it failed.")
    started_at: datetime = Field(description="By the shop's clock.")
    started_by: str | None = Field(description="The name of the key with which it was asked for.")
    segment: str | list[str] | None
    models: dict[str, str] = Field(description="Per model the version that answers, for all customers.")
    absent: dict[str, str] = Field(description="Per model that was asked for and has no champion, why.")
    total: int = Field(description="Customers to be scored.")
    done: int = Field(description="Customers scored so far.")


class JobList(BaseModel):
    """The jobs that are kept, the newest first."""

    jobs: list[JobState]


class FileQuery(BaseModel):
    """In which form a job's file is wanted."""

    model_config = ConfigDict(extra="forbid")

    format: Kind = Field(
        "parquet", description="CSV and .xlsx are for a spreadsheet, the others for programs."
    )
