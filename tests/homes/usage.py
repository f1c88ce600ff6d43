"""What happens in a home of the tests: keys, texts, events, scores, decisions, outcomes and jobs."""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from checkout import Caller, Checkout, customer_path

SEED = 7
WAIT_SECONDS = 180.0
FEW = 8  # customers whose portraits, timelines and explanations are recorded
BUYERS = 50  # customers who order twice more, so that there are enough of them to rank products
NEWCOMER, DEVICE, OLD_ID = "home/new 1", "home-device", "home-old"
FIRST, LAST = "home-first", "home-last"  # customers whose orders are the last ones of their batches
GOOD = ("lovely", "wonderful", "excellent", "pleased", "perfect", "很好", "满意", "喜欢")
BAD = ("broken", "terrible", "late", "disappointed", "awful", "很差", "失望", "坏了")
TEXT = "The tea is excellent, but the parcel came late"


def make_keys(checkout: Checkout) -> dict[str, str | None]:
    """Keys of several scopes, terms and states, by name; secrets of this home alone."""

    def create(name: str, scopes: str, *terms: str) -> str:
        return str(checkout.patron_json("keys", "create", name, "--scopes", scopes, *terms)["key"])

    keys: dict[str, str | None] = {
        "all": create("all", "all"),
        "application": create("application", "scores,decisions,outcomes"),
        "marketing": create("marketing", "customers,segments", "--expires-in", "36500d"),
        "shop": create("shop", "events"),
        "operator": create("operator", "operations"),
        "limited": create("limited", "segments", "--per-minute", "1"),
        "revoked": create("revoked", "all"),
        "replaced": create("rotated", "segments"),
        "none": None,
        "wrong": "patron_0000000000000000000000000000000000000000000",
    }
    checkout.patron("keys", "revoke", "revoked")
    keys["rotated"] = checkout.patron_json("keys", "rotate", "rotated", "--overlap", "0h")["key"]
    return keys


def write_texts(path: Path) -> Path:
    """A table of short texts whose words say how content their authors are."""
    draw = random.Random(SEED)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "content"])
        for i in range(400):
            words = draw.sample(GOOD if i % 2 else BAD, 2) + draw.sample(["tea", "parcel", "price", "cup"], 2)
            rows.writerow([" ".join(words), i % 2])
    return path


def event(name: str, customer: str, moment: datetime, **fields: Any) -> dict[str, Any]:
    """An event of the Segment specification with a message id of its own."""
    return {"messageId": f"home-{name}", "userId": customer, "timestamp": stamp(moment), **fields}


def order(name: str, customer: str, moment: datetime, *products: tuple[str, str, str]) -> dict[str, Any]:
    """An order of (product, category, price), each twice."""
    lines = [
        {"product_id": product, "category": category, "price": price, "quantity": 2}
        for product, category, price in products
    ]
    properties = {"order_id": f"home-{name}", "products": lines}
    return event(f"order-{name}", customer, moment, event="Order Completed", properties=properties)


def send_first(caller: Caller, ids: list[str]) -> None:
    """Orders of many customers, in batches."""
    now = datetime.now(UTC)
    bought = products_of(caller, ids)
    batch = [
        {"type": "track"}
        | order(f"{customer}-{days}", customer, now - timedelta(days=days), bought[(i + days) % len(bought)])
        for i, customer in enumerate(ids[:BUYERS])
        for days in (70, 45)
    ]
    batch.append({"type": "track"} | order("first", FIRST, now - timedelta(hours=1), bought[0]))
    for start in range(0, len(batch), 50):
        caller.post("/v1/batch", {"batch": batch[start : start + 50]})


def send_second(caller: Caller, ids: list[str]) -> None:
    """Events of each kind: of a newcomer, a merge, a duplicate, and ones that go to the quarantine."""
    now = datetime.now(UTC)
    bought = products_of(caller, ids)
    caller.post("/v1/page", {
        "messageId": "home-page", "anonymousId": DEVICE, "name": "Teas", "properties": {"path": "/teas"},
        "timestamp": stamp(now - timedelta(hours=5)),
    })  # fmt: skip
    traits = {"country": "DE", "newsletter": True, "address": {"city": "Bremen"}}
    moment = now - timedelta(hours=4)
    caller.post("/v1/identify", event("identify", NEWCOMER, moment, anonymousId=DEVICE, traits=traits))
    once = order("newcomer", NEWCOMER, now - timedelta(hours=3), *bought[:2])
    caller.post("/v1/track", once)
    caller.post("/v1/track", once)  # a duplicate
    caller.post("/v1/track", order("old", OLD_ID, now - timedelta(hours=3), bought[2]))
    alias = {"messageId": "home-alias", "previousId": OLD_ID, "userId": ids[0]}
    caller.post("/v1/alias", alias | {"timestamp": stamp(now - timedelta(hours=2))})
    review = {"rating": 2, "review_body": "很差, the parcel came late and the cup was broken"}
    moment = now - timedelta(hours=1)
    caller.post("/v1/track", event("review", ids[1], moment, event="Product Reviewed", properties=review))
    refund = {"order_id": "home-newcomer", "total": "1.50"}
    caller.post("/v1/track", event("refund", NEWCOMER, moment, event="Order Refunded", properties=refund))
    caller.post("/v1/group", event("group", ids[2], moment, groupId="acme", traits={"plan": "gold"}))
    unusable = [
        {"type": "track", "messageId": "home-nobody", "event": "Order Completed"},
        {"type": "track"} | event("price", ids[3], moment, event="Order Completed",
                                  properties={"products": [{"product_id": "p", "price": -1}]}),
    ]  # fmt: skip
    caller.post(
        "/v1/batch", {"batch": [*unusable, {"type": "track"} | order("last", LAST, moment, bought[1])]}
    )


