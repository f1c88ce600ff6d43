"""A function that another process computes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import PatronError
from training.worker_process import computing

WAIT_SECONDS = 60.0


def sum_and_process(first: int, second: int) -> tuple[int, int]:
    return first + second, os.getpid()


def refuse() -> None:
    raise PatronError("there are too few orders; import more history")


def end() -> None:
    os._exit(3)


def wait_for_ever(file: Path) -> None:
    file.with_suffix(".new").write_text(str(os.getpid()))
    file.with_suffix(".new").rename(file)
    time.sleep(3600)


def wait_until_written(file: Path) -> int:
    deadline = time.monotonic() + WAIT_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(file.read_text())


def wait_until_ended(pid: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_result_comes_from_another_process() -> None:
    with computing(sum_and_process, 2, 3) as result:
        total, pid = result()
    assert total == 5
    assert pid != os.getpid()


def test_an_error_is_raised_where_the_result_is_waited_for() -> None:
    with (
        computing(refuse) as result,
        pytest.raises(PatronError, match="too few orders; import more history"),
    ):
        result()


def test_a_process_that_ends_without_a_result_is_an_error() -> None:
    with computing(end) as result, pytest.raises(PatronError, match="ended with the exit code 3; see that"):
        result()


def test_the_process_ends_with_the_block(tmp_path: Path) -> None:
    with computing(wait_for_ever, tmp_path / "pid"):
        pid = wait_until_written(tmp_path / "pid")
    wait_until_ended(pid)


def test_the_process_ends_with_a_killed_parent(tmp_path: Path) -> None:
    code = """if True:
        import sys, time
        from pathlib import Path
        from tests.training.test_worker_process import wait_for_ever
        from training.worker_process import computing
        with computing(wait_for_ever, Path(sys.argv[1])):
            time.sleep(3600)
    """
    parent = subprocess.Popen([sys.executable, "-c", code, tmp_path / "pid"], cwd=Path(__file__).parents[2])
    pid = wait_until_written(tmp_path / "pid")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until_ended(pid)
