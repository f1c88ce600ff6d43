"""The catalogue of a home as plain data: actions, audiences and channels, with who fits now and oddities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import PatronError
from core.home import Home
from decisions.catalogue.actions import Action, Actions
from decisions.catalogue.audience_sizes import AudienceSizes
from decisions.catalogue.file import load, parse
from decisions.catalogue.oddities import CatalogueReview, review
from decisions.catalogue.saved import read_saved
from decisions.policies.reach import ReachSource, reach_now
from decisions.rules.tree import terms
from decisions.rules.writing import text_of
from features.groups import features_of


def listing(home: Home, file: Path | None = None) -> dict[str, Any]:
    """The catalogue of a home, or the one in a file.

    Raises:
        NothingThere: there is no ``actions.toml``, and no file was named.
        PatronError: the file is invalid, or the features of all customers cannot be read.
    """
    actions = (
        load(home) if file is None else parse(_content(file), str(file), features_of(home), read_saved(home))
    )
    return describe(home, actions)


def describe(home: Home, actions: Actions) -> dict[str, Any]:
    """A catalogue, and the saved audiences, with the number of customers who fit each now."""
    return count_fits(home, actions) | {"audiences": describe_audiences(home, actions)}


def describe_audiences(home: Home, actions: Actions, source: ReachSource = reach_now) -> list[dict[str, Any]]:
    """The audiences of a catalogue, and the saved ones, with their sizes.

    Args:
        source: knows whom channels reach.
    """
    sizes = AudienceSizes.of(home, actions, source)
    return sizes.listing(sizes.find(home))


def count_fits(home: Home, actions: Actions) -> dict[str, Any]:
    """A catalogue without its audiences, with the number of customers who fit each action now."""
    sizes = AudienceSizes.of(home, actions)
    read = [term for rule in actions.targets.values() for term in terms(rule)]
    files = sizes.find(home, read)
    everybody = None if files is None else files.load([*sizes.terms(), *read])
    today = home.shop().today()
    reviewed = review(actions, today, everybody)
    return {
        "digest": actions.digest,
        "customers": reviewed.customers,
        "as_of": None if everybody is None else everybody.as_of.isoformat(),
        "actions": [_action(action, today, reviewed) for action in actions.actions],
        "channels": {
            name: actions.channels[name].model_dump(mode="json") if name in actions.channels else None
            for name in sorted({*actions.channel_names, *actions.channels})
        },
        "warnings": [
            {"action": oddity.action, "code": oddity.code, "en": oddity.words("en"), "zh": oddity.words("zh")}
            for oddity in reviewed.oddities
        ],
    }


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PatronError(f"{file} cannot be read ({error.strerror})") from error


def _action(action: Action, today: int, reviewed: CatalogueReview) -> dict[str, Any]:
    state = "over" if action.is_over(today) else "not started" if action.is_early(today) else "active"
    settings = action.model_dump(mode="json", exclude={"who", "rule"})
    extra = {"group": action.group, "start": action.start, "end": action.end, "goal": action.goal}
    dates = {name: value if value is None else str(value) for name, value in extra.items()}
    rule = text_of(action.condition) or None
    return settings | dates | {"rule": rule, "state": state, "fits": reviewed.fits.get(action.name)}
