"""What a run is given: the same to all that read it, whoever has started it."""

from __future__ import annotations

import attrs
import pytest

from infraweave import Concurrency, Workflow
from infraweave.core.document import Activity, Document, Param
from tests.engine.test_expressions import Made


@attrs.frozen
class In:
    who: str = "world"
    docs: tuple[str, ...] = ("a", "b")


def greeting() -> Workflow:
    flow = Workflow("greeting", version="v1", input=In, concurrency=Concurrency(1, key="{input.who}"))

    @flow.map(over="input.docs")
    async def each(item: str):
        return item.upper()

    @flow.node
    async def hello(input: In):
        return f"hello {input.who}"

    return flow


async def test_a_map_and_a_key_read_the_defaults_that_bodies_read(world):
    async with world(greeting()) as w:
        run = await w.start("greeting", {})
        end = await w.end(run)
        assert end["result"] == {"each": ["A", "B"], "hello": "hello world"}
        assert (await w.engine.inspect(run)).input == {"who": "world", "docs": ["a", "b"]}
        assert (await w.engine.runs.get(run.run_id)).lane is not None


async def test_an_expression_of_a_document_reads_the_defaults_of_its_schema(world):
    schema = {"type": "object", "properties": {"total": {"type": "integer", "default": 7}}}
    node = Activity(name="double", expression="input.total * 2", params=(Param("input", "input"),))
    made = Made(Document(workflow_id="made", version="v1", input_schema=schema, nodes=(node,)))
    async with world(made) as w:
        assert (await w.end(await w.start("made", {})))["result"] == 14
        assert (await w.end(await w.start("made", {"total": 1})))["result"] == 2


async def test_a_child_reads_the_defaults_of_its_own_schema(world):
    parent = Workflow("parent", version="v1")

    @parent.subworkflow("greeting")
    async def child():
        return {}

    async with world(greeting(), parent) as w:
        end = await w.end(await w.start("parent", {}))
        assert end["result"] == {"each": ["A", "B"], "hello": "hello world"}


@pytest.mark.parametrize("given", [{"who": "Ann"}, {"docs": []}])
async def test_what_a_caller_says_stays(world, given):
    async with world(greeting()) as w:
        run = await w.start("greeting", given)
        await w.end(run)
        assert (await w.engine.inspect(run)).input == {"who": "world", "docs": ["a", "b"], **given}
