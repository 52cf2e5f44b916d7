"""What authors write, and the document that it becomes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Literal, TypedDict

import pytest
from attrs import frozen

from infraweave import Context, DeclarationError, Retry, Workflow
from infraweave.core.workflow.diff import first_difference
from infraweave.core.workflow.document import Activity, HumanInput, Param, Router, Timer
from infraweave.core.workflow.document_codec import content_digest, document_from_json, document_to_json


@frozen
class Order:
    order_id: str
    tier: Literal["standard", "enterprise"] = "standard"


@frozen
class Decision:
    approved: bool
    note: str = ""


def checkout() -> Workflow:
    flow = Workflow("checkout-flow", version="v2.4", input=Order)

    @flow.node(retry=Retry(max_attempts=5), timeout="30s")
    async def reserve(input: Order) -> dict: ...

    @reserve.compensate
    async def release(reserve: dict) -> None: ...

    @flow.router(routes=["auto_approve", "approval"])
    def triage(reserve: dict, input: Order) -> str: ...

    @flow.node
    async def auto_approve(reserve: dict) -> Decision: ...

    @flow.human_input(schema=Decision, timeout="48h")
    def approval(reserve: dict) -> str: ...

    @flow.node
    async def charge(
        reserve: dict,
        auto_approve: Decision | None = None,
        approval: Decision | None = None,
        *,
        ctx: Context,
    ) -> dict: ...

    return flow


def faults(flow: Workflow) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        flow.compile()
    return list(caught.value.faults)


def test_parameter_names_make_the_edges():
    reserve, triage, _, approval, charge = checkout().compile().nodes
    assert reserve.params == (Param("input", "input"),)
    assert isinstance(reserve, Activity)
    assert (reserve.retry.max_attempts, reserve.timeout) == (5, 30.0)
    assert reserve.compensate.params == (Param("reserve", "reserve"),)
    assert isinstance(triage, Router)
    assert (triage.routes, triage.many) == (("auto_approve", "approval"), False)
    assert isinstance(approval, HumanInput)
    assert approval.timeout == 48 * 3600.0
    assert charge.params == (
        Param("reserve", "reserve"),
        Param("auto_approve", "auto_approve", required=False),
        Param("approval", "approval", required=False),
    )


def test_the_schemas_come_from_the_annotations():
    document = checkout().compile()
    assert document.input_schema == {
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "tier": {"type": "string", "enum": ["standard", "enterprise"], "default": "standard"},
        },
        "required": ["order_id"],
        "additionalProperties": False,
    }
    assert document.nodes[3].schema["required"] == ["approved"]


def test_a_document_survives_json():
    document = checkout().compile()
    assert document_from_json(document_to_json(document)) == document


def test_the_code_knows_its_context_and_its_parameters():
    code = checkout().codes()["checkout-flow:charge"]
    assert code.context_param == "ctx"
    assert code.is_async
    assert [(p.name, p.has_default) for p in code.params] == [
        ("reserve", False),
        ("auto_approve", True),
        ("approval", True),
    ]


def test_classes_of_a_function_may_be_used_in_annotations():
    @dataclasses.dataclass
    class Local:
        name: str

    class Typed(TypedDict):
        count: int

    flow = Workflow("local", version="v1", input=Local)

    @flow.node
    def greet(input: Local) -> Typed: ...

    assert flow.codes()["local:greet"].params[0].annotation is Local
    assert flow.compile().input_schema["properties"] == {"name": {"type": "string"}}


async def test_a_decorated_function_stays_an_ordinary_function():
    flow = Workflow("plain", version="v1")

    @flow.node
    async def double(n: int = 2) -> int:
        """Twice as much."""
        return 2 * n

    assert await double(4) == 8
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")


def test_the_call_forms_declare_waits():
    flow = Workflow("waits", version="v1")
    nap = flow.sleep("nap", "24h")
    flow.human_input("approval", prompt="Go?", schema={"type": "boolean"}, timeout=60, after=[nap])

    @flow.node
    def last(approval: bool) -> None: ...

    flow.output(last)
    document = flow.compile()
    assert document.nodes[0] == Timer(name="nap", delay=86400.0)
    assert document.nodes[1].after == ("nap",)
    assert document.output == "last"


def test_generated_nodes_have_names_of_their_own():
    flow = Workflow("generated", version="v1")
    for place in range(3):

        @flow.node(name=f"n{place}", after=[f"n{place - 1}"] if place else [])
        def body(ctx: Context, place: int = place) -> int:
            return place

    assert "n2: parameter place names no node" in "; ".join(faults(flow))


def test_a_derived_version_follows_the_content_and_not_the_order():
    def flow(names: list[str]) -> Workflow:
        made = Workflow("derived")
        for name in names:
            made.sleep(name, 5)
        return made

    one, same, other = flow(["a", "b"]), flow(["b", "a"]), flow(["a", "c"])
    assert one.compile().version == same.compile().version
    assert one.compile().version != other.compile().version
    assert one.compile().version.startswith("v-")
    assert content_digest(one.compile()) == content_digest(same.compile())


def test_every_mistake_is_told_at_once():
    flow = Workflow("wrong", version="v1")

    @flow.node(timeout="soon")
    def first(inptu: int) -> None: ...

    @flow.node(after=["nowhere"], retry=Retry(max_attempts=0))
    def second(first: int, /) -> None: ...

    @flow.router(routes=["secnd"])
    def way(first: int) -> str: ...

    @flow.node(name="second")
    def again() -> None: ...

    flow.output("nothing")
    assert sorted(faults(flow)) == [
        "first: parameter inptu names no node; there are input, second, way (did you mean input?)",
        "first: timeout: 'soon' is not a duration; give seconds (30) or text such as '30s', '48h' or '1h30m'",
        "output 'nothing' is not a node",
        "second: after names 'nowhere', which is not a node",
        "second: parameter first, which is positional-only, cannot be bound; parameters are bound by name",
        "second: retry.max_attempts is 0; expected 1 or more",
        "second: there are several nodes of this name",
        "way: parameter first takes an integer, and first gives null",
        "way: route 'secnd' is not a node (did you mean second?)",
    ]


def test_a_cycle_is_told_with_its_nodes():
    flow = Workflow("cycle", version="v1")

    @flow.node
    def a(c: int) -> int: ...

    @flow.node
    def b(a: int) -> int: ...

    @flow.node
    def c(b: int) -> int: ...

    assert faults(flow) == ["a → b → c → a is a cycle; a node cannot wait for itself"]


def test_data_that_could_only_ever_be_skipped_is_told():
    flow = Workflow("never", version="v1")

    @flow.router(routes=["yes", "no"])
    def choose() -> str: ...

    @flow.node
    def yes() -> int: ...

    @flow.node
    def no() -> int: ...

    @flow.node
    def both(yes: int, no: int) -> int: ...

    assert "both: it needs both yes and no" in faults(flow)[0]


def test_a_router_that_returns_lists_may_choose_both():
    flow = Workflow("both", version="v1")

    @flow.router(routes=["yes", "no"])
    def choose() -> list[str]: ...

    @flow.node
    def yes() -> int: ...

    @flow.node
    def no() -> int: ...

    @flow.node
    def both(yes: int, no: int) -> int: ...

    assert flow.compile().nodes[0].many


def test_the_first_difference_is_named():
    def flow(attempts: int) -> Workflow:
        made = Workflow("diff", version="v1")

        @made.node(retry=Retry(max_attempts=attempts))
        def act() -> None: ...

        return made

    assert first_difference(flow(3).compile(), flow(3).compile()) is None
    assert first_difference(flow(4).compile(), flow(5).compile()) == (
        "node act: retry.max_attempts is 5, was 4"
    )


def test_two_thousand_nodes_compile():
    flow = Workflow("wide", version="v1")
    for place in range(2_000):
        flow.sleep(f"n{place}", 1, after=[f"n{place - 1}"] if place else [])
    assert len(flow.compile().nodes) == 2_000


def test_importing_infraweave_loads_no_server():
    code = "import sys, infraweave; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & {"quart", "hypercorn", "aiosqlite", "sqlite3", "click", "httpx"} == set()
