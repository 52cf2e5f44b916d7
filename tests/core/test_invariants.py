"""Histories of the core pass the check of the invariants; changed histories do not."""

from __future__ import annotations

import random

import attrs
import pytest

from infraweave.core.run.events import Completed, Event, NodeStarted, SignalReceived, StatusChanged
from infraweave.core.run.invariants import violation
from infraweave.core.run.state import RunState, evolve
from tests.core.graphs import live


def first_violation(log: list[Event]) -> str | None:
    state = RunState("run")
    for event in log:
        why = violation(state, event)
        if why is not None:
            return why
        evolve(state, event)
    return None


def renumbered(log):
    return [attrs.evolve(event, seq=place) for place, event in enumerate(log, 1)]


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_histories_of_the_core_have_no_violation(first):
    for seed in range(first, first + 100):
        assert first_violation(live(seed).log) is None, seed


@pytest.mark.parametrize("seed", range(40))
def test_a_history_without_one_of_its_events_has_a_violation(seed):
    log = live(seed).log
    for place in range(len(log) - 1):
        assert first_violation([*log[:place], *log[place + 1 :]]) is not None


@pytest.mark.parametrize("seed", range(40))
def test_a_missing_or_repeated_opening_is_a_violation_even_with_renumbered_events(seed):
    log = live(seed).log
    for place in [place for place, event in enumerate(log) if isinstance(event, NodeStarted)]:
        assert first_violation(renumbered([*log[:place], *log[place + 1 :]])) is not None
        assert first_violation(renumbered([*log[: place + 1], *log[place:]])) is not None


@pytest.mark.parametrize("seed", range(10))
def test_nothing_follows_the_end(seed):
    log = live(seed).log
    more = random.Random(seed).choice(log)
    assert "follows the end" in first_violation(renumbered([*log, more]))


def test_a_run_begins_with_its_origin_and_receives_a_signal_once():
    log = live(0).log
    origin = log[0].origin
    begun = StatusChanged(seq=1, at=1, state="running", cause="accepted", origin=origin)
    signal = SignalReceived(seq=2, at=1, name="go", request_id="r")

    assert "begins with" in first_violation([attrs.evolve(begun, origin=None)])
    assert "does not begin as" in first_violation([attrs.evolve(begun, state="failed")])
    assert "one origin" in first_violation(renumbered([begun, begun]))
    assert "received before" in first_violation(renumbered([begun, signal, signal]))
    assert "ends a run that is running" in first_violation([begun, Completed(seq=2, at=2)])
