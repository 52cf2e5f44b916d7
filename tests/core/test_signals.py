"""Which signals a run still takes: nothing is accepted that no node could ever be given."""

from __future__ import annotations

import pytest

from infraweave.core.run.signals import check_signal
from infraweave.errors import SignalConflict
from tests.core.story import Story, human, loop, node, router, signal


def takes(run: Story, name: str, request_id: str = "late") -> bool:
    return check_signal(run.graph, run.state, name, request_id, None, [])


def refusal(run: Story, name: str, request_id: str = "late") -> str:
    with pytest.raises(SignalConflict) as caught:
        takes(run, name, request_id)
    return caught.value.message


def test_a_request_that_was_answered_says_by_whom_and_with_what():
    run = Story(human("ask"), node("a", "ask"))
    run.start()
    announced = run.event.request_id
    assert takes(run, "ask")
    run.signal("ask", 1, "s1")
    assert "eve answered it at 1970-01-01T00:00:00" in refusal(run, "ask")
    assert "with the request_id s1" in refusal(run, "ask", announced)


def test_a_signal_that_was_taken_is_told_like_an_answer():
    run = Story(signal("go"), node("a", after=["go"]))
    run.start()
    run.signal("go", 1, "s1")
    assert "eve answered it" in refusal(run, "go")


def test_time_that_ran_out_is_told():
    run = Story(
        human("ask", timeout=60, on_timeout="value", timeout_value=0),
        signal("go", timeout=60, on_timeout="value", timeout_value=0),
        human("rest"),
    )
    run.start()
    run.later(60)
    assert "nobody answered in time; its deadline was 1970-01-01T00:01:00" in refusal(run, "ask")
    assert "nobody answered in time" in refusal(run, "go")
    assert takes(run, "rest")


def test_what_lost_a_race_was_withdrawn_and_what_no_router_chose_was_skipped():
    run = Story(
        router("choose", routes=["ask", "other"]),
        human("ask"),
        human("other"),
        signal("stop"),
        node("first", "ask?", "stop?", join="any"),
    )
    run.start()
    run.done("choose", ["ask"])
    assert "the run has skipped it" in refusal(run, "other")
    run.signal("stop", None, "s1")
    assert "it was withdrawn at" in refusal(run, "ask")


def test_in_a_loop_the_next_iteration_can_take_it_and_after_the_last_nothing_can():
    run = Story(human("ask"), loop("again", "ask", back_to="ask", bound=2), node("end", after=["again"]))
    run.start()
    run.signal("ask", 1, "s1")
    assert takes(run, "ask")
    run.done("again", True, iteration=1)
    run.signal("ask", 2, "s2")
    assert "with the request_id s2" in refusal(run, "ask")
    run.done("again", False, iteration=2)
    assert "with the request_id s2" in refusal(run, "ask")


def test_an_inner_loop_that_is_over_begins_anew_with_the_outer_one():
    run = Story(
        human("ask"),
        loop("inner", "ask", back_to="ask", bound=2),
        loop("outer", "ask", back_to="ask", bound=2, after=["inner"]),
        node("end", after=["outer"]),
    )
    run.start()
    run.signal("ask", 1, "s1")
    run.done("inner", False, iteration=1)
    assert takes(run, "ask")
    run.done("outer", False, iteration=1)
    assert "eve answered it" in refusal(run, "ask")


def test_what_has_not_begun_takes_several():
    run = Story(node("a"), human("ask", after=["a"]))
    run.start()
    assert [takes(run, "ask", request) for request in ("s1", "s2")] == [True, True]
