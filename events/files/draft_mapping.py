"""A look at a file that drafts its mapping, and marks what it is unsure of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers.opening import open_source

SAMPLE_ROWS = 20_000
# What columns are called, in English, German, French, Spanish and Chinese; the first role that fits a column
# takes it.
HINTS = {
    "received_at": r"received|ingested|loaded_at|eingang|入库",
    "time": r"date|time|day|_at$|timestamp|datum|zeit|fecha|日期|时间",
    "currency": r"currency|währung|waehrung|devise|moneda|币种",
    "order": r"order|invoice|transaction|receipt|basket|ticket|beleg|bestell|rechnung|auftrag|commande|factur"
    r"|pedido|订单|单号",
    "customer": r"customer|client|user|member|buyer|shopper|account|email|kunde|客户|顾客|会员|用户",
    "product": r"product|sku|item|stock|article|asin|artikel|produkt|produit|artículo|商品|产品",
    "unit_price": r"unit.?price|^price|einzelpreis|^preis|^prix|^precio|单价|价格",
    "quantity": r"quantity|qty|units|number_of|count|menge|anzahl|quantité|cantidad|数量|件数",
    "discount": r"discount|rebate|coupon|rabatt|remise|descuento|折扣|优惠",
    "amount": r"amount|total|revenue|sales|paid|value|spend|betrag|summe|umsatz|gesamt|montant|importe"
    r"|金额|总价|实付",
    "category": r"category|department|group|kategorie|gruppe|catégorie|categoría|类别|品类",
    "kind": r"^type$|kind|status|event|vorgang|类型|状态",
}
TRAITS = {
    "country": r"country|国家",
    "city": r"city|town|城市",
    "channel": r"channel|source|medium|渠道|来源",
    "gender": r"gender|sex|性别",
    "newsletter": r"newsletter|opt.?in|subscribed|订阅",
}
FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d",
    "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y", "%b %d, %Y", "%Y年%m月%d日",
)  # fmt: skip
_TAKES_BACK = re.compile(r"refund|return|cancel|credit|退", re.IGNORECASE)


@dataclass
class _Draft:
    lines: list[str] = field(default_factory=list)

    def say(self, key: str, value: str, unsure: str = "") -> None:
        self.lines.append(f"{key} = {value}" + (f"   # unsure: {unsure}" if unsure else ""))

    def note(self, text: str) -> None:
        self.lines.append(f"# unsure: {text}")


def draft(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """A mapping for a CSV or Parquet file, as TOML, from its names and its first 20,000 rows.

    Raises:
        PatronError: the file cannot be read as a table, or nothing in it looks like a time or a customer.
    """
    with open_source(connection, str(path), FileSection(), limit=SAMPLE_ROWS) as source:
        names, file = list(source.names), source.file
        texts = ", ".join(f"trim({sql.name(name)}::VARCHAR) AS {sql.name(name)}" for name in names)
        source.relation.limit(SAMPLE_ROWS).project(texts).create("sample")
    roles = _roles(connection, names)
    for role, meant in (("customer", "the customer"), ("time", "the time")):
        if role not in roles:
            raise PatronError(
                f"{path}: no column looks like {meant}; it has {', '.join(names)}. Write a mapping by"
                " hand: docs/own-data.md"
            )
    out = _Draft([f"# Drafted from {path.name}; check what is marked unsure, then:", ""])
    out.lines[0] += f" patron import {path.name} --as THIS_FILE.toml"
    out.lines += ["[shop]"]
    out.say("time_zone", '"UTC"', "the file does not say; use the shop's, such as Europe/London")
    _currency(connection, out, roles)
    _file(connection, out, file, [roles[r] for r in ("amount", "unit_price", "discount") if r in roles])
    if "amount" in roles or {"unit_price", "quantity"} <= roles.keys():
        _orders(connection, out, roles, names)
    else:
        _customers(connection, out, roles, names)
    return "\n".join(out.lines) + "\n"


def _roles(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, str]:
    """The column for each role that one was found for: by name, and by what stands in it."""
    roles: dict[str, str] = {}
    for role, hint in HINTS.items():
        candidates = [n for n in names if n not in roles.values() and re.search(hint, n, re.IGNORECASE)]
        if role in ("time", "received_at"):
            candidates = [n for n in candidates if _formats(connection, n) is not None]
        if role in ("amount", "unit_price", "quantity", "discount"):
            candidates = [n for n in candidates if _share(connection, n, r"^\D{0,4}[\d.,'\s]+\D{0,4}$") > 0.9]
        if candidates:
            roles[role] = candidates[0]
    return roles


def _share(connection: duckdb.DuckDBPyConnection, name: str, pattern: str) -> float:
    row = connection.execute(
        f'SELECT avg(regexp_matches("{name}", ?)::INT) FROM sample WHERE "{name}" <> \'\'', [pattern]
    ).fetchone()
    return float(row[0] or 0) if row else 0.0


def _formats(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[list[str], str] | None:
    """The formats that read a column's times (none for ISO), and a doubt; None if it holds no times."""
    filled = f"FROM sample WHERE \"{name}\" <> ''"
    iso = connection.execute(f'SELECT avg((TRY_CAST("{name}" AS TIMESTAMP) IS NOT NULL)::INT) {filled}')
    if (iso.fetchone() or (0,))[0] == 1:
        return [], ""
    read = f'SELECT avg((try_strptime("{name}", ?) IS NOT NULL)::INT) {filled}'
    shares = {f: float((connection.execute(read, [f]).fetchone() or (0,))[0] or 0) for f in FORMATS}
    fitting = sorted((f for f, share in shares.items() if share), key=lambda f: -shares[f])
    if not fitting:
        return None
    whole = [f for f in fitting if shares[f] == 1]
    if whole:
        doubt = f"days and months could also be the other way round ({whole[1]})" if len(whole) > 1 else ""
        return whole[:1], doubt
    share = float((connection.execute(read, [fitting]).fetchone() or (0,))[0] or 0)
    if share < 0.5:
        return None
    return fitting, f"times are written in several ways, tried in this order; {1 - share:.1%} fit none"


