"""The service and the command line of a checkout, over one home; none of Patron's modules is imported."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

START_SECONDS = 120.0
# The last bit of an exponential depends on the instructions that NumPy and OpenBLAS choose for the processor.
# These are had by every x86-64 processor with AVX2. NumPy ignores names that it does not know.
INSTRUCTIONS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX",
    "OPENBLAS_CORETYPE": "Haswell",
}


class Checkout:
    """The command line of a checkout over one home.

    Args:
        folder: the checkout; ``python -m patron`` runs in it.
        home: the home's folder.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process' environment, with no setting of Patron but the home and these."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("PATRON_")}
        return own | INSTRUCTIONS | {"PATRON_HOME": str(self.home)} | dict(settings or {})

    def python(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run Python with the checkout's modules, and return what it prints.

        Raises:
            RuntimeError: it ends with another exit code.
        """
        environment = self.environment({"PYTHONPATH": str(self.folder)})
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        if done.returncode not in codes:
            raise RuntimeError(
                f"python {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def patron(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command, and return what it prints; see ``python``."""
        return self.python("-m", "patron", *arguments, codes=codes)

    def patron_json(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """Run a command with ``--json``, and return what it prints."""
        return json.loads(self.patron(*arguments, "--json", codes=codes))

    @contextmanager
    def serving(self, refresher: str = "off") -> Iterator[str]:
        """Run ``patron serve`` with keys required; its address. It is terminated at the end.

        Raises:
            RuntimeError: it does not become ready; the text has what it printed.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {"PATRON_REFRESHER": refresher, "PATRON_REQUIRE_KEYS": "true"}
        address, log = f"http://127.0.0.1:{port}", self.home.with_name(f"{self.home.name}.log")
        with open(log, "wb") as output:
            service = subprocess.Popen(
                [sys.executable, "-m", "patron", "serve", "--port", str(port)],
                cwd=self.folder, env=self.environment(settings), stdout=output, stderr=output,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _ready(address):
                if service.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the service did not become ready; it printed:\n{log.read_text()}")
                time.sleep(0.1)
            yield address
        finally:
            service.terminate()
            try:
                service.wait(60)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()


class Caller:
    """Requests with one key.

    Args:
        key: sent as a bearer token; no header for None.
    """

    def __init__(self, address: str, key: str | None) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=address, timeout=60, headers=headers)

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """One request; ``body`` is sent as JSON where there is one."""
        return self._client.request(method, path, params=query, **({} if body is None else {"json": body}))

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that succeeds."""
        return _json(self.request("GET", path, **query))

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST that succeeds."""
        return _json(self.request("POST", path, body))

    def pages(self, path: str, rows: str, **query: Any) -> list[Any]:
        """The rows of all pages."""
        listed, cursor = [], None
        while True:
            page = self.get(path, **query, **({} if cursor is None else {"cursor": cursor}))
            listed += page[rows]
            cursor = page["next_cursor"]
            if cursor is None:
                return listed

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def customer_path(customer_id: str, rest: str = "") -> str:
    """The path of a customer's route."""
    return f"/v1/customers/{quote(customer_id, safe='')}{rest}"


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def _json(response: httpx.Response) -> Any:
    if not response.is_success:
        raise RuntimeError(f"{response.request.url} answered {response.status_code}: {response.text}")
    return response.json()
