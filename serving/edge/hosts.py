"""Which host names a request may name, against DNS rebinding.

A web page whose own name suddenly resolves to this machine could otherwise read answers of the service
through its reader's browser. The browser still sends the page's name as ``Host``, so it is refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.problems import problem

EVERY_HOST = "*"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_MAX_ACCEPTED = 256  # distinct headers that are remembered


def hosts_of(text: str) -> tuple[str, ...]:
    """The host names in a text, separated by commas; ``*`` stands for every host, ``*.NAME`` for subdomains.

    Raises:
        ValueError: one is not a host name; the text says which.
    """
    names = tuple(part.lower() for part in (part.strip() for part in text.split(",")) if part)
    for name in names:
        if name != EVERY_HOST and not _NAME.fullmatch(name) and _address(name) is None:
            raise ValueError(
                f"{name!r} is not a host name; write `patron.shop.example`, without a scheme, a port or a"
                " path, several separated by commas; `*` allows every host"
            )
    return names


class AllowedHosts:
    """The host names that requests may have.

    Args:
        names: beyond those of the loopback interface; see :func:`hosts_of`.
        listening_on: the address that the service listens on. If it is every address of the machine, the
            machine's name and every IP address are allowed: a browser sends no address for a name.
    """

    def __init__(self, names: Iterable[str], listening_on: str) -> None:
        own = _address(listening_on)
        self._addresses = own is not None and own.is_unspecified
        machine = (socket.gethostname(), socket.getfqdn()) if self._addresses else ()
        self._names = {_plain(name) for name in (*_LOOPBACK, listening_on, *machine, *names)}
        self._domains = tuple(name[1:] for name in self._names if name.startswith("*."))
        self._accepted: set[bytes] = set()

    def allow(self, header: bytes) -> bool:
        """Whether a request may have this header ``Host``, with or without a port."""
        if header in self._accepted:  # the usual case; parsing would take longer than the rest of a check
            return True
        allowed = self._allow(_host_of(header.decode("latin-1")))
        if allowed and len(self._accepted) < _MAX_ACCEPTED:
            self._accepted.add(header)
        return allowed

    def _allow(self, host: str) -> bool:
        if EVERY_HOST in self._names or host in self._names or host.endswith(self._domains):
            return True
        return self._addresses and _address(host) is not None


class HostMiddleware:
    """ASGI middleware: refuses requests for another host, with 421, and those that name two, with 400."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, unless the host is not allowed."""
        if scope["type"] == "http":
            headers = [value for name, value in scope["headers"] if name == b"host"]
            if len(headers) > 1:
                refusal = problem(400, "Host: a request names one host", path=scope["path"])
                await refusal(scope, receive, send)
                return
            # Without the header it comes from a program: every browser sends it.
            if headers and not self.hosts.allow(headers[0]):
                refusal = problem(421, _misdirected(headers[0]), path=scope["path"])
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _misdirected(header: bytes) -> str:
    host = _host_of(header.decode("latin-1"))[:100]
    return (
        f"this service is not reached as {host!r}; if that is its name, add it to PATRON_ALLOWED_HOSTS and"
        " restart the service"
    )


def _host_of(header: str) -> str:
    """The host of ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``."""
    host, _, port = header.rpartition(":") if not header.endswith("]") else (header, "", "")
    return _plain(host if host and port.isdigit() else header)


def _plain(host: str) -> str:
    """A host in lower case, without the dot at the end and the brackets of an IPv6 address."""
    host = host.strip().lower().removesuffix(".")
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
