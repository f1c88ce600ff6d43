"""Who sent a request to the console, and what they may do."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from fastapi import HTTPException
from starlette.requests import Request

from console.access.openid import OpenIdClient
from core.home import Home
from records.accounts.accounts import Accounts
from records.accounts.roles import PersonalData
from records.accounts.sessions import Session, Sessions
from serving.access.audit import name_in_audit
from serving.access.authentication import Caller
from serving.http.services import services_of

COOKIE = "patron_session"
TOKEN_FIELD = "form_token"
MACHINE = "the user of this machine"


@dataclass(frozen=True)
class Visitor:
    """The sender of a request.

    Attributes:
        session: None for a visitor without an account: one at this machine while there are no accounts, or
            one with an API key. They may look, and change nothing.
    """

    caller: Caller
    session: Session | None

    @property
    def is_masked(self) -> bool:
        """Whether ids and traits must be masked; not without an account, as the API and files have them."""
        return self.session is not None and self.session.role.personal_data is not PersonalData.IN_FULL

    @property
    def name(self) -> str:
        """The name in the audit log."""
        if self.session is not None:
            return self.session.account
        return MACHINE if self.caller.name is None else name_in_audit(self.caller)

    @property
    def form_token(self) -> str:
        """What forms of this visitor send; empty if they may send none."""
        return self.session.form_token if self.session else ""

    def sent(self, form_token: str) -> bool:
        """Whether a form with this token is one of theirs."""
        return bool(self.form_token) and hmac.compare_digest(form_token, self.form_token)


def visitor_of(request: Request, home: Home) -> Visitor | HTTPException:
    """The visitor who sent a request; 401 if they must sign in.

    Raises:
        PatronError: the database cannot be used.
    """
    token = request.cookies.get(COOKIE)
    session = Sessions(home).find(token) if token else None
    if session is not None:
        return Visitor(Caller(session.account, session.role.scopes), session)
    caller: Caller | HTTPException = request.state.caller
    if isinstance(caller, Caller) and caller.name is not None:
        return Visitor(caller, None)
    has_issuer = bool(services_of(request.app)[OpenIdClient].settings.oidc_issuer)
    if isinstance(caller, HTTPException) or has_issuer or Accounts(home).there_are_any():
        return HTTPException(401, "sign in")
    return Visitor(caller, None)
