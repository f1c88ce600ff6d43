"""The audit log of the API: ``dependencies=[needs(Scope.ACTIONS), audits_change("changed an action")]``.

Routes of scores, next best actions, outcomes and events have no such dependency: the logs of predictions and
decisions and the journal of events record them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Depends, Request, Response

from core.errors import PatronError
from records.audit.log import AuditLog
from records.audit.queue import AuditQueue
from serving.access.authentication import Caller
from serving.http.services import services_of

UNKNOWN_CALLER = "no key"  # on loopback addresses, where none is needed


def name_in_audit(caller: Caller) -> str:
    """How the audit log names the sender of a request to the API."""
    return UNKNOWN_CALLER if caller.name is None else f"key {caller.name}"


class AuditedChange:
    """A dependency: the log has an entry before the response to a change that was made is sent.

    While the database is away, some changes are still possible. Their entries are queued, so that the
    response does not deny a change that was made. The object of an entry is the path's parameters, else
    what the header ``Location`` of the response names.

    Args:
        what: such as ``changed an action``.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __call__(self, request: Request, response: Response) -> Iterator[None]:
        """Wait for the route, and add the entry; nothing if the route raises."""
        yield
        about = " ".join(map(str, request.path_params.values()))
        about = about or response.headers.get("location", "").rpartition("/")[2]
        services, by = services_of(request.app), name_in_audit(request.state.caller)
        try:
            services[AuditLog].append(by, self.what, about)
        except PatronError:
            services[AuditQueue].put(by, self.what, about=about)


class AuditedLooks:
    """A dependency: the log gets an entry for a look at one customer, or at a list, within a second.

    Args:
        what: such as ``looked at a customer``.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        """Wait for the route, and queue the entry; nothing if the route raises."""
        yield
        others = dict(request.path_params)
        customer_id = others.pop("customer_id", "")
        services_of(request.app)[AuditQueue].put(
            name_in_audit(request.state.caller), self.what, customer_id, " ".join(map(str, others.values()))
        )


def audits_change(what: str) -> Any:
    """The dependency of a route that changes something, see :class:`AuditedChange`."""
    return Depends(AuditedChange(what), scope="function")


def audits_look(what: str) -> Any:
    """The dependency of a route that returns customers, see :class:`AuditedLooks`."""
    return Depends(AuditedLooks(what), scope="function")
