"""Loops: regions that repeat, what they carry over, what is seen outside, and what makes them valid."""

from __future__ import annotations

import pytest

from infraweave.core.workflow.document import Document
from infraweave.core.workflow.graph import Graph
from tests.core.faults import faults
from tests.core.story import ONCE, Story, carried, human, loop, node, router


def writing(**options) -> Story:
    return Story(
        carried(node("draft", "input"), "critic"),
        node("critic", "draft"),
        loop("again", "critic", back_to="draft", **options),
        node("publish", "draft"),
    )


def test_a_region_repeats_until_its_condition_says_no():
    run = writing()
    assert run.start({"topic": 1}) == ["running", "start draft#1"]
    assert run.event.input == {"input": {"topic": 1}}
    assert run.done("draft", "d1", iteration=1) == ["done draft#1", "start critic#1"]
    assert run.done("critic", "c1", iteration=1) == ["done critic#1", "start again#1"]
    assert run.done("again", True, iteration=1) == [
        "done again#1 repeats draft,critic,again",
        "start draft#2",
    ]
    assert run.event.input == {"input": {"topic": 1}, "critic": "c1"}
    run.done("draft", "d2", iteration=2)
    run.done("critic", "c2", iteration=2)
    assert run.done("again", False, iteration=2) == ["done again#2", "start publish"]
    assert run.event.input == {"draft": "d2"}
    assert run.done("publish", "p") == ["done publish", "succeeded", "completed"]
    assert run.event.result == "p"


def test_a_node_outside_sees_nothing_before_the_end():
    run = writing()
    run.start()
    run.done("draft", "d1", iteration=1)
    assert "publish" not in run.state.nodes
    assert run.graph.waits["publish"] == {"draft", "again"}


def test_reaching_the_bound_fails_or_goes_on():
    strict, lenient = writing(bound=1), writing(bound=1, on_exhausted="continue")
    for run in (strict, lenient):
        run.start()
        run.done("draft", "d1", iteration=1)
        run.done("critic", "c1", iteration=1)
    assert strict.done("again", True, iteration=1) == ["fail again#1 loop_exhausted", "failed", "failed"]
    assert strict.event.error.message == "again would go on after one iteration, its max_iterations"
    assert lenient.done("again", True, iteration=1) == ["done again#1", "start publish"]


@pytest.mark.parametrize("output", ["yes", 1, None, []])
def test_a_condition_answers_with_yes_or_no(output):
    run = writing()
    run.start()
    run.done("draft", iteration=1)
    run.done("critic", iteration=1)
    assert run.done("again", output, iteration=1)[0] == "fail again#1 output_invalid"


def test_a_skipped_condition_ends_the_loop():
    run = Story(
        node("draft"),
        router("sort", "draft", routes=["polish"]),
        node("polish", "draft"),
        loop("again", "polish", back_to="draft"),
        node("publish", "draft", "polish?"),
    )
    run.start()
    run.done("draft", "d1", iteration=1)
    assert run.done("sort", [], iteration=1) == ["done sort#1 skips polish,again", "start publish"]
    assert run.event.input == {"draft": "d1"}


def test_a_branch_not_taken_may_be_taken_in_the_next_iteration():
    run = Story(
        router("sort", "input", routes=["left", "right"], many=False),
        node("left"),
        node("right"),
        loop("again", "left?", "right?", back_to="sort"),
    )
    run.start()
    assert run.done("sort", "left", iteration=1) == ["done sort#1 skips right", "start left#1"]
    run.done("left", "l", iteration=1)
    run.done("again", True, iteration=1)
    assert run.done("sort", "right", iteration=2) == ["done sort#2 skips left", "start right#2"]
    run.done("right", "r", iteration=2)
    assert run.event.input == {"right": "r"}


def test_what_was_skipped_outside_is_skipped_in_every_iteration():
    run = Story(
        router("choose", "input", routes=["extra"]),
        node("extra"),
        node("work", after=["choose"]),
        node("more", "work", "extra"),
        loop("again", "work", "more?", back_to="work"),
    )
    run.start()
    assert run.done("choose", []) == ["done choose skips extra,more", "start work#1"]
    run.done("work", iteration=1)
    assert run.done("again", True, iteration=1) == [
        "done again#1 repeats work,more,again skips more",
        "start work#2",
    ]


def test_a_person_is_asked_in_each_iteration_under_another_request():
    run = Story(node("draft"), human("ask", "draft"), loop("again", "ask", back_to="draft"))
    run.start()
    assert run.done("draft", iteration=1) == ["done draft#1", "ask ask#1"]
    first = run.event.request_id
    assert run.signal("ask", "no") == ["signal ask", "answered ask#1", "start again#1"]
    run.done("again", True, iteration=1)
    run.done("draft", iteration=2)
    assert run.event.request_id != first
    assert run.state.nodes["ask"].iterations == 2


