"""Messages in the Segment specification, as a shop's own clients would send them."""

from __future__ import annotations

import base64
import http.client
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

HOST = "127.0.0.1"
PRODUCTS = 200


def stream(seed: int, customers: int, merging: bool = False) -> Iterator[dict[str, Any]]:
    """An endless stream of messages, each with its own id: orders, views, carts, mails, traits.

    Args:
        customers: ids are ``C000000`` and so on, as in a simulated shop.
        merging: include people who are not signed in, some of whom sign in later.
    """
    rng, n = random.Random(seed), 0
    while True:
        n += 1
        customer = f"C{rng.randrange(customers):06d}"
        message = _message(rng, f"m{seed}-{n}")
        message |= {"messageId": f"m{seed}-{n}", "userId": customer}
        if merging and rng.random() < 0.3:
            device = f"d{rng.randrange(2 * customers)}"
            if message["type"] == "identify":
                message["anonymousId"] = device
            else:
                del message["userId"]
                message["anonymousId"] = device
        yield message


def _message(rng: random.Random, name: str) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(seconds=rng.choice((0, 0, 0, 60, 86_400 * 20)))
    fields: dict[str, Any] = {"timestamp": at.isoformat()}
    kind = rng.random()
    if kind < 0.15:
        lines = [
            {
                "product_id": f"p{product}",
                "category": f"c{product % 7}",
                "price": f"{1 + product}.50",
                "quantity": 1,
            }
            for product in rng.sample(range(PRODUCTS), rng.randint(1, 4))
        ]
        properties = {"order_id": name, "products": lines}
        return fields | {"type": "track", "event": "Order Completed", "properties": properties}
    if kind < 0.25:
        return fields | {
            "type": "identify",
            "traits": {"country": rng.choice(("DE", "FR", "CN")), "told_by": name},
        }
    event = rng.choice(
        ("Product Viewed", "Product Added", "Products Searched", "Email Delivered", "Email Opened")
    )
    properties = {"product_id": f"p{rng.randrange(PRODUCTS)}", "told_by": name}
    return fields | {"type": "track", "event": event, "properties": properties}


def encode_batch(messages: list[dict[str, Any]]) -> bytes:
    """The body of ``POST /v1/batch``."""
    return json.dumps({"batch": messages, "sentAt": datetime.now(UTC).isoformat()}).encode()


class Client:
    """Sends batches over a connection that stays open."""

    def __init__(self, port: int, key: str | None = None, timeout: float = 20.0) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
        self._headers = {"content-type": "application/json"}
        if key is not None:
            self._headers["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()

    def send(self, messages: list[dict[str, Any]]) -> int:
        """Post a batch; returns the status."""
        return self.send_encoded(encode_batch(messages))

    def send_encoded(self, batch: bytes) -> int:
        """Post a batch that is encoded already; returns the status."""
        return self._post("/v1/batch", batch)[0]

    def scores(self, customer_id: str) -> Any:
        """All scores of a customer."""
        status, answer = self._post("/v1/scores", json.dumps({"customer_ids": [customer_id]}).encode())
        if status != 200:
            raise RuntimeError(f"scores were answered {status}: {answer[:500]!r}")
        return json.loads(answer)["customers"][0]["scores"]

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body; a broken connection raises OSError or HTTPException."""
        try:
            self._connection.request("POST", path, body, self._headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
