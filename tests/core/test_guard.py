"""Asking a store that may be away: the budget, and who is made to wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.circuit_breaker import FAILURES, FIRST_PAUSE_S, LONGEST_PAUSE_S, Guard
from core.errors import PatronError


class Store:
    """Fails while it is away; counts who asks. Time passes when told."""

    def __init__(self) -> None:
        self.away, self.asked, self.seconds = False, 0, 0.0

    def __call__(self) -> str:
        self.asked += 1
        if self.away:
            raise PatronError("the store is away")
        return "here"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def guard(store: Store) -> Guard:
    return Guard("the store", 1, clock=lambda: store.seconds)


def fail(guard: Guard, store: Store, times: int) -> None:
    store.away = True
    for _ in range(times):
        with pytest.raises(PatronError, match="the store is away"):
            guard(store)


def test_what_answers_is_asked_each_time(guard: Guard, store: Store) -> None:
    assert [guard(store) for _ in range(5)] == ["here"] * 5
    assert store.asked == 5


def test_failures_that_are_not_in_a_row_change_nothing(guard: Guard, store: Store) -> None:
    for _ in range(3):
        fail(guard, store, FAILURES - 1)
        store.away = False
        assert guard(store) == "here"
    assert not guard.open


def test_after_failures_in_a_row_it_is_left_alone_and_one_tries_after_each_pause(
    guard: Guard, store: Store
) -> None:
    fail(guard, store, FAILURES + 10)
    assert (guard.open, store.asked) == (True, FAILURES)
    pause, pauses = FIRST_PAUSE_S, []
    for _ in range(6):
        before = store.asked
        store.seconds += pause * 0.999
        fail(guard, store, 3)
        assert store.asked == before
        store.seconds += pause * 0.001
        fail(guard, store, 3)
        assert store.asked == before + 1
        pauses.append(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    assert pauses[-2:] == [LONGEST_PAUSE_S] * 2


def test_once_it_answers_all_is_as_before_and_the_next_pause_is_short_again(
    guard: Guard, store: Store
) -> None:
    fail(guard, store, FAILURES + 1)
    store.seconds += FIRST_PAUSE_S
    fail(guard, store, 1)
    store.away = False
    store.seconds += 2 * FIRST_PAUSE_S
    assert [guard(store), guard(store)] == ["here", "here"]
    assert not guard.open
    fail(guard, store, FAILURES + 1)
    store.seconds += FIRST_PAUSE_S
    store.away = False
    assert guard(store) == "here"


def test_who_wants_to_know_how_things_stand_asks_at_once_and_what_they_find_holds(
    guard: Guard, store: Store
) -> None:
    fail(guard, store, FAILURES)
    store.away = False
    assert guard.now(store) == "here"
    assert guard(store) == "here"


def test_others_do_not_wait_for_the_one_who_tries(guard: Guard, store: Store) -> None:
    fail(guard, store, FAILURES)
    store.seconds += FIRST_PAUSE_S
    begun, end = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert end.wait(30)
        return "here"

    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(guard, slow)
        assert begun.wait(30)
        with pytest.raises(PatronError, match="the store is away"):
            guard(store)
        end.set()
        assert trying.result(30) == "here"
    store.away = False
    assert guard(store) == "here"


def test_a_call_in_a_thread_is_given_up_when_its_budget_is_spent(store: Store) -> None:
    end = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        guard = Guard("the store", 0.01, pool)
        try:
            with pytest.raises(PatronError, match=r"^the store gave no answer within 10 ms$"):
                guard(end.wait, 30)
        finally:
            end.set()
    with ThreadPoolExecutor(1) as pool:
        assert Guard("the store", 30, pool)(store) == "here"
