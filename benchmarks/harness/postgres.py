"""A PostgreSQL server that a benchmark or a test starts and stops."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness.servers import HOST, START_SECONDS, STOP_SECONDS, free_port

MEMORY = Path("/dev/shm")  # a folder in memory, where Linux has one
MIN_FREE_BYTES = 2 * 2**30  # of memory, for a server without durability
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}


class PostgresServer:
    """A PostgreSQL server on the loopback interface.

    PostgreSQL refuses to run as root; root runs it as the user ``postgres``.

    Args:
        programs: the folder of ``initdb`` and ``postgres``.
        folder: empty, for its files; the user ``postgres`` must have access.
        durable: whether commits survive a power failure; tests do not need that.
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
        """The URL of a database, with the password."""
        return f"postgresql://patron:{self._password}@{HOST}:{self._port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of an empty database, which is dropped at the end of the block."""
        self._made += 1
        name = f"shop_{self._made}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.address(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, command: str) -> None:
        """Execute a statement as the superuser."""
        import psycopg

        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(command.encode())

    def start(self) -> None:
        """Start the server; return once it accepts connections."""
        with open(self._folder / "log", "ab") as log:
            options = {"port": self._port, "listen_addresses": HOST, "unix_socket_directories": ""}
            settings = [
                part
                for name, value in (options | ({} if self._durable else _NOT_DURABLE)).items()
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

    @property
    def pid(self) -> int:
        """The server's main process."""
        return self._process.pid

    def stop(self) -> None:
        """Stop the server and close its connections."""
        self._process.send_signal(signal.SIGINT)  # SIGTERM would wait for the clients
        self._process.wait(STOP_SECONDS)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the server and its connections for the duration of the block."""
        self.suspend()
        try:
            yield
        finally:
            self.resume()

    def suspend(self) -> None:
        """Suspend the server and its connections."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after :meth:`suspend`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, sign: signal.Signals) -> None:
        parent = self._process.pid
        os.kill(parent, sign)  # first, so that it starts no others
        for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            with suppress(ProcessLookupError):  # it has ended
                os.kill(int(pid), sign)

    def _run(self, program: str, *options: str) -> None:
        done = subprocess.run(
            [self._programs / program, *options], cwd=self._folder, capture_output=True, text=True,
            user=self._user, group=self._user,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr[-4000:]}")


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs, on the path or where Debian installs them, if any."""
    initdb = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(initdb).resolve().parent if initdb else next(reversed(debian), None)


def _memory() -> Path | None:
    """A folder in memory with enough space; None if there is none."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MIN_FREE_BYTES else None


@contextmanager
def running_postgres(programs: Path, *, durable: bool = True) -> Iterator[PostgresServer]:
    """Yield a PostgreSQL server that stops at the end of the block.

    One that is not durable has its files in memory, where creating a database and its tables takes a quarter
    of the processor time.
    """
    with TemporaryDirectory(prefix="postgres-", dir=None if durable else _memory()) as folder:
        server = PostgresServer(programs, Path(folder), durable=durable)
        try:
            yield server
        finally:
            server.stop()
