"""``deliveries.toml`` of a home: which files are delivered, when, and where to."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import NothingThere, PatronError, meant
from core.home import Home
from records.job import Segment, segment_of

NAME = "[a-z0-9][a-z0-9_-]{0,49}"
Filters = Annotated[list[str], Field(max_length=20)]

EXAMPLE = """\
# Files of recommendations that are made once a day. `patron deliver` makes those that are due; a service of a
# live shop does so by itself. `patron deliver NAME` makes one now.

[crm]
at = "06:30"                         # by the clock of the shop
file = "csv"                         # csv, xlsx, ndjson or parquet
for = "salesforce"                   # whose import reads the csv or xlsx
# layout = "/srv/crm/layouts.toml"   # your own layouts
folder = "/srv/crm/incoming"         # the file is crm-2026-11-29.csv
# mode = "640"                       # of the file; without it only its owner reads it
# segment = ["value_tier:A"]         # all of several; by default everybody
# rule = "churn > 0.5"               # only customers who match a rule
# channels = ["email"]
# language = "en"                    # or "zh"
# only_actions = true                # leave out for whom nothing is to be done

# [shop]
# at = "07:00"
# file = "ndjson"
# webhook = "https://shop.example/patron"   # each file is POSTed, signed
# secret_env = "SHOP_WEBHOOK_SECRET"        # the environment variable with the secret of the signature
"""


class Delivery(BaseModel):
    """A file that is delivered each day.

    Attributes:
        name: of its section. target: the layout, ``for`` in the file. mode: of the file in the folder.
        secret_env: the environment variable that contains the secret of the webhook's signature.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    at: time
    file: Literal["csv", "xlsx", "ndjson", "parquet"] = "csv"
    target: str | None = Field(None, alias="for")
    layout: Path | None = None
    folder: Path | None = None
    mode: Annotated[str, Field(pattern="^[46][046][046]$")] = "600"
    webhook: str | None = None
    secret_env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    segment: str | Filters | None = None
    rule: Annotated[str, Field(max_length=2000)] | None = None
    channels: list[str] | None = None
    language: Literal["en", "zh"] = "en"
    only_actions: bool = False

    @field_validator("folder", "layout")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("write the whole path, from / on")
        return path

    @field_validator("webhook")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        parts = urlsplit(address or "https://none")
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("this is no address such as https://shop.example/patron")
        if parts.username or parts.password:
            raise ValueError("leave the password out; the secret of secret_env signs each request")
        return address

    @model_validator(mode="after")
    def _needs_a_place(self) -> Delivery:
        if (self.folder is None) == (self.webhook is None):
            raise ValueError("name either a folder or a webhook")
        if self.webhook is not None and self.secret_env is None:
            raise ValueError("a webhook needs secret_env, the environment variable with its secret")
        if (self.target or self.layout) and self.file not in ("csv", "xlsx"):
            raise ValueError("for and layout are for csv and xlsx")
        if self.webhook is not None and self.file == "parquet":
            raise ValueError("a webhook gets csv, xlsx or ndjson")
        return self

    @property
    def customers(self) -> Segment:
        """The segment for which it decides."""
        return segment_of(self.segment)

    @property
    def place(self) -> str:
        """Where it goes to, without what may be secret: of an address only the host."""
        if self.folder is not None:
            return str(self.folder)
        parts = urlsplit(self.webhook or "")
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    def secret(self) -> bytes:
        """The secret of the webhook.

        Raises:
            PatronError: the environment variable is not set, or too short for a secret.
        """
        secret = os.environ.get(self.secret_env or "", "")
        if len(secret) < 16:
            raise PatronError(
                f"deliveries.toml: {self.name}: set the environment variable {self.secret_env} to a secret of"
                " at least 16 characters, such as that of `openssl rand -hex 32`"
            )
        return secret.encode()


def settings_file(home: Home) -> Path:
    """TOML: the deliveries of a home."""
    return home.path / "deliveries.toml"


def load(home: Home) -> dict[str, Delivery]:
    """The deliveries of a home by name; none without a file.

    Raises:
        PatronError: the file cannot be understood; says where and why.
    """
    path = settings_file(home)
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PatronError(f"{path} cannot be read: {error}") from error
    return {name: _delivery(path, name, section) for name, section in sections.items()}


def find(home: Home, name: str) -> Delivery:
    """A delivery by its name.

    Raises:
        NothingThere: there is none of that name; says which there are.
    """
    there = load(home)
    if name not in there:
        listed = ", ".join(there) or "none; `patron deliver --draft` prints an example of the file"
        raise NothingThere(f"{settings_file(home)} has no delivery {name!r}; there are {listed}")
    return there[name]


def _delivery(path: Path, name: str, section: Any) -> Delivery:
    if not re.fullmatch(NAME, name):
        raise PatronError(f"{path}: {name!r} is no name; use small letters, digits, - and _")
    if not isinstance(section, Mapping):
        raise PatronError(f"{path}: {name} stands outside a section; begin one with [NAME]")
    try:
        return TypeAdapter(Delivery).validate_python({**section, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([name, *(str(part) for part in first["loc"][:1])])
        raise PatronError(f"{path}: {where}: {meant(first)}") from error
