"""What a run is given: the same to all that read it, whoever has started it."""

from __future__ import annotations

import dataclasses
from typing import Annotated, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from infraweave import Concurrency, Workflow
from infraweave.core.data.type_schema import schema_of
from infraweave.core.workflow.document import Activity, Document, Param
from infraweave.errors import DeclarationError, InputInvalid, VersionConflict
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
        assert (await w.engine.service.inspect(run)).input == {"who": "world", "docs": ["a", "b"]}
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
        assert (await w.engine.service.inspect(run)).input == {"who": "world", "docs": ["a", "b"], **given}


# --- unknown keys ------------------------------------------------------------------------------------------


@attrs.frozen
class AttrsLine:
    sku: str
    quantity: int = 1


@attrs.frozen
class AttrsOrder:
    who: str
    lines: list[AttrsLine] = attrs.field(factory=list)


@dataclasses.dataclass
class DataLine:
    sku: str
    quantity: int = 1


@dataclasses.dataclass
class DataOrder:
    who: str
    lines: list[DataLine]


class DictLine(TypedDict, total=False):
    sku: str
    quantity: int


class DictOrder(TypedDict):
    who: str
    lines: list[DictLine]


class ModelLine(pydantic.BaseModel):
    sku: str
    quantity: int = 1


class ModelOrder(pydantic.BaseModel):
    who: str
    lines: list[ModelLine]


class StructLine(msgspec.Struct):
    sku: str
    quantity: int = 1


class StructOrder(msgspec.Struct):
    who: str
    lines: list[StructLine]


class OpenOrder(ModelOrder, extra="allow"):
    pass


def ordering(declared, version="v1") -> Workflow:
    flow = Workflow("ordering", version=version, input=declared)

    @flow.node
    async def seen(input):
        return sorted(input)

    return flow


CLASSES = [AttrsOrder, DataOrder, DictOrder, ModelOrder, StructOrder]


@pytest.mark.parametrize("declared", CLASSES)
async def test_keys_that_no_class_knows_are_refused_with_the_nearest_that_it_does(world, declared):
    async with world(ordering(declared)) as w:
        given = {"who": "Ann", "whom": "Bob", "lines": [{"sku": "a"}, {"sku": "b", "quantty": 2}]}
        with pytest.raises(InputInvalid) as refused:
            await w.start("ordering", given)
        assert {(fault.path, fault.message) for fault in refused.value.details} == {
            ("/whom", "is not allowed; did you mean who?"),
            ("/lines/1/quantty", "is not allowed; did you mean quantity?"),
        }
        assert (await w.end(await w.start("ordering", {"who": "Ann", "lines": []})))["type"] == "completed"


@pytest.mark.parametrize(
    "declared",
    [OpenOrder, Annotated[AttrsOrder, {"additionalProperties": True}], schema_of(AttrsOrder), None],
)
async def test_an_input_that_is_declared_open_takes_other_keys(world, declared):
    async with world(ordering(declared)) as w:
        end = await w.end(await w.start("ordering", {"who": "Ann", "lines": [], "more": 1}))
        assert end["result"] == ["lines", "more", "who"]


async def test_a_child_and_a_schedule_are_held_to_the_class_too(world):
    parent = Workflow("parent", version="v1")

    @parent.subworkflow("ordering")
    async def child():
        return {"who": "Ann", "more": 1}

    async with world(ordering(AttrsOrder), parent) as w:
        end = await w.end(await w.start("parent", {}))
        assert (end["type"], end["error"]["code"]) == ("failed", "input_invalid")
        assert "/more is not allowed" in end["error"]["message"]
    flow = ordering(AttrsOrder)
    flow.schedule("often", every="15m", input={"who": "Ann", "more": 1})
    with pytest.raises(DeclarationError, match="/more is not allowed"):
        flow.compile()


def as_before(declared) -> Workflow:
    """The workflow as builds compiled it that left classes open, and knew of no default."""
    schema = schema_of(declared)
    for cls in (schema, *schema.get("$defs", {}).values()):
        for field in cls["properties"].values():
            field.pop("default", None)
    flow = ordering(declared)
    earlier = attrs.evolve(flow.compile(), input_schema=schema)
    flow.compiled = attrs.evolve(flow.compiled, document=earlier)
    return flow


@pytest.mark.parametrize("declared", CLASSES)
async def test_an_unchanged_file_loads_where_an_earlier_build_has_run_its_version(world, declared):
    given = {"who": "Ann", "lines": [], "more": 1}
    async with world(as_before(declared)) as w:
        await w.end(await w.start("ordering", given))
    flow = ordering(declared)
    async with world(flow) as w:
        assert await w.engine.catalog.conflicts([(flow.compile(), flow.compiled.derived)]) == []
        # The version is what it was; the next one is derived anew.
        await w.end(await w.start("ordering", given))
        await w.engine.catalog.load(ordering(declared, "v2"))
        with pytest.raises(InputInvalid, match="more is not allowed"):
            await w.start("ordering", given)


async def test_a_version_that_no_run_has_used_is_derived_anew(world):
    async with world(as_before(AttrsOrder)):
        pass
    async with world(ordering(AttrsOrder)) as w:
        with pytest.raises(InputInvalid, match="more is not allowed"):
            await w.start("ordering", {"who": "Ann", "more": 1})


@attrs.frozen
class Grown(AttrsOrder):
    default: str = ""


@pytest.mark.parametrize("changed", [Grown, {**schema_of(AttrsOrder), "additionalProperties": False}])
async def test_what_an_author_changes_is_refused_under_a_used_version(world, changed):
    async with world(ordering(schema_of(AttrsOrder))) as w:
        await w.end(await w.start("ordering", {"who": "Ann"}))
    with pytest.raises(VersionConflict, match="input_schema"):
        async with world(ordering(changed)) as w:
            await w.start("ordering", {"who": "Ann"})
