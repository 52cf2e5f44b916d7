"""Values that would grow far beyond what was sent: they are known to be too large before they are made."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from infraweave import Workflow
from infraweave.core.data import sizes
from infraweave.core.data.template import TemplateTooLarge, render
from infraweave.core.workflow.document import (
    Activity,
    Compensation,
    Document,
    Http,
    HumanInput,
    Map,
    Param,
    Request,
    Signal,
    Subworkflow,
)
from infraweave.errors import SignalConflict
from tests.engine.web import answer, serving

#: A text of a megabyte, asked for twenty times: more than a node may be given, and little enough for a test.
TEXT, TIMES = "x" * 2**20, 20
MANY = tuple(Param(f"p{n}", "input") for n in range(TIMES))
INPUT = (Param("input", "input"),)


def made(*nodes) -> Document:
    return Document(workflow_id="made", version="v1", nodes=nodes)


async def failure(world, flow: Document | Workflow, value=None) -> dict:
    loaded = [flow] if isinstance(flow, Workflow) else []
    async with world(*loaded, allow_outbound=("127.0.0.1",)) as w, asyncio.timeout(20):
        if isinstance(flow, Document):
            await w.engine.documents.publish("default", flow, 0)
        end = await w.end(await w.start("made", {"s": TEXT, "l": [1]} if value is None else value))
    assert end["type"] == "failed"
    return end


GIVEN = {
    "a child": Subworkflow(name="work", workflow_id="made", params=MANY),
    "an expression": Activity(name="work", expression="1", params=MANY),
    "a request": Http(name="work", request=Request(url="http://127.0.0.1:1/"), params=MANY),
    "a person": HumanInput(name="work", prompt="well?", params=MANY, schema={}),
    "a prompt": HumanInput(name="work", prompt="{input.s}" * TIMES, params=INPUT, schema={}),
    "a map": Map(
        name="work", request=Request(url="http://127.0.0.1:1/"), over="input", pointer="/l", params=MANY
    ),
}


@pytest.mark.parametrize("node", GIVEN.values(), ids=GIVEN)
async def test_a_node_that_would_be_given_too_much_fails(world, node):
    end = await failure(world, made(node))
    assert (end["error"]["code"], end["error"]["node"]) == ("input_too_large", "work")
    assert "would have more than" in end["error"]["message"]


REQUESTS = {
    "body": Request(method="POST", url="http://127.0.0.1:1/", body={"all": ["{input.s}"] * TIMES}),
    "text": Request(method="POST", url="http://127.0.0.1:1/", body="{input.s}" * TIMES),
    "form": Request(
        method="POST",
        url="http://127.0.0.1:1/",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body={"a": "{input.s}", "b": "{input.s}"},
    ),
    "header": Request(url="http://127.0.0.1:1/", headers={"X-All": "{input.s}" * TIMES}),
    "headers": Request(url="http://127.0.0.1:1/", headers={f"X-{n}": "{input.half}" for n in range(3)}),
    "url": Request(url="http://127.0.0.1:1/{input.s}"),
    "host": Request(url="{input.s}/x"),
    "query": Request(url="http://127.0.0.1:1/", query={"q": "{input.s}"}),
    "queries": Request(url="http://127.0.0.1:1/", query={"q": ["{input.s}"] * TIMES}),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_a_request_that_would_be_too_large_is_not_made(world, request_):
    node = Http(name="call", request=request_, params=INPUT)
    end = await failure(world, made(node), {"s": TEXT, "half": "x" * 32_768})
    assert (end["error"]["code"], end["error"]["node"]) == ("request_too_large", "call")
    assert len(end["error"]["message"]) < 200


async def test_an_output_that_repeats_the_response_too_often_fails_its_node(world):
    async with serving(answer(200, TEXT)) as web:
        node = Http(name="call", request=Request(url=web.url, output=["{body}"] * TIMES, max_bytes=2**22))
        end = await failure(world, made(node))
    assert end["error"]["code"] == "output_too_large"


async def test_a_map_whose_results_grow_too_large_fails_at_the_item_that_is_too_much(world):
    flow = Workflow("made", version="v1")

    @flow.node
    async def items() -> list[int]:
        return list(range(TIMES))

    @flow.map(over="items", max_concurrency=1)
    async def each(item: int) -> str:
        return TEXT[:-2]

    end = await failure(world, flow)
    most = sizes.MAX_VALUE_BYTES // 2**20
    assert (end["error"]["code"], end["error"]["node"], end["error"]["index"]) == (
        "output_too_large",
        "each",
        most,
    )


async def test_a_run_whose_result_would_be_too_large_fails_and_is_undone(world):
    flow, undone = Workflow("made", version="v1"), []

    def sink(n: int) -> None:
        async def work() -> str:
            return TEXT[:-2]

        async def undo() -> None:
            undone.append(n)

        flow.node(name=f"sink{n}")(work).compensate(undo)

    for n in range(TIMES):
        sink(n)
    end = await failure(world, flow)
    assert (end["error"]["code"], end["error"].get("node")) == ("result_too_large", None)
    assert sorted(undone) == list(range(TIMES))
    assert len(end["compensated"]) == TIMES


async def test_a_compensation_that_would_be_given_too_much_does_not_stop_the_others(world):
    undo = Compensation(request=Request(url="http://127.0.0.1:1/"), params=MANY)
    first = Activity(name="first", expression="1", compensate=undo)
    second = Activity(name="second", expression="1", compensate=undo, after=("first",))
    last = Activity(name="last", expression="input.nothing", params=INPUT, after=("second",))
    end = await failure(world, made(first, second, last))
    assert end["error"]["node"] == "last"
    assert sorted(end["not_compensated"]) == ["first", "second"]


async def test_signals_that_nothing_awaits_do_not_fill_the_memory(world):
    first = Signal(name="first", schema={})
    other = Signal(name="other", schema={}, after=("first",))
    async with world() as w, asyncio.timeout(20):
        await w.engine.documents.publish("default", made(first, other), 0)
        run = await w.start("made")
        for n in range(15):
            await w.engine.service.signal(run, "other", f"r{n}", TEXT, by="story")
        with pytest.raises(SignalConflict, match="more than 16,777,216 bytes of signals wait"):
            await w.engine.service.signal(run, "other", "r15", TEXT, by="story")
        assert (await w.engine.service.signal(run, "other", "r0", TEXT, by="story")).duplicate
        await w.engine.service.signal(run, "first", "f", TEXT, by="story")
        assert (await w.end(run))["type"] == "completed"


def test_a_text_is_not_made_to_learn_how_long_it_is():
    tracemalloc.start()
    try:
        with pytest.raises(TemplateTooLarge):
            render("{input}" * 400, {"input": TEXT})
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


async def test_an_output_that_is_too_large_is_told_by_its_size_and_never_read(world):
    flow = Workflow("made", version="v1")

    @flow.node
    async def much() -> list:
        return [[]] * 2**20

    end = await failure(world, flow)
    assert end["error"]["code"] == "output_too_large"
