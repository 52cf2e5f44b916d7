"""The line that the log has of each failed attempt."""

from __future__ import annotations

import logging
import re

import pytest

from infraweave import NonRetryable, Retry, Workflow

CANARY = "c4n4ry-in-the-mine"
TWICE = Retry(max_attempts=2, initial=4, jitter=False)


@pytest.fixture
def lines(caplog):
    """Give what the log has of failed attempts."""
    caplog.set_level(logging.WARNING, "infraweave.node")
    return lambda: [record for record in caplog.records if record.name == "infraweave.node"]


async def test_a_failed_attempt_is_one_line_that_says_where_and_whether_it_is_tried_again(world, lines):
    flow = Workflow("bad", version="v1")

    @flow.node(retry=TWICE)
    def z(input: dict) -> int:
        return input["nope"]["x"]

    async with world(flow) as w:
        run = await w.start(flow)
        await w.until(run, "node_failed")
        await w.clock.advance(4)
        await w.end(run)
    first, second = lines()
    failed = rf"{run.run_id} z attempt \d failed with KeyError at \S*test_failures\.py:\d+ in z; it "
    assert re.fullmatch(failed + r"will be retried at 2026-01-01T00:00:04\.000Z", first.getMessage())
    assert re.fullmatch(failed + "is final", second.getMessage())
    assert (first.levelname, first.run_id, first.node, first.attempt) == ("WARNING", run.run_id, "z", 1)


async def test_what_an_exception_says_is_not_logged(world, lines):
    flow = Workflow("bad", version="v1")

    @flow.node
    def words() -> list[str]:
        return [f"{CANARY}1", f"{CANARY}2\n"]

    @flow.map(over="words", max_failures=9, retry=None, max_concurrency=1)
    def z(word: str) -> int:
        raise (ValueError(word) if word.endswith("1") else NonRetryable(word))

    async with world(flow) as w:
        await w.end(await w.start(flow))
    said = [record.getMessage() for record in lines()]
    assert len(said) == 2
    assert [" failed with ValueError at " in said[0], " failed with non_retryable at " in said[1]] == [
        True
    ] * 2
    assert not any(CANARY in line or "\n" in line for line in said)
    assert "z[0] attempt 1" in said[0]


async def test_what_was_stopped_did_not_fail(world, lines):
    flow = Workflow("stopped", version="v1")
    flow.sleep("nap", "24h")
    async with world(flow) as w:
        run = await w.start(flow)
        await w.until(run, "node_started")
        await w.engine.service.cancel(run, by="eve")
        await w.end(run)
    assert lines() == []


async def test_a_timeout_has_no_place(world, lines):
    flow = Workflow("slow", version="v1")
    flow.signal("word", schema={}, timeout="1h")
    async with world(flow) as w:
        run = await w.start(flow)
        await w.until(run, "node_started")
        await w.clock.advance(3600)
        await w.end(run)
    (line,) = lines()
    assert line.getMessage().endswith("word attempt 1 failed with signal_timed_out; it is final")
