"""Signed webhooks: a file is POSTed to an address, and tried again where that may help.

A receiver verifies three headers:

- ``Patron-Timestamp``: seconds since 1970, of this attempt; refuse one that is more than five minutes old.
- ``Patron-Signature``: ``v1=`` and the hexadecimal HMAC-SHA256, under the secret, of the timestamp, a full
  stop, and the body.
- ``Idempotency-Key``: the same for all attempts to send a file; a receiver that has processed it answers 200.

Any status of 2xx means that the file has arrived. After 408, 425, 429, 5xx or no answer, further attempts
follow, four in all, with pauses of 1, 4 and 16 seconds or as ``Retry-After`` says. Redirects are not
followed. Addresses that no receiver has (link-local, where clouds keep credentials; multicast; unspecified)
are refused, and the address that was checked is the one that is connected to.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import features
from core.errors import PatronError

PAUSES_S = (1.0, 4.0, 16.0)
TIMEOUT_S = 30.0  # of connecting, and of each read or write
MAX_RETRY_AFTER_S = 60.0
MAX_BYTES = 20_000_000
_AGAIN = {408, 425, 429}


class Undeliverable(PatronError):
    """A webhook did not take a file; the text says why and names no more of the address than its host."""


def sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """The signature of a body that is sent at a time (seconds since 1970)."""
    digest = hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"v1={digest}"


def post(
    address: str,
    body: bytes,
    media_type: str,
    secret: bytes,
    idempotency_key: str,
    headers: Mapping[str, str],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send a file, with further attempts where one fails for a while.

    Args:
        headers: further ones, in ASCII.

    Raises:
        Undeliverable: the address is refused, the receiver refuses the file, or the last attempt failed.
    """
    if len(body) > MAX_BYTES:
        raise Undeliverable(f"the file has {len(body):,} bytes, and a webhook gets at most {MAX_BYTES:,}")
    for pause in (*PAUSES_S, None):
        timestamp = int(time.time())
        signed = {
            **headers, "Content-Type": media_type, "User-Agent": f"patron/{features.__version__}",
            "Idempotency-Key": idempotency_key, "Patron-Timestamp": str(timestamp),
            "Patron-Signature": sign(secret, timestamp, body),
        }  # fmt: skip
        status, retry_after = _attempt(address, body, signed)
        if status is not None and 200 <= status < 300:
            return
        host = urlsplit(address).hostname
        reason = f"answered {status}" if status is not None else "cannot be reached"
        if status is not None and status not in _AGAIN and status < 500:
            raise Undeliverable(f"{host} {reason}; it refuses the file, so look into its log")
        if pause is None:
            raise Undeliverable(f"{host} {reason}, {len(PAUSES_S) + 1} times")
        sleep(max(pause, min(retry_after, MAX_RETRY_AFTER_S)))


def _attempt(address: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, float]:
    """The status of one request, None if there was no answer; and the seconds of ``Retry-After``."""
    parts = urlsplit(address)
    connection = _connect(parts.scheme, parts.hostname or "", parts.port)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        wait = response.headers.get("Retry-After", "")
        return response.status, float(wait) if wait.isdecimal() else 0.0
    except (OSError, http.client.HTTPException):
        return None, 0.0
    finally:
        connection.close()


def _connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    """A connection, not yet open, to the address that was checked."""
    number = port or (443 if scheme == "https" else 80)
    address = _checked(host, number, scheme)
    if scheme == "https":
        return _Https(host, number, address)
    return _Http(host, number, address)


def _checked(host: str, port: int, scheme: str) -> str | None:
    """The first address of a host; None if the name is unknown now.

    Raises:
        Undeliverable: one of its addresses is none of a receiver, or http is not on this machine.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return None
    addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos]
    for address in addresses:
        plain = getattr(address, "ipv4_mapped", None) or address
        if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
            raise Undeliverable(f"{host} is {plain}, which is no address of a receiver")
        if scheme != "https" and not plain.is_loopback:
            raise Undeliverable(f"{host} gets customers' data, so its address must begin with https://")
    return str(addresses[0])


class _Http(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, address: str | None) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        self.sock = _open(self._address, self.port)


class _Https(http.client.HTTPSConnection):
    def __init__(self, host: str, port: int, address: str | None) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=TIMEOUT_S, context=self._tls)
        self._address = address

    def connect(self) -> None:
        self.sock = self._tls.wrap_socket(_open(self._address, self.port), server_hostname=self.host)


def _open(address: str | None, port: int) -> socket.socket:
    if address is None:
        raise OSError("the host name is unknown")
    return socket.create_connection((address, port), TIMEOUT_S)
