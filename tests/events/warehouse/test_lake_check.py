"""What a company's queries must give: each problem is one sentence with the column and what to do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from benchmarks.harness.servers import HOST
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.storage.warehouses import clickhouse_backend
from core.storage.warehouses.session import WarehouseSession
from events.lake import shops
from events.warehouse import SOURCE, check, connect
from events.warehouse.columns import column_problems

LINES = {
    "customer_id": "'C1'",
    '"timestamp"': "TIMESTAMPTZ '2024-05-01 10:00+02'",
    "received_at": "TIMESTAMPTZ '2024-05-01 11:00+02'",
    "order_id": "1234",
    "quantity": "2",
    "amount": "12.50",
}
ACTIVITIES = {
    "customer_id": "7",
    '"timestamp"': "TIMESTAMPTZ '2024-05-01 10:00+02'",
    "received_at": "TIMESTAMPTZ '2024-05-01 11:00+02'",
    "name": "'Product Reviewed'",
    "properties": """'{"rating": 4}'""",
}


@pytest.fixture(scope="module")
def session(postgres: object) -> Iterator[WarehouseSession]:
    with postgres.database() as address:  # type: ignore[attr-defined]
        backend = connect(address)
        yield backend
        backend.disconnect()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose lake is a warehouse."""
    made = Home(tmp_path_factory.mktemp("warehouse") / "home")
    shops.begin_live(made, "Europe/Berlin", "EUR", SOURCE)
    made.warehouse_queries.mkdir()
    return made


def write(home: Home, **queries: str) -> None:
    """Replace the queries of a home."""
    for path in home.warehouse_queries.iterdir():
        path.unlink()
    for table, query in queries.items():
        (home.warehouse_queries / f"{table}.sql").write_text(query, encoding="utf-8")


def select(columns: dict[str, str], **others: str | None) -> str:
    """A SELECT of one row, with some columns changed or, if None, left out."""
    quoted = {f'"{name}"' if name == "timestamp" else name: value for name, value in others.items()}
    chosen = {name: value for name, value in (columns | quoted).items() if value is not None}
    return "SELECT " + ", ".join(f"{value} AS {name}" for name, value in chosen.items())


def test_queries_that_suffice(session: WarehouseSession, home: Home) -> None:
    write(home, order_lines=select(LINES) + ";\n-- the end", activities=select(ACTIVITIES))
    assert check(home, session) == ({"order_lines": 1, "activities": 1}, [])


@pytest.mark.parametrize(
    ("table", "column", "value", "sentence"),
    [
        ("order_lines", "received_at", None, "is missing, the moment from which the company could know it"),
        (
            "order_lines",
            "timestamp",
            "TIMESTAMP '2024-05-01 10:00'",
            "has no time zone; if it is in UTC, select",
        ),
        ("order_lines", "timestamp", "DATE '2024-05-01'", "has the type date; select it as timestamptz"),
        ("order_lines", "amount", "12.5::float8", "is a floating-point number (float8), which is not exact"),
        ("order_lines", "quantity", "2.0", "has the type numeric; select it as int2"),
        ("order_lines", "customer_id", "12.0", "is a numeric, of which one id has several texts"),
        ("order_lines", "customer_id", "NULL::text", "is null; leave these rows out"),
        ("order_lines", "received_at", "NULL::timestamptz", "is null; leave these rows out"),
        ("order_lines", "timestamp", "TIMESTAMPTZ '2924-05-01 10:00+02'", "is in the future"),
        ("order_lines", "customer_id", "'NULL'", "names no customer, such as null or 0"),
        ("order_lines", "customer_id", "'0000'", "names no customer, such as null or 0"),
        ("order_lines", "customer_id", "' C1'", "has blanks around it"),
        ("activities", "kind", "'buying'", "is no kind of event; see docs/events.md"),
        ("activities", "properties", "'{rating'", "is no JSON; select a JSON object, or null"),
    ],
)
def test_a_problem_is_one_sentence(
    session: WarehouseSession, home: Home, table: str, column: str, value: str | None, sentence: str
) -> None:
    columns = {"order_lines": LINES, "activities": ACTIVITIES}
    queries = {
        name: select(rows, **({column: value} if name == table else {})) for name, rows in columns.items()
    }
    write(home, **queries)
    _, problems = check(home, session)
    (problem,) = problems
    assert (problem.table, problem.column) == (table, column)
    assert problem.text.startswith(f"{table}.{column} {sentence}")


