"""What bodies may do wrong, and what is done about it: one fact for each attempt, whatever happens."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal, getcontext
from typing import NamedTuple

import pytest
from attrs import define, field, frozen

from infraweave import Context, NonRetryable, Retry, Workflow
from infraweave.authoring.signatures import Code
from infraweave.engine.execution.attempt_error import MAX_MESSAGE
from infraweave.engine.execution.invocation import Invocation


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class WorseText(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Abort(BaseException):
    """No Exception, as some libraries use to get past `except Exception`."""


def of(body) -> Workflow:
    flow = Workflow("bad", version="v1")
    flow.node(retry=None, name="bad")(body)
    return flow


def raises(error):
    def sync():
        raise error

    async def coroutine():
        raise error

    return sync, coroutine


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError("no file caf\udce9"), "FileNotFoundError: no file caf?"),
        (StopIteration("over"), "StopIteration"),
        (BadText(), "BadText"),
        (Abort("stop"), "Abort: stop"),
        (WorseText(), "WorseText"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (TimeoutError(), "TimeoutError"),
        (ExceptionGroup("two", [ValueError("a")]), "ExceptionGroup: two (1 sub-exception): ValueError: a"),
        (
            ExceptionGroup("of", [ExceptionGroup("many", [KeyError(n) for n in range(4)]), BadText()]),
            "of (2 sub-exceptions): KeyError: 0; KeyError: 1; KeyError: 2; and 2 more",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_whatever_a_body_raises_fails_its_attempt(world, error, message, kind):
    sync, coroutine = raises(error)
    flow = of(sync if kind == "sync" else coroutine)
    async with world(flow) as w, asyncio.timeout(10):
        end = await w.end(await w.start(flow))
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert w.engine.slots.used == 0
    assert end["error"]["code"] == "error"
    assert message in end["error"]["message"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_refusal_is_final_also_within_a_group(world, kind):
    error = ExceptionGroup("tasks", [ValueError("a"), ExceptionGroup("more", [NonRetryable("never")])])
    sync, coroutine = raises(error)
    flow = Workflow("bad", version="v1")
    flow.node(name="bad")(sync if kind == "sync" else coroutine)
    async with world(flow) as w:
        error = (await w.end(await w.start(flow)))["error"]
    assert (error["code"], error["attempt"]) == ("non_retryable", 1)
    assert error["message"].startswith(
        "never (in a group: ExceptionGroup: tasks (2 sub-exceptions): ValueErr"
    )


async def test_a_refusal_in_a_task_group_is_told_as_it_was_raised(world):
    async def refuse() -> None:
        raise NonRetryable("never")

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse())

    flow = Workflow("group", version="v1")
    flow.node(body)
    async with world(flow) as w:
        error = (await w.end(await w.start(flow)))["error"]
    assert (error["code"], error["message"]) == ("non_retryable", "never")


async def test_a_long_message_is_cut(world):
    flow = of(raises(ValueError("x" * 100_000))[0])
    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert len(end["error"]["message"]) == MAX_MESSAGE


@pytest.mark.parametrize(
    "report",
    [{"tokens": -1}, {"cost_micro_usd": -1}, {"tokens": 2**70}, {"model": "\ud800"}, {"model": 5}],
)
async def test_a_report_that_cannot_be_kept_is_refused_where_it_is_made(world, report):
    def body(ctx: Context) -> None:
        ctx.report(**report)

    flow = of(body)
    async with world(flow) as w, asyncio.timeout(10):
        end = await w.end(await w.start(flow))
    assert end["error"]["message"].startswith("ValueError: report()")


@pytest.mark.parametrize(
    "when", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "1969-01-01T00:00:00Z"]
)
async def test_a_timer_may_name_any_time(world, when):
    flow = Workflow("nap", version="v1")

    @flow.sleep
    def nap() -> str:
        return when

    async with world(flow) as w, asyncio.timeout(10):
        run = await w.start(flow)
        if when.startswith("9999"):
            assert (await w.end(run))["error"]["code"] == "output_invalid"
        else:
            await w.until(run, "node_started")
            await w.clock.advance(0)
            assert (await w.end(run))["type"] == "completed"


@pytest.mark.parametrize("answer", [None, 5, {"data": 1}, {"prompt": "?", "dta": 1}, ["?"]])
async def test_a_prompt_of_another_shape_fails_its_node(world, answer):
    flow = Workflow("ask", version="v1")

    @flow.human_input(schema={})
    def approval():
        return answer

    async with world(flow) as w:
        assert (await w.end(await w.start(flow)))["error"]["code"] == "output_invalid"


@frozen
class Line:
    sku: str
    count: int


@pytest.mark.parametrize(
    ("given", "annotation", "fault"),
    [
        ("false", bool, "must be a boolean"),
        ("abc", list[str], "must be an array"),
        ({"k": 1}, list, "must be an array"),
        ([1], dict, "must be an object"),
        (2.9, int, "must be an integer"),
        (True, int, "must be an integer"),
        (1, str, "must be a string"),
        (None, str, "must be a string"),
        ([{"sku": "pen", "count": "3"}], list[Line], "/0/count must be an integer"),
        ({"1": "one"}, dict[int, int], "/1 must be an integer"),
    ],
)
async def test_a_value_becomes_nothing_that_it_is_not(world, given, annotation, fault):
    async with world(handing(given, annotation)) as w:
        end = await w.end(await w.start("handing"))
        assert end["error"]["code"] == "input_mismatch"
        assert end["error"]["message"] == f"giver does not fit its annotation: {fault}"


@pytest.mark.parametrize(
    ("given", "annotation", "taken"),
    [
        (2.0, int, "2"),
        (1, float, "1.0"),
        ({"1": 2}, dict[int, int], "{1: 2}"),
        ([2, 2], set[int], "{2}"),
        (1.5, Decimal, "Decimal('1.5')"),
        (datetime(2026, 1, 2), datetime, "datetime.datetime(2026, 1, 2, 0, 0)"),  # noqa: DTZ001 - what authors do
        (Line("pen", 3), Line, "Line(sku='pen', count=3)"),
        ([1, "a"], tuple[int, str], "(1, 'a')"),
        (None, Line | None, "None"),
        ("anything", NamedTuple("Odd", [("a", int)]) | str, "'anything'"),
    ],
)
async def test_a_value_that_fits_becomes_what_the_annotation_says(world, given, annotation, taken):
    async with world(handing(given, annotation)) as w:
        assert (await w.end(await w.start("handing")))["result"] == taken


def handing(given, annotation) -> Workflow:
    """A node that gives a value, and one that takes it as what its annotation says."""
    flow = Workflow("handing", version="v1")

    @flow.node
    def giver():
        return given

    def taker(giver):
        return repr(giver)

    taker.__annotations__ = {"giver": annotation}
    flow.node(taker)
    return flow


@define
class Range:
    low: int
    high: int = field()

    @high.validator
    def _is_above(self, _, value):
        if value < self.low:
            raise ValueError("high is below low")


async def test_why_a_class_refuses_its_values_is_told(world):
    async with world(handing({"low": 2, "high": 1}, Range)) as w:
        message = (await w.end(await w.start("handing")))["error"]["message"]
    assert "ValueError: high is below low" in message


async def test_an_input_that_does_not_fit_its_annotation_is_final(world):
    flow = Workflow("fit", version="v1")

    @flow.node
    def source():
        return "five"

    @flow.node
    def reader(source: int) -> int:
        return source

    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert (end["error"]["code"], end["error"]["node"]) == ("input_mismatch", "reader")


# --- what a call leaves behind, and what it returns ---------------------------------------------------------


colour: ContextVar[str] = ContextVar("colour", default="none")


def painting(kind: str) -> Workflow:
    """A node that tells the colour and the precision it finds, and sets others."""
    flow = Workflow("painting", version="v1")

    def paint() -> list:
        found = [colour.get(), getcontext().prec]
        colour.set("red")
        getcontext().prec = 3
        return found

    async def paint_async() -> list:
        return paint()

    flow.node(paint if kind == "sync" else paint_async, name="paint")
    return flow


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_body_sets_in_its_context_is_in_no_other_call(world, kind):
    prec = getcontext().prec
    async with world(painting(kind), threads=1) as w:
        found = [(await w.end(await w.start("painting")))["result"] for _ in range(2)]
    assert found == [["none", prec]] * 2


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_body_has_nothing_of_the_context_of_who_started_the_run(world, kind):
    async with world(painting(kind)) as w:
        colour.set("blue")
        assert (await w.end(await w.start("painting")))["result"][0] == "none"


def logged(function):
    """A decorator that forgets to be async, as many are."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "wrap", [logged, lambda function: lambda: function()], ids=["a decorator", "a lambda"]
)
async def test_a_sync_wrapper_around_an_async_function_is_awaited(world, wrap):
    async def work() -> int:
        await asyncio.sleep(0)
        return 5

    flow = Workflow("wrapped", version="v1")
    flow.node(wrap(work), name="work")
    async with world(flow) as w:
        assert (await w.end(await w.start(flow)))["result"] == 5


