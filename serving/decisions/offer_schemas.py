"""What a customer is offered, as responses have it."""

from __future__ import annotations

from pydantic import BaseModel


class OfferedProduct(BaseModel):
    """The product in stock that the customer is most likely to buy next."""

    product_id: str
    name: str | None = None
    url: str | None = None
    image_url: str | None = None
    price: float | None = None
    stock: float | None = None


class CustomerOfferFields(BaseModel):
    """What a customer is offered, by the rankings; details of a product are those of the catalogue."""

    product: OfferedProduct | None
    category: str | None
