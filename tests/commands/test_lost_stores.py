"""Commands while a store is stopped or hangs: one line that says what is wrong, and no endless wait."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import patron
from benchmarks.harness import servers
from core.home import Home

USES = (
    "build", "report churn", "models", "compare churn", "promote churn 1 --why x", "rollback churn --why x",
    "challenge churn 1", "score --out {out}", "recommend --out {out}", "monitor",
    "keys create a --scopes all", "keys list", "keys rotate a", "keys revoke a", "doctor",
    "accounts create ada --role admin", "accounts list", "accounts role ada --role viewer",
    "accounts password ada", "accounts close ada", "audit list", "audit verify",
    "quarantine list", "quarantine show 1", "quarantine replay", "quarantine drop 1", "refresh --once",
    "compact", "init --time-zone UTC --currency EUR", "products C000001", "categories C000001",
    "feedback good", "identity show C000001", "identity split C000001", "import {file} --as {file}",
    "dataset churn --out {out}", "snapshot --out {out}", "kpis", "cohorts", "segments",
    "actions", "audiences", "results", "holdout", "outcomes {file}", "plan", "deliver",
)  # fmt: skip
"""A use of each command that reads a store, and does not work for minutes or without end."""
ONLY_WITHOUT_DATABASE = (
    "simulate --customers 10",
    "train churn",
    "tune churn --trials 1",
    "serve",
    "console",
)
"""These work for minutes, or serve, without another store."""
NEEDING_NO_STORE = {"settings", "traits", "features", "lake check"}
COMBINING_OTHERS = {"up", "backup", "restore"}
ADDRESSES = {
    "PATRON_DATABASE": "postgresql://me:secret@{}/shop",
    "PATRON_ONLINE_STORE": "redis://me:secret@{}/0?socket_connect_timeout=0.3&socket_timeout=0.3",
    "PATRON_MLFLOW_URI": "http://me:secret@{}",
}
MAX_S = 60.0  # generous, since other tests share the machine
Run = Callable[..., tuple[int, str, str]]


def test_every_command_is_here() -> None:
    groups = typer.main.get_command(patron.app).commands  # type: ignore[attr-defined]
    leaves = {
        f"{name} {own}".strip() for name, group in groups.items() for own in getattr(group, "commands", [""])
    }
    used = {
        leaf for leaf in leaves for use in (*USES, *ONLY_WITHOUT_DATABASE) if f"{use} ".startswith(f"{leaf} ")
    }
    assert leaves - used - NEEDING_NO_STORE - COMBINING_OTHERS == set()


@pytest.mark.slow
@pytest.mark.parametrize("variable", ADDRESSES)
def test_a_command_says_in_one_line_that_a_store_is_lost(
    variable: str, trained_copy: Home, run_patron: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command while the store hangs; those that connected to it also while it is stopped."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # instead of ten seconds
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # a second attempt waits as long
    monkeypatch.setattr("sys.stdin", io.StringIO("a password of an account\n" * 100))
    uses = USES + (ONLY_WITHOUT_DATABASE if variable == "PATRON_DATABASE" else ())
    connecting = []

    def check(use: str) -> None:
        words = use.format(file=tmp_path / "lines.csv", out=tmp_path / "out.csv").split()
        started = time.monotonic()
        code, output, errors = run_patron(trained_copy, *words)
        assert time.monotonic() - started < MAX_S, use
        assert code in (0, 1, 3), f"{use}: {errors}"
        if code == 1 and words != ["doctor"]:
            (line,) = [line for line in errors.splitlines() if line.startswith("patron: ")]
            assert "unexpected" not in line, use
        assert "Traceback" not in output + errors, use
        assert "secret" not in output + errors, use

    with socket.create_server((servers.HOST, 0)) as silent:
        silent.setblocking(False)
        port = silent.getsockname()[1]
        monkeypatch.setenv(variable, ADDRESSES[variable].format(f"{servers.HOST}:{port}"))
        for use in uses:
            check(use)
            if count_connections(silent):
                connecting.append(use)
    assert connecting
    for use in connecting:
        check(use)


def count_connections(listener: socket.socket) -> int:
    """The connections that were opened to a listener since the last count; they are closed."""
    for count in range(1_000):
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError("a command opened a thousand connections")
