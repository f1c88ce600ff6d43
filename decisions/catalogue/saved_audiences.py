"""Audiences that are saved by requests: named rules in ``audiences.toml``, beside those of ``actions.toml``.

Rules of actions, runs and other audiences name both in the same way. An audience of ``actions.toml`` is
changed there.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from core import files, locks
from core.errors import NothingThere, PatronError, meant
from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.catalogue.audiences import Audience, resolved
from decisions.catalogue.file import load
from decisions.catalogue.own_file import inline
from decisions.catalogue.saved import read_saved
from decisions.rules.tree import Rule, audiences
from features.groups import features_of

MARK = "# Kept by the service: changed by requests to /v1/audiences."
MAX_AUDIENCES = 200
_NAME = re.compile(r"[a-z0-9_]{1,50}")


class DeclaredAudience(PatronError):
    """The audience is declared in ``actions.toml``."""


class UsedAudience(PatronError):
    """Rules name the audience; the message says which."""


class StaleAudience(PatronError):
    """The audience is another one than the request assumes."""


class InvalidAudience(PatronError):
    """The audience of a request cannot be used; the message says why."""


def digest_of(audience: Audience) -> str:
    """A short digest of an audience."""
    content = json.dumps(audience.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_saved(home: Home) -> dict[str, Audience]:
    """The saved audiences by name.

    Raises:
        PatronError: ``audiences.toml`` cannot be used.
    """
    known = features_of(home)
    try:
        return {
            name: Audience.model_validate(content, context=known)
            for name, content in read_saved(home).items()
        }
    except ValidationError as error:
        raise PatronError(f"{home.audiences}: {meant(error.errors()[0])}") from error


def load_declared(home: Home) -> Actions | None:
    """The actions of a home; None if there is no ``actions.toml``.

    Raises:
        PatronError: it is invalid.
    """
    return load(home) if home.actions.exists() else None


def every_audience(home: Home, actions: Actions | None) -> dict[str, Audience]:
    """The audiences of ``actions.toml``, then the saved ones."""
    declared = {} if actions is None else actions.audiences
    return declared | {name: a for name, a in load_saved(home).items() if name not in declared}


def audience_rules(home: Home, actions: Actions | None) -> dict[str, Rule]:
    """The rules of all audiences, with those of the audiences that they name.

    Raises:
        PatronError: a saved audience names one that does not exist any more.
    """
    try:
        return resolved({name: a.rule for name, a in every_audience(home, actions).items()})
    except ValueError as error:
        raise PatronError(f"{home.audiences}: {error}") from error


def validated(home: Home, actions: Actions | None, content: Mapping[str, Any]) -> tuple[Audience, Rule]:
    """An audience that is not saved, and its rule with those of the audiences that it names.

    Raises:
        InvalidAudience: the rule is none.
        PatronError: ``audiences.toml`` cannot be used.
    """
    others = every_audience(home, actions)
    try:
        audience = Audience.model_validate(dict(content), context=features_of(home))
        rules = resolved({name: a.rule for name, a in (others | {"": audience}).items()})
    except ValidationError as error:
        raise _invalid(error) from error
    except ValueError as error:
        raise InvalidAudience(str(error)) from error
    return audience, rules[""]


def put(home: Home, name: str, content: Mapping[str, Any], digest: str | None) -> Audience:
    """Save an audience, or change one.

    Args:
        content: ``rule``, and ``text`` by language.
        digest: of the audience that is changed; None for a new one.

    Raises:
        DeclaredAudience: ``actions.toml`` declares it.
        StaleAudience: it has another digest.
        InvalidAudience: the rule is none, or refers to itself; or the name is no code.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidAudience("name: up to 50 small letters, digits and _")
    with _changing(home, name, digest) as (actions, saved):
        try:
            audience = Audience.model_validate(dict(content), context=features_of(home))
            changed = saved | {name: audience}
            declared = {} if actions is None else _declared(home, actions)
            resolved({other: a.rule for other, a in (changed | declared).items()})
        except ValidationError as error:
            raise _invalid(error) from error
        except ValueError as error:
            raise InvalidAudience(str(error)) from error
        if len(changed) > MAX_AUDIENCES:
            raise InvalidAudience(f"at most {MAX_AUDIENCES} audiences can be saved; delete one first")
        _write(home, changed)
        return audience


def delete(home: Home, name: str, digest: str | None) -> None:
    """Delete a saved audience.

    Raises:
        NothingThere: there is no such audience.
        DeclaredAudience: ``actions.toml`` declares it.
        StaleAudience: it has another digest.
        UsedAudience: rules name it.
    """
    with _changing(home, name, digest) as (actions, saved):
        if name not in saved:
            raise NothingThere("there is no such audience")
        others = saved if actions is None else saved | actions.audiences
        users = [f"audience {other}" for other, a in others.items() if name in audiences(a.rule)]
        if actions is not None:
            users += [f"action {a.name}" for a in actions.actions if name in audiences(a.condition)]
        if users:
            raise UsedAudience(f"{users[0]} uses this audience; change the rule first")
        _write(home, {other: a for other, a in saved.items() if other != name})


@contextmanager
def _changing(
    home: Home, name: str, digest: str | None
) -> Iterator[tuple[Actions | None, dict[str, Audience]]]:
    """The actions and the saved audiences, under the lock of the file; the named one has this digest."""
    with open(home.path / ".audiences.lock", "w") as lock:
        locks.wait(lock)
        actions, saved = load_declared(home), load_saved(home)
        if actions is not None and name in _declared(home, actions):
            raise DeclaredAudience(f"actions.toml declares the audience {name}; change it there")
        actual = digest_of(saved[name]) if name in saved else None
        if digest is not None and actual != digest:
            state = "is not there any more" if actual is None else f"is the version {actual}"
            raise StaleAudience(f"the audience {state}; read it again, and send its digest as If-Match")
        if digest is None and actual is not None:
            raise StaleAudience(f"the audience exists; send its digest {actual} as If-Match to change it")
        yield actions, saved


def _invalid(error: ValidationError) -> InvalidAudience:
    first = error.errors()[0]
    return InvalidAudience(": ".join([*map(str, first["loc"]), meant(first)]))


def _declared(home: Home, actions: Actions) -> dict[str, Audience]:
    """The audiences that ``actions.toml`` itself declares, not those saved ones that its rules name."""
    own = tomllib.loads(home.actions.read_text(encoding="utf-8-sig")).get("audiences", {})
    return {name: audience for name, audience in actions.audiences.items() if name in own}


def _write(home: Home, saved: Mapping[str, Audience]) -> None:
    lines = [MARK]
    for name, audience in saved.items():
        lines += ["", f"[audiences.{name}]"]
        lines += [f"{key} = {inline(value)}" for key, value in audience.model_dump(mode="json").items()]
    files.replace(home.audiences, "\n".join([*lines, ""]), durable=True)
