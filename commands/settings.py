"""The command for settings: every environment variable with its values, unit, default and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from commands.common import AsJson, print_result

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

app = typer.Typer()

INTRODUCTION = """\
# Configuration

Made by `patron settings --write docs/configuration.md`.

Settings are environment variables. Command-line options override them where both exist. An invalid value ends
the command with code 2; the message names the variable.
"""
REST = """
## Diagnosis, containers and development

| variable | values | unit | default | meaning |
|---|---|---|---|---|
| `PATRON_DEBUG` | any | | unset | unexpected errors print their traceback |
| `PATRON_PASSWORD` | any | | none; required by `compose.yaml` | \
the PostgreSQL password of the containers, in `.env` |
| `PATRON_REQUIRE_SERVICES` | `1` | | unset | \
tests fail, instead of skipping, if a program such as PostgreSQL or Redis is missing |

## Settings in files

| file in the home | settings |
|---|---|
| `home.toml` | the shop's `source`, `time_zone` and `currency`; `frozen_at` of the clock; \
[tier A](segments.md#value-tier-a); under `[warehouse]`, `approximate` \
[medians](operating.md#a-lake-in-a-warehouse) |
| `actions.toml` | [actions and rules](actions.md) |
| `audiences.toml` | audiences that [requests saved](rules.md#audiences) |
| `deliveries.toml` | [files that are delivered each day](marketing.md#deliveries) |
| `features.toml` | [own features](data-scientists.md#own-features) |

API keys and their limits are in the database; see [API keys](applications.md#api-keys).
"""


@dataclass(frozen=True)
class Setting:
    """An environment variable, in words; ``values`` is empty if every value of the type is valid."""

    variable: str
    values: str
    unit: str
    default: str
    meaning: str


@app.command("settings")
def list_settings(
    write: Annotated[
        Path | None, typer.Option(help="Write the page docs/configuration.md to this file.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every setting: environment variable, default and meaning."""
    if write is not None:
        write.write_text(page(), encoding="utf-8")
        print_result(as_json, {"written": str(write)}, f"wrote {write}")
        return
    settings = [setting for settings in sections().values() for setting in settings]
    lines = [
        f"{s.variable:<24}{s.default.replace('`', ''):<34}{s.meaning.replace('`', '')}" for s in settings
    ]
    print_result(as_json, {"settings": [vars(setting) for setting in settings]}, "\n".join(lines))


def page() -> str:
    """The page of all settings, in Markdown."""
    lines = [INTRODUCTION.rstrip()]
    for title, settings in sections().items():
        lines += [
            "",
            f"## {title}",
            "",
            "| variable | values | unit | default | meaning |",
            "|---|---|---|---|---|",
        ]
        for s in settings:
            cells = (f"`{s.variable}`", s.values, s.unit, s.default, s.meaning)
            lines.append("".join(f"| {cell} " if cell else "| " for cell in cells) + "|")
    return "\n".join(lines) + "\n" + REST


def sections() -> dict[str, list[Setting]]:
    """The settings of each settings class, by the title of the class."""
    from console.settings import ConsoleSettings
    from core.settings import FeatureSettings
    from models.registry.settings import ModelSettings
    from serving.settings import ServingSettings
    from training.settings import TrainingSettings

    classes: tuple[type[BaseSettings], ...] = (
        FeatureSettings, ModelSettings, TrainingSettings, ServingSettings, ConsoleSettings,
    )  # fmt: skip
    return {
        str(cls.__doc__).splitlines()[0].rstrip("."): [
            _setting(f"{cls.model_config['env_prefix']}{name.upper()}", field)
            for name, field in cls.model_fields.items()
        ]
        for cls in classes
    }


def _setting(variable: str, field: FieldInfo) -> Setting:
    extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = field.default
    if isinstance(default, bool):
        default = str(default).lower()
    return Setting(
        variable,
        _values(field),
        str(extra.get("unit", "")),
        str(extra.get("default", f"`{default}`")),
        str(field.description),
    )


def _values(field: FieldInfo) -> str:
    """The valid values in words: alternatives, or the range of a number; empty if the type alone decides."""
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true` or `false`"
    bounds = {
        name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le") if hasattr(m, name)
    }
    low = f"above {bounds['gt']:,}" if "gt" in bounds else f"{bounds['ge']:,}" if "ge" in bounds else ""
    if "le" not in bounds:
        return f"{low} or more" if low else ""
    return f"{low}{', at most' if 'gt' in bounds else ' to'} {bounds['le']:,}"
