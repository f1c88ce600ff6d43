"""The service of a home, and the commands of the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import homes, servers


@contextmanager
def serving(
    home: Path, folder: Path, environment: Mapping[str, str], workers: int = 1
) -> Iterator[servers.Server]:
    """`patron serve` on a home, with its log in a folder; it is up when the block begins."""
    command = [sys.executable, "-m", "patron", "serve", "--host", servers.HOST, "--workers", str(workers)]
    service = servers.Service(lambda port: [*command, "--port", str(port)], "/healthz")
    with servers.running({"ours": service}, {**homes.environment(home), **environment}, folder) as sides:
        yield sides["ours"]


@contextmanager
def refreshing(home: Path, environment: Mapping[str, str], shards: int) -> Iterator[list[int]]:
    """Refreshers that share a home's customers, until the end of the block; yields their process ids."""
    command = [sys.executable, "-m", "patron", "refresh", "--shard"]
    variables = {**os.environ, **homes.environment(home), **environment}
    started = [
        subprocess.Popen([*command, f"{number}/{shards}"], env=variables) for number in range(1, shards + 1)
    ]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(servers.STOP_SECONDS)


def create_key(home: Path, environment: Mapping[str, str]) -> str:
    """A key that may send events and ask for scores."""
    created = run_command(home, environment, "keys", "create", "benchmark", "--scopes", "events,scores")
    return str(created["key"])


def run_command(home: Path, environment: Mapping[str, str], *arguments: str) -> Any:
    """What a command prints with ``--json``.

    Raises:
        RuntimeError: it failed; the text has the end of its output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "patron", *arguments, "--json"], capture_output=True, text=True, check=False,
        env={**os.environ, **homes.environment(home), **environment},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"patron {arguments[0]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)
