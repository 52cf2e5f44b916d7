"""What holds for every run: thousands of random graphs under random answers, crashes and cancels."""

from __future__ import annotations

from collections import Counter

import pytest

from infraweave.core import codec
from infraweave.core.events import (
    TERMINAL_STATES,
    Cancelled,
    Completed,
    Event,
    Failed,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    StatusChanged,
)
from infraweave.core.facts import Woken
from infraweave.core.state import RunState, evolve, fold
from infraweave.core.turn import turn
from tests.core.graphs import World, live

SEEDS = range(3_000)
BATCH = 250


def worlds(first: int) -> list[World]:
    return [live(seed) for seed in range(first, first + BATCH)]


@pytest.fixture(scope="module", params=range(SEEDS.start, SEEDS.stop, BATCH))
def batch(request):
    return worlds(request.param)


def test_every_run_ends(batch):
    assert [w.state.run_id for w in batch if w.state.end is None] == []


def test_the_fold_of_the_log_is_the_live_state_at_every_prefix(batch):
    for world in batch[:80]:
        again = World(world.rng, world.graph, RunState(world.state.run_id))
        stored = [(e.type, *codec.encode_event(world.state.run_id, e)) for e in world.log]
        for event, row in zip(world.log, stored, strict=True):
            evolve(again.state, event)
            assert codec.decode_event(*row) == event
        assert again.state == world.state
        decoded = [codec.decode_event(*row) for row in stored]
        for length in range(len(decoded) + 1):
            assert fold("run", decoded[:length]) == fold("run", world.log[:length])


def test_seq_has_no_holes_and_time_never_runs_backwards(batch):
    for world in batch:
        assert [e.seq for e in world.log] == list(range(1, len(world.log) + 1))
        assert all(a.at <= b.at for a, b in zip(world.log, world.log[1:], strict=False))


def test_each_opener_is_closed_once(batch):
    for world in batch:
        attempts: Counter = Counter()
        requests: Counter = Counter()
        for event in world.log:
            if isinstance(event, NodeStarted):
                attempts[event.address, event.attempt] += 1
            elif isinstance(event, NodeCompleted | NodeFailed):
                # An entry in backoff is given up under the number of the attempt that failed.
                if not (isinstance(event, NodeFailed) and event.code == "cancelled"):
                    attempts[event.address, event.attempt] -= 1
            elif isinstance(event, InputRequested):
                requests[event.request_id] += 1
            elif isinstance(event, InputResolved):
                requests[event.request_id] -= 1
        stopped = {(e.address, e.attempt) for e in world.log if getattr(e, "code", "") == "cancelled"}
        assert {key for key, n in attempts.items() if n} <= stopped
        assert all(n == 0 for n in requests.values())
        assert world.state.entries == {}


def test_an_entry_is_closed_once_and_nothing_of_it_follows(batch):
    for world in batch:
        closed = set()
        for event in world.log:
            address = getattr(event, "address", None)
            if address is None:
                continue
            assert address not in closed, (world.state.run_id, event)
            if isinstance(event, NodeCompleted | InputResolved) or (
                isinstance(event, NodeFailed) and not event.will_retry
            ):
                closed.add(address)


def test_nothing_follows_the_terminal_event_and_its_status_precedes_it(batch):
    for world in batch:
        ends = [e for e in world.log if isinstance(e, Completed | Failed | Cancelled)]
        assert ends == [world.log[-1]]
        before = world.log[-2]
        assert isinstance(before, StatusChanged)
        assert before.state in TERMINAL_STATES
        assert turn(world.graph, world.state, Woken(), world.now).events == []


def test_compensations_run_in_reverse_order_of_completion(batch):
    for world in batch:
        done = [e for e in world.log if isinstance(e, NodeCompleted) and e.phase == "forward"]
        undo = [e for e in world.log if isinstance(e, NodeStarted) and e.phase == "compensation"]
        first = [e.node for e in undo if e.attempt == 1]
        compensable = [e.node for e in done if world.graph.compensation(e.node)]
        assert first == list(reversed(compensable))[: len(first)]
        if not isinstance(world.log[-1], Completed) and not getattr(world.log[-1], "forced", False):
            assert len(first) == len(compensable)


def test_a_completed_node_never_starts_again(batch):
    for world in batch:
        done = set()
        for event in world.log:
            if isinstance(event, NodeStarted):
                assert event.address not in done
            elif isinstance(event, NodeCompleted):
                done.add(event.address)


def test_nothing_opens_before_its_upstreams_are_settled(batch):
    for world in batch:
        settled: set[str] = set()
        for event in world.log:
            opens = isinstance(event, InputRequested) or (
                isinstance(event, NodeStarted) and event.phase == "forward"
            )
            if opens:
                assert set(world.graph.upstream[event.node]) <= settled
            settled |= set(_settles(event))


def _settles(event: Event) -> tuple[str, ...]:
    if isinstance(event, NodeCompleted) and event.phase == "forward":
        return (event.node, *event.skipped)
    if isinstance(event, InputResolved) and event.outcome == "answered":
        return (event.node, *event.skipped)
    return ()


def test_the_state_is_retrying_exactly_while_something_waits_for_its_next_attempt(batch):
    for world in batch:
        state = RunState(world.state.run_id)
        at = world.log[0].at
        for event in world.log:
            if event.at != at and state.state not in ("queued", *TERMINAL_STATES):
                assert (state.state == "retrying") == (state.backing_off > 0), (state.run_id, event)
            evolve(state, event)
            at = event.at
