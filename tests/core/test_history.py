"""The history is the events, told attempt by attempt."""

from __future__ import annotations

import pytest

from infraweave.core.run.address import Address
from infraweave.core.run.events import (
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    StatusChanged,
)
from infraweave.core.run.history import HistoryBuilder, RowError
from infraweave.core.run.ids import span_id
from tests.core.graphs import live

KINDS = {"a": "agent", "ask": "human_input", "nap": "timer"}


def rows(*events):
    builder = HistoryBuilder("run_1", KINDS)
    for event in events:
        builder.add(event)
    return builder.rows


def started(seq, node="a", attempt=1, **more):
    return NodeStarted(seq=seq, at=1000 + seq, node=node, attempt=attempt, **more)


def completed(seq, node="a", attempt=1, **more):
    return NodeCompleted(seq=seq, at=1000 + seq, node=node, attempt=attempt, latency_ms=7, **more)


def failed(seq, node="a", attempt=1, code="error", **more):
    return NodeFailed(
        seq=seq, at=1000 + seq, node=node, attempt=attempt, latency_ms=3, code=code, message="boom", **more
    )


ASKED = InputRequested(
    seq=2, at=1002, node="ask", request_id="inp_1", signal="ask", prompt="Go?", schema={}, data={"n": 1}
)


def resolved(outcome, **more):
    return InputResolved(seq=5, at=1042, node="ask", request_id="inp_1", outcome=outcome, **more)


def test_an_open_attempt_is_running_and_has_no_end():
    (row,) = rows(started(2, input={"x": 1}))
    assert (row.node, row.kind, row.attempt, row.phase, row.state) == ("a", "agent", 1, "forward", "running")
    assert (row.started_at, row.finished_at, row.latency_ms) == (1002, None, None)
    assert (row.first_seq, row.last_seq, row.input, row.output, row.error) == (2, 2, {"x": 1}, None, None)
    assert row.span_id == span_id("run_1", Address("a"), 1)


def test_a_completed_attempt_has_its_output_and_what_it_cost():
    (row,) = rows(started(2), completed(3, output=[1], tokens=5, cost_micro_usd=6))
    assert (row.state, row.output, row.tokens, row.cost_micro_usd) == ("succeeded", [1], 5, 6)
    assert (row.finished_at, row.latency_ms, row.first_seq, row.last_seq) == (1003, 7, 2, 3)


def test_a_retry_is_a_row_of_its_own():
    first, second = rows(
        started(2), failed(3, will_retry=True, retry_at=2000), started(4, attempt=2), completed(5, attempt=2)
    )
    assert (first.state, first.error, first.attempt) == ("failed", RowError("error", "boom"), 1)
    assert (second.state, second.error, second.attempt) == ("succeeded", None, 2)
    assert first.span_id != second.span_id


def test_a_failure_says_where_it_was_if_that_is_known():
    first, second = rows(
        started(2),
        failed(3, will_retry=True, retry_at=2000, traceback="in a"),
        started(4, attempt=2),
        failed(5, attempt=2, code="timeout", will_retry=False),
    )
    assert first.error == RowError("error", "boom", "in a")
    assert second.error.traceback is None


def test_an_entry_given_up_during_backoff_keeps_the_failure_that_led_there():
    (row,) = rows(
        started(2), failed(3, will_retry=True, retry_at=2000), failed(4, code="cancelled", will_retry=False)
    )
    assert (row.state, row.error, row.last_seq) == ("failed", RowError("error", "boom"), 3)


def test_an_attempt_that_was_stopped_is_cancelled():
    (row,) = rows(started(2), failed(3, code="cancelled", will_retry=False))
    assert row.state == "cancelled"


def test_a_timer_waits_and_then_has_succeeded():
    builder = HistoryBuilder("run_1", KINDS)
    builder.add(started(2, node="nap", wake_at=9000))
    assert builder.rows[0].state == "waiting"
    builder.add(completed(3, node="nap"))
    assert (builder.rows[0].state, builder.rows[0].kind) == ("succeeded", "timer")


def test_a_compensation_is_a_row_of_another_phase():
    forward, undo = rows(
        started(2), completed(3), started(4, phase="compensation"), completed(5, phase="compensation")
    )
    assert (forward.phase, undo.phase) == ("forward", "compensation")
    assert (forward.state, undo.state) == ("succeeded", "succeeded")
    assert undo.span_id == span_id("run_1", Address("a", phase="compensation"), 1)


