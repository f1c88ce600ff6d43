"""Server processes that a benchmark starts, measures and ends."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Service:
    """How to start a server.

    Attributes:
        command: for a port of the loopback interface, what to run.
        ready: the path that answers 200 once the server is up.
    """

    command: Callable[[int], list[str]]
    ready: str


@dataclass(frozen=True)
class Server:
    """A started server."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path


def uvicorn(factory: str) -> Service:
    """One uvicorn worker over an application factory, ``package.module:function``."""
    quiet = ["--no-access-log", "--log-level", "warning"]
    head = [sys.executable, "-m", "uvicorn", "--factory", factory, "--host", HOST, *quiet, "--port"]
    return Service(lambda port: [*head, str(port)], "/openapi.json")


@contextmanager
def running(
    services: Mapping[str, Service], environment: Mapping[str, str], logs: Path
) -> Iterator[dict[str, Server]]:
    """Start services side by side; they are up when the block begins and ended after it.

    Args:
        environment: added to this process' own.
        logs: a folder for what they print.

    Raises:
        RuntimeError: one is not up within ``START_SECONDS``; the text has the end of what it printed.
    """
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(_started(name, service, environment, logs))
            for name, service in services.items()
        }
        for name, server in started.items():
            _wait_until_up(server, services[name].ready)
        yield started


@contextmanager
def redis(program: str, folder: Path) -> Iterator[int]:
    """A Redis that keeps nothing, while the block lasts; its port.

    Args:
        program: the path of ``redis-server``.
        folder: where it runs.
    """
    port = free_port()
    options = ["--port", str(port), "--bind", HOST, "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield port
    finally:
        _stop(process)


class Postgres:
    """A PostgreSQL of its own on the loopback interface, started and stopped at will.

    It refuses to run as root, as whom it runs as the user ``postgres``.

    Args:
        programs: the folder of ``initdb`` and ``postgres``.
        folder: empty; for its files, which that user must reach.
        durable: whether a commit outlives a power cut; one who only tests can do without.
    """

    def __init__(self, programs: Path, folder: Path, *, durable: bool = True) -> None:
        self._programs, self._folder, self._durable = programs, folder, durable
        self._user = None if os.geteuid() else "postgres"
        self._password, self._port, self._made = secrets.token_hex(8), free_port(), 0
        if self._user:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "secret"
        secret.write_text(self._password)
        secret.chmod(0o644)
        self._run("initdb", "--pgdata", "data", "--username", "patron", "--auth", "scram-sha-256",
                  "--pwfile", "secret", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")  # fmt: skip
        self.start()

    def address(self, database: str) -> str:
        """Where a database is, with the password."""
        return f"postgresql://patron:{self._password}@{HOST}:{self._port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """A database that holds nothing, while the block lasts; its address."""
        self._made += 1
        name = f"shop_{self._made}"
        self._tell(f"CREATE DATABASE {name}")
        try:
            yield self.address(name)
        finally:
            self._tell(f"DROP DATABASE {name} WITH (FORCE)")

    def _tell(self, command: str) -> None:
        import psycopg

        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(command.encode())

    def start(self) -> None:
        """Start it; returns once it answers."""
        synced = "on" if self._durable else "off"
        with open(self._folder / "log", "ab") as log:
            options = {"port": self._port, "listen_addresses": HOST, "unix_socket_directories": ""}
            settings = [
                part
                for name, value in (options | {"fsync": synced}).items()
                for part in ("-c", f"{name}={value}")
            ]
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *settings], cwd=self._folder,
                stdout=log, stderr=log, user=self._user, group=self._user,
            )  # fmt: skip
        import psycopg

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        self._process.send_signal(signal.SIGINT)  # SIGTERM would wait for them
        self._process.wait(STOP_SECONDS)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it do nothing while the block lasts, with all who are connected."""
        mine = self._process.pid
        pids = [mine, *map(int, Path(f"/proc/{mine}/task/{mine}/children").read_text().split())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _run(self, program: str, *options: str) -> None:
        done = subprocess.run(
            [self._programs / program, *options], cwd=self._folder, capture_output=True, text=True,
            user=self._user, group=self._user,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr[-4000:]}")


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs, on the path or as Debian has it; None where there is none."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(found).resolve().parent if found else next(reversed(debian), None)


@contextmanager
def postgres(programs: Path, *, durable: bool = True) -> Iterator[Postgres]:
    """A PostgreSQL, while the block lasts."""
    with TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(programs, Path(folder), durable=durable)
        try:
            yield server
        finally:
            server.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def _started(name: str, service: Service, environment: Mapping[str, str], logs: Path) -> Iterator[Server]:
    port, path = free_port(), logs / f"{name}.log"
    with open(path, "wb") as log:
        process = subprocess.Popen(
            service.command(port), env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Server(name, port, process, path)
    finally:
        _stop(process)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_up(server: Server, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if _status(server.port, path) == 200:
            return
        time.sleep(0.1)
    printed = server.log.read_text(errors="replace")
    raise RuntimeError(f"{server.name} did not come up; it printed:\n{printed[-4000:]}")


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
