"""The header ``Idempotency-Key``: a request for a job that is sent again returns the same job."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, TypeVar

from fastapi import Header, HTTPException
from pydantic import BaseModel

from records.requests.idempotency import IdempotencyKeys, KeyReused, RequestKey
from serving.access.authentication import Caller
from serving.http.services import service

T = TypeVar("T")
WAIT_S = 5.0  # for another process that is creating the job
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r'^("[\x20\x21\x23-\x7e]{1,200}"|[\x21\x23-\x7e]{1,200})$',
        description="A text of the client's own, such as a UUID. For 24 hours, the same request with the same"
        " key returns the job that the first one started; another request with the key is refused.",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]


class Idempotency:
    """Starts jobs once per idempotency key."""

    def __init__(self, keys: IdempotencyKeys) -> None:
        self._keys = keys

    def start(
        self,
        request: BaseModel,
        *,
        key: str | None,
        caller: Caller,
        operation: str,
        find: Callable[[str], T | None],
        create: Callable[[str], T],
    ) -> T:
        """The job of a request: the one that it started before, or a new one.

        Args:
            key: the header's value; without it a new job is created.
            find: returns the job of an id if it exists.
            create: creates and starts the job, with this id; what it raises is raised here, and the key
                can then be used again.

        Raises:
            HTTPException: the key came with another request, the first request is still being answered, or
                its job is no longer stored.
        """
        if key is None:
            return create(uuid.uuid4().hex)
        digest = sha256(request.model_dump_json().encode()).digest()
        reserved = RequestKey(caller.name or "", operation, key.strip('"'), digest)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                reservation = self._keys.reserve(reserved)
            except KeyReused as error:
                raise HTTPException(422, f"Idempotency-Key: {error}") from error
            job = find(reservation.job_id)
            if job is not None:
                if not reservation.created:  # its process ended before it recorded this, or is about to
                    self._keys.complete(reserved)
                return job
            if reservation.mine:
                break
            if reservation.created:
                raise HTTPException(
                    409, "Idempotency-Key: the job of this key is no longer kept; use a new key"
                )
            if time.monotonic() > deadline:
                raise HTTPException(
                    409, "Idempotency-Key: the first request with this key is still being answered",
                    {"Retry-After": "1"},
                )  # fmt: skip
            time.sleep(0.05)
        try:
            job = create(reservation.job_id)
        except BaseException:
            self._keys.release(reserved)
            raise
        self._keys.complete(reserved)
        return job


IdempotencyDep = Annotated[Idempotency, service(Idempotency)]
