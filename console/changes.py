"""Changes that people make with the forms of pages: each is a POST that leads to a page.

A form contains the macro ``form_token(visitor)``; only signed-in visitors can send it (``visitor.session``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import FormData

from console.page import Visit
from serving.access.scopes import Scope


@dataclass(frozen=True)
class ConsoleChange:
    """A form's target.

    Attributes:
        path: its address below ``/console``, such as ``/models/{name}/promote``.
        scope: which callers may send it.
        handle: makes the change, and returns the address of the page to show next. Raises PatronError or
            HTTPException if nothing was changed; the text says why.
        what: what the audit log says, such as ``promoted a version``; its object is the
            path's parameters, else the form's field ``name``.
    """

    path: str
    scope: Scope
    handle: Callable[[Visit, FormData], str]
    what: str


def text(form: FormData, name: str) -> str:
    """The text of a field without blanks around it; empty if it was not sent."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def entered(form: FormData) -> dict[str, str]:
    """What a person entered, by field, without passwords and hidden codes."""
    hidden = ("password", "form_token", "digest", "champion")
    return {name: text(form, name) for name in form if name not in hidden and text(form, name)}
