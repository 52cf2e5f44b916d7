"""A run is set aside after three processes died while they loaded it; the server serves the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from infraweave.client import Client, ClientError
from infraweave.core.data.values import Json
from tests.crash.server import Process

WORKFLOWS = '''
"""A run that kills its process as one does that takes all memory, and runs that do not."""
import asyncio
import os
import signal
from pathlib import Path

from infraweave import Workflow

HERE = Path(__file__).parent
bomb, calm = Workflow("bomb", version="v1"), Workflow("calm", version="v1")


@bomb.human_input(schema={"type": "object"})
async def person() -> str:
    if (HERE / "armed").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return "well?"


@calm.node
async def first() -> int:
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)
    return 1
'''


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


async def kills(process: Process, act: Coroutine) -> None:
    """Do what kills the server, and wait until it has."""
    task = asyncio.ensure_future(act)
    assert await asyncio.to_thread(process.wait, 60) == -9
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def started(client: Client, process: Process, calm: int) -> list[str]:
    """Start calm runs, and the one that kills the server; return the ids of the calm ones."""
    runs = [(await client.start("calm")).run_id for _ in range(calm)]
    (process.folder / "armed").touch()
    await kills(process, client.start("bomb"))
    return runs


async def bomb_of(client: Client) -> Json:
    (bomb,) = (await client.request("GET", "/v1/runs", params={"workflow_id": "bomb"}))["runs"]
    return bomb


@pytest.mark.timeout(180)
async def test_a_run_that_kills_the_server_is_set_aside_after_three_times(process):
    async with process.start() as client:
        calm = await started(client, process, 8)
    for _ in range(3):
        process.launch()
        assert process.wait(60) == -9
    async with process.start() as client:
        bomb = await bomb_of(client)
        assert bomb["set_aside"] is True
        run = client.run(bomb["run_id"])
        told = await client.request("GET", f"/v1/runs/{bomb['run_id']}/explain")
        assert "is set aside, because 3 processes in a row have died" in told["explanation"]
        assert (await client.request("GET", "/readyz"))["runs_set_aside"] == 1
        assert "is set aside, because 3 processes" in process.said()
        with pytest.raises(ClientError) as refused:
            await run.signal("person", {})
        assert refused.value.code == "run_set_aside"
        (process.folder / "go").touch()
        async with asyncio.timeout(30):
            assert [await client.run(run_id).result() for run_id in calm] == [1] * 8
        (process.folder / "armed").unlink()
        assert not (await run.resume()).get("set_aside")
        async with asyncio.timeout(30):
            async for event in run.events():
                if event["type"] == "input_requested":
                    await run.signal("person", {"ok": True})
            assert await run.result() == {"ok": True}
        process.terminate()
        assert process.wait() == 0
    assert not process.db.with_name(f"{process.db.name}.taking-up").exists()


@pytest.mark.timeout(180)
async def test_kills_from_outside_set_no_run_aside(process):
    async with process.start() as client:
        calm = [(await client.start("calm")).run_id for _ in range(40)]
        process.kill()
    for _ in range(3):
        process.begin()
        process.kill()
    (process.folder / "go").touch()
    async with process.start() as client, asyncio.timeout(30):
        assert [await client.run(run_id).result() for run_id in calm] == [1] * 40
