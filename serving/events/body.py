"""The body of an event route: JSON, possibly in gzip, of a caller who may send events."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from serving.access.authentication import Admit
from serving.http.cors import from_other_origin

T = TypeVar("T")
MAX_BODY_BYTES = 500 * 1024
MAX_OBJECTS = 50_000  # far beyond those of 2,500 events; counted before they are created in memory


async def read_body(request: Request, admit: Admit, use: Callable[[dict[str, Any]], T]) -> T:
    """What is made of the body, an object of any media type: ``navigator.sendBeacon`` sends ``text/plain``.

    A body that is too large or not JSON is answered with 400, as the Segment specification has it.

    Args:
        use: called with the body of a caller who may send it, in a thread.

    Raises:
        HTTPException: the body cannot be read, or the caller may not send it; or ``use`` raised it.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise _too_large()
        used = await run_in_threadpool(_parse_and_use, bytes(raw), encoding, request, admit, use)
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off") from None
    except HTTPException:
        admit(())  # whoever may not send anything learns nothing else
        raise
    if isinstance(used, HTTPException):
        raise used
    return used


def _parse_and_use(
    raw: bytes, encoding: str, request: Request, admit: Admit, use: Callable[[dict[str, Any]], T]
) -> T | HTTPException:
    """What is made of the body, or the refusal; to run in a thread, since the keys may have to be read."""
    body = _parse(raw, encoding)
    try:
        if admit(_write_keys(body)).name is None:
            _check_without_key(request)
        return use(body)
    except HTTPException as refusal:
        return refusal


def _check_without_key(request: Request) -> None:
    """Refuse what a web page of another origin could have its reader's browser send to this machine."""
    if from_other_origin(request.headers.get("origin"), request.headers.get("host", "")):
        raise HTTPException(
            401, "a page of another origin needs a key: `writeKey` in the body, or the user of Basic"
        )
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(415, "Content-Type: without a key it takes application/json")


def _write_keys(body: dict[str, Any]) -> set[str]:
    """The ``writeKey`` of the body, else those of the messages of its batch."""
    if isinstance(key := body.get("writeKey"), str):
        return {key}
    batch = body.get("batch")
    messages = [message for message in batch if isinstance(message, dict)] if isinstance(batch, list) else []
    return {key for message in messages if isinstance(key := message.get("writeKey"), str)}


def _parse(raw: bytes, encoding: str) -> dict[str, Any]:
    if encoding == "gzip":
        raw = _unzipped(raw)
    elif encoding != "identity":
        raise HTTPException(415, "Content-Encoding: it takes gzip, or none")
    if raw.count(b"{") + raw.count(b"[") > MAX_OBJECTS:
        raise HTTPException(400, f"the body has more than {MAX_OBJECTS:,} objects; send it in parts")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return body


def _unzipped(raw: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unzip.decompress(raw, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise HTTPException(400, "the body is not gzip, as Content-Encoding says") from None
    if len(plain) > MAX_BODY_BYTES:
        raise _too_large()
    if not unzip.eof or unzip.unused_data:
        raise HTTPException(400, "the gzip of the body is cut off, or goes on after its end")
    return plain


def _too_large() -> HTTPException:
    limit = MAX_BODY_BYTES // 1024
    return HTTPException(400, f"the body is larger than {limit} KB, unpacked; send it in parts")
