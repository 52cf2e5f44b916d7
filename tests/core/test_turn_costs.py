"""What a turn costs, in calls of functions."""

from __future__ import annotations

import sys
from typing import get_args

import pytest

from infraweave.core.run import state as state_module
from infraweave.core.run import turn as turn_module
from infraweave.core.run.events import EVENT_TYPES, NodeStarted
from infraweave.core.run.facts import AttemptSucceeded, Fact, RunAccepted
from infraweave.core.run.state import RunState
from infraweave.core.run.turn import turn
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.graph import Graph
from tests.core.story import ORIGIN, mapped, node


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
    assert calls_of_run(chain(100), None) / 101 < 52
