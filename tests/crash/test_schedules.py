"""A schedule whose server is killed again and again: each time makes exactly one run."""

from __future__ import annotations

import asyncio
import random

import pytest

from infraweave.core.data.values import from_rfc3339
from tests.crash.server import Process

FLOW = """
from infraweave import Workflow
flow = Workflow("tick", version="v1")

@flow.node
def work(input: dict) -> dict:
    return input

flow.schedule("s", every="1s", input={"at": "{scheduled_at}"}, catch_up="all", overlap="queue")
"""


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOW)
    server = Process(tmp_path)
    yield server
    server.kill()


async def test_no_second_is_lost_and_none_comes_twice(process):
    rng = random.Random(3)
    for _ in range(3):
        async with process.start():
            await asyncio.sleep(1 + rng.uniform(0, 0.3))  # a real kill comes at a real moment
            process.kill()
    async with process.start() as client:
        (schedule,) = await client.schedules()
        last = from_rfc3339(schedule["last_fire_time"])
        runs = (await client.request("GET", "/v1/runs", params={"limit": 200}))["runs"]
        found = [from_rfc3339(run["tags"]["scheduled_at"]) for run in reversed(runs)]

        assert found == list(range(found[0], found[-1] + 1, 1000))
        assert len(found) >= 3
        assert last >= found[0]
        newest = client.run(runs[-1]["run_id"])
        assert (await newest.result()) == {"at": runs[-1]["tags"]["scheduled_at"]}
