"""The sections [orders] and [customers] of a draft."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from events.files.drafting import hints, status
from events.files.drafting.findings import Findings
from events.files.drafting.profiles import determines
from events.files.drafting.skeleton import quoted

_MANY = 50


@dataclass
class Draft:
    """The lines of a draft."""

    lines: list[str] = field(default_factory=list)

    def say(self, key: str, value: str, *doubts: str) -> None:
        """Add a setting, with what is doubtful of it."""
        doubt = "; ".join(doubt for doubt in doubts if doubt)
        self.lines.append(f"{key} = {value}" + (f"   # unsure: {doubt}" if doubt else ""))

    def note(self, text: str) -> None:
        """Add a doubt on a line of its own."""
        self.lines.append(f"# unsure: {text}")


def add_orders(out: Draft, findings: Findings) -> None:
    """Add the section of a file whose rows are lines of orders."""
    roles = findings.roles
    out.lines += ["", "[orders]"]
    _customer_and_time(out, findings)
    for role in ("received_at", "order", "product", "category", "quantity", "discount", "currency"):
        profile = findings.columns.profiles[roles[role]] if role in roles else None
        if profile and role == "currency" and profile.filled < 0.95 * profile.rows:
            out.note(f"{quoted(profile.name)} is blank in some rows, so it is not mapped")
        elif profile:
            by_name = roles.scores[role].by_name
            out.say(
                role, quoted(roles[role]), "" if by_name else "by its content alone", findings.rivals(role)
            )
    _money(out, findings)
    if "order" not in roles:
        out.note("no order number was found: a customer's rows of one day will be one order")
    _kinds(out, findings)
    _traits(out, findings)
    customers = findings.columns.profiles[roles["customer"]]
    if customers.unique and customers.rows > _MANY:
        out.note(
            "each customer stands in one row; for a table with one row per customer: patron train --table"
        )


def _money(out: Draft, findings: Findings) -> None:
    roles = findings.roles
    if "amount" not in roles and "unit_price" not in roles:
        out.say("no_amounts", "true", "no column of money was found: these are purchases without amounts")
        return
    if "amount" not in roles:
        alone = "quantity" not in roles
        doubt = "is this the price of one piece? there is no column of quantities" if alone else ""
        out.say(
            "amount" if alone else "unit_price",
            quoted(roles["unit_price"]),
            doubt,
            findings.rivals("unit_price"),
        )
        return
    name = roles["amount"]
    doubt = "is this the whole line's amount, after discounts?"
    if "order" in roles and _is_repeated_in_order(findings, name):
        if hints.ORDER_TOTAL.search(name):
            out.say(
                "order_total",
                quoted(name),
                "it is the same in every row of an order",
                findings.rivals("amount"),
            )
            _parts_of_total(out, findings)
            return
        doubt = "it is the same in every row of an order: is it order_total? each row will count it"
    by_name = roles.scores["amount"].by_name
    out.say(
        "amount", quoted(name), doubt, "" if by_name else "by its content alone", findings.rivals("amount")
    )


def _parts_of_total(out: Draft, findings: Findings) -> None:
    """The columns of an order's tax and shipping, which are no revenue."""
    for setting, hint in hints.PARTS_OF_TOTAL.items():
        for name, profile in findings.columns.profiles.items():
            if profile.is_numeric and re.search(hint, name, re.IGNORECASE):
                out.say(setting, quoted(name), "is it contained in order_total?")
                break


def _is_repeated_in_order(findings: Findings, name: str) -> bool:
    order = findings.columns.profiles[findings.roles["order"]]
    return order.repeats > 1.2 and determines(findings.connection, order.name, name) > 0.98


def _customer_and_time(out: Draft, findings: Findings) -> None:
    roles, style = findings.roles, findings.style
    profile = findings.columns.profiles[roles["customer"]]
    blank = 1 - profile.filled / max(1, profile.rows)
    doubts = [f"{blank:.0%} of its rows are blank" if blank > 0.05 else ""]
    if not roles.scores["customer"].by_name:
        doubts.append("by its content alone")
    out.say("customer", quoted(profile.name), *doubts, findings.rivals("customer"))
    names = [quoted(name) for name in findings.time_columns]
    doubts = [style.doubt if style else ""]
    if hints.name_score("time", roles["time"]) < 0:
        doubts.append("its name says another time than the order's")
    elif not roles.scores["time"].by_name:
        doubts.append("by its content alone")
    out.say(
        "time", names[0] if len(names) == 1 else f"[{', '.join(names)}]", *doubts, findings.rivals("time")
    )
    if style and style.formats:
        out.say("time_formats", f"[{', '.join(map(quoted, style.formats))}]")


def _kinds(out: Draft, findings: Findings) -> None:
    roles = findings.roles
    money = [findings.columns.profiles[roles[role]] for role in ("quantity", "amount") if role in roles]
    if any(profile.negative for profile in money):
        out.note("rows below 0 count as returns")
    if "kind" not in roles:
        return
    suggested = status.settings(findings.connection, roles["kind"])
    for name, values, doubt in suggested:
        listed = ", ".join(map(quoted, values))
        out.say(name, f"{{ column = {quoted(roles['kind'])}, one_of = [{listed}] }}", doubt)
    if not suggested:
        out.note(f"the column {quoted(roles['kind'])} may tell rows apart; see `returns` and `adjustments`")


def _traits(out: Draft, findings: Findings) -> None:
    used = {*findings.roles.columns.values(), *findings.time_columns}
    names = [
        name for name, profile in findings.columns.profiles.items() if name not in used and profile.filled
    ]
    traits = _traits_of(names)
    if traits:
        out.say("traits", _inline(traits))
    rest = [" ".join(name.split()) for name in names if name not in traits.values()]
    if rest:
        out.lines += [f"# not mapped: {', '.join(rest)}"]


def _traits_of(names: Sequence[str]) -> dict[str, str]:
    """The first column for each trait that a name says."""
    traits: dict[str, str] = {}
    for trait, hint in hints.TRAITS.items():
        for name in names:
            if re.search(hint, name, re.IGNORECASE) and name not in traits.values():
                traits.setdefault(trait, name)
    return traits


def _inline(traits: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{trait} = {quoted(name)}" for trait, name in traits.items()) + " }"


def add_customers(out: Draft, findings: Findings) -> None:
    """Add the section of a file whose rows are customers."""
    out.lines += ["", "# No amount was found, so this is read as a list of customers."]
    out.lines += [
        "# To learn from a table with one row per customer: patron train --table FILE --target COLUMN"
    ]
    out.lines += ["[customers]"]
    _customer_and_time(out, findings)
    used = {findings.roles["customer"], *findings.time_columns}
    traits = _traits_of([name for name in findings.columns.profiles if name not in used])
    out.say("traits", _inline(traits), "" if traits else "name the columns worth knowing, as trait = column")
