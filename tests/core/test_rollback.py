"""How a run stops: given a history, when it fails or is cancelled, then these events."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.run.address import Address
from infraweave.core.run.events import NodeFailed
from infraweave.core.run.facts import PromptReady, SlotGranted
from infraweave.core.workflow.document import ITEM, Compensation, Param
from tests.core.story import ONCE, STEADY, Story, human, loop, mapped, node, params, router, timer


def saga(*more) -> Story:
    """Two nodes that can be undone have completed; a third is in flight."""
    run = Story(node("a", undo=STEADY), node("b", "a", undo=ONCE), node("c", "b"), *more)
    run.start()
    run.done("a", "A")
    run.done("b", "B")
    return run


# --- cancel ------------------------------------------------------------------------------------------------


def test_a_cancel_waits_for_what_is_in_flight_then_undoes_in_reverse_order():
    run = saga()
    assert run.cancel() == ["cancel_requested"]
    assert run.state.state == "running"
    assert run.err("c", "cancelled", final=True) == ["fail c cancelled", "start undo b"]
    assert run.event.input == {"b": "B"}
    assert run.done("b", phase="compensation") == ["done undo b", "start undo a"]
    assert run.done("a", phase="compensation") == ["done undo a", "cancelled", "cancelled"]
    end = run.event
    assert (end.forced, end.compensated, end.not_compensated) == (False, ("b", "a"), ())
    assert (end.error.code, end.error.message) == ("cancelled", "Cancelled by eve: no need")


def test_cancelling_again_changes_nothing():
    run = saga()
    run.cancel()
    assert run.cancel() == []
    run.err("c", "cancelled", final=True)
    assert run.cancel() == []


def test_a_body_that_returns_in_time_counts_as_completed_and_is_undone():
    run = Story(node("a", undo=STEADY), node("b", "a"))
    run.start()
    run.cancel()
    assert run.done("a", "A") == ["done a", "start undo a"]
    assert run.done("a", phase="compensation") == ["done undo a", "cancelled", "cancelled"]


def test_a_cancel_withdraws_waits_timers_and_backoffs_in_one_commit():
    run = Story(human("ask", timeout=60), timer("nap"), node("a", retry=STEADY), node("b"))
    run.start()
    run.err("a")
    assert run.cancel() == [
        "cancel_requested",
        "withdrawn ask",
        "fail nap cancelled",
        "fail a cancelled",
        "running",
    ]
    assert run.later(3600) == []
    assert run.err("b", "cancelled", final=True) == ["fail b cancelled", "cancelled", "cancelled"]


def test_a_queued_run_is_cancelled_at_once():
    run = Story(node("a"))
    run.start(slot=False)
    assert run.cancel() == ["cancel_requested", "cancelled", "cancelled"]
    assert run.log[1].state == "queued"
    assert run.give(SlotGranted()) == []


def test_a_prompt_that_comes_after_the_cancel_asks_nobody():
    run = Story(human("ask", prompt=None), node("a"))
    run.start()
    run.cancel()
    assert run.give(PromptReady(address=Address("ask"), prompt="?")) == []


def test_a_crash_while_a_cancelled_body_cleans_up_closes_it_as_interrupted():
    run = saga()
    run.cancel()
    assert run.crash() == ["fail c interrupted", "start undo b"]


# --- failure -----------------------------------------------------------------------------------------------


def test_a_failure_undoes_what_was_done():
    run = saga()
    assert run.err("c") == ["fail c error", "start undo b"]
    run.done("b", phase="compensation")
    assert run.done("a", phase="compensation") == ["done undo a", "failed", "failed"]
    assert run.event.compensated == ("b", "a")


def test_a_failure_waits_for_the_siblings_that_are_in_flight():
    run = Story(node("a"), node("b", undo=STEADY), human("ask"))
    run.start()
    assert run.err("a") == ["fail a error", "withdrawn ask"]
    assert run.done("b") == ["done b", "start undo b"]


def test_a_sibling_that_fails_too_is_not_retried_and_not_the_cause():
    run = Story(node("a"), node("b", retry=STEADY))
    run.start()
    run.err("a")
    assert run.err("b") == ["fail b error", "failed", "failed"]
    assert run.event.error.node == "a"


def test_a_compensation_is_retried_under_its_own_policy():
    run = Story(node("a", undo=STEADY), node("b", "a"))
    run.start()
    run.done("a")
    run.err("b")
    assert run.err("a", phase="compensation") == ["fail undo a error again at 10000", "retrying"]
    assert run.later(10) == ["running", "start undo a/2"]
    assert run.crash() == ["fail undo a/2 interrupted again at 10000", "start undo a/3"]
    assert run.done("a", phase="compensation") == ["done undo a/3", "failed", "failed"]


def test_a_failing_compensation_does_not_stop_the_others():
    run = saga()
    run.err("c")
    assert run.err("b", phase="compensation") == ["fail undo b error", "start undo a"]
    run.done("a", phase="compensation")
    assert (run.event.compensated, run.event.not_compensated) == (("a",), ("b",))
    assert (run.state.nodes["a"].state, run.state.nodes["b"].state) == ("compensated", "succeeded")


def test_a_timed_out_question_undoes_what_was_done():
    run = Story(node("a", undo=STEADY), human("ask", "a", timeout=60))
    run.start()
    run.done("a")
    assert run.later(60) == ["timed_out ask", "start undo a"]


def test_what_is_due_at_the_moment_of_the_failure_is_withdrawn():
    """A backoff and a deadline have both passed while no process ran."""
    run = Story(node("a", retry=STEADY), human("ask", timeout=60), timer("nap", delay=90))
    run.start()
    run.err("a")
    run.now += 3_600_000
    assert run.crash() == [
        "timed_out ask",
        "fail a cancelled",
        "fail nap cancelled",
        "running",
        "failed",
        "failed",
    ]


# --- the first cause wins ----------------------------------------------------------------------------------


def test_a_failing_run_that_is_cancelled_ends_failed():
    run = saga()
    run.err("c")
    assert run.cancel() == ["cancel_requested"]
    run.done("b", phase="compensation")
    assert run.done("a", phase="compensation") == ["done undo a", "failed", "failed"]
    assert run.state.cancel_requested


def test_a_cancelled_run_whose_node_fails_ends_cancelled():
    run = saga()
    run.cancel()
    assert run.err("c") == ["fail c error", "start undo b"]
    run.err("b", phase="compensation")
    run.done("a", phase="compensation")
    assert run.event.type == "cancelled"


# --- terminate ---------------------------------------------------------------------------------------------


def test_a_terminated_run_ends_at_once_and_says_what_was_not_undone():
    run = saga(human("ask"))
    assert run.terminate() == ["withdrawn ask", "fail c cancelled", "cancelled", "cancelled"]
    end = run.event
    assert (end.forced, end.compensated, end.not_compensated) == (True, (), ("b", "a"))
    assert (end.error.code, end.error.message) == ("terminated", "Terminated by op")
    assert run.terminate() == []


def test_it_ends_a_run_that_is_being_undone():
    run = saga()
    run.err("c")
    run.done("b", phase="compensation")
    assert run.terminate() == ["fail undo a cancelled", "cancelled", "cancelled"]
    assert (run.event.compensated, run.event.not_compensated) == (("b",), ("a",))


def test_it_ends_a_run_whose_compensation_is_in_backoff():
    run = saga()
    run.cancel()
    run.err("c", "cancelled", final=True)
    run.done("b", phase="compensation")
    run.err("a", phase="compensation")
    assert run.terminate() == ["fail undo a cancelled", "cancelled", "cancelled"]


@pytest.mark.parametrize("slot", [True, False])
def test_it_ends_a_run_that_has_hardly_begun(slot):
    run = Story(human("ask", prompt=None))
    run.start(slot=slot)
    assert run.terminate() == ["cancelled", "cancelled"]


# --- held --------------------------------------------------------------------------------------------------


def test_a_compensation_that_is_held_opens_when_the_run_is_taken_up_again():
    run = saga()
    run.is_blocked = lambda address: address.phase == "compensation"
    assert run.err("c") == ["fail c error"]
    assert run.last.deferred
    assert run.cancel() == ["cancel_requested"]
    run.is_blocked = lambda address: False
    assert run.crash() == ["start undo b"]


def test_what_was_open_when_the_run_was_terminated_says_so():
    run = Story(node("a"), timer("nap"), node("b", retry=STEADY), mapped("m", "input"))
    run.start([1])
    run.err("b")
    run.terminate()
    stopped = [event for event in run.last.events if isinstance(event, NodeFailed)]
    assert len(stopped) == 5
    assert {event.message for event in stopped} == {"Stopped, because the run was terminated"}


def undone(name: str, *taken: str):
    """How a node is undone with what others gave."""
    return Compensation(code="w:undo", params=params(name, *taken), retry=ONCE)


def test_a_compensation_is_given_what_others_gave_in_its_iteration():
    run = Story(
        node("a"),
        human("ask", after=["a"]),
        evolve(node("b", after=["a", "ask"]), compensate=undone("b", "a", "ask?")),
        loop("l", "b", back_to="a"),
        node("z", "b"),
    )
    run.start()
    for turn in (1, 2):
        run.done("a", f"a{turn}", iteration=turn)
        run.signal("ask", f"yes{turn}", f"s{turn}")
        run.done("b", f"b{turn}", iteration=turn)
        run.done("l", turn < 2, iteration=turn)
    run.err("z", final=True)
    assert run.event.input == {"b": "b2", "a": "a2", "ask": "yes2"}
    run.done("b", phase="compensation", iteration=2)
    assert run.event.input == {"b": "b1", "a": "a1", "ask": "yes1"}


def test_a_compensation_of_an_iteration_is_not_given_what_was_skipped_then():
    run = Story(
        router("r", routes=["a"]),
        node("a"),
        evolve(node("b", after=["a", "r"]), compensate=undone("b", "a?")),
        loop("l", "b", back_to="r"),
        node("z", "b"),
    )
    run.start()
    for turn, routes in ((1, ["a"]), (2, [])):
        run.done("r", routes, iteration=turn)
        if routes:
            run.done("a", "a1", iteration=turn)
        run.done("b", f"b{turn}", iteration=turn)
        run.done("l", turn < 2, iteration=turn)
    run.err("z", final=True)
    assert run.event.input == {"b": "b2"}
    run.done("b", phase="compensation", iteration=2)
    assert run.event.input == {"b": "b1", "a": "a1"}


def test_the_compensation_of_a_child_in_a_loop_is_given_its_own_iterations_item_and_data():
    run = Story(
        node("a"),
        mapped("m", "a", workflow_id="other"),
        loop("l", "m", back_to="a"),
        node("z", "m"),
    )
    nodes = dict(run.graph.nodes)
    undo = Compensation(code="w:undo", params=(*params("m", "a"), Param("item", ITEM)), retry=ONCE)
    nodes["m"] = evolve(nodes["m"], compensate=undo)
    run = Story(*nodes.values())
    run.start()
    for turn in (1, 2):
        run.done("a", [f"i{turn}"], iteration=turn)
        run.launch("m", iteration=turn, index=0)
        run.child("m", output=f"m{turn}", iteration=turn, index=0)
        run.done("l", turn < 2, iteration=turn)
    run.err("z", final=True)
    assert run.event.input == {"m": "m2", "a": ["i2"], "item": "i2"}
    run.done("m", phase="compensation", iteration=2, index=0)
    assert run.event.input == {"m": "m1", "a": ["i1"], "item": "i1"}
