"""What an author may write, and in which order: names, scopes, routes, undoing, size."""

from __future__ import annotations

import functools
import inspect
import time
from enum import Enum, StrEnum

import attrs
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from infraweave import Context, DeclarationError, Retry, Workflow
from infraweave.core.workflow.document import Param, Timer
from infraweave.core.workflow.document_codec import content_digest


@frozen
class Order:
    order_id: str
    lines: list[Line]


@frozen
class Line:
    sku: str


def faults(flow: Workflow) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        flow.compile()
    return list(caught.value.faults)


def identity(x):
    return x


# --- the function stays a function -------------------------------------------------------------------------


def test_a_node_looks_and_acts_like_its_function():
    flow = Workflow("plain", version="v1")

    @flow.node(name="other")
    def act(first: int, /, second: int = 2, *more: int, third: int = 3) -> int:
        """Do it."""
        return sum((first, second, *more, third))

    assert act(1, 2, 4, third=5) == 12
    assert (act.__name__, act.__doc__, act.name) == ("act", "Do it.", "other")
    assert str(inspect.signature(act)).startswith("(first")
    with pytest.raises(TypeError):
        act()


def test_attributes_of_a_function_do_not_hide_those_of_its_node():
    def act(): ...

    act.declaration = act.function = "mine"
    flow = Workflow("attributes", version="v1")

    assert flow.node(act).name == "act"
    assert flow.compile().nodes[0].name == "act"


def test_a_compensation_is_given_back_as_it_was():
    flow = Workflow("undo", version="v1")

    @flow.node
    def act(): ...

    def undo(): ...

    assert act.compensate(undo) is undo


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["_", "a-b", "A9", "class", "compensate", "x" * 128])
def test_names_that_nodes_may_have(name):
    flow = Workflow("names", version="v1")
    flow.sleep(name, 1)

    assert flow.compile().nodes[0].name == name


@pytest.mark.parametrize("name", ["", "9", "-a", "a b", "größe", "a\n", "a.b", "a:b", "<lambda>", "x" * 129])
def test_names_that_nodes_may_not_have(name):
    flow = Workflow("names", version="v1")
    flow.node(name=name)(lambda: 1)
    [fault] = faults(flow)

    assert "\n" not in fault
    assert "then letters, digits, _ or -" in fault


def test_what_has_no_name_is_given_one():
    class Act:
        def __call__(self): ...

    flow = Workflow("names", version="v1")
    flow.node(name="object")(Act())
    flow.node(name="text")(lambda: 1)
    flow.node(functools.partial(functools.partial(identity), x=1))

    assert [node.name for node in flow.compile().nodes] == ["object", "text", "identity"]
    flow.node(Act())
    assert "'' is not a node" in faults(flow)[0]


def test_what_is_no_text_is_told():
    flow = Workflow(7, version=2.4)
    flow.node(name=5)(lambda: 1)
    flow.human_input("ask", prompt=6, schema={})

    assert [fault.partition(";")[0] for fault in faults(flow)] == [
        "workflow_id is 7",
        "version is 2.4",
        "ask: prompt is 6",
        faults(flow)[3].partition(";")[0],
    ]
    assert faults(flow)[3].startswith("'5' is not a node")


@pytest.mark.parametrize("thing", [5, "text", None, [], dict, classmethod(identity)])
def test_what_is_no_function_is_told(thing):
    flow = Workflow("things", version="v1")
    flow.node(name="act")(thing)

    assert "act: " in faults(flow)[0]
    assert "is not a function whose parameters can be read" in faults(flow)[0]


def test_an_unbound_method_is_told_by_its_self():
    class Shop:
        def buy(self, input): ...

    flow = Workflow("methods", version="v1")
    flow.node(Shop.buy)

    assert faults(flow) == ["buy: parameter self names no node; there are input"]


# --- the order of declarations is free ---------------------------------------------------------------------


def test_a_node_may_name_one_that_is_declared_later():
    flow = Workflow("free", version="v1")

    @flow.node(after=["nap"])
    def last(first: int, nap: None = None) -> int: ...

    @flow.node
    def first(input: dict) -> int: ...

    flow.sleep("nap", 1)
    last_node, *_ = flow.compile().nodes
    assert last_node.params == (Param("first", "first"), Param("nap", "nap", required=False))
    assert last_node.after == ("nap",)


def started(input): ...


PIECES = {
    "reserve": lambda flow: flow.node(name="reserve", retry=Retry(max_attempts=5))(started),
    "way": lambda flow: flow.router(name="way", routes=["ask", "auto"])(lambda reserve: "ask"),
    "ask": lambda flow: flow.human_input("ask", prompt="Go?", schema={"type": "boolean"}, timeout="48h"),
    "auto": lambda flow: flow.node(name="auto")(lambda reserve: True),
    "nap": lambda flow: flow.sleep("nap", "1h", after=["reserve"]),
    "end": lambda flow: flow.node(name="end", after=["nap"])(lambda ask=None, auto=None: 1),
}


def made(names, **options) -> Workflow:
    flow = Workflow("derived", **options)
    for name in names:
        PIECES[name](flow)
    return flow


