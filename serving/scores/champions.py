"""The models in use: loaded, verified and warmed up; replaced together after a promotion."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from core.errors import NothingThere, PatronError, StoreUnavailable
from features.catalogue.store import OnlineReader, Store
from models.questions import MODELS, OPTIONAL, every
from models.registry.bundle import FittedModel
from models.registry.challenges import Challenge
from models.registry.encoding import matrix
from models.registry.registry import Registry
from models.registry.registry_state import RegistryState
from serving.scores.challengers import Challenger, challenger_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChampionState:
    """The state of a model's champion.

    Attributes:
        version: the version in use; None if there is none.
        refused: whether the promoted version could not be loaded. Without it and a version, none is promoted.
    """

    version: str | None
    refused: bool


@dataclass(frozen=True)
class Champions:
    """The models in use at a moment. Immutable, so a caller that holds it has consistent versions.

    Attributes:
        named: the champion's version of each model, as in the registry.
        models: the loaded models, by name.
        unavailable: for each model that is not loaded, the reason.
        pending: for each model that is loaded in an earlier version than the champion, the reason.
        challenges: the last challenge of each model that ever had one, as in the registry.
        challengers: the loaded challengers, by model.
    """

    store: Store
    named: Mapping[str, str]
    models: Mapping[str, FittedModel]
    unavailable: Mapping[str, str]
    pending: Mapping[str, str] = field(default_factory=dict)
    challenges: Mapping[str, str] = field(default_factory=dict)
    challengers: Mapping[str, Challenger] = field(default_factory=dict)

    @property
    def behind(self) -> bool:
        """Whether a champion is not loaded, or an earlier version is used in its place."""
        answering = {name: model.version for name, model in self.models.items()}
        return any(name in self.unavailable or answering[name] != self.named[name] for name in self.named)

    def refusal(self, name: str) -> str | None:
        """Why the promoted version of a model is not loaded; None if it is, or if none is promoted."""
        return (self.unavailable.get(name) or self.pending.get(name)) if name in self.named else None

    def states(self) -> dict[str, ChampionState]:
        """The state of each model's champion."""
        return {
            name: ChampionState(
                self.models[name].version if name in self.models else None, self.refusal(name) is not None
            )
            for name in (*self.models, *self.unavailable)
        }

    def names(self, models: Sequence[str] | None) -> list[str]:
        """The requested models, without duplicates; all by default."""
        return list(dict.fromkeys(models)) if models is not None else [*self.models, *self.unavailable]

    def oldest(self, now_us: int) -> dict[str, int]:
        """For each group the moment before which its features are stale, in microseconds since 1970."""
        return {group: now_us - span_us for group, span_us in self.fresh_for_us.items()}

    def model(self, name: str, version: str | None) -> FittedModel | None:
        """The model of a logged score: the loaded version, or its challenger."""
        if name in self.challengers and self.challengers[name].model.version == version:
            return self.challengers[name].model
        return self.models.get(name)

    def reader(self, names: Sequence[str]) -> OnlineReader:
        """A reader of the features of these models; without any champion one feature, to see who is known.

        Raises:
            NothingThere: there are no features yet.
        """
        models = tuple(names)
        if models not in self._readers:
            opened = [self.models[name] for name in models if name in self.models]
            opened += [self.challengers[name].model for name in models if name in self.challengers]
            needed = dict.fromkeys(name for model in opened for name in model.features)
            self._readers[models] = self.everything.only([*needed] or self.everything.names[:1])
        return self._readers[models]

    @cached_property
    def _readers(self) -> dict[tuple[str, ...], OnlineReader]:
        return {}

    @cached_property
    def alike(self) -> dict[str, str]:
        """For each model the first one with the same matrix, which is computed once for both."""
        first = {model.columns: name for name, model in [*self.models.items()][::-1]}
        return {name: first[model.columns] for name, model in self.models.items()}

    @cached_property
    def fresh_for_us(self) -> dict[str, int]:
        """The maximum age of the features of each group, in microseconds."""
        return {name: span // timedelta(microseconds=1) for name, span in self.store.fresh_for().items()}

    @cached_property
    def types(self) -> dict[str, str]:
        """The type of each feature in the store."""
        layouts = [selection.layout for selection in self.everything.selections.values()]
        return {field.name: field.dtype for layout in layouts for field in layout.fields}

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of each feature in the store."""
        return {name: group for group, part in self.everything.selections.items() for name in part.names}

    @cached_property
    def everything(self) -> OnlineReader:
        """A reader of all features."""
        return self.store.reader([*self.store.definitions()])


def open_champions(
    store: Store, registry: Registry, before: Champions | None = None, state: RegistryState | None = None
) -> Champions:
    """The champions, verified against their digests and the store's definitions.

    A model whose champion is missing or refused does not stop the others. It is absent, with the reason as
    text; if an earlier version was loaded ``before``, that one stays in use.

    Args:
        state: the registry's; read from it by default.

    Raises:
        PatronError: there is a ``before``, but no ``state``, and the registry cannot be read.
    """
    try:
        definitions = store.definitions()
    except NothingThere:
        definitions = {}
    lost: StoreUnavailable | None = None
    try:
        state = state or RegistryState.of(registry.standing(every()))
    except PatronError as error:
        if before:
            raise
        state = RegistryState({}, {})
        lost = error if isinstance(error, StoreUnavailable) else None
    named = state.champions
    models: dict[str, FittedModel] = {}
    absent: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for name in (*MODELS, *(name for name in OPTIONAL if name in named)):
        previous = before and before.models.get(name)
        if previous and previous.version == named.get(name):
            models[name] = previous
            continue
        try:
            if lost is not None:  # the service starts without waiting for it once more per model
                raise lost
            models[name] = _opened(registry, name, named.get(name), definitions)
        except PatronError as error:
            if previous and name in named:
                models[name] = previous
                waiting[name] = f"version {named[name]} was promoted, but {error}"
            else:
                absent[name] = str(error)
    challengers = _challengers(registry, state.challenges, models, definitions, before)
    champions = Champions(store, named, models, absent, waiting, state.challenges, challengers)
    with suppress(NothingThere):  # a shop without events yet
        _ = (
            champions.reader(champions.names(None)),
            champions.everything,
            champions.fresh_for_us,
            champions.alike,
        )
    return champions


def _opened(
    registry: Registry, name: str, version: str | None, definitions: Mapping[str, str]
) -> FittedModel:
    # This very version: another may have been promoted meanwhile.
    model = registry.open(name, version) if version else registry.champion(name)
    model.check_definitions(definitions)
    for count in (1, 2):  # a single row takes another code path than several
        x = matrix(model.columns, {column.name: [None] * count for column in model.columns})
        model.parts(x, model.score_matrix(x))
    return model


def _challengers(
    registry: Registry,
    challenged: Mapping[str, str],
    models: Mapping[str, FittedModel],
    definitions: Mapping[str, str],
    before: Champions | None,
) -> dict[str, Challenger]:
    """The challengers of loaded models; those that cannot be opened are logged and left out."""
    challengers = {}
    for name, text in challenged.items():
        challenge = Challenge.from_json(text)
        if challenge.ended or name not in models or models[name].version == challenge.version:
            continue
        if before and before.challenges.get(name) == text:
            if name in before.challengers:
                challengers[name] = before.challengers[name]
            continue
        try:
            challengers[name] = challenger_of(
                _opened(registry, name, challenge.version, definitions), challenge
            )
        except PatronError as error:
            _log.error("%s version %s cannot be a challenger: %s", name, challenge.version, error)
    return challengers
