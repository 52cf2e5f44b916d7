"""Types along an edge: what a node returns and what the next one takes are compared before anything runs."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NotRequired, TypedDict

import pytest
from attrs import frozen
from pydantic import BaseModel

from infraweave import Workflow
from infraweave.errors import DeclarationError


@frozen
class Order:
    order_id: str
    amount: int = 1
    parent: Order | None = None


@frozen
class Priced:
    order_id: str
    amount: float
    parent: Order | None = None


@frozen
class Renamed:
    number: str


@frozen
class Wrong:
    order_id: int
    amount: int


class Row(TypedDict):
    order_id: str
    note: NotRequired[str]


class Model(BaseModel):
    order_id: str
    amount: int = 3


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Shade(Enum):
    DARK = "dark"


def edge(returns: Any, takes: Any) -> list[str]:
    flow = Workflow("edge", version="v1")

    def a() -> returns: ...

    def b(a: takes): ...

    flow.node(a)
    flow.node(b)
    return faults(flow)


def faults(flow: Workflow) -> list[str]:
    try:
        flow.compile()
    except DeclarationError as error:
        return list(error.faults)
    return []


@pytest.mark.parametrize(
    ("returns", "takes", "fault"),
    [
        (int, str, "takes a string, and a gives an integer"),
        (float, int, "takes an integer, and a gives a number"),
        (int | None, int, "takes an integer, and a gives an integer or null"),
        (Order | None, Order, "takes an object, and a gives an object or null"),
        (list[int], list[str], "takes a string at /*, and a gives an integer"),
        (list[Order], Order, "takes an object, and a gives an array"),
        (dict[str, int], dict[str, str], "takes a string at /*, and a gives an integer"),
        (Order, Renamed, "takes a string at /number, and a gives nothing"),
        (Order, Wrong, "takes an integer at /order_id, and a gives a string"),
        (list[Order], list[Wrong], "takes an integer at /*/order_id, and a gives a string"),
        (Model, Wrong, "takes an integer at /order_id, and a gives a string"),
        (Order, dict[str, str], "takes a string at /amount, and a gives an integer"),
        (tuple[int, str], tuple[int, int], "takes an integer at /1, and a gives a string"),
        (tuple[int, str], tuple[int, str, int], "takes 3 items, and a gives 2 items"),
        (Color, Shade, "takes one of ['dark'], and a gives one of ['red', 'blue']"),
        (Literal["x"], Literal["y"], "takes one of ['y'], and a gives one of ['x']"),
        (None, int, "takes an integer, and a gives null"),
    ],
    ids=str,
)
def test_an_edge_whose_types_clash_is_refused_with_both_ends(returns, takes, fault):
    assert edge(returns, takes) == [f"b: parameter a {fault}"]


@pytest.mark.parametrize(
    ("returns", "takes"),
    [
        (int, float),
        (int, int | None),
        (int, Any),
        (Any, int),
        (bool, bool),
        (Order, Order),
        (Order, Priced),
        (Order, Model),
        (Model, Order),
        (Order, Row),
        (Order, dict),
        (dict, Order),
        (dict[str, Any], Order),
        (list, list[int]),
        (list[Order], list[Order | None]),
        (tuple[int, ...], list[int]),
        (set[int], list[int]),
        (Color, str),
        (str, Color),
        (Literal["x"], Literal["x", "y"]),
        (complex, int),
        (int, Decimal),
        (float, Decimal | None),
        (Literal[1], Decimal),
    ],
    ids=str,
)
def test_an_edge_whose_types_may_agree_is_taken(returns, takes):
    assert edge(returns, takes) == []


def test_a_tolerant_map_gives_null_for_items_that_failed():
    def flow(takes: Any, failures: int) -> list[str]:
        made = Workflow("tolerant", version="v1", input=dict[str, list[str]])

        @made.map(over="input.names", max_failures=failures)
        def each(name: str) -> int: ...

        def total(each: takes): ...

        made.node(total)
        return faults(made)

    assert flow(list[int], 0) == flow(list[int | None], 2) == []
    assert flow(list[int], 2) == [
        "total: parameter each takes an integer at /*, and each gives an integer or null"
    ]


def test_behind_a_router_a_node_may_take_one_member_of_a_union():
    def flow(takes: Any) -> list[str]:
        made = Workflow("routed", version="v1")

        @made.node
        def a() -> Order | Renamed | None: ...

        @made.router(routes=["b"])
        def way(a: Order | Renamed | None) -> list[str]: ...

        def b(a: takes): ...

        made.node(b)

        @made.node
        def c(b: Any, a: Renamed): ...

        return faults(made)

    assert flow(Order) == []
    assert flow(int) == ["b: parameter a takes an integer, and a gives an object or null"]


def test_the_items_of_a_map_have_the_type_that_its_list_promises():
    @frozen
    class Input:
        names: list[str]

    flow = Workflow("items", version="v1", input=Input)

    @flow.map(over="input.names")
    def each(name: int) -> int: ...

    assert faults(flow) == ["each: parameter name takes an integer, and the item gives a string"]


def test_input_answers_signals_and_compensations_are_compared_too():
    flow = Workflow("others", version="v1", input=Order)
    flow.signal("paid", schema=int)

    @flow.human_input(schema=Order)
    def ask(input: Renamed) -> str: ...

    @flow.node
    def act(ask: str, paid: str) -> int: ...

    @act.compensate
    def undo(act: str): ...

    assert faults(flow) == [
        "ask: parameter input takes a string at /number, and input gives nothing",
        "act: parameter ask takes a string, and ask gives an object",
        "act: parameter paid takes a string, and paid gives an integer",
        "act.compensate: parameter act takes a string, and act gives an integer",
    ]
