"""How a run goes forward: given a history, when a fact, then these events."""

from __future__ import annotations

import pytest

from infraweave.core.run.address import Address
from infraweave.core.run.facts import AttemptSucceeded, PreflightFailed, PromptReady, SlotGranted, TimerReady
from infraweave.core.run.ids import input_request_id
from infraweave.core.workflow.document import Retry
from tests.core.story import ONCE, STEADY, Story, human, node, router, timer

# --- branches and joins ------------------------------------------------------------------------------------


def test_branches_open_together_and_join_once_both_are_done():
    run = Story(node("a"), node("b"), node("c", "a", "b"))
    assert run.start() == ["running", "start a", "start b"]
    assert run.done("b", 2) == ["done b"]
    assert run.done("a", 1) == ["done a", "start c"]
    assert run.event.input == {"a": 1, "b": 2}
    assert run.done("c", 3) == ["done c", "succeeded", "completed"]
    assert run.event.result == 3


def test_openings_stand_in_the_order_of_the_definition():
    run = Story(node("a"), node("z", "a"), node("m", "a"), node("b", "a"))
    run.start()
    assert run.done("a") == ["done a", "start z", "start m", "start b"]


def test_an_edge_without_data_waits_but_gives_nothing():
    run = Story(node("a"), node("b", after=["a"]))
    assert run.start() == ["running", "start a"]
    assert run.done("a", 1) == ["done a", "start b"]
    assert run.event.input is None or run.event.input == {}


def test_the_result_of_several_sinks_is_a_dict_of_those_that_ran():
    run = Story(router("r", routes=["a", "b"]), node("a"), node("b"), node("c"))
    run.start()
    run.done("c", 3)
    run.done("r", "a")
    run.done("a", 1)
    assert run.event.result == {"a": 1, "c": 3}


def test_a_named_output_that_was_skipped_is_null():
    run = Story(router("r", routes=["a"]), node("a"), node("c"), output="a")
    run.start()
    run.done("c", 3)
    assert run.done("r", []) == ["done r skips a", "succeeded", "completed"]
    assert run.event.result is None


# --- skipping ----------------------------------------------------------------------------------------------


def test_what_the_router_does_not_choose_is_skipped_and_what_requires_it():
    run = Story(router("r", routes=["a", "b"]), node("a"), node("b"), node("c", "b"), node("d", "c"))
    run.start()
    assert run.done("r", "a") == ["done r skips b,c,d", "start a"]
    assert run.done("a") == ["done a", "succeeded", "completed"]


def test_branches_of_a_router_join_without_a_join_node():
    run = Story(router("r", routes=["a", "b"]), node("a"), node("b"), node("c", "a?", "b?"))
    run.start()
    assert run.done("r", "a") == ["done r skips b", "start a"]
    assert run.done("a", 1) == ["done a", "start c"]
    assert run.event.input == {"a": 1}


def test_a_join_is_skipped_once_all_its_upstreams_were_after_included():
    run = Story(router("r", routes=["a", "b"]), node("a"), node("b"), node("c", "a?", after=["b"]))
    run.start()
    assert run.done("r", []) == ["done r skips a,b,c", "succeeded", "completed"]


def test_required_data_that_is_skipped_skips_although_another_upstream_still_runs():
    run = Story(router("r", routes=["a"]), node("a"), node("slow"), node("c", "a", "slow"))
    run.start()
    assert run.done("r", []) == ["done r skips a,c"]
    assert run.done("slow") == ["done slow", "succeeded", "completed"]


def test_a_node_of_which_one_upstream_ran_runs_with_its_defaults():
    run = Story(router("r", routes=["a"]), node("a"), node("b"), node("c", "a?", "b"))
    run.start()
    run.done("r", [])
    assert run.done("b", 2) == ["done b", "start c"]
    assert run.event.input == {"b": 2}


def test_the_routes_of_a_router_that_was_skipped_are_skipped():
    run = Story(router("r", routes=["s", "c"]), router("s", routes=["a"]), node("a"), node("c"))
    run.start()
    assert run.done("r", "c") == ["done r skips s,a", "start c"]


def test_a_chosen_node_still_waits_for_its_other_upstreams():
    run = Story(router("r", routes=["a"]), node("slow"), node("a", "slow"))
    run.start()
    assert run.done("r", "a") == ["done r"]
    assert run.done("slow") == ["done slow", "start a"]


