"""Routers whose choice is an expression, in documents that no code stands behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from infraweave.authoring.document_workflow import DocumentWorkflow
from infraweave.core.data.values import rfc3339
from infraweave.core.run.address import Address
from infraweave.core.workflow.document import (
    Activity,
    Compensation,
    Document,
    Http,
    Loop,
    Param,
    Request,
    Retry,
    Router,
    Timer,
)
from infraweave.engine.execution.attempt_error import AttemptError
from infraweave.engine.execution.builtins import expression_code
from infraweave.engine.execution.compute_pool import ComputePool
from infraweave.engine.execution.context import RunContext
from tests.core.faults import faults
from tests.core.story import ORIGIN
from tests.engine.web import answer, serving

INPUT = (Param("input", "input"),)


def Made(document: Document) -> DocumentWorkflow:  # noqa: N802 - it stands for a class
    """Return a document in the place of a workflow."""
    return DocumentWorkflow(document.workflow_id, lambda: document)


def choosing(url: str, expression: str, *, params=INPUT) -> DocumentWorkflow:
    calls = [Http(name=name, request=Request(url=f"{url}/{name}")) for name in ("big", "small", "none")]
    router = Router(name="choose", expression=expression, routes=("big", "small", "none"), params=params)
    return Made(Document(workflow_id="made", version="v1", nodes=(router, *calls)))


@pytest.mark.parametrize(
    ("expression", "called"),
    [
        ('input.total > 100 ? "big" : "small"', ["/big"]),
        ('["none", "big"]', ["/big", "/none"]),
        ('["big", "small"].filter(r, r in input.wanted)', ["/small"]),
        ("[]", []),
    ],
)
async def test_an_expression_chooses_the_routes(world, expression, called):
    async with serving(answer(200, 1)) as web:
        made = choosing(web.url, expression)
        async with world(made, allow_outbound=("127.0.0.1",)) as w, asyncio.timeout(20):
            end = await w.end(await w.start("made", {"total": 120, "wanted": ["small"]}))
        assert end["type"] == "completed"
        assert sorted(asked.target for asked in web.asked) == called


@pytest.mark.parametrize(
    ("expression", "code", "words"),
    [
        ('"huge"', "unknown_route", "unknown route 'huge'"),
        ("input.total > 100", "unknown_route", "returned True"),
        ("input.nothing", "expression_failed", "Key not found in map"),
    ],
)
async def test_a_choice_that_is_none_fails_the_router_at_once(world, expression, code, words):
    async with world(choosing("http://never.test", expression)) as w, asyncio.timeout(20):
        run = await w.start("made", {"total": 120})
        end = await w.end(run)
        assert [e["attempt"] for e in await w.events(run) if e["type"] == "node_failed"] == [1]
    assert end["error"]["code"] == code
    assert words in end["error"]["message"]


async def test_what_was_skipped_is_null_in_an_expression():
    params = Param("a", "a", required=False), Param("b", "b")
    code = expression_code("w:again", "a == null && b.more", params, ComputePool())
    context = RunContext("run_1", ORIGIN, Address("again"), 1)
    assert await code.function(**{code.context_param: context, "b": {"more": True}}) is True
    with pytest.raises(AttemptError, match="Key not found"):
        await code.function(**{code.context_param: context, "b": {}})


async def test_a_required_part_that_is_not_there_fails_its_node_for_good(world):
    made = choosing("http://never.test", "'big'", params=(Param("total", "input", pointer="/total"),))
    async with world(made) as w, asyncio.timeout(20):
        end = await w.end(await w.start("made", {}))
    assert end["error"]["code"] == "input_mismatch"
    assert "total has no value: the pointer that binds it leads nowhere" in end["error"]["message"]


async def test_a_node_whose_code_is_not_loaded_still_waits(world):
    lost = Activity(name="lost", code="made:lost")
    made = Made(Document(workflow_id="made", version="v1", nodes=(lost,)))
    async with world(made) as w, asyncio.timeout(20):
        run = await w.start("made")
        assert (await w.engine.service.inspect(run)).blocked == ["lost"]


async def test_a_request_may_undo_what_a_request_has_done(world):
    async with serving(answer(201, {"id": "b7"}), answer(400), answer(204)) as web:
        delete = Request(method="DELETE", url=web.url + "/orders/{book.id}")
        there = Compensation(request=delete, params=(Param("book", "book"),))
        book = Http(name="book", request=Request(method="POST", url=web.url), compensate=there)
        pay = Http(name="pay", request=Request(method="POST", url=web.url + "/pay"), after=("book",))
        made = Made(Document(workflow_id="made", version="v1", nodes=(book, pay)))
        async with world(made, allow_outbound=("127.0.0.1",)) as w, asyncio.timeout(20):
            end = await w.end(await w.start("made"))
    assert end["compensated"] == ["book"]
    assert (web.asked[2].method, web.asked[2].target) == ("DELETE", "/orders/b7")
    assert web.asked[2].headers["idempotency-key"] != web.asked[0].headers["idempotency-key"]


async def test_an_expression_repeats_a_loop_and_reads_parts_of_what_was_called(world):
    count = [answer(200, {"n": n}) for n in (1, 2, 3)]
    async with serving(*count) as web, asyncio.timeout(20):
        part = (Param("n", "poll", pointer="/n"),)
        poll = Http(name="poll", request=Request(url=web.url))
        again = Loop(name="again", expression="n < 3", back_to="poll", max_iterations=5, params=part)
        last = Http(name="last", request=Request(url=web.url + "/{n}"), params=part)
        made = Made(Document(workflow_id="made", version="v1", nodes=(poll, again, last)))
        async with world(made, allow_outbound=("127.0.0.1",)) as w:
            end = await w.end(await w.start("made"))
    assert end["type"] == "completed"
    assert [asked.target for asked in web.asked] == ["/", "/", "/", "/3"]
    assert len({asked.headers["idempotency-key"] for asked in web.asked}) == 4


async def test_an_expression_makes_a_value_of_others(world):
    whole = Activity(
        name="bill",
        params=INPUT,
        expression="{'sum': double(input.price) * double(input.count), 'ids': input.items.map(i, i.id)}",
    )
    made = Made(Document(workflow_id="made", version="v1", nodes=(whole,)))
    async with world(made) as w, asyncio.timeout(20):
        run = await w.start("made", {"price": 2.5, "count": 3, "items": [{"id": "a"}]})
        assert (await w.end(run))["result"] == {"sum": 7.5, "ids": ["a"]}
        end = await w.end(await w.start("made", {"price": 2.5}))
    assert (end["error"]["code"], end["error"]["attempt"]) == ("expression_failed", 1)


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [("input.wait", 90), ("input.wait * 2", 180), ("'2h'", 7_200), ("input.until", 3_600), ("input.past", 0)],
)
async def test_an_expression_tells_a_timer_how_long_or_until_when(world, clock, expression, seconds):
    nap = Timer(name="nap", params=INPUT, expression=expression)
    made = Made(Document(workflow_id="made", version="v1", nodes=(nap,)))
    times = {"until": "2026-01-01T02:00:00+01:00", "past": "2025-12-31T00:00:00Z"}
    async with world(made) as w, asyncio.timeout(20):
        started = await w.until(await w.start("made", {"wait": 90, **times}), "node_started")
    assert started["wake_at"] == rfc3339(clock.now() + seconds * 1000)


@pytest.mark.parametrize("expression", ["true", "'soon'", "-1", "[1]"])
async def test_what_is_no_time_fails_its_timer(world, expression):
    made = Made(Document(workflow_id="m", version="v1", nodes=(Timer(name="nap", expression=expression),)))
    async with world(made) as w, asyncio.timeout(20):
        assert (await w.end(await w.start("m")))["error"]["code"] == "output_invalid"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            Activity(name="n"),
            "n: a node needs a function or an expression that makes its output; it has neither",
        ),
        (Activity(name="n", code="w:n", expression="1"), "n: a node needs a function or an expression"),
        (Activity(name="n", expression="x"), "undeclared reference to 'x'"),
        (
            Timer(name="n", delay=1, expression="1"),
            "n: a timer needs one of a delay, a function or an expression",
        ),
        (Timer(name="n", expression="1 +"), "Syntax error"),
    ],
)
def test_what_an_expression_cannot_be_is_told(node, words):
    assert words in faults(Document(workflow_id="w", version="v1", nodes=(node,)))[0]


#: Texts of which one search takes two seconds of a processor, and half a minute.
SLOW = {"s": "a" * 300_000, "t": "a" * 150_000 + "b"}
ENDLESS = {"s": "a" * 2_000_000, "t": "a" * 1_000_000 + "b"}
ONCE = Retry(max_attempts=1)


def searching(retry=ONCE, **more) -> DocumentWorkflow:
    node = Activity(name="search", expression="input.s.contains(input.t)", params=INPUT, retry=retry, **more)
    return Made(Document(workflow_id="made", version="v1", nodes=(node,)))


async def test_a_slow_expression_holds_nobody_up(world):
    async with world(searching()) as w, asyncio.timeout(50):
        began = time.thread_time()
        end = await w.end(await w.start("made", SLOW))
        assert end["result"] is False
        assert time.thread_time() - began < 1


async def test_the_time_out_of_its_node_ends_an_expression(world, clock):
    async with world(searching(timeout=5)) as w, asyncio.timeout(30):
        run = await w.start("made", ENDLESS)
        await w.at_work(run, node="search")
        await clock.advance(5)
        end = await w.end(run)
        assert end["error"]["code"] == "timeout"
        # Its process has gone with it, and another one serves the next.
        assert (await w.end(await w.start("made", {"s": "a" * 40_000, "t": "b"})))["result"] is False


async def test_a_start_after_a_crash_waits_for_no_expression(world):
    made = searching(retry=Retry(initial=0.0))
    async with world(made) as w, asyncio.timeout(30):
        run = await w.start("made", ENDLESS)
        await w.at_work(run, node="search")
        w.engine.abandon()
    began = time.thread_time()
    async with world(made) as w, asyncio.timeout(30):
        await w.at_work(run, node="search")
        await w.engine.service.cancel(run, by="story")
        assert (await w.end(run))["type"] == "cancelled"
    assert time.thread_time() - began < 3


async def test_an_expression_that_takes_too_long_fails_for_good(world, monkeypatch):
    monkeypatch.setattr("infraweave.engine.execution.builtins.MAX_SECONDS", 1)
    async with world(searching()) as w, asyncio.timeout(50):
        end = await w.end(await w.start("made", ENDLESS))
    assert end["error"]["code"] == "expression_failed"
    assert "more than 1 seconds of processor time" in end["error"]["message"]


async def test_what_a_slow_expression_says_is_said_as_ever(world):
    node = Activity(name="search", expression="input.s.contains(input.no)", params=INPUT, retry=ONCE)
    made = Made(Document(workflow_id="made", version="v1", nodes=(node,)))
    async with world(made) as w, asyncio.timeout(30):
        end = await w.end(await w.start("made", SLOW))
    assert "Key not found in map" in end["error"]["message"]