@given(st.permutations(list(PIECES)))
def test_a_derived_version_does_not_depend_on_the_order(names):
    assert made(names).compile().version == made(PIECES).compile().version


@given(st.lists(st.sampled_from(["reserve", "auto", "nap"]), min_size=1, unique=True))
def test_a_derived_version_depends_on_the_content(names):
    flow = made(["reserve", *(name for name in names if name != "reserve")])
    whole = made(["reserve", "auto", "nap"])

    same = flow.compile().nodes and {"auto", "nap"} <= set(names)
    assert (flow.compile().version == whole.compile().version) == same


def test_a_given_version_is_kept_and_is_no_content():
    one, two = made(PIECES, version="v1").compile(), made(PIECES, version="v2").compile()

    assert (one.version, two.version) == ("v1", "v2")
    assert content_digest(one) == content_digest(two)


def test_a_compensation_that_is_declared_later_is_compiled_later():
    flow = Workflow("undo", version="v1")
    act = flow.node(name="act")(lambda: 1)
    assert flow.compile().nodes[0].compensate is None

    act.compensate(lambda act: None)
    assert flow.compile().nodes[0].compensate.params == (Param("act", "act"),)

    flow.sleep("nap", 1)
    flow.output("act")
    assert flow.compile().output == "act"


# --- scopes ------------------------------------------------------------------------------------------------


def test_a_class_of_a_function_around_may_be_named():
    @frozen
    class Local:
        name: str

    def build() -> Workflow:
        flow = Workflow("local", version="v1")

        @flow.node
        def act(input: Local, ctx: Context | None = None) -> dict[str, Local]: ...

        @act.compensate
        def undo(act: dict[str, Local], ctx: Context): ...

        return flow

    codes = build().codes()
    assert codes["local:act"].params[0].annotation is Local
    assert codes["local:act"].returns == dict[str, Local]
    assert codes["local:act:compensate"].context_param == "ctx"


def test_a_class_may_be_a_body():
    flow = Workflow("classes", version="v1")
    flow.sleep("order_id", 1)
    flow.sleep("lines", 1)
    flow.node(name="order")(Order)
    flow.node(name="made")(attrs.make_class("Made", {"lines": attrs.field()}))

    assert [p.annotation for p in flow.codes()["classes:order"].params] == [str, list[Line]]


def test_generated_nodes_take_what_is_around_them():
    flow = Workflow("generated", version="v1")

    def make(place: int):
        @flow.node(name=f"n{place}", after=[f"n{place - 1}"] if place else [])
        def body(ctx: Context) -> int:
            return place

        return body

    for place in range(3):
        make(place)

    assert [node.after for node in flow.compile().nodes] == [(), ("n0",), ("n1",)]
    assert [code.function(None) for code in flow.codes().values()] == [0, 1, 2]


# --- routers, timers, human input --------------------------------------------------------------------------


class Route(StrEnum):
    YES = "yes"
    NO = "no"


class Plain(Enum):
    YES = "yes"
    OTHER = "other"


def routed(returns, routes) -> Workflow:
    flow = Workflow("routed", version="v1")
    flow.sleep("yes", 1)
    flow.sleep("no", 1)

    def way(): ...

    way.__annotations__["return"] = returns
    flow.router(routes=routes)(way)
    return flow


def test_the_routes_may_be_an_enum():
    router = routed(Route, list(Route)).compile().nodes[2]

    assert [type(route) for route in router.routes] == [str, str]
    assert (router.routes, router.many) == (("yes", "no"), False)
    assert routed(list[Plain], [Plain.YES]).compile().nodes[2].many
    assert faults(routed(Plain, [Plain.YES])) == [
        "way: it may return 'other', which is not one of its routes"
    ]


def test_a_timer_may_have_a_body():
    flow = Workflow("timers", version="v1")

    @flow.sleep
    def until(input: dict) -> str: ...

    @flow.sleep(name="again", after=[until])
    def other() -> float: ...

    assert flow.compile().nodes == (
        Timer(name="until", code="timers:until", params=(Param("input", "input"),)),
        Timer(name="again", code="timers:again", after=("until",)),
    )


@pytest.mark.parametrize("delay", ["soon", -1, float("nan"), "1h 30", "101000d", True, [1]])
def test_what_is_no_delay_is_told(delay):
    flow = Workflow("timers", version="v1")
    flow.sleep("nap", delay)

    assert faults(flow)[0].startswith("nap: delay: ")


def test_human_input_is_a_body_or_a_prompt():
    flow = Workflow("ask", version="v1")
    flow.human_input("call", prompt="Go?", schema=bool, timeout="1h")

    @flow.human_input(schema={"type": "object", "required": ("note",)}, name="body", after=["call"])
    def asked(call: bool) -> dict: ...

    call, body = flow.compile().nodes
    assert (call.prompt, call.code, call.timeout, call.schema) == ("Go?", None, 3600.0, {"type": "boolean"})
    assert (body.prompt, body.code, body.after) == (None, "ask:body", ("call",))
    assert body.schema == {"type": "object", "required": ["note"]}


