"""Real workflow traces under kill -9: whenever the server dies, every task completes once and in order."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from infraweave.core.workflow.document_codec import document_to_json
from tests.crash.server import Process
from tests.crash.test_kill import events
from tests.traces.instances import FILES, check, needs_traces, read_to_last

pytestmark = needs_traces

#: A server is killed so often at most: on a slow machine all runs may have ended before.
KILLS = 5
#: How long each workflow would take if nobody killed the server, in seconds.
LENGTH = 3.0
FLOWS = '''
"""The traces as workflows whose tasks are bodies that sleep."""
import asyncio
import json
from pathlib import Path

from infraweave import Retry, Workflow


def declare(name, tasks):
    flow = Workflow(name, version="v1")

    def task(name, parents, ms):
        async def body() -> None:
            await asyncio.sleep(ms / 1000)

        flow.node(name=name, after=parents, retry=Retry())(body)

    for name, parents, ms in tasks:
        task(name, parents, ms)
    return flow


for name, tasks in json.loads((Path(__file__).parent / "traces.json").read_text()).items():
    globals()[name] = declare(name, tasks)
'''


@pytest.fixture
def traces():
    return [read_to_last(file, LENGTH) for file in FILES]


@pytest.fixture
def process(tmp_path, traces):
    tasks = {
        f"bodies-{trace.workflow_id}": [(task.name, task.parents, task.ms) for task in trace.tasks]
        for trace in traces
    }
    (tmp_path / "traces.json").write_text(json.dumps(tasks))
    (tmp_path / "flows.py").write_text(FLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


async def test_kills_in_mid_run_lose_nothing_and_repeat_nothing(process, traces):
    rng, runs, kills = random.Random(11), {}, 0
    while kills < KILLS:
        async with process.start() as client:
            for trace in traces if not runs else ():
                await client.publish(document_to_json(trace.document()))
                for workflow_id in (trace.workflow_id, f"bodies-{trace.workflow_id}"):
                    runs[(await client.start(workflow_id)).run_id] = trace
            await asyncio.sleep(rng.uniform(0.05, 0.6))  # a real kill comes at a real moment
            states = [(await client.run(run_id).show())["state"] for run_id in runs]
            process.kill()
        if "running" not in states:
            break
        kills += 1
    assert kills, "the server was to be killed in mid-run"
    async with process.start() as client:
        for run_id, trace in runs.items():
            async with asyncio.timeout(30):
                await client.run(run_id).result()
            check(trace, await events(client, run_id), slack=100)
