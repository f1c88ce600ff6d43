"""The connection to a home's MLflow, with readable errors."""

from __future__ import annotations

import logging
import os
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core import home_id
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from models.registry.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

BUNDLE = "bundle"
EXPERIMENT = "patron"
HOME_TAG = "patron.home"
"""The tag of the experiment with the id of the home to which the MLflow belongs."""


class MlflowConnection:
    """A home's MLflow: an SQLite file by default, a server if ``PATRON_MLFLOW_URI`` is set.

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
            # MLflow's own imports use deprecated names of their libraries.
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient, __version__

        self.version = f"MLflow {__version__}"
        for name in ("alembic", "mlflow"):  # they log every table that they create
            logging.getLogger(name).setLevel(logging.WARNING)
        self.home = home
        self.uri = (settings or ModelSettings()).mlflow_uri or local_uri(home)
        if self.uri.startswith("sqlite:///"):
            home.mlflow.mkdir(parents=True, exist_ok=True)
        self._is_checked = False
        with self.errors():
            self._client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def client(self) -> MlflowClient:
        """MLflow's client; the first use checks that the MLflow belongs to the home.

        Raises:
            AnotherHome: it belongs to another home.
        """
        if not self._is_checked:
            with self.errors():
                self._check_home()
            self._is_checked = True
        return self._client

    def claim(self) -> dict[str, str]:
        """The tags of the experiment that make the MLflow the home's; a home without an id gets one."""
        if self.home.has_database:
            Database(self.home).prepare()
        elif home_id.read(self.home) is None:
            home_id.write(self.home, home_id.new())
        own = home_id.read(self.home)
        return {} if own is None else {HOME_TAG: own.id}

    def owner(self) -> str | None:
        """The id of the home to which the MLflow belongs; None if it is empty or of an earlier release."""
        with self.errors():
            experiment = self._client.get_experiment_by_name(EXPERIMENT)
        return None if experiment is None else experiment.tags.get(HOME_TAG)

    def _check_home(self) -> None:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return
        own, stored = home_id.read(self.home), experiment.tags.get(HOME_TAG)
        is_ours = stored is None if own is None else stored == own.id or (stored is None and own.adopted)
        if not is_ours and not (stored is None and self.is_local):
            raise home_id.refuse(f"MLflow at {self.place}", stored, own, "PATRON_MLFLOW_URI")

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

        MLflow records absolute paths; the path of a local run is derived instead, since a home may be moved.
        """
        if self.is_local:
            return self.home.mlflow / "artifacts" / run_id / "artifacts" / BUNDLE
        return Path(self.client.download_artifacts(run_id, BUNDLE, folder))

    def stamp(self) -> tuple[tuple[int, int], ...] | None:
        """Modification times and sizes of the local files, as a change marker; None for a server."""
        if not self.is_local:
            return None
        stats = (path.stat() for path in sorted(self.home.mlflow.glob("mlflow.db*")))
        try:
            return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
        except FileNotFoundError:  # SQLite's write-ahead log comes and goes
            return None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate MLflow's errors into readable ones.

        Raises:
            PatronError: MLflow cannot be reached, or refuses a request.
        """
        try:
            yield
        except mlflow_errors() as error:
            message = str(error).strip().partition("\n")[0].replace(self.uri, self.place)
            raise PatronError(f"MLflow at {self.place} refused: {message}") from error


def local_uri(home: Home) -> str:
    """The URI of a home's local MLflow."""
    return f"sqlite:///{home.mlflow / 'mlflow.db'}"


def may_have_versions(home: Home) -> bool:
    """Whether there may be versions: a local MLflow has no tables before the first training."""
    return ModelSettings().mlflow_uri is not None or (home.mlflow / "mlflow.db").exists()


def mlflow_errors() -> tuple[type[Exception], ...]:
    """MLflow's exceptions; a function, since importing them is slow."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # MLflow lets it through if its tables are damaged

    return MlflowException, SQLAlchemyError
