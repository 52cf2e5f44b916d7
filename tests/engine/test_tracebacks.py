"""Where in an author's code an attempt failed: kept beside its event, whatever kind of body it was."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import attrs
import pytest

from infraweave import Context, NonRetryable, Retry, Workflow
from infraweave.authoring.loader import load
from infraweave.core.data import json_codec
from infraweave.engine.execution.tracebacks import MOST, traceback_of

HERE = Path(__file__).as_posix().removeprefix(f"{Path.cwd().as_posix()}/")
FLOW = """
from infraweave import Workflow

class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

flow = Workflow("apart", version="v1")

@flow.node(executor="process", retry=None)
def apart() -> None:
    raise Odd(1, 2) from KeyError("nope")

kept = Workflow("kept", version="v1")

@kept.node(executor="process", retry=None)
def gives() -> object:
    return object()
"""


def helper(given: dict) -> int:
    return given["nope"]["x"]


def told(error) -> str | None:
    """Return the traceback of the exception that a function raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        error()
    return traceback_of(caught.value)


def shapes(traceback: str) -> list[str]:
    """Return a traceback without the numbers of its lines."""
    return re.sub(r"line \d+", "line N", traceback).split("\n")


async def failure(world, body, **options) -> dict:
    """Run a body as a workflow's only node and return the event of its last failure, payloads and all."""
    flow = Workflow("bad", version="v1")
    flow.node(**{"retry": None, "name": "bad", **options})(body)
    async with world(flow) as w, asyncio.timeout(10):
        run = await w.start(flow)
        await w.end(run)
        return [event for event in await w.events(run) if event["type"] == "node_failed"][-1]


# --- what is told ------------------------------------------------------------------------------------------


def test_it_is_what_python_writes_with_the_cause_first():
    def fails():
        try:
            helper({})
        except KeyError as error:
            raise ValueError("no x") from error

    assert shapes(told(fails)) == [
        "Traceback (most recent call last):",
        f'  File "{HERE}", line N, in fails',
        "    helper({})",
        f'  File "{HERE}", line N, in helper',
        '    return given["nope"]["x"]',
        "KeyError: 'nope'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f'  File "{HERE}", line N, in told',
        "    error()",
        f'  File "{HERE}", line N, in fails',
        '    raise ValueError("no x") from error',
        "ValueError: no x",
    ]


def test_what_was_being_handled_is_told_unless_it_was_ruled_out():
    def slips():
        try:
            helper({})
        except KeyError:
            raise ValueError("x")  # noqa: B904

    def rules_out():
        try:
            helper({})
        except KeyError:
            raise ValueError("x") from None

    assert "During handling of the above exception" in told(slips)
    assert "KeyError" not in told(rules_out)


def test_frames_of_libraries_are_told_from_the_folder_that_they_are_in():
    traceback = told(lambda: json.loads("{"))
    assert f'File "python3.{sys.version_info.minor}/json/decoder.py", line' in traceback
    assert 'File "/' not in traceback