def _currency(connection: duckdb.DuckDBPyConnection, out: _Draft, roles: dict[str, str]) -> None:
    if "currency" not in roles:
        out.say("currency", '"EUR"', "the file does not say")
        return
    name = roles["currency"]
    counts = connection.execute(
        f'SELECT upper("{name}") AS code, count(*) FROM sample WHERE "{name}" <> \'\''
        " GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    codes = [code for code, _ in counts] or ["EUR"]
    others = f"rows in {', '.join(codes[1:4])} will be set aside" if len(codes) > 1 else ""
    out.say("currency", f'"{codes[0]}"', others)


def _file(
    connection: duckdb.DuckDBPyConnection, out: _Draft, file: FileSection, money: Sequence[str]
) -> None:
    lines = [] if file.encoding in (None, "utf-8") else [f'encoding = "{file.encoding}"']
    comma = any(_share(connection, n, r"^\D*\d{1,3}([.\s']\d{3})*,\d{1,2}\D*$") > 0.5 for n in money)
    if comma:
        dots = any(_share(connection, n, r"\d\.\d{3}(,|\D*$)") > 0 for n in money)
        lines += ['decimal = ","', *(['thousands = "."'] if dots else [])]
    elif any(_share(connection, n, r"\d,\d{3}(\.|\D*$)") > 0 for n in money):
        lines += ['thousands = ","']
    if lines:
        out.lines += ["", "[file]", *lines]


def _orders(
    connection: duckdb.DuckDBPyConnection, out: _Draft, roles: dict[str, str], names: Sequence[str]
) -> None:
    out.lines += ["", "[orders]"]
    _who_and_when(connection, out, roles)
    for role in (
        "received_at",
        "order",
        "product",
        "category",
        "quantity",
        "unit_price",
        "discount",
        "currency",
    ):
        if role in roles and not (role == "unit_price" and "amount" in roles):
            out.say(role, f'"{roles[role]}"')
    if "amount" in roles:
        out.say("amount", f'"{roles["amount"]}"', "is this the whole line's amount, after discounts?")
    if "order" not in roles:
        out.note("no order number was found: a customer's rows of one day will be one order")
    _returns(connection, out, roles)
    _traits(out, roles, names)


def _who_and_when(connection: duckdb.DuckDBPyConnection, out: _Draft, roles: dict[str, str]) -> None:
    name = roles["customer"]
    row = connection.execute(f'SELECT avg(("{name}" IS NULL OR "{name}" = \'\')::INT) FROM sample').fetchone()
    blank = float((row or (0,))[0] or 0)
    out.say("customer", f'"{name}"', f"{blank:.0%} of its rows are blank" if blank > 0.05 else "")
    formats, doubt = _formats(connection, roles["time"]) or ([], "")
    out.say("time", f'"{roles["time"]}"', doubt)
    if formats:
        out.say("time_formats", "[" + ", ".join(f'"{f}"' for f in formats) + "]")


def _returns(connection: duckdb.DuckDBPyConnection, out: _Draft, roles: dict[str, str]) -> None:
    if "kind" not in roles:
        if any(_share(connection, roles[r], "^-") > 0 for r in ("quantity", "amount") if r in roles):
            out.note("rows below 0 count as returns")
        return
    kinds = connection.execute(
        f'SELECT DISTINCT "{roles["kind"]}" FROM sample ORDER BY 1 LIMIT 50'
    ).fetchall()
    back = [kind for (kind,) in kinds if kind and _TAKES_BACK.search(kind)]
    if back:
        listed = ", ".join(f'"{kind}"' for kind in back)
        out.say(
            "returns",
            f'{{ column = "{roles["kind"]}", one_of = [{listed}] }}',
            "do these take something back?",
        )
    else:
        out.note(f"the column {roles['kind']} may tell kinds of rows apart; see `returns` and `adjustments`")


def _traits(out: _Draft, roles: dict[str, str], names: Sequence[str]) -> None:
    left = [name for name in names if name not in roles.values()]
    traits = {t: n for t, hint in TRAITS.items() for n in left if re.search(hint, n, re.IGNORECASE)}
    if traits:
        out.say("traits", "{ " + ", ".join(f'{trait} = "{name}"' for trait, name in traits.items()) + " }")
    rest = [name for name in left if name not in traits.values()]
    if rest:
        out.lines += [f"# not mapped: {', '.join(rest)}"]


def _customers(
    connection: duckdb.DuckDBPyConnection, out: _Draft, roles: dict[str, str], names: Sequence[str]
) -> None:
    out.lines += ["", "# No amount was found, so this is read as a list of customers.", "[customers]"]
    _who_and_when(connection, out, roles)
    traits = {t: n for t, hint in TRAITS.items() for n in names if re.search(hint, n, re.IGNORECASE)}
    listed = ", ".join(f'{trait} = "{name}"' for trait, name in traits.items())
    out.say(
        "traits", f"{{ {listed} }}", "" if traits else "name the columns worth knowing, as trait = column"
    )
