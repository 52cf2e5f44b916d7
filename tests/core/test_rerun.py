"""What a rerun keeps, and what it runs anew."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.run.facts import RunAccepted
from infraweave.core.run.rerun import merge_patch, plan_rerun, reused_results
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.graph import Graph
from tests.core.story import ONCE, ORIGIN, Story, human, loop, mapped, node, router


def ended() -> Story:
    """a → r chooses b, not c; b → d, which fails; e stands apart and is done."""
    run = Story(
        node("a"),
        router("r", "a", routes=["b", "c"]),
        node("b"),
        node("c"),
        node("d", "b?", "c?"),
        node("e"),
    )
    run.start({"x": 1})
    run.done("e", "e")
    run.done("a", "a")
    run.done("r", "b")
    run.done("b", "b")
    run.err("d", final=True)
    return run


def again(run: Story, from_node: str | None, graph: Graph | None = None) -> Story:
    graph = graph or run.graph
    planned = plan_rerun(run.graph, run.state, graph, from_node)
    next_run = Story(*graph.document.nodes)
    kept = reused_results(graph, run.state, planned.reused)
    next_run.told = next_run.give(RunAccepted(origin=ORIGIN, input={"x": 1}, slot=True, reused=kept))
    return next_run


def test_what_finished_before_it_is_kept_and_the_rest_runs_anew():
    run = ended()
    planned = plan_rerun(run.graph, run.state, run.graph, "d")
    assert (planned.reused, planned.rerun) == (("a", "r", "b", "c", "e"), ("d",))
    second = again(run, "d")
    assert second.told == ["running", "start d"]
    assert second.event.input == {"b": "b"}
    assert second.done("d", "d")[-1] == "completed"
    assert second.event.result == {"d": "d", "e": "e"}


def test_a_router_that_runs_anew_may_choose_otherwise():
    second = again(ended(), "r")
    assert second.told == ["running", "start r"]
    assert second.event.input == {"a": "a"}
    assert second.done("r", "c") == ["done r skips b", "start c"]


def test_without_a_node_everything_runs_anew():
    run = ended()
    assert plan_rerun(run.graph, run.state, run.graph, None).reused == ()
    assert again(run, None).told == ["running", "start a", "start e"]


def test_a_node_that_never_finished_runs_anew_wherever_the_rerun_begins():
    run = ended()
    assert "d" in plan_rerun(run.graph, run.state, run.graph, "e").rerun


def test_a_compensated_node_runs_anew_and_what_depends_on_it():
    run = Story(node("a", undo=ONCE), node("b", "a"), node("c", "b"))
    run.start()
    run.done("a", "a")
    run.done("b", "b")
    run.err("c", final=True)
    run.done("a", phase="compensation")
    planned = plan_rerun(run.graph, run.state, run.graph, "c")
    assert (planned.reused, planned.rerun) == ((), ("a", "b", "c"))


def test_new_and_gone_nodes_are_told():
    run = ended()
    nodes = (node("a"), node("n", "a"), node("b", "n"))
    planned = plan_rerun(
        run.graph, run.state, Graph(Document(workflow_id="w", version="v2", nodes=nodes)), "b"
    )
    assert (planned.reused, planned.rerun) == (("a",), ("b",))
    assert (planned.new, planned.gone) == (("n",), ("r", "c", "d", "e"))


def test_a_router_whose_choice_the_new_version_does_not_have_chooses_anew():
    """a → r chooses b; the new version routes to c or x, so what r chose leads nowhere."""
    run = ended()
    nodes = (
        node("a"),
        router("r", "a", routes=["x", "c"]),
        node("x"),
        node("c"),
        node("d", "x?", "c?"),
        node("e"),
    )
    new = Graph(Document(workflow_id="w", version="v2", nodes=nodes))
    planned = plan_rerun(run.graph, run.state, new, "d")
    assert (planned.reused, planned.rerun, planned.new) == (("a", "e"), ("r", "c", "d"), ("x",))
    assert again(run, "d", new).told == ["running", "start r"]


def test_a_node_that_was_skipped_runs_where_the_new_version_always_leads_to_it():
    run = ended()
    nodes = (node("a"), node("b", "a"), node("c", "a"), node("d", "b?", "c?"), node("e"))
    new = Graph(Document(workflow_id="w", version="v2", nodes=nodes))
    planned = plan_rerun(run.graph, run.state, new, "d")
    assert (planned.reused, planned.rerun) == (("a", "b", "e"), ("c", "d"))
    assert again(run, "d", new).told == ["running", "start c"]


def test_a_loop_is_kept_or_repeated_as_a_whole():
    run = Story(node("a"), node("b", "a"), loop("l", "b", back_to="a"), node("z", "b"))
    run.start()
    run.done("a", "a", iteration=1)
    run.done("b", "b", iteration=1)
    run.done("l", False, iteration=1)
    run.err("z", final=True)
    assert plan_rerun(run.graph, run.state, run.graph, "z").reused == ("a", "b", "l")
    assert plan_rerun(run.graph, run.state, run.graph, "b").reused == ()
    second = again(run, "z")
    assert second.told == ["running", "start z"]


def test_a_maps_results_are_kept():
    run = Story(mapped("m", "input"), node("z", "m"))
    run.start([1, 2])
    run.done("m", "a", index=0)
    run.done("m", "b", index=1)
    run.err("z", final=True)
    assert again(run, "z").event.input == {"m": ["a", "b"]}


def race(name: str, *needs: str):
    return evolve(node(name, *needs), join="any")


def test_what_the_kept_results_leave_no_way_is_skipped_at_once():
    run = ended()
    nodes = (
        node("a"),
        router("r", "a", routes=["b", "c", "n"]),
        node("b"),
        node("c"),
        node("n"),
        node("of_c", "c"),
        node("then", "of_c"),
        node("d", "b?", "c?"),
        node("of_b", "b"),
    )
    second = again(run, "d", Graph(Document(workflow_id="w", version="v2", nodes=nodes)))
    assert second.told == ["running", "start d", "start of_b"]
    assert second.event.input == {"b": "b"}
    assert second.log[0].skipped == ("c", "n", "of_c", "then")
    second.done("d")
    assert second.done("of_b")[-1] == "completed"


@pytest.mark.parametrize("begins", ["quick", "slow"])
def test_a_race_is_run_again_as_a_whole(begins):
    run = Story(node("quick"), node("slow"), race("first", "quick?", "slow?"), node("z", "first"))
    run.start()
    run.done("quick")
    run.err("slow", "cancelled", final=True)
    run.done("first")
    run.err("z", final=True)
    assert again(run, begins).told == ["running", "start quick", "start slow"]
    assert again(run, "first").told == ["running", "start first"]
    assert again(run, "z").told == ["running", "start z"]


def test_a_race_that_was_won_is_kept_though_the_run_stopped_before_the_loser_had():
    run = Story(node("quick"), node("slow"), race("first", "quick?", "slow?"), node("z", "first"))
    run.start()
    run.done("quick")
    run.done("first", "f")
    run.err("z", final=True)
    run.err("slow", "cancelled", final=True)
    assert run.state.end is not None
    second = again(run, "z")
    assert second.told == ["running", "start z"]
    assert second.event.input == {"first": "f"}


def test_what_was_in_flight_when_the_run_was_terminated_runs_anew():
    run = Story(node("a"), node("b", "a"), human("ask", after=["a"]), node("c", "b", "ask"))
    run.start()
    run.done("a", "A")
    run.terminate()
    planned = plan_rerun(run.graph, run.state, run.graph, "c")
    assert (planned.reused, planned.rerun) == (("a",), ("b", "ask", "c"))
    assert again(run, "c").told == ["running", "start b", "ask ask"]


def test_what_a_rerun_keeps_it_does_not_undo_and_says_so():
    run = Story(node("a", undo=ONCE), node("b", "a", undo=ONCE), node("c", "b"))
    run.start()
    run.done("a", "A")
    run.done("b", "B")
    run.terminate()
    second = again(run, "b")
    second.done("b", "B")
    assert second.err("c", final=True)[-1] == "start undo b"
    assert second.done("b", phase="compensation")[-1] == "failed"
    assert (second.event.compensated, second.event.not_compensated) == (("b",), ("a",))


def test_a_node_that_is_not_there_is_refused():
    run = ended()
    with pytest.raises(LookupError):
        plan_rerun(run.graph, run.state, run.graph, "nobody")


@pytest.mark.parametrize(
    ("value", "patch", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": None}}, {"a": {"b": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ([1], {"a": 1}, {"a": 1}),
        ({"a": 1}, [2], [2]),
        ({}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_an_input_is_patched_as_rfc_7396_says(value, patch, merged):
    assert merge_patch(value, patch) == merged
