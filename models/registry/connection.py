"""The connection to a home's MLflow, and its errors in a person's words."""

from __future__ import annotations

import logging
import os
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import PatronError
from core.home import Home
from models.registry.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

BUNDLE = "bundle"


class MlflowConnection:
    """A home's MLflow: an SQLite file by default, a server where ``PATRON_MLFLOW_URI`` names one.

    Attributes:
        version: MLflow's name and version.
        uri: of the tracking server and the registry; it may contain credentials.
    """

    def __init__(self, home: Home, settings: ModelSettings | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        # An unreachable server is reported after seconds, not minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        with warnings.catch_warnings():
            # MLflow's own imports use names that their libraries have deprecated.
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient, __version__

        self.version = f"MLflow {__version__}"
        for name in ("alembic", "mlflow"):  # they log every table that they make
            logging.getLogger(name).setLevel(logging.WARNING)
        self.home = home
        self.uri = (settings or ModelSettings()).mlflow_uri or local_uri(home)
        if self.uri.startswith("sqlite:///"):
            home.mlflow.mkdir(parents=True, exist_ok=True)
        with self.errors():
            self.client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def place(self) -> str:
        """The URI without credentials."""
        return re.sub("//[^/]*@", "//", self.uri).partition("?")[0]

    @property
    def is_local(self) -> bool:
        """Whether MLflow's tables are a file of the home."""
        return self.uri == local_uri(self.home)

    def bundle(self, run_id: str, folder: str) -> Path:
        """The folder of a run's bundle, downloaded to ``folder`` from a server.

        MLflow records an absolute path, so that of a local run is derived: a home may have been moved.
        """
        if self.is_local:
            return self.home.mlflow / "artifacts" / run_id / "artifacts" / BUNDLE
        return Path(self.client.download_artifacts(run_id, BUNDLE, folder))

    def stamp(self) -> tuple[tuple[int, int], ...] | None:
        """Times and sizes of the files of local tables, which change with them; None for a server."""
        if not self.is_local:
            return None
        stats = (path.stat() for path in sorted(self.home.mlflow.glob("mlflow.db*")))
        try:
            return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
        except FileNotFoundError:  # SQLite's log beside it, which comes and goes
            return None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn MLflow's errors into ones that a person can act on.

        Raises:
            PatronError: MLflow cannot be reached, or refuses.
        """
        try:
            yield
        except mlflow_errors() as error:
            message = str(error).strip().partition("\n")[0].replace(self.uri, self.place)
            raise PatronError(f"MLflow at {self.place} refused: {message}") from error


def local_uri(home: Home) -> str:
    """The URI of the tables of a home's own MLflow."""
    return f"sqlite:///{home.mlflow / 'mlflow.db'}"


def may_have_versions(home: Home) -> bool:
    """Whether there may be versions: a home's own MLflow has no tables before the first training."""
    return ModelSettings().mlflow_uri is not None or (home.mlflow / "mlflow.db").exists()


def mlflow_errors() -> tuple[type[Exception], ...]:
    """The exceptions of MLflow, which are expensive to import."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # MLflow passes it on where its tables are damaged

    return MlflowException, SQLAlchemyError