async def test_what_a_wrapper_returned_is_stopped_when_its_time_is_over(world):
    stopped, inside = [], asyncio.Event()

    @logged
    async def work() -> None:
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("work")

    flow = Workflow("wrapped", version="v1")
    flow.node(work, timeout="5s", retry=None)
    async with world(flow) as w:
        run = await w.start(flow)
        await inside.wait()
        await w.clock.advance(5)
        assert (await w.end(run))["error"]["code"] == "timeout"
    assert stopped == ["work"]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda forgotten: {"deep": [1, forgotten]}, "/deep/1 is a coroutine that was not awaited"),
        (lambda forgotten: Line(forgotten, 1), "/sku is a coroutine that was not awaited"),
    ],
)
async def test_a_coroutine_that_nobody_awaited_is_told(world, made, told):
    async def forgotten() -> None: ...

    flow = of(lambda: made(forgotten()))
    async with world(flow) as w:
        error = (await w.end(await w.start(flow)))["error"]
    assert (error["code"], error["message"]) == (
        "output_invalid",
        f"The output cannot be kept as JSON: {told}",
    )


# --- threads -----------------------------------------------------------------------------------------------


async def test_the_time_of_an_attempt_counts_from_when_it_begins(world):
    """The second attempt waits for the first one's thread, much longer than its timeout."""
    flow = Workflow("stuck", version="v1")
    release, calls = threading.Event(), []

    @flow.node(timeout="5s", retry=Retry(max_attempts=2, initial=0, jitter=False))
    def stuck(ctx: Context) -> int:
        calls.append(ctx.attempt)
        if ctx.attempt == 1:
            assert release.wait(10)
        return ctx.attempt

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        await w.until(run, "node_started", attempt=2)
        await w.clock.advance(60)
        assert "completed" not in await w.told(run)
        release.set()
        assert (await w.end(run))["result"] == 2
    assert calls == [1, 2]


