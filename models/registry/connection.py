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
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.home_id import HomeId
from core.storage.database import Database
from models.registry.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

BUNDLE = "bundle"
EXPERIMENT = "patron"
HOME_TAG = "patron.home"
"""The tag of the experiment with the id of the home to which the MLflow belongs."""
COMMAND_SECONDS, SERVICE_SECONDS, PROBE_SECONDS = 10, 3, 1
_REFUSED = {401, 403, 429}
_NO_RESPONSE = "API request to"
"""How MLflow's message begins if a server did not respond; the rest is the text of an HTTP library."""


def limit_waiting(seconds: int) -> None:
    """Let this process wait no longer for a response of an MLflow server, unless its environment says so.

    MLflow's own limit is minutes. Each request is sent again once.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


class MlflowConnection:
    """A home's MLflow: an SQLite file by default, a server if ``PATRON_MLFLOW_URI`` is set.

    Attributes:
        version: MLflow's name and version.
        uri: of the tracking server and the registry; it may contain credentials.
    """

    def __init__(self, home: Home, settings: ModelSettings | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        limit_waiting(COMMAND_SECONDS)
        with warnings.catch_warnings():
            # MLflow's own imports use deprecated names of their libraries.
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient, __version__

        self.version = f"MLflow {__version__}"
        for name in ("alembic", "mlflow"):  # they log every table that they create
            logging.getLogger(name).setLevel(logging.WARNING)
        # It warns of each repetition; the error says it once.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self.home = home
        self.uri = (settings or ModelSettings()).mlflow_uri or local_uri(home)
        if self.is_local:
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
                self._check_owner(home_id.read(self.home))
            self._is_checked = True
        return self._client

    def client_of(self, own: HomeId) -> MlflowClient:
        """MLflow's client for a home that gets its id by a restore.

        Raises:
            AnotherHome: the MLflow belongs to another home.
        """
        with self.errors():
            self._check_owner(own)
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

    def _check_owner(self, own: HomeId | None) -> None:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return
        stored = experiment.tags.get(HOME_TAG)
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
        """The folder of a run's bundle, downloaded to ``folder`` from a server."""
        return self.artifact(run_id, BUNDLE, folder)

    def artifact(self, run_id: str, name: str, folder: str) -> Path:
        """A file or folder that a run recorded, downloaded to ``folder`` from a server.

        MLflow records absolute paths; the path of a local run is derived instead, since a home may be moved.
        """
        if self.is_local:
            return self.home.mlflow / "artifacts" / run_id / "artifacts" / name
        return Path(self.client.download_artifacts(run_id, name, folder))

    def stamp(self) -> tuple[tuple[int, int], ...] | None:
        """Modification times and sizes of the local files, as a change marker; None for a server."""
        if not self.is_local:
            return None
        stats = (path.stat() for path in sorted(self.home.mlflow.glob("mlflow.db*")))
        try:
            return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
        except FileNotFoundError:  # SQLite's write-ahead log comes and goes
            return None

    def probe(self) -> None:
        """Check that a server responds, waiting ``PROBE_SECONDS`` at most.

        Raises:
            StoreUnavailable: it does not.
        """
        if self.uri.startswith("http"):
            from mlflow.utils.credentials import get_default_host_creds
            from mlflow.utils.rest_utils import http_request

            credentials = get_default_host_creds(self.uri)
            with self.errors():
                http_request(credentials, "/health", "GET", max_retries=0, timeout=PROBE_SECONDS)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate MLflow's errors into readable ones.

        Raises:
            StoreUnavailable: the server cannot be reached, fails, or refuses the login.
            PatronError: MLflow refuses a request.
        """
        try:
            yield
        except mlflow_errors() as error:
            message = str(error).strip().partition("\n")[0].replace(self.uri, self.place)
            kind = StoreUnavailable if self.is_unavailable(error) else PatronError
            if kind is StoreUnavailable and message.startswith(_NO_RESPONSE):
                advice = "see that it runs and PATRON_MLFLOW_URI is right"
                raise kind(f"MLflow at {self.place} cannot be reached; {advice}") from error
            raise kind(f"MLflow at {self.place} refused: {message}") from error

    def unreadable(self, name: str, version: str, error: Exception) -> PatronError:
        """The error for files of a version that cannot be read."""
        why = f"the files of {name} version {version} cannot be read ({type(error).__name__})"
        if self.is_unavailable(error):
            return StoreUnavailable(f"{why} from MLflow at {self.place}")
        return PatronError(f"{why}; restore {self.home.mlflow} or run `patron train {name}`")

    def is_unavailable(self, error: Exception) -> bool:
        """Whether an error is of a server that cannot be reached, fails, or refuses the login."""
        from mlflow.exceptions import MlflowException

        if not self.uri.startswith("http"):
            return False
        if isinstance(error, MlflowException):
            status = error.get_http_status_code()  # 500 without a response
            return status in _REFUSED or status >= 500
        return isinstance(error, OSError)  # of the download of a file


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
