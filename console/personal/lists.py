"""Lists of customers for pages: how the visitor may see each customer, and the address of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from starlette.responses import Response

from console.page import Row, Visit
from console.personal.customers import MAX_DIGITS
from console.personal.masks import name_of
from console.personal.rules import hidden_audiences, refuse_personal_features
from core.errors import NothingThere
from serving.audiences import routes as audiences_api
from serving.audiences.schemas import MembersQuery
from serving.customers import routes as api
from serving.customers.schemas import CustomersQuery, ListedCustomer
from serving.customers.score_order import ScoreOrders
from serving.scores.scorer import Scorer

ADDRESS = "/console/customers"


class NamedCustomer(Protocol):
    """A row of the API with the id of a customer, such as :class:`ListedCustomer`."""

    customer_id: str

    def model_dump(self) -> dict[str, Any]:
        """The fields by name."""
        ...


@dataclass(frozen=True)
class CustomerPage:
    """A page of a list of customers.

    Attributes:
        rows: the fields of the API's; ``customer_id`` is how the visitor may see the customer, ``address``
            that of the customer's page.
        total: customers on all pages. as_of: the moment that the list describes.
        cursor: of the next page; empty for none. It has no id.
    """

    rows: Sequence[Row]
    total: int
    as_of: datetime
    cursor: str


def list_customers(visit: Visit, query: CustomersQuery) -> CustomerPage:
    """A page of all customers, or of those of segments.

    Raises:
        Unprocessable: a segment or a score is unknown; or a segment is a value of a feature that the visitor
            may not see.
        NothingThere: there is no build yet, or no score by which to sort.
    """
    refuse_personal_features(visit, {segment.partition(":")[0] for segment in query.segment})
    services = visit.services
    page = api.customers_page(query, services[Scorer], services[ScoreOrders], visit.caller)
    as_of = page.scores_as_of or page.features_as_of
    return CustomerPage(rows_of(visit, page.customers), page.total, as_of, page.next_cursor or "")


def find_customer(visit: Visit, text: str, segments: Sequence[str]) -> CustomerPage:
    """The customer of an id; for visitors who see customers masked, of a number.

    They learn nothing of an id: the answer to any text that is no number is the same.

    Args:
        segments: the features of the row.

    Raises:
        NothingThere: there is no such customer.
    """
    identity, scorer = visit.services[Scorer].identity, visit.services[Scorer]
    customer_id = text
    if visit.is_masked:
        if not (text.isascii() and text.isdecimal()):
            raise NothingThere(visit.words("personal.by_number"))
        ids = identity.ids([int(text)]) if len(text) <= MAX_DIGITS else {}
        if not ids:
            raise NothingThere(visit.words("personal.no_number", number=text[:MAX_DIGITS]))
        (customer_id,) = ids.values()
    elif text not in identity.keys([text]):
        raise NothingThere(visit.words("customers.nobody", customer_id=text))
    (entry,) = scorer.score([customer_id], route=None, facts=True)
    values = {name: (entry.facts or {}).get(name) for name in segments}
    listed = ListedCustomer(customer_id=customer_id, segments=values)
    return CustomerPage(rows_of(visit, [listed]), 1, entry.features_as_of or scorer.shop.now(), "")


def key_of(visit: Visit, customer_id: str) -> int | None:
    """The key of the customer with an id, for a visitor who sees customers in full; None for nobody."""
    return visit.services[Scorer].identity.keys([customer_id]).get(customer_id)


def list_members(visit: Visit, audience: str, limit: int, cursor: str) -> CustomerPage:
    """A page of the customers of an audience.

    Raises:
        NothingThere: there is no such audience for the visitor. HTTPException: 404: nothing was built yet.
    """
    if audience in hidden_audiences(visit):
        raise NothingThere("there is no such audience")
    query = MembersQuery(limit=limit, cursor=cursor or None)
    page = audiences_api.customers(audience, query, visit.services[Scorer], visit.caller)
    if isinstance(page, Response):
        raise TypeError("a page of customers is no file")
    return CustomerPage(rows_of(visit, page.customers), page.total, page.as_of, page.next_cursor or "")


def rows_of(visit: Visit, customers: Sequence[NamedCustomer]) -> list[Row]:
    """Rows of the API with how the visitor may see each customer, and the address of the customer's page.

    The address has the customer's key, since addresses get into logs.
    """
    ids = [customer.customer_id for customer in customers]
    keys: Mapping[str, int] = visit.services[Scorer].identity.keys(ids) if ids else {}
    return [
        customer.model_dump() | _name(visit, customer.customer_id, keys.get(customer.customer_id))
        for customer in customers
    ]


def _name(visit: Visit, customer_id: str, key: int | None) -> dict[str, Any]:
    """The name and the address of a customer; None for one who was merged or deleted since."""
    if key is None:
        return {"customer_id": None if visit.is_masked else customer_id, "address": None}
    name = name_of(key, customer_id) if visit.is_masked else customer_id
    return {"customer_id": name, "address": f"{ADDRESS}/{key}"}