# --- routers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "then"),
    [
        ("a", ["done r skips b", "start a"]),
        (["b", "a"], ["done r", "start a", "start b"]),
        ([], ["done r skips a,b", "succeeded", "completed"]),
    ],
)
def test_a_router_chooses_one_many_or_none(output, then):
    run = Story(router("r", routes=["a", "b"]), node("a"), node("b"))
    run.start()
    assert run.done("r", output) == then


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("c", "r returned the unknown route 'c'; it has a, b"),
        (["a", "c"], "r returned the unknown route 'c'; it has a, b"),
        (None, "r returned None; expected a route, a list of routes, or []"),
        ([1], "r returned [1]; expected a route, a list of routes, or []"),
        ({"a": 1}, "r returned {'a': 1}; expected a route, a list of routes, or []"),
    ],
)
def test_a_route_that_does_not_exist_is_final(output, message):
    run = Story(router("r", routes=["a", "b"], retry=STEADY), node("a"), node("b"))
    run.start()
    assert run.done("r", output) == ["fail r unknown_route", "failed", "failed"]
    assert run.event.error.message == message


def test_a_router_that_is_declared_to_return_one_route_may_not_return_two():
    run = Story(router("r", routes=["a", "b"], many=False), node("a"), node("b"))
    run.start()
    run.done("r", ["a", "b"])
    assert run.event.error.message == "r is declared to return one route and returned a, b"


# --- retry and interruption --------------------------------------------------------------------------------


def test_a_failure_backs_off_and_then_succeeds():
    run = Story(node("a", retry=STEADY))
    run.start()
    assert run.err("a") == ["fail a error again at 10000", "retrying"]
    assert run.log[-2].message == "boom — retrying in 10s (attempt 2 of 3)"
    assert run.log[-2].traceback == "in a"
    assert run.later(9.999) == []
    assert run.later(0.001) == ["running", "start a/2"]
    assert run.err("a") == ["fail a/2 error again at 30000", "retrying"]
    assert run.later(20) == ["running", "start a/3"]
    assert run.done("a", 1) == ["done a/3", "succeeded", "completed"]


def test_the_last_attempt_fails_for_good():
    run = Story(node("a", retry=Retry(max_attempts=2, initial=0, jitter=False)))
    run.start()
    run.err("a")
    run.later(0)
    assert run.err("a") == ["fail a/2 error", "failed", "failed"]
    error = run.event.error
    assert (error.code, error.message, error.node, error.attempt) == ("error", "boom", "a", 2)


def test_a_final_failure_is_not_tried_again():
    run = Story(node("a", retry=STEADY))
    run.start()
    assert run.err("a", "non_retryable", final=True) == ["fail a non_retryable", "failed", "failed"]


def test_the_run_is_retrying_while_any_entry_waits_for_its_next_attempt():
    run = Story(node("a", retry=STEADY), node("b", retry=STEADY))
    run.start()
    assert run.err("a") == ["fail a error again at 10000", "retrying"]
    run.now += 5_000
    assert run.err("b") == ["fail b error again at 15000"]
    assert run.later(5) == ["start a/2"]
    assert run.later(5) == ["running", "start b/2"]


def test_an_interruption_is_tried_again_at_once_and_uses_up_no_attempt():
    run = Story(node("a", retry=Retry(max_attempts=2, initial=0, jitter=False)))
    run.start()
    for attempt in (2, 3, 4):
        name = "a" if attempt == 2 else f"a/{attempt - 1}"
        assert run.crash() == [f"fail {name} interrupted again at 0", f"start a/{attempt}"]
    assert run.err("a") == ["fail a/4 error again at 0", "retrying"]
    assert run.log[-2].message.endswith("(attempt 2 of 2)")
    assert run.later(0) == ["running", "start a/5"]
    assert run.err("a") == ["fail a/5 error", "failed", "failed"]


def test_with_one_attempt_an_interruption_fails():
    run = Story(node("a", retry=ONCE))
    run.start()
    assert run.crash() == ["fail a interrupted", "failed", "failed"]
    assert run.event.error.code == "interrupted"


