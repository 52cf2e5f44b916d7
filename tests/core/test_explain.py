"""Why a run is not moving."""

from __future__ import annotations

from infraweave.core.run.explain import explain
from infraweave.core.workflow.document import Retry
from tests.core.story import Story, child, human, mapped, node, signal, timer


def why(run: Story, **more) -> str:
    return explain(run.graph, run.state, run.now, **more).sentence


def test_what_is_at_work_is_moving():
    run = Story(node("a"))
    run.start()
    assert explain(run.graph, run.state, run.now).moving
    assert why(run) == "It is moving: a has been running since 1970-01-01T00:00:00.000Z (attempt 1)."


def test_what_has_not_begun_is_not_at_work():
    run = Story(node("a"), node("b"))
    run.start()
    line = {run.entry("a").address: "a free slot"}
    assert why(run, not_started=line) == (
        "It is moving: b has been running since 1970-01-01T00:00:00.000Z (attempt 1)."
    )
    line[run.entry("b").address] = "a free thread or process"
    assert (
        why(run, not_started=line)
        == "It waits: a waits for a free slot; b waits for a free thread or process."
    )
    assert not explain(run.graph, run.state, run.now, not_started=line).moving


def test_waits_are_named():
    run = Story(human("ask", timeout=60), signal("word"), timer("nap", delay=5), child("c"))
    run.start()
    run.launch("c")
    said = explain(run.graph, run.state, run.now)
    assert not said.moving
    assert "a person must answer ask ('Go?')" in said.sentence
    assert "until 1970-01-01T00:01:00.000Z" in said.sentence
    assert "no signal word has come since" in said.sentence
    assert "nap sleeps, until 1970-01-01T00:00:05.000Z" in said.sentence
    assert said.sentence.endswith("; and 1 more.")


def test_a_child_is_named():
    run = Story(child("c"))
    run.start()
    run.launch("c")
    assert why(run).startswith(
        f"It waits: c has waited for its child run {run.entry('c').child_run_id} since"
    )


def test_a_retry_says_when():
    run = Story(node("a", retry=Retry(initial=4, jitter=False)))
    run.start()
    run.err("a")
    assert why(run) == "It waits: attempt 1 of a failed, and the next begins in 4s."


def test_a_map_is_explained_by_its_items():
    run = Story(mapped("m", "input", retry=Retry(initial=4, jitter=False)))
    run.start([1])
    run.err("m", index=0)
    assert why(run) == "It waits: attempt 1 of m[0] failed, and the next begins in 4s."


def test_missing_code_and_the_queue_are_told():
    run = Story(node("a"))
    run.start(slot=False)
    assert why(run, queued="all 4 slots are taken") == "It is queued: all 4 slots are taken."
    held = Story(node("a"))
    held.is_blocked = lambda _: True
    held.start()
    assert why(held, blocked=["a"]) == "It waits: no code for a is loaded, so it cannot open."


def test_an_attempt_without_code_waits_for_that_alone():
    run = Story(node("a", retry=Retry(initial=4, jitter=False)))
    run.start()
    run.err("a")
    assert why(run, blocked=["a"]) == "It waits: no code for a is loaded, so it cannot open."


def test_a_stopping_run_says_why_it_stops():
    run = Story(node("a"))
    run.start()
    run.cancel()
    assert why(run).startswith("It is being cancelled (Cancelled by eve: no need): a has been running")


def test_an_ended_run_says_how():
    run = Story(node("a"))
    run.start()
    run.done("a")
    assert why(run) == "It succeeded at 1970-01-01T00:00:00.000Z."
    bad = Story(node("a"))
    bad.start()
    bad.err("a")
    assert why(bad) == "It failed at 1970-01-01T00:00:00.000Z: a: boom."
    gone = Story(node("a"))
    gone.start(slot=False)
    gone.cancel()
    assert why(gone) == "It was cancelled at 1970-01-01T00:00:00.000Z: Cancelled by eve: no need."


def test_a_failing_run_names_the_node_that_failed_and_what_is_being_undone():
    run = Story(node("a", undo=Retry(initial=4, jitter=False)), node("b", "a"))
    run.start()
    run.done("a", "a")
    run.err("b", final=True)
    run.err("a", phase="compensation")
    assert (
        why(run)
        == "It is failing (b: boom): attempt 1 of the compensation of a failed, and the next begins in 4s."
    )