def test_messages_that_are_repeated(session: WarehouseSession, home: Home) -> None:
    row = select(LINES, message_id="'m1'")
    write(home, order_lines=f"{row} UNION ALL {row} UNION ALL {select(LINES, message_id='NULL')}")
    rows, problems = check(home, session)
    assert rows == {"order_lines": 3}
    assert [problem.text for problem in problems] == [
        "order_lines.message_id repeats ids; select each message once (1 of 3 rows)"
    ]


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ({"refunds": "SELECT 1"}, r"there is no .*order_lines\.sql; write a SELECT"),
        (
            {"order_lines": select(LINES), "orders": "SELECT 1"},
            r"orders\.sql is no event table",
        ),
        ({"order_lines": "DELETE FROM sales"}, "it must be one SELECT"),
        ({"order_lines": "SELECT 1; SELECT 2"}, "it must be one SELECT"),
        ({"order_lines": "SELECT ((("}, "it is not understood as SQL"),
        ({"order_lines": "SELECT * FROM sales"}, 'refuses a query: relation "sales" does not exist'),
    ],
)
def test_files_that_are_no_mapping(
    session: WarehouseSession, home: Home, queries: dict[str, str], message: str
) -> None:
    write(home, **queries)
    with pytest.raises(PatronError, match=message):
        check(home, session)


def test_an_error_quotes_no_value(session: WarehouseSession, home: Home) -> None:
    write(home, order_lines=select(LINES, quantity="'Ada Lovelace'::text::int"))
    with pytest.raises(PatronError, match="failed at a query") as caught:
        check(home, session)
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "column", "present", "sentence"),
    [
        (
            "snowflake",
            "timestamp",
            "TIMESTAMP_NTZ",
            'has no time zone; if it is in UTC, select CAST("timestamp" AS TIMESTAMP_TZ) AS "timestamp"',
        ),
        ("snowflake", "quantity", "NUMBER", "has the type NUMBER; select it as INTEGER"),
        (
            "bigquery",
            "timestamp",
            "DATETIME",
            "has no time zone; if it is in UTC, select TIMESTAMP(`timestamp`, 'UTC') AS `timestamp`",
        ),
        ("bigquery", "amount", "FLOAT64", "is a floating-point number (FLOAT64), which is not exact"),
    ],
)
def test_types_of_snowflake_and_bigquery(engine: str, column: str, present: str, sentence: str) -> None:
    moment, integer, decimal, text = {
        "snowflake": ("TIMESTAMP_LTZ", "INTEGER", "NUMBER", "TEXT"),
        "bigquery": ("TIMESTAMP", "INT64", "BIGNUMERIC", "STRING"),
    }[engine]
    right = {"customer_id": text, "timestamp": moment, "received_at": moment}
    right |= {"quantity": integer, "amount": decimal}
    assert not column_problems("order_lines", right, engine)
    (problem,) = column_problems("order_lines", right | {column: present}, engine)
    assert problem.text.startswith(f"order_lines.{column} {sentence}")


