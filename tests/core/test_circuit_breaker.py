"""The circuit breaker: the budget of calls, opening, closing, and concurrent callers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.circuit_breaker import FAILURES, FIRST_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker
from core.errors import PatronError


class Store:
    """A store that fails while ``away``; counts the calls. Its clock is set by the test."""

    def __init__(self) -> None:
        self.away, self.calls, self.seconds = False, 0, 0.0

    def __call__(self) -> str:
        self.calls += 1
        if self.away:
            raise PatronError("the store is away")
        return "here"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def breaker(store: Store) -> CircuitBreaker:
    return CircuitBreaker("the store", 1, clock=lambda: store.seconds)


def fail(breaker: CircuitBreaker, store: Store, times: int) -> None:
    store.away = True
    for _ in range(times):
        with pytest.raises(PatronError, match="the store is away"):
            breaker(store)


def test_a_working_store_is_called_each_time(breaker: CircuitBreaker, store: Store) -> None:
    assert [breaker(store) for _ in range(5)] == ["here"] * 5
    assert store.calls == 5


def test_failures_that_are_not_in_a_row_do_not_open_the_circuit(
    breaker: CircuitBreaker, store: Store
) -> None:
    for _ in range(3):
        fail(breaker, store, FAILURES - 1)
        store.away = False
        assert breaker(store) == "here"
    assert not breaker.open


def test_after_failures_in_a_row_the_circuit_opens_and_one_call_tries_after_each_pause(
    breaker: CircuitBreaker, store: Store
) -> None:
    fail(breaker, store, FAILURES + 10)
    assert (breaker.open, store.calls) == (True, FAILURES)
    pause, pauses = FIRST_PAUSE_S, []
    for _ in range(6):
        before = store.calls
        store.seconds += pause * 0.999
        fail(breaker, store, 3)
        assert store.calls == before
        store.seconds += pause * 0.001
        fail(breaker, store, 3)
        assert store.calls == before + 1
        pauses.append(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    assert pauses[-2:] == [LONGEST_PAUSE_S] * 2


def test_a_successful_call_closes_the_circuit_and_resets_the_pause(
    breaker: CircuitBreaker, store: Store
) -> None:
    fail(breaker, store, FAILURES + 1)
    store.seconds += FIRST_PAUSE_S
    fail(breaker, store, 1)
    store.away = False
    store.seconds += 2 * FIRST_PAUSE_S
    assert [breaker(store), breaker(store)] == ["here", "here"]
    assert not breaker.open
    fail(breaker, store, FAILURES + 1)
    store.seconds += FIRST_PAUSE_S
    store.away = False
    assert breaker(store) == "here"


def test_a_check_calls_the_store_at_once_and_its_result_counts(breaker: CircuitBreaker, store: Store) -> None:
    fail(breaker, store, FAILURES)
    store.away = False
    assert breaker.call_even_if_open(store) == "here"
    assert breaker(store) == "here"


def test_other_callers_do_not_wait_for_the_one_that_tries(breaker: CircuitBreaker, store: Store) -> None:
    fail(breaker, store, FAILURES)
    store.seconds += FIRST_PAUSE_S
    begun, end = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert end.wait(30)
        return "here"

    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(breaker, slow)
        assert begun.wait(30)
        with pytest.raises(PatronError, match="the store is away"):
            breaker(store)
        end.set()
        assert trying.result(30) == "here"
    store.away = False
    assert breaker(store) == "here"


def test_a_call_in_a_thread_times_out_after_its_budget(store: Store) -> None:
    end = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        breaker = CircuitBreaker("the store", 0.01, pool)
        try:
            with pytest.raises(PatronError, match=r"^the store gave no answer within 10 ms$"):
                breaker(end.wait, 30)
        finally:
            end.set()
    with ThreadPoolExecutor(1) as pool:
        assert CircuitBreaker("the store", 30, pool)(store) == "here"


def test_failures_pause_and_messages_can_be_set(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker(
        "the store", 1, clock=lambda: store.seconds, failures=1, first_pause_s=5, longest_pause_s=5,
        opened="nobody is counted", closed="everybody is counted again",
    )  # fmt: skip
    for _ in range(3):
        calls = store.calls
        fail(breaker, store, 2)
        assert store.calls == calls + 1
        store.seconds += 5
    store.away = False
    assert breaker(store) == "here"
    assert caplog.messages == ["nobody is counted: the store is away", "everybody is counted again"]
