"""Maps and children: an entry of its own for each, opened before and closed after what it holds."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.run.address import Address
from infraweave.core.run.facts import ChildEnded, PreflightFailed, Recovered
from infraweave.core.run.state import fold
from infraweave.core.run.turn import never_blocked
from infraweave.core.workflow.document import Map, Retry
from tests.core.story import ONCE, STEADY, Story, child, loop, mapped, node


def items(*values, **options) -> Story:
    run = Story(mapped("m", "input", **options))
    run.start(list(values))
    return run


def test_items_of_a_map_that_kept_nothing_for_all_are_given_everything():
    """As the log of an earlier version has it, where each item kept all that it was given."""
    run = Story(node("list"), mapped("m", "list", "input", max_concurrency=1))
    run.start({"x": 1})
    run.done("list", [1, 2])
    assert run.event.input == {"item": 1}
    run.log = [evolve(e, input=None) if getattr(e, "items", None) == 2 else e for e in run.log]
    run.state = fold(run.state.run_id, run.log)
    run.done("m", index=0)
    assert run.event.input == {"item": 2, "input": {"x": 1}}


def test_a_map_opens_before_its_items_and_closes_after_them():
    run = Story(mapped("m", "input", max_concurrency=2))
    assert run.start([7, 8, 9]) == ["running", "start m", "start m[0]", "start m[1]"]
    assert run.event.input == {"item": 8}
    assert run.done("m", "b", index=1) == ["done m[1]", "start m[2]"]
    assert run.done("m", "a", index=0) == ["done m[0]"]
    assert run.done("m", "c", index=2) == ["done m[2]", "done m", "succeeded", "completed"]
    assert run.event.result == ["a", "b", "c"]


def test_an_empty_list_closes_at_once():
    run = Story(mapped("m", "input"))
    assert run.start([]) == ["running", "start m", "done m", "succeeded", "completed"]
    assert run.event.result == []


def test_the_list_may_be_a_part_of_what_its_source_gave():
    run = Story(node("a"), mapped("m", "a/found/items"))
    run.start()
    assert run.done("a", {"found": {"items": [7]}}) == ["done a", "start m", "start m[0]"]
    assert run.event.input == {"item": 7}
    lost = Story(node("a"), mapped("m", "a/found"))
    lost.start()
    lost.done("a", {})
    assert lost.event.error.message == "a at /found is not a list, so m cannot map over it"


@pytest.mark.parametrize("value", [{}, "text", None, 3])
def test_what_is_no_list_fails_it(value):
    run = Story(node("a"), mapped("m", "a"))
    run.start()
    assert run.done("a", value) == ["done a", "start m", "fail m input_mismatch", "failed", "failed"]


def test_an_item_that_fails_for_good_stops_the_others_and_the_map():
    run = items(1, 2, 3, retry=STEADY)
    run.err("m", index=0)
    assert run.err("m", final=True, index=1) == ["fail m[1] error", "fail m[0] cancelled", "running"]
    assert run.err("m", "cancelled", final=True, index=2) == [
        "fail m[2] cancelled",
        "fail m item_failed",
        "failed",
        "failed",
    ]
    assert (run.event.error.node, run.event.error.index) == ("m", 1)


def test_tolerated_items_yield_null_until_there_are_too_many():
    run = items(1, 2, 3, max_failures=1)
    assert run.err("m", index=0) == ["fail m[0] error"]
    assert run.event.tolerated
    run.done("m", "b", index=1)
    assert run.done("m", "c", index=2) == ["done m[2]", "done m", "succeeded", "completed"]
    assert run.event.result == [None, "b", "c"]
    strict = items(1, 2, max_failures=1)
    strict.err("m", index=0)
    assert strict.err("m", index=1) == ["fail m[1] error", "fail m item_failed", "failed", "failed"]


def how_far(run):
    items = run.state.nodes["m"].items
    return None if items is None else (items.total, items.closed, items.failed)


def test_how_far_a_map_has_come_is_known_from_its_beginning_and_after_its_end():
    run = Story(node("a"), mapped("m", "a", max_failures=1), node("z", "m"))
    run.start()
    assert "m" not in run.state.nodes
    run.done("a", [7, 8, 9])
    assert how_far(run) == (3, 0, 0)
    run.err("m", index=1)
    run.done("m", index=0)
    assert how_far(run) == (3, 2, 1)
    run.done("m", index=2)
    assert how_far(run) == (3, 3, 1)
    assert run.state.nodes["m"].items.outputs == []  # they are kept once, as the node's output


def test_a_map_that_fails_tells_how_far_it_came():
    run = items(1, 2, 3, max_concurrency=1)
    run.done("m", index=0)
    run.err("m", index=1)
    assert how_far(run) == (3, 2, 1)


def test_each_turn_of_a_loop_counts_its_own_items():
    run = Story(node("a"), mapped("m", "a"), loop("more", "m", back_to="a"))
    run.start()
    run.done("a", [7], iteration=1)
    run.done("m", iteration=1, index=0)
    assert how_far(run) == (1, 1, 0)
    run.done("more", True, iteration=1)
    assert how_far(run) is None
    run.done("a", [7, 8], iteration=2)
    assert how_far(run) == (2, 0, 0)


def test_a_crash_repeats_the_items_in_flight_and_no_other():
    run = items(1, 2, 3, retry=STEADY, max_concurrency=2)
    run.done("m", "a", index=0)
    assert run.crash() == [
        "fail m[1] interrupted again at 0",
        "fail m[2] interrupted again at 0",
        "start m[1]/2",
        "start m[2]/2",
    ]


def test_items_are_undone_in_reverse_order_of_completion():
    run = Story(mapped("m", "input", undo=ONCE), node("z", "m"))
    run.start([1, 2])
    run.done("m", "b", index=1)
    run.done("m", "a", index=0)
    assert run.err("z") == ["fail z error", "start undo m[0]"]
    assert run.event.input == {"m": "a"}
    assert run.done("m", phase="compensation", index=0) == ["done undo m[0]", "start undo m[1]"]
    run.done("m", phase="compensation", index=1)
    assert run.event.compensated == ("m[0]", "m[1]")


# --- children ----------------------------------------------------------------------------------------------


def test_a_child_is_prepared_then_started_then_answers():
    run = Story(child("c", "input"), node("z", "c"))
    assert run.start({"x": 1}) == ["running"]
    assert run.last.preflight == [Address("c")]
    assert run.launch("c") == ["start c"]
    assert run.event.input == {"for": "c"}
    assert run.event.child_run_id.startswith("run_")
    assert run.state.due_at() is None  # it waits for the child alone
    assert run.child("c", output=5) == ["done c", "start z"]
    assert run.event.input == {"c": 5}


def test_another_attempt_is_another_child():
    run = Story(child("c", retry=STEADY))
    run.start()
    run.launch("c")
    first = run.entry("c").child_run_id
    assert run.child("c", "failed") == ["fail c child_failed again at 10000", "retrying"]
    assert run.later(10) == []
    assert run.last.preflight == [Address("c")]
    assert run.launch("c") == ["running", "start c/2"]
    assert run.entry("c").child_run_id != first


def test_the_end_of_an_earlier_child_changes_nothing():
    run = Story(child("c"))
    run.start()
    run.launch("c")
    stale = ChildEnded(address=Address("c"), attempt=1, child_run_id="run_other", state="succeeded")
    assert run.give(stale) == []


def test_a_child_that_cannot_start_fails_its_node():
    run = Story(child("c", retry=STEADY))
    run.start()
    fact = PreflightFailed(address=Address("c"), code="input_invalid", message="no")
    assert run.give(fact) == ["start c", "fail c input_invalid", "failed", "failed"]


def test_a_stopping_run_waits_for_its_children():
    run = Story(child("c"), node("z"))
    run.start()
    run.launch("c")
    assert run.err("z") == ["fail z error"]
    assert run.state.due_at() == 0  # so that a restart asks the child again
    assert run.child("c", "cancelled") == ["fail c cancelled", "failed", "failed"]
    assert run.event.error.node == "z"


def test_a_map_of_children_prepares_no_more_than_may_be_open():
    run = Story(
        Map(
            name="m", over="input", params=mapped("m", "input").params, workflow_id="other", max_concurrency=2
        )
    )
    run.start([1, 2, 3])
    assert run.last.preflight == [Address("m", index=0), Address("m", index=1)]
    assert run.launch("m", index=1) == ["start m[1]"]
    assert run.child("m", output="b", index=1) == ["done m[1]"]
    assert run.last.preflight == [Address("m", index=0), Address("m", index=2)]
    run.launch("m", index=0)
    run.launch("m", index=2)
    run.child("m", output="c", index=2)
    run.child("m", output="a", index=0)
    assert run.event.result == ["a", "b", "c"]


def test_children_that_are_being_prepared_are_not_found_again_when_another_ends():
    run = Story(
        Map(
            name="m", over="input", params=mapped("m", "input").params, workflow_id="other", max_concurrency=3
        )
    )
    run.start([1, 2, 3, 4, 5, 6])
    first = run.preflights.begin(run.last.preflight)
    assert [address.index for address in first] == [0, 1, 2]
    for index, following in ((2, 3), (1, 4)):
        run.preflights.end(Address("m", index=index))
        run.launch("m", index=index)
        run.child("m", index=index)
        assert (
            run.preflights.begin(run.last.preflight) == run.last.preflight == [Address("m", index=following)]
        )
    for index in (0, 3, 4):
        run.preflights.end(Address("m", index=index))
        run.launch("m", index=index)
    run.child("m", index=4)
    assert run.last.preflight == [Address("m", index=5)]


def test_what_is_held_back_of_a_map_of_children_is_found_once_it_is_free():
    run = Story(
        Map(
            name="m", over="input", params=mapped("m", "input").params, workflow_id="other", max_concurrency=2
        )
    )
    run.start([1, 2, 3, 4])
    run.preflights.begin(run.last.preflight)
    run.is_blocked = lambda _: True
    run.preflights.end(Address("m", index=1))
    run.launch("m", index=1)
    run.child("m", index=1)
    assert (run.last.preflight, run.last.deferred) == ([], True)
    run.is_blocked = never_blocked
    run.give(Recovered())
    assert run.last.preflight == [Address("m", index=2)]


def test_terminating_closes_items_before_their_map():
    run = items(1, 2, retry=Retry())
    assert run.terminate() == [
        "fail m[0] cancelled",
        "fail m[1] cancelled",
        "fail m cancelled",
        "cancelled",
        "cancelled",
    ]