def products_of(caller: Caller, ids: list[str]) -> list[tuple[str, str, str]]:
    """Ten products of the shop, each with its category and a price."""
    products: dict[str, tuple[str, str, str]] = {}
    for customer in ids:
        for placed in caller.get(customer_path(customer, "/timeline"), kind="order")["events"]:
            for line in placed["lines"]:
                products.setdefault(line["product_id"], (line["product_id"], line["category"], "14.90"))
        if len(products) >= 10:
            break
    return sorted(products.values())[:10]


def use(caller: Caller, ids: list[str]) -> dict[str, Any]:
    """Have scores, decisions, a run and a job made, and return what is to be asked again."""
    few = [NEWCOMER, OLD_ID, *ids[:3], *ids[200 : 200 + FEW - 5]]
    scored = caller.post("/v1/scores", {"customer_ids": few})["customers"]
    context = {"customer_ids": ids[:1], "context": {"recency_days": 1}}
    predictions = [scored[0], scored[2], caller.post("/v1/scores", context)["customers"][0]]
    caller.post("/v1/scores", {"customer_ids": ids})

    decided = [*few, *ids[50:70]]
    decisions = [caller.post(customer_path(name, "/next-best-actions"), {}) for name in decided]
    reported = [{"outcome": "shown"}, {"outcome": "clicked"}, {"outcome": "converted", "value": 64.25}]
    outcomes = [[decisions[-1 - i]["decision_id"], body] for i, body in enumerate(reported)]
    accepted = caller.post(customer_path(ids[80], "/next-best-actions"), {})["decision_id"]
    outcomes.append([accepted, {"outcome": "accepted"}])
    for decision, body in outcomes:
        caller.post(f"/v1/decisions/{decision}/outcome", body)

    kinds = caller.get("/v1/segments")["kinds"]
    segments = [kind["segments"][0]["filter"] for kind in kinds if kind["segments"]][:3]
    run = caller.post("/v1/recommendation-runs", {"segment": segments[0], "language": "zh"})["run_id"]
    wait_for(lambda: caller.get(f"/v1/recommendation-runs/{run}")["status"] == "done")
    job = caller.post("/v1/score-jobs", {"segment": segments[0]})["job_id"]
    wait_for(lambda: caller.get(f"/v1/score-jobs/{job}")["status"] == "done")
    in_run = {row["customer_id"] for row in caller.pages(f"/v1/recommendation-runs/{run}", "rows")}
    # The one whose decision was accepted is decided on anew.
    undecided = [ids[80], *[name for name in ids[90:] if name not in in_run][:40]]
    models = [model["name"] for model in caller.get("/v1/models")]
    return {
        "few": few,
        "models": [name for name in models if name in scored[0]["scores"]],
        "segments": segments,
        "predictions": [entry["prediction_id"] for entry in predictions],
        "run": run,
        "job": job,
        "outcomes": outcomes,
        "decided": decided,
        "undecided": undecided,
        "feedback": TEXT,
        "routes": routes(outcomes[0], run, few[2]),
    }


def routes(outcome: list[Any], run: str, customer: str) -> list[list[Any]]:
    """Routes of every scope, as (method, path, body), none of which changes a home whose clock is frozen."""
    decision, body = outcome
    track = {"messageId": "home-later", "userId": customer, "event": "Later"}
    return [
        ["GET", "/v1/segments", None],
        ["GET", "/v1/segments", None],  # again: a key of one request a minute is used up
        ["POST", "/v1/scores", {"customer_ids": [customer]}],
        ["GET", customer_path(customer), None],
        ["GET", f"/v1/recommendation-runs/{run}", None],
        ["POST", f"/v1/decisions/{decision}/outcome", body],
        ["POST", "/v1/track", track],
        ["GET", "/v1/models", None],
        ["GET", "/metrics", None],
        ["GET", "/healthz", None],
    ]


def orders_of(caller: Caller, customer: str) -> int | None:
    """How many orders of a customer the features and the scores have."""
    response = caller.request("GET", customer_path(customer))
    return response.json()["historic_number_of_orders"] if response.status_code == 200 else None


def stamp(moment: datetime) -> str:
    """A moment as clients send it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("it never came; the service's log is next to the home")
        time.sleep(0.5)