async def test_a_body_that_waits_for_a_thread_when_its_run_is_cancelled_never_begins(world):
    block, called = Workflow("block", version="v1"), []
    release, inside = threading.Event(), threading.Event()

    @block.node
    def holds_the_thread() -> None:
        inside.set()
        assert release.wait(10)

    late = Workflow("late", version="v1")

    @late.node
    def waits() -> None:
        called.append("waits")

    async with world(block, late, threads=1) as w:
        first = await w.start(block)
        await asyncio.to_thread(inside.wait, 10)
        second = await w.start(late)
        await w.explained(second, "waits for a free thread")
        await w.engine.service.cancel(second, by="eve")
        assert (await w.end(second))["type"] == "cancelled"
        release.set()
        await w.end(first)
        third = await w.start(block)  # the thread has been through its queue
        await w.end(third)
    assert called == []


async def test_what_a_thread_raises_when_its_time_is_over_is_not_reported_as_forgotten(world):
    flow, release, forgotten = Workflow("late", version="v1"), threading.Event(), []

    @flow.node(timeout="5s", retry=Retry(max_attempts=1))
    def late() -> None:
        assert release.wait(10)
        raise RuntimeError("too late")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        await w.clock.advance(5)
        assert (await w.end(run))["error"]["code"] == "timeout"
        release.set()
        while w.engine.workers.orphans:
            await w.engine.runs.counts()
    gc.collect()
    assert forgotten == []


async def test_the_time_that_a_body_waits_for_a_thread_is_not_its_own(world):
    block, called = Workflow("block", version="v1"), []
    release, inside = threading.Event(), threading.Event()

    @block.node
    def holds_the_thread() -> None:
        inside.set()
        assert release.wait(10)

    late = Workflow("late", version="v1")

    @late.node(timeout="5s", retry=None)
    def waits(ctx: Context) -> int:
        called.append(ctx.attempt)
        return ctx.attempt

    async with world(block, late, threads=1) as w:
        first = await w.start(block)
        await asyncio.to_thread(inside.wait, 10)
        second = await w.start(late)
        await w.explained(second, "waits for a free thread")
        await w.clock.advance(3600)
        release.set()
        await w.end(first)
        assert (await w.end(second))["result"] == 1
    assert called == [1]


async def test_what_waits_for_an_earlier_attempt_does_not_begin_once_the_run_is_stopping(world):
    flow = Workflow("stuck", version="v1")
    release, calls = threading.Event(), []

    @flow.node(timeout="5s", retry=Retry(max_attempts=2, initial=0, jitter=False))
    def stuck(ctx: Context) -> None:
        calls.append(ctx.attempt)
        if ctx.attempt == 1:
            assert release.wait(10)

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        await w.until(run, "node_started", attempt=2)
        await w.engine.service.cancel(run, by="eve")
        assert (await w.end(run))["type"] == "cancelled"
        release.set()
        await w.clock.advance(30)
    assert calls == [1]


async def test_a_sync_body_is_told_that_it_should_stop(world):
    flow = Workflow("told", version="v1")
    inside = threading.Event()

    @flow.node
    def polite(ctx: Context) -> str:
        inside.set()
        while not ctx.cancelled:
            pass
        return "in time"

    async with world(flow) as w:
        run = await w.start(flow)
        await asyncio.to_thread(inside.wait, 10)
        await w.engine.service.cancel(run, by="eve")
        await w.end(run)
        assert "node_completed polite" in await w.told(run)


def test_a_body_that_python_closes_with_its_loop_did_not_fail():
    async def wait() -> None:
        await asyncio.Event().wait()

    code = Code("flow:wait", wait, is_async=True, params=(), context_param=None, returns=None)
    coroutine = Invocation(code, {}, None, None, max_output=1000, elapsed=lambda: 0.0).run(lambda: None)
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    coroutine.close()  # raises what the body is said to have failed by, if it is
    task._log_destroy_pending = False
