"""How functions and options are read, and what is told when they cannot be."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import pytest
from attrs import frozen

from infraweave import Context, DeclarationError, Retry, Workflow
from infraweave.authoring.signatures import Code
from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.workflow.document_codec import content_digest, document_from_json, document_to_json


def faults(flow: Workflow) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        flow.compile()
    return list(caught.value.faults)


def one(function: Any, **options: Any) -> Workflow:
    flow = Workflow("one", version="v1")
    flow.node(name="act", **options)(function)
    return flow


def code(function: Any) -> Code:
    return one(function).codes()["one:act"]


async def body(input: dict) -> int:
    return 1


# --- functions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation", ["Context", "Context | None", "Annotated[Context, 'mine']", Context, Context | None]
)
def test_the_context_is_known_by_its_annotation_however_it_is_spelled(annotation):
    def act(anything): ...

    act.__annotations__["anything"] = annotation
    assert code(act).context_param == "anything"
    assert code(act).params == ()


def test_a_context_without_annotation_is_told_how_to_write_it():
    def act(ctx): ...

    assert faults(one(act)) == ["act: parameter ctx is not annotated; write ctx: Context for the Context"]


def test_a_node_may_be_called_ctx():
    flow = Workflow("odd", version="v1")
    flow.sleep("ctx", 1)

    @flow.node
    def act(ctx): ...

    assert flow.compile().nodes[1].params[0].source == "ctx"


def test_two_contexts_are_one_too_many():
    def act(a: Context, b: Context): ...

    assert faults(one(act)) == ["act: parameters a and b both take the Context"]


def test_an_annotation_that_cannot_be_read_hides_no_other_fault():
    def act(input: Nowhere, b: int): ...  # noqa: F821

    assert faults(one(act, timeout="soon")) == [
        "act: the annotation of input cannot be read: name 'Nowhere' is not defined",
        "act: timeout: 'soon' is not a duration; give seconds (30) or text such as '30s', '48h' or '1h30m'",
        "act: parameter b names no node; there are input",
    ]


def test_a_class_from_around_the_function_may_be_named():
    def make():
        @frozen
        class Local: ...

        def act(input: Local) -> Local:
            return Local()

        return act, Local

    act, local = make()
    assert code(act).params[0].annotation is local


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda *args: 1, "parameter *args cannot be bound; parameters are bound by name"),
        (lambda **more: 1, "parameter **more cannot be bound; parameters are bound by name"),
        (
            lambda a, /: 1,
            "parameter a, which is positional-only, cannot be bound; parameters are bound by name",
        ),
    ],
)
def test_parameters_are_bound_by_name(wrong, fault):
    assert faults(one(wrong)) == [f"act: {fault}"]


def test_a_defaulted_parameter_must_name_a_node_too():
    def act(limit: int = 3): ...

    assert faults(one(act)) == ["act: parameter limit names no node; there are input"]


def test_a_parameter_that_no_json_can_become_is_told_before_anything_runs():
    class Client: ...

    def act(input: dict[str, Client], nap: None, ctx: Context): ...

    flow = one(act)
    flow.sleep("nap", 1)
    [fault] = faults(flow)
    assert fault.startswith("act: parameter input: ")
    assert fault.endswith("Client cannot be made from JSON")


def test_a_generator_is_no_body():
    def act():
        yield 1

    async def also():
        yield 1

    assert faults(one(act)) == faults(one(also)) == ["act: it yields; a node returns one value"]


def test_partials_methods_and_callable_objects_are_bodies():
    class Shop:
        async def buy(self, input: dict) -> int:
            return 1

        async def __call__(self, input: dict) -> int:
            return 1

    async def act(input: dict, limit: int) -> int:
        return limit

    for function in (Shop().buy, Shop(), functools.partial(act, limit=3)):
        assert code(function).is_async
        assert [param.name for param in code(function).params] == ["input"]


def test_one_function_may_serve_several_workflows():
    first, second = Workflow("first", version="v1"), Workflow("second", version="v1")
    node = first.node(body)
    second.node(name="again")(node)

    assert second.codes()["second:again"].function is body
    assert second.codes()["second:again"].is_async


# --- routers and compensations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returns", "many"),
    [
        (str, False),
        (Literal["x", "y"], False),
        (Annotated[str, "one"], False),
        (list[str], True),
        (str | list[str], True),
        (None, True),
    ],
)
def test_a_router_that_returns_text_chooses_one_route(returns, many):
    flow = Workflow("way", version="v1")

    def way(): ...

    way.__annotations__["return"] = returns
    router = flow.router(routes=["x", flow.sleep("y", 1)])(way)
    flow.sleep("x", 1)

    assert flow.compile().nodes[1].many is many
    assert router.name == "way"


def test_a_literal_that_is_no_route_is_told():
    flow = Workflow("way", version="v1")
    flow.sleep("x", 1)

    @flow.router(routes=["x"])
    def way() -> Literal["x", "z"]: ...

    assert faults(flow) == ["way: it may return 'z', which is not one of its routes"]


def test_a_node_has_one_compensation_with_options_of_its_own():
    flow = Workflow("undo", version="v1")
    node = flow.node(name="act")(body)

    @node.compensate(retry=None, timeout="5s")
    def undo(act: int, ctx: Context): ...

    compensation = flow.compile().nodes[0].compensate
    assert (compensation.code, compensation.timeout) == ("undo:act:compensate", 5.0)
    assert compensation.retry.max_attempts == 1
    assert flow.codes()["undo:act:compensate"].context_param == "ctx"

    other = Workflow("undo", version="v1")
    twice = other.node(name="act")(body)
    twice.compensate(undo)
    twice.compensate(undo)
    assert faults(other) == ["act: it has 2 compensations; expected one"]


# --- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"kind": "wizard"}, "kind is 'wizard'; expected node, agent, tool or llm"),
        ({"retry": 3}, "retry=3; expected Retry(…) or None"),
        ({"retry": Retry(max_attempts="3")}, "retry.max_attempts is '3'; expected a whole number"),
        ({"retry": Retry(factor="2")}, "retry.factor is '2'; expected a number"),
        (
            {"retry": Retry(initial="soon")},
            (
                "retry.initial: 'soon' is not a duration;"
                " give seconds (30) or text such as '30s', '48h' or '1h30m'"
            ),
        ),
        ({"timeout": 0}, "timeout is 0.0; expected more than 0 seconds"),
        ({"after": [3]}, "after has 3; expected nodes or their names"),
        ({"after": 3}, "after has 3; expected nodes or their names"),
        ({"executor": "gpu"}, "executor='gpu'; expected 'default' or 'process'"),
        ({"executor": "process"}, "executor='process' takes a sync function, and this one is async"),
    ],
)
def test_a_wrong_option_is_told_with_its_node(options, fault):
    assert faults(one(body, **options)) == [f"act: {fault}"]


def test_what_stands_in_for_an_answer_needs_a_deadline():
    flow = Workflow("ask", version="v1")
    flow.human_input("ok", prompt="Go?", schema={}, on_timeout={"approved": True})

    assert faults(flow) == ["ok: on_timeout needs a timeout"]


def test_a_class_without_schema_is_told():
    flow = Workflow("ask", version="v1", input=complex)
    flow.human_input("ok", prompt="Go?", schema=range)

    assert [fault.partition(";")[0] for fault in faults(flow)] == [
        "input: no JSON Schema can be derived: complex has no JSON schema",
        "ok: no JSON Schema can be derived: range has no JSON schema",
    ]


def test_options_arrive_in_the_document():
    flow = Workflow("options", version="v1")
    first = flow.sleep("first", "1h")

    @flow.node(kind="llm", executor="process", after=first, retry=Retry(initial="500ms", maximum="1m"))
    def think(): ...

    [_, node] = flow.compile().nodes
    assert (node.kind, node.executor, node.after) == ("llm", "process", ("first",))
    assert (node.retry.initial, node.retry.maximum) == (0.5, 60.0)


def test_a_document_is_the_same_after_it_was_stored_whatever_numbers_it_was_written_with():
    document = one(body, retry=Retry(initial=2, factor=3, maximum=60), timeout=30).compile()

    assert content_digest(document) == content_digest(
        document_from_json(loads(dumps(document_to_json(document))))
    )


def test_what_is_declared_later_is_compiled_later():
    flow = one(body)
    assert len(flow.compile().nodes) == 1
    assert flow.compile() is flow.compile()

    flow.sleep("nap", 1)
    assert len(flow.compile().nodes) == 2


def test_faults_of_the_workflow_itself_are_told_with_the_others():
    flow = Workflow("no spaces", version="")

    assert faults(flow) == [
        "workflow_id 'no spaces' must be 1 to 128 letters, digits, . _ or -",
        "version '' must be 1 to 128 letters, digits, . _ or -",
        "there are no nodes",
    ]