def test_a_working_folder_that_was_removed_is_no_trouble(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert f'File "{HERE}", line' in told(lambda: helper({}))


async def test_a_workflow_file_elsewhere_is_told_by_its_name(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        run = await w.start("apart")
        await w.end(run)
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert 'File "flow.py", line' in event["traceback"]
    assert str(tmp_path) not in event["traceback"]


def test_the_exceptions_of_a_group_stand_below_it():
    def fails():
        raise ExceptionGroup("both", [ValueError("one"), TypeError("two")])

    lines = told(fails).split("\n")
    assert lines[-3:] == [
        "ExceptionGroup: both (2 sub-exceptions)",
        "  | ValueError: one",
        "  | TypeError: two",
    ]


def test_secrets_are_left_out_of_source_lines_and_texts():
    def fails():
        raise ValueError("whsec_0123456789abcdef")

    traceback = told(fails)
    assert traceback.count("whsec_[redacted]") == 2
    assert "0123456789abcdef" not in traceback


def test_a_long_one_loses_its_middle_and_neither_end():
    def one(depth):
        return two(depth + 1)

    def two(depth):
        return one(depth + 1)

    traceback = told(lambda: one(0))
    assert len(traceback) <= MOST
    assert traceback.startswith("Traceback (most recent call last):")
    assert re.search(r"\n  \[\d+ lines left out\]\n", traceback)
    assert traceback.split("\n")[-1].startswith("RecursionError: maximum recursion depth exceeded")


def test_a_long_text_does_not_push_out_where_it_was():
    def fails():
        raise ValueError("line\n" * 10_000)

    traceback = told(fails)
    assert len(traceback) < 1_500
    assert 'raise ValueError("line' in traceback


def test_a_long_chain_and_one_that_bites_its_tail_come_to_an_end():
    def chain():
        error = None
        for n in range(5_000):
            made = ValueError(str(n))
            made.__cause__ = error
            error = made
        raise error

    def bites():
        error = ValueError("tail")
        error.__cause__ = KeyError("head")
        error.__cause__.__cause__ = error
        raise error

    assert told(chain).count("direct cause") == 4
    assert told(bites).endswith("ValueError: tail")


def test_there_is_none_without_a_frame_of_the_authors():
    assert traceback_of(ValueError("never raised")) is None


# --- where it is kept --------------------------------------------------------------------------------------


async def test_a_failed_attempt_has_its_traceback_beside_the_event_and_not_in_it(world):
    flow = Workflow("bad", version="v1")

    @flow.node(retry=None)
    def z() -> int:
        return helper({})

    async with world(flow) as w:
        run = await w.start(flow)
        end = await w.end(run)
        (stored,) = [s for s in await w.engine.journal.read(run.run_key, 0, 99) if s.type == "node_failed"]
    assert "traceback" not in json_codec.loads(stored.line(run.run_id))
    assert shapes(stored.beside()["traceback"]) == [
        "Traceback (most recent call last):",
        f'  File "{HERE}", line N, in z',
        "    return helper({})",
        f'  File "{HERE}", line N, in helper',
        '    return given["nope"]["x"]',
        "KeyError: 'nope'",
    ]
    assert "traceback" not in end["error"]


async def test_neither_our_frames_nor_those_of_the_loop_are_in_it(world):
    async def inner():
        await asyncio.sleep(0)
        return helper({})

    async def body():
        await asyncio.wait_for(asyncio.gather(inner()), 5)

    event = await failure(world, body)
    files = set(re.findall(r'File "(.+?)"', event["traceback"]))
    assert files == {HERE}
    assert "in inner" in event["traceback"]


async def test_it_comes_back_from_another_process_with_classes_that_cannot(world, tmp_path, monkeypatch):
    (tmp_path / "flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    async with world(*load([tmp_path / "flow.py"])) as w:
        run = await w.start("apart")
        await w.end(run)
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
        assert event["message"] == "Odd: 1 and 2"
        assert shapes(event["traceback"]) == [
            "KeyError: 'nope'",
            "",
            "The above exception was the direct cause of the following exception:",
            "",
            "Traceback (most recent call last):",
            '  File "flow.py", line N, in apart',
            '    raise Odd(1, 2) from KeyError("nope")',
            "flow.Odd: 1 and 2",
        ]
        assert (await w.end(await w.start("kept")))["error"]["code"] == "output_invalid"


async def test_what_an_author_raises_as_final_has_it_and_a_timeout_has_none(world):
    async def refuses():
        raise NonRetryable("never")

    event = await failure(world, refuses)
    assert event["code"] == "non_retryable"
    assert "in refuses" in event["traceback"]

    flow = Workflow("slow", version="v1")

    @flow.node(timeout="5s", retry=None)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            helper({})

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        assert (await w.end(run))["error"]["code"] == "timeout"
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert "traceback" not in event


async def test_each_attempt_has_its_own(world):
    flow = Workflow("twice", version="v1")

    @flow.node(retry=Retry(max_attempts=2, initial=0, jitter=False))
    async def twice(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise OSError("first")
        raise OSError("second")

    async with world(flow) as w:
        run = await w.start(flow)
        await w.end(run)
        first, second = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert first["traceback"].endswith("OSError: first")
    assert second["traceback"].endswith("OSError: second")


async def test_a_body_that_is_cancelled_by_its_own_doing_says_where(world):
    async def body():
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    event = await failure(world, body)
    assert event["message"] == "CancelledError"
    assert "await task" in event["traceback"]


async def test_clean_up_that_fails_when_the_run_is_cancelled_says_where(world):
    flow = Workflow("clean", version="v1")

    @flow.node
    async def untidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            helper({})

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.engine.service.cancel(run, by="eve")
        await w.end(run)
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert event["code"] == "cancelled"
    assert "in untidy" in event["traceback"]


async def test_the_code_that_makes_a_prompt_says_where_it_failed(world):
    flow = Workflow("ask", version="v1")

    @flow.human_input(schema={})
    def ask() -> str:
        return str(helper({}))

    async with world(flow) as w:
        run = await w.start(flow)
        await w.end(run)
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert "in ask" in event["traceback"]


@attrs.define
class Few:
    count: int = attrs.field()

    @count.validator
    def _check(self, _, count: int) -> None:
        if count > 3:
            raise ValueError("too many")


async def test_a_class_that_refuses_its_input_says_where_and_why(world):
    flow = Workflow("fit", version="v1")

    @flow.node
    def source() -> dict:
        return {"count": 5}

    @flow.node
    def reader(source: Few) -> int:
        return source.count

    async with world(flow) as w:
        run = await w.start(flow)
        await w.end(run)
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert event["code"] == "input_mismatch"
    assert "in _check" in event["traceback"]
    assert "ValueError: too many" in event["traceback"]


class Mute(Exception):
    @property
    def __cause__(self):
        raise RuntimeError("no words")


async def test_an_exception_that_cannot_be_told_fails_its_attempt_all_the_same(world):
    async def body():
        raise Mute

    event = await failure(world, body)
    assert event["message"] == "Mute"
    assert "traceback" not in event


async def test_a_builtin_node_has_none(world):
    flow = Workflow("call", version="v1")
    flow.http("call", url="http://127.0.0.1:9/", retry=None)
    async with world(flow) as w:
        run = await w.start(flow)
        await w.end(run)
        (event,) = [event for event in await w.events(run) if event["type"] == "node_failed"]
    assert "traceback" not in event
