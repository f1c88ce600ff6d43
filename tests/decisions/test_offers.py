"""Placeholders in the texts of actions: which there are, and what they become."""

from __future__ import annotations

import pytest

from decisions.offers import CustomerOffer, fill, placeholders

LAMP = {"product_id": "p1", "name": "Lamp {category}", "url": None, "price": 9.5}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("New: {product}, {discount} off", {"product", "discount"}),
        ("Hello {{ first_name }}, {{product}} and {name}", set()),
        ("{category}{category}", {"category"}),
        ("{Product} {product", set()),
    ],
)
def test_only_known_names_in_single_braces_are_placeholders(text: str, names: set[str]) -> None:
    assert placeholders([text]) == names


def test_placeholders_are_filled_once() -> None:
    offer = CustomerOffer(LAMP, "garden").fields()
    text = "{product} of {category}: {discount} off, {{ first_name }}"
    assert (
        fill(text, "en", offer | {"discount": 0.1}) == "Lamp {category} of garden: 10 % off, {{ first_name }}"
    )
    assert fill("{product}享{discount}", "zh", offer | {"discount": 0.15}) == "Lamp {category}享8.5 折"


def test_a_product_without_a_name_has_its_id() -> None:
    offer = CustomerOffer({"product_id": "p1"}).fields()
    assert fill("{product}, {category}", "en", offer) == "p1, {category}"
