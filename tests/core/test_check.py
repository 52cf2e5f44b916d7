"""Which documents are refused, in which words; and how two documents are told apart."""

import random
import time
from time import process_time

import pytest
from attrs import evolve

from infraweave.core.layout.layout import layout
from infraweave.core.workflow.diff import differences, first_difference
from infraweave.core.workflow.document import (
    Activity,
    Compensation,
    Document,
    HumanInput,
    Loop,
    Map,
    Param,
    Retry,
    Router,
    Timer,
)
from infraweave.core.workflow.document_codec import content_digest, document_from_json, document_to_json
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.rules.check import MAX_FAULTS
from tests.core.faults import faults
from tests.core.graphs import random_document


def act(name, *requires, optional=(), after=(), **more):
    params = [Param(source, source) for source in requires]
    params += [Param(source, source, required=False) for source in optional]
    return Activity(name=name, code=f"w:{name}", params=tuple(params), after=tuple(after), **more)


def router(name, *routes, many=False, requires=()):
    params = tuple(Param(source, source) for source in requires)
    return Router(name=name, code=f"w:{name}", routes=routes, many=many, params=params)


def human(name, *requires, **more):
    params = tuple(Param(source, source) for source in requires)
    more.setdefault("prompt", "Go?")
    return HumanInput(name=name, params=params, **{"schema": {}, **more})


def document(*nodes, **more):
    return Document(**{"workflow_id": "w", "version": "v1", "nodes": nodes, **more})


CHECKOUT = document(
    act("reserve", "input", compensate=Compensation(code="w:release", params=(Param("reserve", "reserve"),))),
    router("triage", "auto_approve", "approval", requires=["reserve", "input"]),
    act("auto_approve", "reserve"),
    human("approval", "reserve", timeout=48 * 3600.0),
    act("charge", "reserve", optional=["auto_approve", "approval"]),
)


def test_the_checkout_flow_is_sound():
    assert faults(CHECKOUT) == []


@pytest.mark.parametrize("seed", range(200))
def test_random_documents_whose_edges_lead_forward_have_no_faults_but_skipped_data(seed):
    assert [fault for fault in faults(random_document(random.Random(seed), 12)) if "both" not in fault] == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"workflow_id": "a b"}, "workflow_id 'a b' must be 1 to 128"),
        ({"workflow_id": "-a"}, "workflow_id '-a' must be"),
        ({"workflow_id": "a\n"}, "workflow_id 'a\\n' must be"),
        ({"version": ""}, "version '' must be"),
        ({"version": "v" * 129}, "version 'vvv"),
        ({"nodes": ()}, "there are no nodes"),
        (
            {"output": "chrage", "nodes": (act("charge"),)},
            "output 'chrage' is not a node (did you mean charge?)",
        ),
        ({"input_schema": {"type": "objetc"}}, "input: /type must be one of"),
    ],
)
def test_the_document_itself(wrong, words):
    [fault] = faults(document(**{"nodes": (act("a"),), **wrong}))

    assert fault.startswith(words)


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        (act("9a"), "'9a' is not a node name; expected a letter or _, then letters, digits, _ or -"),
        (act("input"), "'input' is not a node name; it stands for the run's input"),
        (act("n", retry=Retry(max_attempts=0)), "n: retry.max_attempts is 0; expected 1 or more"),
        (act("n", retry=Retry(initial=-1.0)), "n: retry.initial is -1.0; expected 0 or more"),
        (act("n", retry=Retry(factor=0.5)), "n: retry.factor is 0.5; expected 1 or more"),
        (act("n", retry=Retry(maximum=float("nan"))), "n: retry.maximum is nan; expected 0 or more"),
        (act("n", retry=Retry(maximum=float("inf"))), "n: retry.maximum is inf; expected 0 or more"),
        (act("n", timeout=0.0), "n: timeout is 0.0; expected more than 0 seconds"),
        (act("n", timeout=1e300), "n: timeout is 1e+300; expected at most 3.1536e+09 (36500d)"),
        (
            act("n", compensate=Compensation(code="u", timeout=-1.0)),
            "n: compensate: timeout is -1.0; expected more than 0 seconds",
        ),
        (human("h", timeout=-2.0), "h: timeout is -2.0; expected more than 0 seconds"),
        (human("h", schema={"$ref": "#/x"}), "h: schema: $ref '#/x' names nothing in the schema"),
        (
            human("h", prompt=None),
            "h: a human input needs a prompt or a function that returns one, not both",
        ),
        (Timer(name="t"), "t: a timer needs one of a delay, a function or an expression that returns one"),
        (
            Timer(name="t", delay=1.0, code="c"),
            "t: a timer needs one of a delay, a function or an expression that returns one",
        ),
        (Timer(name="t", delay=-1.0), "t: delay is -1.0; expected 0 or more"),
        (Timer(name="t", delay=1e300), "t: delay is 1e+300; expected at most 3.1536e+09 (36500d)"),
        (act("n", "n"), "n: parameter n names the node itself"),
        (act("n", after=["n"]), "n: it cannot run after itself"),
        (
            Map(name="m", over="m", code="c"),
            "m: over names the map itself; expected a node before it, or input",
        ),
        (act("n", "inptu"), "n: parameter inptu names no node; there are input (did you mean input?)"),
        (act("n", after=["m"]), "n: after names 'm', which is not a node"),
        (act("n", "input", "input"), "n: parameter input is declared twice"),
        (router("r"), "r: a router needs routes"),
        (router("r", "r"), "r: a router cannot choose itself"),
        (router("r", "gone"), "r: route 'gone' is not a node"),
    ],
)
def test_one_node(node, fault):
    assert fault in faults(document(node))


