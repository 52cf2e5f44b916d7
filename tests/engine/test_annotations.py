"""A node's output is held to its return annotation where it is produced, and not where it is used."""

from __future__ import annotations

from typing import TypedDict

import pytest
import typing_extensions
from attrs import field, frozen
from attrs.validators import gt

from infraweave import Workflow


@frozen
class Out:
    count: int
    name: str = ""


@frozen
class Positive:
    count: int = field(validator=gt(0))


class Row(TypedDict):
    count: int


CASES = [
    (Out, {"name": "x"}, "/count is required"),
    (Out, {"count": "1"}, "/count must be an integer"),
    (Out, None, "must be an object"),
    (list[Out], [{"count": 1}, {"count": None}], "/1/count must be an integer"),
    (int, "1", "must be an integer"),
    (str, 1, "must be a string"),
    (None, 1, "must be null"),
    (Row, {}, "/count is required"),
    (dict[str, int], {"a": "b"}, "/a must be an integer"),
]


def returning(annotation, value, *, sync: bool) -> Workflow:
    flow = Workflow("held", version="v1")

    def body() -> annotation:
        return value

    async def coroutine() -> annotation:
        return value

    flow.node(name="make")(body if sync else coroutine)
    return flow


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize(("annotation", "value", "fault"), CASES, ids=str)
async def test_an_output_that_breaks_its_annotation_fails_its_own_node(world, annotation, value, fault, sync):
    flow = returning(annotation, value, sync=sync)
    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert (end["type"], end["error"]["code"], end["error"]["node"]) == ("failed", "output_invalid", "make")
    assert end["error"]["message"].endswith(f"does not fit its annotation: {fault}")
    assert end["error"]["attempt"] == 1  # trying again cannot help


async def test_a_validator_of_the_class_is_asked_where_no_instance_was_returned(world):
    flow = returning(Positive, {"count": 0}, sync=False)
    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert end["error"]["code"] == "output_invalid"
    assert end["error"]["message"].endswith("annotation: ValueError: 'count' must be > 0: 0")


@pytest.mark.parametrize(
    "typed_dict", [TypedDict, typing_extensions.TypedDict], ids=["typing", "typing_extensions"]
)
async def test_a_typed_dict_is_an_output_and_the_next_parameter(world, typed_dict):
    row = typed_dict("row", {"count": int})
    flow = returning(row, {"count": 1}, sync=True)

    @flow.node
    def total(make: row) -> list[row]:
        return [make]

    async with world(flow) as w:
        run = await w.start(flow)
        assert (await w.end(run))["type"] == "completed"


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Out, Out(1)),
        (Out, {"count": 1}),
        (list[Out], [Out(1)]),
        (float, 1),
        (tuple[int, ...], (1, 2)),
    ],
    ids=str,
)
async def test_an_output_that_fits_completes(world, annotation, value):
    flow = returning(annotation, value, sync=True)
    async with world(flow) as w:
        assert (await w.end(await w.start(flow)))["type"] == "completed"


async def test_an_annotation_without_a_schema_promises_nothing(world):
    flow = returning(complex, "text", sync=True)
    async with world(flow) as w:
        assert (await w.end(await w.start(flow)))["type"] == "completed"