def test_the_summary_of_a_node_has_the_times_of_its_newest_iteration():
    run = Story(node("draft"), human("ask", "draft"), loop("again", "ask", back_to="draft"))
    run.start()
    run.now += 5_000
    run.done("draft", iteration=1)
    run.now += 60_000
    run.signal("ask", "no")
    run.done("again", True, iteration=1)
    draft, ask = run.state.nodes["draft"], run.state.nodes["ask"]
    assert (draft.started_at, draft.finished_at, draft.latency_ms) == (run.now, None, None)
    assert (ask.state, ask.started_at, ask.finished_at) == ("pending", None, None)
    run.now += 5_000
    run.done("draft", iteration=2)
    assert (draft.started_at, draft.finished_at) == (run.now - 5_000, run.now)
    assert (ask.state, ask.started_at, ask.finished_at) == ("waiting", run.now, None)
    assert (draft.attempts, draft.iterations) == (2, 2)


def test_the_first_iteration_of_an_entry_begins_with_the_default():
    run = Story(
        node("outer"),
        carried(node("inner", "outer"), "inner"),
        loop("more", "inner", back_to="inner", bound=2),
        node("tally", "inner"),
        loop("again", "tally", back_to="outer", bound=2),
    )
    run.start()
    run.done("outer", "o1", iteration=1)
    run.done("inner", "i1", iteration=1)
    run.done("more", True, iteration=1)
    assert run.event.input == {"outer": "o1", "inner": "i1"}
    run.done("inner", "i2", iteration=2)
    run.done("more", False, iteration=2)
    run.done("tally", iteration=1)
    run.done("again", True, iteration=1)
    assert run.done("outer", "o2", iteration=2) == ["done outer#2", "start inner#3"]
    assert run.event.input == {"outer": "o2"}
    run.done("inner", "i3", iteration=3)
    assert run.done("more", True, iteration=3)[0] == "done more#3 repeats inner,more"  # its bound begins anew


def test_a_crash_in_the_middle_of_an_iteration_repeats_only_what_was_in_flight():
    run = writing()
    run.start()
    run.done("draft", "d1", iteration=1)
    run.done("critic", "c1", iteration=1)
    run.done("again", True, iteration=1)
    assert run.crash() == ["fail draft#2 interrupted", "failed", "failed"]  # one attempt is all it may have


def test_each_iteration_is_undone_with_its_own_output():
    run = Story(node("book", undo=ONCE), loop("again", "book", back_to="book", bound=2))
    run.start()
    run.done("book", "b1", iteration=1)
    run.done("again", True, iteration=1)
    run.done("book", "b2", iteration=2)
    assert run.done("again", True, iteration=2) == ["fail again#2 loop_exhausted", "start undo book#2"]
    assert run.event.input == {"book": "b2"}
    assert run.done("book", phase="compensation", iteration=2) == ["done undo book#2", "start undo book#1"]
    assert run.event.input == {"book": "b1"}
    run.done("book", phase="compensation", iteration=1)
    assert run.event.compensated == ("book#2", "book#1")


# --- what makes them valid ---------------------------------------------------------------------------------


CIRCLE = (
    "a → b → a is a cycle; a can take b of the previous iteration: give that parameter a default for the"
    " first one (in a document, mark it carried too)"
)


def found(*nodes) -> list[str]:
    return faults(Document(workflow_id="w", version="v1", nodes=nodes))


@pytest.mark.parametrize(
    ("nodes", "fault"),
    [
        (
            [node("a"), loop("l", "a", back_to="aa")],
            "l: back_to names 'aa', which is not a node (did you mean a?)",
        ),
        (
            [node("a"), loop("l", "a", back_to="l")],
            "l: back_to names the condition itself; expected the node where an iteration begins",
        ),
        (
            [node("a"), node("b"), loop("l", "a", back_to="b")],
            "l: no path leads from its back_to, b, to l",
        ),
        ([node("a"), loop("l", "a", back_to="a", bound=0)], "l: max_iterations is 0; expected 1 or more"),
        (
            [
                router("r", routes=["b"]),
                node("a"),
                node("b", "a"),
                loop("l", "b", back_to="a"),
            ],
            "the loop l has two entries: a and b; the router r, outside of the loop, can choose b",
        ),
        (
            [
                node("a"),
                node("b", "a"),
                node("c", "b"),
                loop("l", "b", back_to="a"),
                loop("m", "c", "l", back_to="b"),
            ],
            "the loops l and m share b; nest one inside the other, or separate them",
        ),
        (
            [carried(node("a"), "b"), node("b", "a"), loop("l", "a", back_to="a"), node("z")],
            None,
        ),
        (
            [carried(node("a"), "z"), loop("l", "a", back_to="a"), node("z")],
            "a: parameter z is carried, but no loop contains both a and z",
        ),
        (
            [node("a", "b"), node("b", "a"), loop("l", "b", back_to="a")],
            CIRCLE,
        ),
    ],
)
def test_a_loop_is_checked(nodes, fault):
    assert found(*nodes) == [] if fault is None else fault in found(*nodes)


def test_what_feeds_a_carried_parameter_belongs_to_the_region():
    graph = Graph(
        Document(
            workflow_id="w",
            version="v1",
            nodes=(carried(node("a"), "notes"), node("notes", "a"), loop("l", "a", back_to="a")),
        )
    )
    assert graph.regions["l"].nodes == {"a", "notes", "l"}
    assert graph.waits["l"] == {"a", "notes"}


def test_the_result_is_what_the_loop_worked_on():
    looped = Graph(Document(workflow_id="w", version="v1", nodes=tuple(writing().graph.nodes.values())[:3]))
    assert looped.sinks == ("critic",)