def test_all_faults_are_told_at_once():
    found = faults(
        document(
            act("a", "b"),
            act("b", "a"),
            act("c", "nowhere", timeout=-1.0),
            act("d"),
            act("e", after=["f"]),
            act("f", after=["e"]),
            version="",
        )
    )

    assert found == [
        "version '' must be 1 to 128 letters, digits, . _ or -",
        "c: timeout is -1.0; expected more than 0 seconds",
        "c: parameter nowhere names no node; there are input, a, b, d, e, f",
        "a → b → a is a cycle; a node cannot wait for itself",
        "e → f → e is a cycle; a node cannot wait for itself",
    ]


def test_a_name_belongs_to_one_node():
    assert faults(document(act("a"), act("b"), act("a"))) == ["a: there are several nodes of this name"]


def test_a_cycle_is_told_in_its_order_without_what_hangs_on_it():
    nodes = act("start"), act("a", "c", "start"), act("b", "a"), act("c", "b"), act("end", "c")

    assert faults(document(*nodes)) == ["a → b → c → a is a cycle; a node cannot wait for itself"]


def test_a_route_cannot_come_before_its_router():
    nodes = act("first"), router("choose", "first", "other", requires=["first"]), act("other")

    assert faults(document(*nodes)) == [
        "first → choose → first is a cycle; first is a route of choose and cannot come before it"
    ]


def test_a_node_is_the_target_of_one_router():
    nodes = router("one", "x"), router("two", "x"), act("x")

    assert faults(document(*nodes)) == ["x: it is a route of both one and two; expected one"]


def test_a_route_stands_once():
    assert faults(document(router("r", "x", "x"), act("x"))) == ["r: route x is listed 2 times"]


def test_a_compensation_may_take_its_own_node_and_what_that_could_take():
    def undone(*sources):
        undo = Compensation(code="w:undo", params=tuple(Param(s, s) for s in sources))
        return document(act("first"), act("b", "first", compensate=undo), act("beside"), act("later", "b"))

    assert faults(undone("b", "input", "first", "beside")) == []
    assert faults(undone("later")) == ["b.compensate: parameter later names a node that comes after b"]
    [fault] = faults(undone("ltaer"))
    assert fault.startswith("b.compensate: parameter ltaer names no node; there are input, b, beside, first")
    assert fault.endswith("(did you mean later?)")


# --- data that can only ever be skipped --------------------------------------------------------------------

NEVER = (
    "{}: it needs both {} and {}, but router r chooses one of them, so it would always be skipped;"
    " give the parameters defaults"
)


