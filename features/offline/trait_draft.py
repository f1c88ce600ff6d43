"""A draft of the section ``traits`` of ``home.toml``, from the traits that have arrived."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from core.declarations.traits import TraitDeclaration, feature_name, render
from core.errors import PatronError
from core.home import Home
from events import lake
from features.groups import trait_values

UNDERSTOOD = 0.9
"""The share of the values that a kind must understand."""
MAX_TEXTS = 50
READ_ALREADY = ("country", "address.country", "channel", "newsletter", "createdAt")
"""Traits that features of every shop are made of."""
MEANINGS = {
    "gender": "The customer's gender.",
    "birthday": "Days since the customer was born.",
    "age": "The customer's age in years.",
    "title": "The customer's job title.",
    "address.city": "The customer's city.",
    "address.state": "The customer's state or region.",
    "address.postalCode": "The customer's postal code.",
    "company.industry": "The industry of the customer's company.",
    "company.employee_count": "Employees of the customer's company.",
    "company.plan": "The plan of the customer's company.",
    "campaign.source": "The source of the campaign that last brought the customer.",
    "campaign.medium": "The medium of the campaign that last brought the customer.",
    "campaign.name": "The campaign that last brought the customer.",
}
"""Traits of the Segment specification, and what they mean."""
PERSONAL = frozenset(
    map(
        feature_name,
        ("id", "name", "firstName", "lastName", "username", "email", "phone", "avatar", "website",
         "description", "address.street", "groupId"),
    )
)  # fmt: skip
"""The features of traits of the specification that name a customer, whatever their values look like."""


@dataclass(frozen=True)
class TraitSummary:
    """A trait that has arrived.

    Attributes:
        customers: how many customers have it. values: how many different values it has.
        kind: the kind that understands its values; of several the narrowest.
    """

    trait: str
    customers: int
    values: int
    kind: str

    @property
    def is_personal(self) -> bool:
        """Whether it names a customer, or nearly every customer has a text of their own."""
        many = self.values > max(MAX_TEXTS, self.customers // 2)
        return feature_name(self.trait) in PERSONAL or (self.kind == "text" and many)


def summaries(home: Home) -> list[TraitSummary]:
    """The traits that have arrived, the most common first."""
    backend = lake.backend_of(home)
    traits = lake.read(home, backend).traits
    traits = traits.filter(traits.value.notnull(), ~traits.name.isin(READ_ALREADY))
    value = traits.value
    query = traits.group_by("name").aggregate(
        customers=traits.customer_key.nunique(),
        values=value.nunique(),
        flag=_understood(trait_values.flag(value)),
        day=_understood(trait_values.day(value)),
        number=_understood(trait_values.number(value)),
    )
    rows = backend.to_pyarrow(query.order_by(ibis.desc("customers"), "name")).to_pylist()
    return [TraitSummary(row["name"], row["customers"], row["values"], _kind(row)) for row in rows]


def _understood(value: ir.Value) -> ir.FloatingValue:
    return value.notnull().cast("float64").mean()


def _kind(row: dict[str, float]) -> str:
    kinds = (kind for kind in ("flag", "day", "number") if row[kind] >= UNDERSTOOD)
    return next(kinds, "text")


def draft(home: Home) -> str:
    """The received traits as TOML; those unsuitable for training are commented out."""
    declared = home.traits()
    known, names = {each.trait for each in declared}, {each.feature for each in declared}
    parts = ["# For home.toml. A trait that is declared is a feature from the next `patron build` on.\n"]
    for summary in summaries(home):
        if summary.trait in known:
            continue
        head = f"\n# {summary.customers:,} customers, {summary.values:,} different values"
        text, name = _section(summary), feature_name(summary.trait)
        if text is None:
            parts.append(f"{head}; give it a name = of letters, digits and underscores: {summary.trait!r}\n")
        elif name in names:
            parts.append(f"{head}; {name} is another trait's, so give it a name =\n{_commented(text)}")
        elif summary.is_personal:
            parts.append(f"{head}; it tells who a customer is, so it is left out\n{_commented(text)}")
        else:
            parts.append(f"{head}{text}")
            names.add(name)
    return "".join(parts)


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.strip().splitlines())


def _section(summary: TraitSummary) -> str | None:
    meaning = MEANINGS.get(summary.trait, f"The trait {summary.trait}.")
    try:
        return render([TraitDeclaration(summary.trait, summary.kind, meaning, feature_name(summary.trait))])
    except PatronError:
        return None