def test_an_attempt_that_never_began_is_made_again_however_few_there_may_be():
    run = Story(node("a", retry=ONCE))
    run.start()
    assert run.interrupt("a") == ["fail a interrupted again at 0", "retrying"]
    assert run.event.state == "retrying"
    assert run.crash() == ["running", "start a/2"]
    assert run.crash() == ["fail a/2 interrupted", "failed", "failed"]


def test_an_attempt_that_is_being_stopped_is_not_interrupted():
    run = Story(node("a", retry=ONCE))
    run.start()
    run.cancel()
    assert run.interrupt("a") == []


def test_ten_interruptions_in_a_row_fail():
    run = Story(node("a", retry=STEADY))
    run.start()
    for _ in range(9):
        assert "again" in run.crash()[0]
    assert run.crash() == ["fail a/10 interrupted", "failed", "failed"]


def test_a_stop_on_purpose_is_tried_again_however_often_and_is_no_crash():
    run = Story(node("a", retry=STEADY))
    run.start()
    for attempt in range(2, 32):
        run.now += 60_000
        assert "again" in run.interrupt("a", started=attempt % 2 == 0)[0]
        assert run.crash() == ["running", f"start a/{attempt}"]
    for _ in range(9):
        assert "again" in run.crash()[0]
    assert run.crash() == ["fail a/40 interrupted", "failed", "failed"]


def test_what_a_stop_cut_off_took_as_long_as_it_was_open():
    run = Story(node("a", retry=STEADY))
    run.start()
    run.now += 60_000
    run.interrupt("a", started=True)
    assert (run.log[-2].latency_ms, run.log[-2].planned) == (60_000, True)
    run.crash()
    run.now += 5_000
    run.crash()
    failure = next(event for event in reversed(run.log) if event.type == "node_failed")
    assert (failure.latency_ms, failure.planned) == (0, False)  # nobody knows when it died


def test_with_one_attempt_a_stop_on_purpose_fails_it():
    run = Story(node("a", retry=ONCE))
    run.start()
    assert run.interrupt("a", started=True) == ["fail a interrupted", "failed", "failed"]


def test_a_failure_between_them_starts_the_count_of_interruptions_anew():
    run = Story(node("a", retry=STEADY))
    run.start()
    for _ in range(9):
        run.crash()
    run.err("a")
    run.later(10)
    assert "again" in run.crash()[0]


def test_a_crash_while_all_wait_writes_nothing():
    run = Story(human("ask"), timer("nap"), node("a", retry=STEADY))
    run.start()
    run.err("a")
    assert run.crash() == []


# --- waits -------------------------------------------------------------------------------------------------


def test_a_person_is_asked_and_answers():
    run = Story(human("ask", timeout=60), node("a", "ask"))
    assert run.start() == ["running", "ask ask"]
    asked = run.event
    assert (asked.request_id, asked.deadline) == (input_request_id("run_1", Address("ask")), 60_000)
    assert run.signal("ask", {"ok": 1}) == ["signal ask", "answered ask", "start a"]
    assert run.event.input == {"ask": {"ok": 1}}
    assert run.state.mailbox == {}
    assert run.later(60) == []


def test_an_early_signal_is_delivered_in_order():
    run = Story(node("a"), human("ask", after=["a"]), human("again", after=["ask"]))
    run.start()
    assert run.signal("ask", 1, "s1") == ["signal ask"]
    assert run.signal("ask", 2, "s2") == ["signal ask"]
    assert run.signal("again", 3, "s3") == ["signal again"]
    assert run.done("a") == [
        "done a",
        "ask ask",
        "answered ask",
        "ask again",
        "answered again",
        "succeeded",
        "completed",
    ]
    assert run.state.outputs["ask"] == 1
    assert [letter.request_id for letter in run.state.mailbox["ask"]] == ["s2"]


def test_a_signal_to_a_queued_run_is_kept():
    run = Story(human("ask"))
    assert run.start(slot=False) == ["queued"]
    assert run.signal("ask", 1) == ["signal ask"]
    assert run.give(SlotGranted()) == ["running", "ask ask", "answered ask", "succeeded", "completed"]
    assert run.give(SlotGranted()) == []


def test_an_announced_request_id_means_that_request_alone():
    run = Story(human("ask"))
    run.start()
    request = run.event.request_id
    assert run.signal("ask", 1, request)[:2] == ["signal ask", "answered ask"]