def test_a_node_cannot_require_two_routes_of_one_choice():
    nodes = router("r", "x", "y"), act("x"), act("y"), act("join", "x", "y"), act("after_it", "join")

    assert faults(document(*nodes)) == [NEVER.format("join", "x", "y")]


def test_a_default_lets_branches_join():
    nodes = router("r", "x", "y"), act("x"), act("y")

    assert faults(document(*nodes, act("join", "x", optional=["y"]))) == []
    assert faults(document(*nodes, act("join", after=["x", "y"]))) == []


def test_a_router_that_returns_lists_chooses_both():
    assert faults(document(router("r", "x", "y", many=True), act("x"), act("y"), act("j", "x", "y"))) == []


def test_requirements_reach_through_other_nodes():
    nodes = router("r", "x", "y"), act("x"), act("y"), act("x2", "x"), act("y2", "y")

    assert faults(document(*nodes, act("join", "x2", "y2"))) == [NEVER.format("join", "x", "y")]


def test_a_node_whose_upstreams_all_need_one_route_needs_it_too():
    nodes = router("r", "x", "y"), act("x"), act("y"), act("a", "x"), act("b", "x")

    assert faults(document(*nodes, act("c", optional=["a", "b"]), act("d", "c", "y"))) == [
        NEVER.format("d", "x", "y")
    ]
    assert faults(document(*nodes, act("c", optional=["a", "y"]), act("d", "c", "x"))) == []


def test_a_route_that_requires_its_rival_never_runs():
    assert faults(document(router("r", "x", "y"), act("x"), act("y", "x"))) == [NEVER.format("y", "x", "y")]


# --- hostile documents -------------------------------------------------------------------------------------


def test_more_than_ten_thousand_nodes_are_refused_at_once():
    nodes = [Timer(name=f"n{place}", delay=-1.0) for place in range(10_001)]

    assert faults(document(*nodes)) == ["there are 10,001 nodes, more than 10,000"]


def test_more_than_two_thousand_expressions_are_refused_at_once():
    nodes = [Activity(name=f"n{place}", expression="(") for place in range(2_001)]

    assert faults(document(*nodes)) == ["there are 2,001 expressions, more than 2,000"]


@pytest.mark.parametrize("kind", ["chain", "wide", "layers"])
def test_the_check_and_the_drawing_of_a_graph_grow_as_it_does(kind):
    def taken(count):
        nodes = [act(f"n{at}", *(f"n{s}" for s in _sources(kind, at))) for at in range(count)]
        begun = process_time()
        assert faults(document(*nodes)) == []
        graph = Graph(document(*nodes))
        assert graph.sinks
        layout(graph)
        return process_time() - begun

    small = min(taken(500) for _ in range(3))
    assert taken(5_000) < small * 40 + 1.0  # linear would be ten times; the square a hundred


def _sources(kind, at):
    """Return the nodes before one."""
    if kind == "layers":
        return [source for source in (at - 50, at - 49) if 0 <= source < at - at % 50]
    return [] if not at else [at - 1 if kind == "chain" else 0]


def test_of_very_many_faults_a_hundred_are_told_and_the_rest_is_not_sought():
    nodes = [act(f"node{i}", *(f"nodx{i}{j}" for j in range(30))) for i in range(2_000)]
    began = time.process_time()
    found = faults(document(*nodes))

    assert len(found) == MAX_FAULTS + 1
    assert found[-1] == "there are more faults"
    assert max(map(len, found)) < 1_000
    assert time.process_time() - began < 5


def test_a_thousand_cycles_are_told_in_bounded_time():
    nodes = [act(f"n{i}", after=[f"n{i ^ 1}"]) for i in range(2_000)]
    began = time.process_time()

    assert len(faults(document(*nodes))) == MAX_FAULTS + 1
    assert time.process_time() - began < 5


def test_a_dense_graph_is_checked_in_bounded_time():
    undo = Compensation(code="u", params=(Param("n0", "n0"),))
    nodes = [act(f"n{i}", after=[f"n{j}" for j in range(max(0, i - 100), i)]) for i in range(2_000)]
    began = time.process_time()

    assert faults(document(*nodes[:-1], evolve(nodes[-1], compensate=undo))) == []
    assert time.process_time() - began < 5


