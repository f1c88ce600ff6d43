"""Which version of each model is the champion, and which challenge was its last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models.registry.connection import MlflowConnection

CHAMPION = "champion"
CHALLENGE_TAG = "challenge"
PAGE = 1000  # models in a response of MLflow, which sends no more


@dataclass(frozen=True)
class Standing:
    """The standing of a registered model.

    Attributes:
        champion: the promoted version; None if there is none.
        challenge: the record of its last challenge; None if there was none.
        changed: when MLflow last recorded a change of the model or a new version, in milliseconds.
    """

    champion: str | None
    challenge: str | None
    changed: int


class Standings:
    """Reads the standing of models, anew if MLflow's files changed or it is a server."""

    def __init__(self, mlflow: MlflowConnection) -> None:
        self._mlflow = mlflow
        self._seen: tuple[object, dict[str, Standing]] = None, {}

    def read(self, names: Iterable[str]) -> dict[str, Standing]:
        """The standing of these models, of those that are registered.

        Raises:
            PatronError: MLflow cannot be read.
        """
        stamp, wanted = self._mlflow.stamp(), frozenset(names)
        if stamp is None or (stamp, wanted) != self._seen[0]:
            with self._mlflow.errors():
                models = [model for model in self._models() if model.name in wanted]
            standing = {
                m.name: Standing(
                    str(m.aliases.get(CHAMPION) or "") or None,
                    m.tags.get(CHALLENGE_TAG),
                    int(m.last_updated_timestamp or 0),
                )
                for m in models
            }
            self._seen = (stamp, wanted), standing
        return self._seen[1]

    def _models(self) -> Iterator[Any]:
        """All registered models, in one request per ``PAGE``; a query by name would need one for each."""
        token = None
        while token != "":
            page = self._mlflow.client.search_registered_models(max_results=PAGE, page_token=token)
            yield from page
            token = page.token or ""
