"""Child processes: exit codes, logged errors, and their end with the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import child_process
from core.home import Home
from events.lake import shops

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty_live(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    shops.begin_live(home, "Europe/Berlin", "EUR")
    return home


def exit_code(child: child_process.ChildProcess) -> int:
    for _ in range(1200):
        if (code := child.poll()) is not None:
            return code
        time.sleep(0.05)
    raise AssertionError("the child never ended")


def test_a_child_returns_an_exit_code_and_logs_its_error_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_LOG_FORMAT", "text")
    assert exit_code(child_process.start(Home(tmp_path), "compact", "--json", niceness=3)) == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"ERROR patron: compact: there is no shop in {tmp_path}; ")


def test_a_child_is_stopped(empty_live: Home) -> None:
    child = child_process.start(empty_live, "refresh")
    assert child.poll() is None
    assert child.stop() in (0, -signal.SIGTERM)  # -SIGTERM if it had not begun yet
    assert child.poll() is not None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads processes from /proc")
def test_a_child_ends_when_its_parent_is_killed(empty_live: Home) -> None:
    code = f"""import time
from pathlib import Path
from core import child_process
from core.home import Home
print(child_process.start(Home(Path({str(empty_live.path)!r})), "refresh").pid, flush=True)
time.sleep(600)"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(600):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("the child outlived its parent")