def test_nobody_answers():
    run = Story(human("ask", timeout=60), node("a", "ask"))
    run.start()
    assert run.later(60) == ["timed_out ask", "failed", "failed"]
    error = run.event.error
    assert (error.code, error.message) == ("input_timed_out", "No answer to ask within 1m")
    assert run.signal("ask", 1) == []


def test_a_timer_ends_at_its_time():
    run = Story(timer("nap", delay=60), node("a", after=["nap"]))
    assert run.start() == ["running", "start nap"]
    assert (run.event.wake_at, run.state.due_at()) == (60_000, 60_000)
    assert run.later(59.999) == []
    assert run.later(0.001) == ["done nap", "start a"]
    assert run.log[-2].latency_ms == 60_000


def test_what_fell_due_while_nobody_looked_ends_in_the_order_of_its_times():
    run = Story(timer("late", delay=60), timer("soon", delay=5))
    run.start()
    assert run.later(3600) == ["done soon", "done late", "succeeded", "completed"]


def test_a_wait_whose_code_must_be_called_is_prepared_before_it_opens():
    run = Story(human("ask", prompt=None), timer("nap", delay=None))
    assert run.start() == ["running"]
    assert run.last.preflight == [Address("ask"), Address("nap")]
    assert run.give(PromptReady(address=Address("ask"), prompt="Go on?", data={"n": 1})) == ["ask ask"]
    assert (run.event.prompt, run.event.data) == ("Go on?", {"n": 1})
    assert run.give(TimerReady(address=Address("nap"), wake_at=9_000)) == ["start nap"]
    assert run.give(PromptReady(address=Address("ask"), prompt="again")) == []
    assert run.give(TimerReady(address=Address("nap"), wake_at=1)) == []


def test_after_a_crash_it_is_prepared_again():
    run = Story(human("ask", prompt=None))
    run.start()
    assert run.crash() == []
    assert run.last.preflight == [Address("ask")]


def test_a_wait_that_cannot_be_prepared_fails():
    run = Story(human("ask", prompt=None))
    run.start()
    fact = PreflightFailed(
        address=Address("ask"), code="error", message="ValueError: no prompt", traceback="in ask"
    )
    assert run.give(fact) == ["start ask", "fail ask error", "failed", "failed"]
    assert run.log[-3].traceback == "in ask"


# --- what is not open, what is held ------------------------------------------------------------------------


def test_an_answer_to_a_closed_step_changes_nothing():
    run = Story(node("a", retry=STEADY), node("b", "a"))
    run.start()
    late = AttemptSucceeded(address=Address("a"), attempt=1, output=1, latency_ms=5)
    run.err("a")
    assert run.give(late) == []
    run.later(10)
    assert run.give(late) == []
    run.done("a")
    assert run.done("b") == ["done b", "succeeded", "completed"]
    assert run.give(late) == []
    assert run.cancel() == []


def test_what_is_held_opens_when_the_run_is_taken_up_again():
    run = Story(node("a"), node("b", "a"), node("c", "a"))
    run.start()
    run.is_blocked = lambda address: address.node == "b"
    assert run.done("a") == ["done a", "start c"]
    assert run.last.deferred
    assert run.done("c") == ["done c"]
    run.is_blocked = lambda address: False
    assert run.crash() == ["start b"]
    assert not run.last.deferred


def test_an_attempt_that_is_due_is_held_too_and_the_run_stays_retrying():
    run = Story(node("a", retry=STEADY))
    run.start()
    run.err("a")
    run.is_blocked = lambda address: True
    assert run.later(10) == []
    assert run.last.deferred
    run.is_blocked = lambda address: False
    assert run.crash() == ["running", "start a/2"]


def test_a_prompt_with_params_is_a_template():
    asking = human("ask", "a", prompt="Pay {a.total}?")
    run = Story(node("a"), asking)
    run.start()
    assert run.done("a", {"total": 5}) == ["done a", "ask ask"]
    assert run.event.prompt == "Pay 5?"
    lost = Story(node("a"), asking)
    lost.start()
    assert lost.done("a", {}) == ["done a", "start ask", "fail ask input_mismatch", "failed", "failed"]


def test_a_prompt_without_params_stands_as_it_is():
    run = Story(human("ask", prompt="Use {braces}?"))
    assert run.start() == ["running", "ask ask"]
    assert run.event.prompt == "Use {braces}?"
