"""Restoring the models of a backup into an MLflow server: what fits, what is there already, what differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backup import parts
from backup.manifest import Manifest
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from models.registry.connection import MlflowConnection
from models.registry.copies import description, local
from models.registry.copies.loading import ModelLoading


def check_kind(manifest: Manifest, home: Home) -> None:
    """Refuse models of a local MLflow for a home with a server, and the reverse."""
    has_server = bool(local.server(home))
    if has_server and f"{parts.MLFLOW}/{local.TABLES}" in manifest.files:
        raise PatronError(
            "the models of the backup are of a local MLflow; unset PATRON_MLFLOW_URI to restore them;"
            " nothing was changed"
        )
    if not has_server and f"{parts.MLFLOW_SERVER}/{description.FILE}" in manifest.files:
        raise PatronError(
            "the models of the backup are of an MLflow server; set PATRON_MLFLOW_URI to restore them;"
            " nothing was changed"
        )


def compare(folder: Path, manifest: Manifest, home: Home) -> ModelLoading | None:
    """The restore of the models into an MLflow server; None for a local MLflow.

    Raises:
        PatronError: the server cannot be reached, or cannot take them.
    """
    if not local.server(home):
        return None
    try:
        return ModelLoading(MlflowConnection(home), manifest.home_id, folder / parts.MLFLOW_SERVER)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}; nothing was changed") from error


def differing_champions(manifest: Manifest, home: Home) -> Iterator[str]:
    """A line for each model whose champion on the server is not that of the backup."""
    server = local.server(home)
    if manifest.mlflow or server:
        try:
            standing = local.champions_on_server(home) if server else {}
        except StoreUnavailable as error:
            yield f"the champions could not be compared: {error}"
            return
        for name in sorted({*manifest.champions, *standing}):
            before, now = manifest.champions.get(name), standing.get(name)
            if before != now:
                yield (
                    f"{name}: the champion was version {before or 'none'} at the backup, and is version"
                    f" {now or 'none'} on {server or 'no MLflow server'}"
                )
