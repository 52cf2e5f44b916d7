"""Limits and delayed starts of a real server that is killed: what holds before the kill holds after it."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.crash.server import Process

FLOWS = """
import asyncio
from infraweave import Concurrency, Workflow

orders = Workflow("orders", version="v1", concurrency=[3, Concurrency(1, key="{input.customer_id}")])

@orders.node
async def charge(input: dict) -> str:
    await asyncio.sleep(0.02)
    return input["customer_id"]
"""


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


def most_at_once(spans) -> int:
    """The most runs that were open at one moment; who ends when another begins was not there with it."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


async def test_limits_hold_in_order_over_kills_at_random_moments(process):
    rng = random.Random(11)
    runs: dict[str, list[str]] = defaultdict(list)
    for _ in range(3):
        async with process.start() as client:
            names = [name for name in "abcd" for _ in range(8)]
            items = [{"workflow_id": "orders", "input": {"customer_id": name}} for name in names]
            for name, result in zip(names, await client.start_many(items), strict=True):
                runs[name].append(result["run"]["run_id"])
            await asyncio.sleep(rng.uniform(0.05, 0.2))  # a real kill comes at a real moment
            process.kill()
    async with process.start() as client:
        spans = {}
        for name, ids in runs.items():
            assert [await client.run(run_id).result() for run_id in ids] == [name] * len(ids)
            shown = [await client.run(run_id).show() for run_id in ids]
            spans[name] = [(run["started_at"], run["finished_at"]) for run in shown]
    for name, own in spans.items():
        assert own == sorted(own), name  # in order
        assert all(before[1] <= after[0] for before, after in pairwise(own)), name  # one at a time
    assert most_at_once([span for own in spans.values() for span in own]) == 3


async def test_a_delayed_run_starts_after_a_kill_although_its_time_came_while_nobody_served(process):
    async with process.start() as client:
        body = {"workflow_id": "orders", "input": {"customer_id": "late"}}
        items = [{**body, "start_at": in_ms(ms)} for ms in (800, 2500)]
        soon, later = [result["run"]["run_id"] for result in await client.start_many(items)]
        process.kill()
    await asyncio.sleep(1)  # the machine's own time, which no test can turn
    async with process.start() as client:
        assert [await client.run(run_id).result() for run_id in (soon, later)] == ["late"] * 2
        shown = await client.run(later).show()
        assert shown["started_at"] >= shown["start_at"]


def in_ms(ms: int) -> str:
    return (datetime.now(UTC) + timedelta(milliseconds=ms)).isoformat()
