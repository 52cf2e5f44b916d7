"""What a turn costs, in calls of functions, and several facts in one turn."""

from __future__ import annotations

import random
import sys
from copy import deepcopy
from typing import get_args

import pytest

from infraweave.core.run import state as state_module
from infraweave.core.run import turn as turn_module
from infraweave.core.run.address import Address
from infraweave.core.run.events import EVENT_TYPES, NodeStarted
from infraweave.core.run.facts import AttemptSucceeded, ChildReady, Fact, RunAccepted
from infraweave.core.run.preflight import Preflights
from infraweave.core.run.state import RunState
from infraweave.core.run.turn import never_blocked, turn, turn_of_facts
from infraweave.core.workflow.document import Document, Map
from infraweave.core.workflow.graph import Graph
from tests.core.graphs import World, random_document
from tests.core.story import ORIGIN, mapped, node, params


def test_every_fact_and_every_event_has_its_function():
    assert set(turn_module._CONSEQUENCES) == set(get_args(Fact))
    assert set(state_module._CHANGES) == set(EVENT_TYPES.values())


def graph_of(*nodes) -> Graph:
    return Graph(Document(workflow_id="w", version="v1", nodes=nodes))


def chain(length: int) -> Graph:
    return graph_of(node("n0"), *(node(f"n{i}", f"n{i - 1}") for i in range(1, length)))


def fan(width: int) -> Graph:
    names = [f"n{i}" for i in range(width)]
    return graph_of(node("first"), *(node(name, "first") for name in names), node("last", *names))


def map_of(_: int) -> Graph:
    return graph_of(mapped("m", "input", max_concurrency=10))


def calls_of_run(graph: Graph, given) -> int:
    """Live a run and return how many Python functions were called."""
    state, calls, work = RunState("run_1"), 0, []
    state.undoable = graph.undoable

    def count(_, event, __):
        nonlocal calls
        calls += event == "call"

    def give(fact: Fact) -> None:
        sys.setprofile(count)
        try:
            result = turn(graph, state, fact, 1_000)
            state.due_at()
        finally:
            sys.setprofile(None)
        work.extend(e.address for e in result.events if isinstance(e, NodeStarted) and e.runs_code)

    give(RunAccepted(origin=ORIGIN, input=given, slot=True))
    while work:
        give(AttemptSucceeded(address=work.pop(0), attempt=1, output=1, latency_ms=0))
    assert state.state == "succeeded"
    return calls


@pytest.mark.parametrize("shape", [chain, fan, map_of])
def test_the_calls_of_a_run_grow_as_its_nodes_and_items_do(shape):
    small, large = (calls_of_run(shape(size), list(range(size))) for size in (50, 500))
    assert large < 10.5 * small


def test_a_turn_that_closes_one_node_and_opens_the_next_calls_few_functions():
    """With an empty pass in every turn, and a dict of fields for every event, it was 80."""
    assert calls_of_run(chain(100), None) / 101 < 60


def test_the_results_of_items_that_come_together_are_decided_together():
    graph, states, preflights = map_of(3), [RunState("run_1") for _ in range(2)], Preflights()
    for state in states:
        turn(graph, state, RunAccepted(origin=ORIGIN, input=[7, 8, 9], slot=True), 1)
    facts = [
        AttemptSucceeded(address=Address("m", None, index), attempt=1, output=index, latency_ms=5)
        for index in (2, 0, 0, 1)
    ]
    one_by_one = [event for fact in facts for event in turn(graph, states[0], fact, 2).events]
    together = turn_of_facts(graph, states[1], facts, 2, never_blocked, preflights)
    assert together.events == one_by_one
    assert [event.type for event in together.events][-3:] == ["node_completed", "status_changed", "completed"]
    assert states[0] == states[1]


def test_children_that_are_ready_together_open_no_item_twice():
    items = Map(name="m", over="input", params=params("input"), workflow_id="other", max_concurrency=2)
    graph, state, preflights = graph_of(items), RunState("run_1"), Preflights()
    accepted = RunAccepted(origin=ORIGIN, input=[1, 2, 3, 4], slot=True)
    first = turn_of_facts(graph, state, [accepted], 1, never_blocked, preflights)
    assert [address.index for address in first.preflight] == [0, 1]
    for address in first.preflight:
        preflights.end(address)
    ready = [ChildReady(address=address, input=None) for address in first.preflight]
    assert turn_of_facts(graph, state, ready, 2, never_blocked, preflights).preflight == []


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_facts_decided_together_give_the_events_of_one_by_one(first):
    """In random worlds: several results of one state, decided both ways."""
    several = 0
    for seed in range(first, first + 50):
        rng = random.Random(seed)
        graph = Graph(random_document(rng))
        world = World(rng, graph, RunState("run_1"))
        world.start()
        while world.state.end is None and world.steps < 60:
            running = [entry for entry in world.state.entries.values() if entry.status == "running"]
            facts = [world._performed(entry) for entry in running[:3]]
            facts += [world._prepared(address) for address in sorted(world.pending, key=str)[:2]]
            several += len(facts) > 1
            apart, together = deepcopy(world.state), deepcopy(world.state)
            begun = [Preflights(), Preflights()]
            for one in begun:
                one.begin(world.pending)
            events, preflight = [], []
            for fact in facts:
                result = turn(graph, apart, fact, world.now, never_blocked, begun[0])
                events += result.events
                preflight += begun[0].begin(result.preflight)
            whole = turn_of_facts(graph, together, facts, world.now, never_blocked, begun[1])
            assert (whole.events, whole.preflight, together) == (events, preflight, apart)
            world.step()
    assert several > 50
