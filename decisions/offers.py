"""What an action offers to one customer: a product or a category, and the discount, in its text.

A text has placeholders: ``{product}``, ``{category}``, ``{discount}``. Anything else in braces, such as
``{{ first_name }}`` for the program that sends the message, stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from decisions.reasons import Language

PRODUCT, CATEGORY, DISCOUNT = "product", "category", "discount"
_PLACEHOLDER = re.compile(r"(?<!\{)\{(product|category|discount)\}(?!\})")


@dataclass(frozen=True)
class CustomerOffer:
    """What the placeholders of texts stand for, for one customer.

    Attributes:
        product: ``product_id``, and by the catalogue ``name``, ``url``, ``image_url``, ``price`` in currency
            and ``stock``, null where it has none; None without a product to recommend.
        category: None without a category to recommend.
    """

    product: Mapping[str, Any] | None = None
    category: str | None = None

    def fields(self) -> dict[str, Any]:
        """The offer as a decision stores it."""
        product = None if self.product is None else dict(self.product)
        return {PRODUCT: product, CATEGORY: self.category}


def placeholders(texts: Iterable[str]) -> frozenset[str]:
    """The names of the placeholders in some texts."""
    return frozenset(name for text in texts for name in _PLACEHOLDER.findall(text))


def fill(text: str, language: Language, offer: Mapping[str, Any]) -> str:
    """The text with the values in place of its placeholders; one without a value stays.

    Args:
        offer: as :meth:`CustomerOffer.fields` returns it, and the ``discount`` as a share of the price.
    """
    product = offer.get(PRODUCT) or {}
    values = {
        PRODUCT: product.get("name") or product.get("product_id"),
        CATEGORY: offer.get(CATEGORY),
        DISCOUNT: _discount(offer[DISCOUNT], language) if offer.get(DISCOUNT) else None,
    }
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]] or match[0]), text)


def _discount(share: float, language: Language) -> str:
    """A discount in words.

    >>> _discount(0.15, "en"), _discount(0.15, "zh"), _discount(0.1, "zh")
    ('15 %', '8.5 折', '9 折')
    """
    return f"{round((1 - share) * 10, 2):g} 折" if language == "zh" else f"{round(share * 100, 1):g} %"
