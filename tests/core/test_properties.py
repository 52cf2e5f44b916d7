"""What holds for every run: thousands of random graphs under random answers, crashes and cancels."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from infraweave.core.data import json_codec
from infraweave.core.run import event_codec
from infraweave.core.run.events import (
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
    SignalReceived,
    StatusChanged,
)
from infraweave.core.run.facts import TimerDue
from infraweave.core.run.state import RunState, evolve, fold
from infraweave.core.run.turn import turn
from infraweave.core.workflow.document import Map
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
        stored = [(e.type, e.seq, e.at, *event_codec.encode_event(world.state.run_id, e)) for e in world.log]
        for event, row in zip(world.log, stored, strict=True):
            evolve(again.state, event)
            seq = getattr(event, "input_seq", None)
            whole = event if seq is None else attrs.evolve(event, input=None)
            assert event_codec.decode_event(*row) == whole
            assert seq is None or json_codec.loads(stored[seq - 1][4]) == event.input
        assert again.state == world.state
        decoded = [event_codec.decode_event(*row) for row in stored]
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
        assert turn(world.graph, world.state, TimerDue(), world.now).events == []


def test_compensations_run_in_reverse_order_of_completion(batch):
    for world in batch:
        done = [e.address for e in world.log if _completes(world, e)]
        undo = [e for e in world.log if isinstance(e, NodeStarted) and e.phase == "compensation"]
        first = [e.address.forward for e in undo if e.attempt == 1]
        compensable = [address for address in done if world.graph.compensation(address.node)]
        assert first == list(reversed(compensable))[: len(first)]
        if not isinstance(world.log[-1], Completed) and not getattr(world.log[-1], "forced", False):
            assert len(first) == len(compensable)


def _completes(world: World, event: Event) -> bool:
    """Whether work was done that can be undone: of a map, that is each item."""
    if not isinstance(event, NodeCompleted) or event.phase != "forward":
        return False
    return event.index is not None or not isinstance(world.graph.nodes[event.node], Map)


def test_a_compensation_is_given_what_its_own_iteration_or_item_gave(batch):
    for world in batch:
        outputs = {e.address: e.output for e in world.log if _completes(world, e)}
        for event in world.log:
            if isinstance(event, NodeStarted) and event.phase == "compensation":
                assert event.input[event.node] == outputs[event.address.forward]


def test_a_completed_entry_never_starts_again(batch):
    for world in batch:
        done = set()
        for event in world.log:
            if isinstance(event, NodeStarted):
                assert event.address not in done
            elif isinstance(event, NodeCompleted):
                done.add(event.address)


def test_nothing_opens_before_what_it_waits_for_is_settled(batch):
    for world in batch:
        settled: dict[str, bool] = {}
        for event in world.log:
            opens = isinstance(event, InputRequested) or (
                isinstance(event, NodeStarted) and event.phase == "forward" and event.index is None
            )
            if opens and world.graph.nodes[event.node].join == "all":
                assert world.graph.waits[event.node] <= settled.keys()
            elif opens and world.graph.upstream[event.node] and event.node not in world.graph.router_of:
                assert any(settled.get(source) for source in world.graph.upstream[event.node])
            _settle(settled, event)


def _settle(settled: dict[str, bool], event: Event) -> None:
    if isinstance(event, NodeCompleted) and event.phase == "forward" and event.index is None:
        for name in event.repeats:
            settled.pop(name, None)
        if not event.again:
            settled[event.node] = event.on_timeout != "route"
    elif isinstance(event, InputResolved):
        settled[event.node] = event.outcome == "answered" or event.on_timeout == "value"
    elif isinstance(event, NodeFailed) and event.code == "cancelled" and event.index is None:
        settled[event.node] = False
    settled.update(dict.fromkeys(getattr(event, "skipped", ()), False))


def test_an_iteration_begins_only_once_the_one_before_is_settled(batch):
    for world in batch:
        open_ones: set = set()
        for event in world.log:
            if isinstance(event, NodeStarted | InputRequested):
                open_ones.add(event.address)
            closes = isinstance(event, NodeCompleted | InputResolved | NodeFailed)
            if closes and not getattr(event, "will_retry", False):
                open_ones.discard(event.address)
            for name in getattr(event, "repeats", ()):
                assert not [address for address in open_ones if address.node == name]


def test_no_loop_runs_more_often_than_it_may(batch):
    for world in batch:
        for region in world.graph.regions.values():
            loop = world.graph.nodes[region.condition]
            around = [r for r in world.graph.regions.values() if region.nodes < r.nodes]
            rounds = [
                e for e in world.log if isinstance(e, NodeCompleted) and e.node == loop.name and e.again
            ]
            if not around:
                assert len(rounds) < loop.max_iterations


def test_a_map_gives_its_items_results_in_their_order(batch):
    seen = 0
    for world in batch:
        outputs = {e.address: e.output for e in world.log if isinstance(e, NodeCompleted)}
        for event in world.log:
            is_map = isinstance(world.graph.nodes.get(getattr(event, "node", "")), Map)
            if is_map and isinstance(event, NodeCompleted) and event.index is None:
                items = [event.address._replace(index=place) for place in range(len(event.output))]
                assert event.output == [outputs.get(item) for item in items]
                seen += len(items)
    assert seen


def test_no_more_items_are_open_than_may_be(batch):
    for world in batch:
        state = RunState(world.state.run_id)
        for event in world.log:
            evolve(state, event)
            for address, items in state.maps.items():
                there = [a for a in state.entries if a.index is not None and a.map_entry == address]
                assert items.open == len(there) <= world.graph.nodes[address.node].max_concurrency


def test_a_signal_is_taken_once_and_in_the_order_of_arrival(batch):
    for world in batch:
        sent: dict[str, list[str]] = {}
        taken: dict[str, list[str]] = {}
        for event in world.log:
            if isinstance(event, SignalReceived):
                sent.setdefault(event.name, []).append(event.request_id)
            elif getattr(event, "answered_with", None):
                taken.setdefault(event.node, []).append(event.answered_with)
        for name, letters in taken.items():
            assert len(set(letters)) == len(letters)
            assert letters == [letter for letter in sent[name] if letter in set(letters)]


def test_a_run_that_succeeds_has_settled_every_node_and_left_nothing_open(batch):
    for world in batch:
        if isinstance(world.log[-1], Completed):
            assert world.state.settled.keys() == world.graph.nodes.keys()
            assert world.state.maps == {}


def test_the_state_is_retrying_exactly_while_something_waits_for_its_next_attempt(batch):
    for world in batch:
        state = RunState(world.state.run_id)
        at = world.log[0].at
        for event in world.log:
            if event.at != at and state.state not in ("queued", *TERMINAL_STATES):
                assert (state.state == "retrying") == (state.backing_off > 0), (state.run_id, event)
            evolve(state, event)
            at = event.at
