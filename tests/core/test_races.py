"""Races: the first upstream that ran opens the node; what only led to it is stopped."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.workflow.document import Document
from tests.core.faults import faults
from tests.core.story import STEADY, Story, child, human, loop, mapped, node, router, signal, timer


def race(name: str, *needs: str, **more):
    return evolve(node(name, *needs, **more), join="any")


def test_the_winner_opens_it_and_the_rest_is_withdrawn_in_the_same_commit():
    run = Story(
        node("quick"),
        human("ask"),
        timer("nap", delay=60),
        signal("word"),
        node("flaky", retry=STEADY),
        race("first", "quick?", "ask?", "word?", "flaky?", after=["nap"]),
    )
    run.start()
    run.err("flaky")
    assert run.done("quick", "q") == [
        "done quick",
        "withdrawn ask",
        "fail nap cancelled",
        "fail word cancelled",
        "fail flaky cancelled",
        "running",
        "start first",
    ]
    assert run.event.input == {"quick": "q"}
    assert run.done("first") == ["done first", "succeeded", "completed"]


def test_what_is_in_flight_is_stopped_and_the_run_waits_for_it():
    run = Story(node("quick"), node("slow"), race("first", "quick?", "slow?"))
    run.start()
    assert run.done("quick") == ["done quick", "start first"]
    assert run.done("first") == ["done first"]
    assert run.err("slow", "cancelled", final=True) == ["fail slow cancelled", "succeeded", "completed"]


def test_a_loser_that_returns_in_time_counts_and_changes_nothing():
    run = Story(node("quick"), node("slow"), race("first", "quick?", "slow?"))
    run.start()
    run.done("quick")
    assert run.done("slow", "s") == ["done slow"]
    assert run.done("first")[-1] == "completed"


@pytest.mark.parametrize("end", ["error", "crash"])
def test_a_loser_cannot_fail_the_run(end):
    run = Story(node("quick"), node("slow"), race("first", "quick?", "slow?", retry=STEADY))
    run.start()
    run.done("quick")
    told = run.crash() if end == "crash" else run.err("slow", final=True)
    assert "fail slow cancelled" in told
    assert run.state.stopping is None


def test_whole_branches_lose_and_their_nodes_that_never_opened_are_skipped():
    run = Story(
        node("quick"),
        node("slow"),
        node("then", "slow"),
        mapped("many", "then"),
        race("first", "quick?", "many?"),
    )
    run.start()
    assert run.done("quick") == ["done quick skips then,many", "start first"]


def test_a_map_that_loses_is_stopped_though_all_of_its_items_have_closed():
    run = Story(node("quick"), mapped("many", "input"), race("first", "quick?", "many?"))
    run.start([1, 2])
    run.done("many", "one", index=0)
    run.done("quick")
    assert run.err("many", "cancelled", index=1) == ["fail many[1] cancelled", "fail many cancelled"]
    assert run.done("first") == ["done first", "succeeded", "completed"]


def test_a_map_whose_items_end_in_spite_of_that_is_whole():
    run = Story(node("quick"), mapped("many", "input"), race("first", "quick?", "many?"))
    run.start([1])
    run.done("quick")
    assert run.done("many", "one", index=0) == ["done many[0]", "done many"]


def test_what_serves_others_too_goes_on():
    run = Story(node("quick"), node("slow"), race("first", "quick?", "slow?"), node("audit", "slow"))
    run.start()
    run.done("quick")
    assert run.done("slow", "s") == ["done slow", "start audit"]


def test_a_skipped_upstream_does_not_win():
    run = Story(
        router("r", routes=["a"]), node("a"), node("b"), race("first", "a?", "b?"), node("z", "first")
    )
    run.start()
    assert run.done("r", []) == ["done r skips a"]
    assert run.done("b", "b") == ["done b", "start first"]


def test_it_is_skipped_when_all_its_upstreams_were():
    run = Story(router("r", routes=["a", "b"]), node("a"), node("b"), race("first", "a?", "b?"))
    run.start()
    assert run.done("r", [])[0] == "done r skips a,b,first"


def test_a_race_may_be_a_route():
    run = Story(
        router("r", routes=["first", "other"]), node("a"), node("b"), race("first", "a?", "b?"), node("other")
    )
    run.start()
    assert run.done("a", "a") == ["done a"]  # the router has not chosen it yet
    assert run.done("r", "first") == ["done r skips other", "start first"]


def test_a_child_that_loses_is_waited_for():
    run = Story(node("quick"), child("slow"), race("first", "quick?", "slow?"))
    run.start()
    run.launch("slow")
    run.done("quick")
    assert run.done("first") == ["done first"]
    assert run.child("slow", "cancelled") == ["fail slow cancelled", "succeeded", "completed"]


def test_a_race_is_run_anew_in_each_iteration():
    run = Story(
        node("begin"),
        node("a", "begin"),
        node("b", "begin"),
        race("first", "a?", "b?"),
        loop("again", "first", back_to="begin"),
    )
    run.start()
    run.done("begin", iteration=1)
    run.done("b", "b", iteration=1)
    run.done("first", iteration=1)
    assert run.err("a", "cancelled", final=True, iteration=1) == ["fail a#1 cancelled", "start again#1"]
    run.done("again", True, iteration=1)
    assert run.done("begin", iteration=2) == ["done begin#2", "start a#2", "start b#2"]
    assert run.done("a", "a", iteration=2) == ["done a#2", "start first#2"]


def test_a_race_does_not_see_into_a_loop_that_lost_before_its_end():
    run = Story(
        node("ask"),
        node("count", "ask"),
        loop("again", "count", back_to="ask"),
        node("quick"),
        race("first", "count?", "quick?"),
    )
    run.start()
    run.done("ask", iteration=1)
    run.done("count", 1, iteration=1)
    run.done("quick", "q")
    assert run.entry("first").input == {"quick": "q"}


def test_a_race_sees_the_last_iteration_of_a_loop_that_won():
    run = Story(
        node("ask"),
        node("count", "ask"),
        loop("again", "count", back_to="ask"),
        node("quick"),
        race("first", "count?", "quick?"),
    )
    run.start()
    run.done("ask", iteration=1)
    run.done("count", 1, iteration=1)
    run.done("again", False, iteration=1)
    assert run.entry("first").input == {"count": 1}


def test_a_race_sees_a_loop_that_ended_because_its_condition_was_skipped():
    run = Story(
        node("begin"),
        router("check", "begin", routes=["step"]),
        node("step"),
        loop("again", "step", back_to="begin"),
        node("quick"),
        race("first", "begin?", "quick?"),
    )
    run.start()
    run.done("begin", "b", iteration=1)
    assert run.done("check", [], iteration=1) == ["done check#1 skips step,again", "start first"]
    assert run.entry("first").input == {"begin": "b"}


def test_parameters_of_a_race_need_defaults():
    document = Document(workflow_id="w", version="v1", nodes=(node("a"), node("b"), race("j", "a", "b?")))
    assert faults(document) == [
        "j: parameter a needs a default, because with join any a may not have run",
    ]


def test_a_loser_that_is_due_again_at_the_very_moment_stays_stopped():
    run = Story(node("flaky", retry=STEADY), timer("nap", delay=10), race("first", "flaky?", after=["nap"]))
    run.start()
    run.err("flaky")  # it is tried again after ten seconds
    assert run.later(10) == ["done nap", "fail flaky cancelled", "running", "start first"]
    assert run.done("first") == ["done first", "succeeded", "completed"]


def test_a_loser_of_what_opened_and_closed_at_once_is_no_longer_retried():
    run = Story(
        node("flaky", retry=STEADY), node("list"), mapped("empty", "list"), race("first", "empty?", "flaky?")
    )
    run.start()
    run.err("flaky")
    assert run.state.state == "retrying"
    told = run.done("list", [])
    assert "fail flaky cancelled" in told
    assert (run.state.state, run.state.backing_off) == ("running", 0)