def again(name, before, back_to):
    return Loop(name=name, expression="false", after=(before,), back_to=back_to, max_iterations=2)


def test_more_loops_or_races_than_anybody_can_follow_are_refused_at_once():
    loops = [again(f"l{i}", "n", "n") for i in range(201)]
    races = [act(f"r{i}", optional=["n"], join="any") for i in range(201)]

    assert faults(document(act("n"), *loops, *races)) == [
        "there are 201 loops, more than 200",
        "there are 201 races, more than 200",
    ]


@pytest.mark.parametrize("kind", ["loops", "races"])
def test_two_hundred_within_each_other_around_a_dense_graph_are_checked_in_bounded_time(kind):
    nodes = [act(f"n{i}", after=[f"n{j}" for j in range(max(0, i - 40), i)]) for i in range(1_800)]
    for i in range(200):
        before = nodes[-1].name
        is_loop = kind == "loops"
        nodes.append(
            again(f"l{i}", before, f"n{199 - i}") if is_loop else act(f"r{i}", optional=[before], join="any")
        )
    began = time.process_time()

    assert faults(document(*nodes)) == []
    assert time.process_time() - began < 20


# --- differences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (document(act("a", retry=Retry(max_attempts=5))), "node a: retry.max_attempts is 5, was 3"),
        (document(act("a", timeout=30.0)), "node a: timeout is 30, was null"),
        (document(act("a", kind="agent")), 'node a: kind is "agent", was "node"'),
        (document(act("a", after=["b"])), 'node a: after is ["b"], was []'),
        (document(act("a"), act("b")), "node b is new"),
        (document(act("b")), "node a is gone"),
        (document(act("a"), output="a"), 'output is "a", was null'),
        (document(act("a"), input_schema={"type": "object", "title": "x"}), "input_schema.title is new"),
        (document(act("a"), input_schema={}), "input_schema.type is gone"),
    ],
)
def test_the_first_difference_is_one_sentence(new, sentence):
    assert first_difference(document(act("a")), new) == sentence


def test_parameters_are_compared_one_by_one():
    old, new = document(act("a", "input")), document(act("a", optional=["input"]))

    assert first_difference(old, new) == "node a: params.input.required is false, was true"


def test_of_several_parameters_those_are_told_that_came_went_and_changed():
    old, new = document(act("a", "input", "b", "c")), document(act("a", "b", optional=["c"]))
    told = [each.text for each in differences(old, new)]
    assert told == ["node a: params.input is gone", "node a: params.c.required is false, was true"]
    told = [each.text for each in differences(document(act("a")), document(act("a", "x")))]
    assert told == ["node a: params.x is new"]


def test_another_order_of_parameters_is_one_difference():
    old, new = document(act("a", "b", "c")), document(act("a", "c", "x", "b"))
    assert [each.text for each in differences(old, new)] == [
        "node a: params.x is new",
        'node a: params is ["c","x","b"], was ["b","c"]',
    ]


def test_things_whose_name_is_no_text_are_compared_whole():
    old, new = (document(act("a"), input_schema={"default": [{"name": {}}] * count}) for count in (1, 2))
    assert (
        first_difference(old, new) == 'input_schema.default is [{"name":{}},{"name":{}}], was [{"name":{}}]'
    )


def test_true_is_not_one():
    old, new = (document(act("a"), input_schema={"const": value}) for value in (1, True))

    assert first_difference(old, new) == "input_schema.const is true, was 1"


def test_version_and_order_are_no_difference():
    assert first_difference(document(act("a"), act("b")), document(act("b"), act("a"), version="v2")) is None


@pytest.mark.parametrize("seed", range(50))
def test_there_is_a_difference_exactly_where_the_digest_differs(seed):
    rng = random.Random(seed)
    old = random_document(rng)
    shuffled = evolve(old, nodes=tuple(rng.sample(old.nodes, len(old.nodes))))
    other = random_document(rng)

    assert first_difference(old, shuffled) is None
    assert first_difference(old, document_from_json(document_to_json(old))) is None
    assert (first_difference(old, other) is None) == (content_digest(old) == content_digest(other))