def test_iterations_and_items_are_rows_of_their_own():
    one, two = rows(started(2, iteration=1, index=0), started(3, iteration=2, index=0))
    assert [(row.iteration, row.index) for row in (one, two)] == [(1, 0), (2, 0)]


def test_a_question_is_one_row_until_it_is_answered():
    (row,) = rows(ASKED, resolved("answered", payload={"ok": True}))
    assert (row.kind, row.state, row.input, row.output) == (
        "human_input",
        "succeeded",
        {"n": 1},
        {"ok": True},
    )
    assert (row.latency_ms, row.error, row.first_seq, row.last_seq) == (40, None, 2, 5)
    assert row.span_id == span_id("run_1", Address("ask"), 1)


@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [("timed_out", "failed", "input_timed_out"), ("withdrawn", "cancelled", "cancelled")],
)
def test_a_question_without_answer_says_why(outcome, state, code):
    (row,) = rows(ASKED, resolved(outcome))
    assert (row.state, row.output, row.error.code) == (state, None, code)


def test_events_of_the_run_itself_make_no_row():
    assert rows(StatusChanged(seq=1, at=1, state="running", cause="accepted")) == []


def test_a_ledger_that_begins_in_the_middle_ignores_what_was_opened_before():
    (row,) = rows(completed(3), failed(4, attempt=9, will_retry=False), resolved("answered"), started(6))
    assert row.first_seq == 6


def test_a_page_is_settled_once_its_rows_cannot_change():
    builder = HistoryBuilder("run_1", KINDS)
    assert builder.is_settled(0)
    for event in (started(2), started(3, index=1), completed(4)):
        builder.add(event)
    assert builder.is_settled(1)
    assert not builder.is_settled(2)
    assert not builder.is_settled(3)


@pytest.mark.parametrize("seed", range(200))
def test_every_attempt_of_a_random_run_has_one_row_in_order(seed):
    world = live(seed)
    builder = HistoryBuilder(
        world.state.run_id, {name: node.kind for name, node in world.graph.nodes.items()}
    )
    for event in world.log:
        builder.add(event)
    opened = [e.seq for e in world.log if isinstance(e, NodeStarted | InputRequested)]
    assert [row.first_seq for row in builder.rows] == opened
    assert all(row.finished_at is not None for row in builder.rows)
    assert sum(row.tokens for row in builder.rows) == world.state.tokens
    assert len({row.span_id for row in builder.rows}) == len(builder.rows)
    half = HistoryBuilder(world.state.run_id, builder.kinds)
    middle = len(world.log) // 2
    for event in world.log[middle:]:
        half.add(event)
    assert half.rows == [row for row in builder.rows if row.first_seq > middle]


def test_a_full_ledger_begins_no_rows_and_needs_only_how_its_own_end():
    builder = HistoryBuilder("run_1", KINDS, limit=2)
    for event in (started(2, index=0), started(3, index=1), started(4, index=2), completed(5, index=2)):
        builder.add(event)
    assert [row.index for row in builder.rows] == [0, 1]
    assert builder.needs("node_completed")
    assert not builder.needs("node_started")
    builder.add(completed(6, index=1))
    builder.add(failed(7, index=0, will_retry=True, retry_at=9000))
    assert builder.needs("node_started"), "the next attempt ends the wait of the one before"
    builder.add(started(8, index=0, attempt=2))
    assert not builder.needs("node_completed")
    assert builder.is_settled(2)


@pytest.mark.parametrize("seed", range(0, 200, 4))
def test_the_pages_of_a_random_run_are_its_whole_history(seed):
    world = live(seed)
    kinds = {name: node.kind for name, node in world.graph.nodes.items()}
    whole = HistoryBuilder(world.state.run_id, kinds)
    for event in world.log:
        whole.add(event)
    paged, after = [], 0
    while page := _page(world, kinds, after):
        paged += page
        after = page[-1].first_seq
    assert paged == whole.rows


def _page(world, kinds, after):
    builder = HistoryBuilder(world.state.run_id, kinds, limit=3)
    for event in world.log[after:]:
        if builder.needs(event.type):
            builder.add(event)
    return builder.rows