@pytest.mark.parametrize("kind", ["router", "human_input", "sleep"])
def test_only_what_does_work_is_undone(kind):
    options = {"router": {"routes": ["x"]}, "human_input": {"schema": {}}, "sleep": {}}[kind]
    flow = Workflow("undo", version="v1")
    flow.sleep("x", 1)
    node = getattr(flow, kind)(name="it", **options)(lambda: "x")
    node.compensate(lambda it: None)
    [fault] = faults(flow)

    assert fault.endswith("has nothing to compensate; compensate the node that acts on it")


def test_a_compensation_that_binds_nothing_is_told():
    flow = Workflow("undo", version="v1")
    act = flow.node(name="act")(lambda: 1)
    act.compensate(lambda acted, limit=3: None)

    assert faults(flow) == [
        "act.compensate: parameter acted names no node; there are input, act (did you mean act?)",
        "act.compensate: parameter limit names no node; there are input, act",
    ]


# --- what JSON cannot carry, and what is too much ----------------------------------------------------------


def test_what_json_cannot_carry_is_told_with_its_node():
    flow = Workflow("json", version="v1")
    flow.human_input("bad", prompt="\ud800", schema={})
    flow.human_input("good", prompt="Go?", schema={})

    assert faults(flow) == [
        "bad: it cannot be written as JSON: str is not valid UTF-8: surrogates not allowed"
    ]


def test_retrying_for_ever_is_refused():
    flow = Workflow("ever", version="v1")
    flow.node(name="act", retry=Retry(max_attempts=10**30))(lambda: 1)

    assert faults(flow) == ["act: retry.max_attempts is more than 1,000,000"]


def test_a_schema_that_is_changed_later_changes_nothing():
    schema = {"type": "object", "properties": {}}
    flow = Workflow("schema", version="v1", input=schema)
    flow.sleep("nap", 1)
    before = content_digest(flow.compile())
    schema["properties"]["x"] = {"type": "string"}

    assert content_digest(flow.compile()) == before


def test_two_thousand_functions_compile_quickly():
    flow = Workflow("long", version="v1")

    def make(place: int) -> None:
        parameter = f"n{place - 1}" if place else "input"
        body = eval(f"lambda {parameter}, ctx: 1")
        body.__annotations__["ctx"] = "Context"
        body = functools.update_wrapper(lambda **values: 1, body)
        flow.node(name=f"n{place}")(body)

    for place in range(2_000):
        make(place)
    began = time.process_time()
    assert len(flow.compile().nodes) == 2_000
    assert time.process_time() - began < 2  # 0.3 s where nothing else runs


def test_a_thousand_routers_in_a_row_compile():
    flow = Workflow("routers", version="v1")
    for place in range(1_000):
        before = f"x{place - 1}" if place else "input"
        flow.router(name=f"r{place}", routes=[f"x{place}"])(eval(f"lambda {before}: ''"))
        flow.node(name=f"x{place}")(eval(f"lambda r{place}: 1"))
    began = time.process_time()

    assert len(flow.compile().nodes) == 2_000
    assert time.process_time() - began < 4


# --- sets --------------------------------------------------------------------------------------------------

NAMES = [f"n{number}" for number in range(20)]


@frozen
class Tagged:
    tags: frozenset[str]


def with_names(kind) -> Workflow:
    flow = Workflow("sets", version="v1")
    flow.router(name="choose", routes=kind(NAMES))(lambda: NAMES[0])
    for name in NAMES:
        flow.node(name=name)(lambda: None)
    flow.node(name="end", after=kind(NAMES))(lambda: None)
    flow.human_input("ask", prompt="?", schema={}, timeout=1, on_timeout=kind(NAMES))
    flow.signal("go", schema={}, timeout=1, on_timeout=Tagged(frozenset(kind(NAMES))))
    return flow


def test_a_set_in_a_declaration_is_the_same_content_in_every_process():
    ordered = with_names(sorted).compile()
    for kind in (set, frozenset):
        assert content_digest(with_names(kind).compile()) == content_digest(ordered)


@pytest.mark.parametrize(
    "declare",
    [
        lambda flow: flow.http("h", url="https://a.test/", accept={404, 500}),
        lambda flow: flow.http("h", method="POST", url="https://a.test/", body={"a": {"b", "c"}}),
        lambda flow: flow.signal("s", schema={"enum": {"a", "b"}}),
        lambda flow: flow.schedule("s", every="1h", input={"a": {"b", "c"}}),
        lambda flow: flow.output({"n", "m"}),
    ],
)
def test_where_an_order_or_json_is_wanted_a_set_is_refused_with_a_word(declare):
    flow = Workflow("sets", version="v1")
    for name in ("n", "m"):
        flow.sleep(name, 1)
    declare(flow)
    assert any("expected" in fault or "JSON" in fault for fault in faults(flow))


def test_an_integer_that_no_request_could_send_is_a_fault_of_on_timeout():
    flow = Workflow("large", version="v1")
    flow.signal("s", schema={}, timeout=1, on_timeout=10**30)
    assert "on_timeout" in faults(flow)[0]