@pytest.mark.parametrize(
    ("column", "present", "sentence"),
    [
        ("timestamp", "Date", "has the type Date; select it as DateTime64"),
        (
            "amount",
            "Float64",
            "is a floating-point number (Float64), which is not exact; select toDecimal64(",
        ),
        ("quantity", "String", "has the type String; select it as Int64"),
        ("customer_id", "Decimal", "is a Decimal, of which one id has several texts"),
    ],
)
def test_types_of_clickhouse(column: str, present: str, sentence: str) -> None:
    right = {
        "customer_id": "UInt32",
        "timestamp": "DateTime",
        "received_at": "DateTime64",
        "quantity": "UInt8",
    }
    right |= {"amount": "Decimal"}
    assert not column_problems("order_lines", right, "clickhouse")
    (problem,) = column_problems("order_lines", right | {column: present}, "clickhouse")
    assert problem.text.startswith(f"order_lines.{column} {sentence}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "set PATRON_WAREHOUSE to its URL"),
        ("warehouse", "PATRON_WAREHOUSE is no URL"),
        ("postgresql://me:secret@127.0.0.1/db?with=all", "PATRON_WAREHOUSE is no URL"),
        (
            "mysql://me:secret@account/db",
            "names a mysql database; Patron connects to PostgreSQL, ClickHouse, Snowflake and BigQuery",
        ),
        ("clickhouse://me:secret@127.0.0.1:1/db", "does not answer; see that the server runs"),
        ("postgresql://me:secret@127.0.0.1:1/db", "see that the server runs and PATRON_WAREHOUSE is right"),
    ],
)
def test_addresses_that_lead_nowhere(url: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(PatronError, match=message) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, StoreUnavailable) == (url is not None and ":1/" in url)


@pytest.mark.parametrize(
    ("module", "name", "url"),
    [
        ("clickhouse_connect", "ClickHouse", "clickhouse://me@127.0.0.1/db"),
        ("snowflake.connector", "Snowflake", "snowflake://me@account/db"),
        ("google.cloud.bigquery", "BigQuery", "bigquery://project/dataset"),
    ],
)
def test_a_client_is_an_extra(module: str, name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        PatronError, match=f"the client of {name} is not installed; install Patron's extra `{name.lower()}`"
    ):
        connect(url)


def test_a_clickhouse_that_hangs_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_backend, "_CONNECT_SECONDS", 1)
    with socket.create_server((HOST, 0)) as server:
        url = f"clickhouse://me@{HOST}:{server.getsockname()[1]}/db"
        with pytest.raises(StoreUnavailable, match="does not answer; see that the server runs"):
            connect(url)


@pytest.mark.parametrize(("given", "work_mem"), [("", "64MB"), ("?options=-c%20work_mem%3D1GB", "1GB")])
def test_a_session_of_postgresql_has_at_least_the_memory_of_a_build(
    given: str, work_mem: str, postgres_address: str
) -> None:
    backend = connect(postgres_address + given)
    settings = "SELECT current_setting('work_mem') AS work_mem, current_setting('temp_buffers') AS buffers"
    assert backend.sql(settings).to_pyarrow().to_pylist() == [{"work_mem": work_mem, "buffers": "256MB"}]
    backend.disconnect()


def test_the_command_lists_problems_and_ends_with_code_3(
    postgres_address: str,
    home: Home,
    run_patron: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATRON_WAREHOUSE", postgres_address)
    write(home, order_lines=select(LINES, received_at=None))
    code, out, _ = run_patron(home, "lake", "check")
    assert (code, out.splitlines()[-1]) == (3, "1 to correct")
    missing = "order_lines.received_at is missing, the moment from which the company could know it"
    assert missing in out
    code, _, error = run_patron(home, "build")
    assert (code, error.startswith(f"patron: {missing}")) == (1, True)
    code, _, error = run_patron(home, "build", "--engine", "spark")
    assert (code, error.endswith("leave --engine out\n")) == (1, True)


def test_events_over_http_are_refused(
    home: Home, answering: Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]
) -> None:
    event = {"userId": "C1", "event": "Product Viewed", "messageId": "m1"}
    with answering(home) as ask:
        refused, ready = ask("/v1/track", method="POST", json=event), ask("/readyz?for=events")
    assert refused.status_code == 409
    assert "are in its warehouse; send them there" in refused.json()["detail"]
    assert ready.json()["reasons"] == ["the events of this shop are in its warehouse; it takes no others"]
