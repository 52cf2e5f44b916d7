"""Somebody watches a run while its server is killed, and stopped, and started again: no event is missed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

import pytest

from tests.crash.server import WORKFLOWS, Process
from tests.crash.test_kill import events, until


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    server = Process(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        server.port = str(free.getsockname()[1])
    yield server
    server.kill()


async def watching(process, run_id: str, *options: str) -> asyncio.subprocess.Process:
    token = (process.folder / "runs.db.token").read_text().strip()
    url = f"http://127.0.0.1:{process.port}"
    return await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "infraweave", "runs", "watch", run_id, *options],
        env={**os.environ, "INFRAWEAVE_URL": url, "INFRAWEAVE_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def said(watcher, words: bytes) -> None:
    """Wait until the watcher has said something on stderr."""
    async with asyncio.timeout(20):
        while words not in await watcher.stderr.readline():
            pass


async def test_watch_goes_on_after_kill_9_and_after_a_restart(process):
    async with process.start() as client:
        run = await client.start("mixed", {"kind": "busy", "n": 0})
        await until(client, run, "node_started", node="second")
        watcher = await watching(process, run.run_id, "--json")
        lines = [json.loads(await watcher.stdout.readline()) for _ in range(4)]
        process.kill()
        await said(watcher, b"The server is unreachable")
    async with process.start() as client:
        await said(watcher, b"The server is back")
        await until(client, run, "node_failed", node="second")
        os.kill(process.pid, signal.SIGTERM)
        (process.folder / "go").touch()
        assert process.wait() == 0
        await said(watcher, b"The server is unreachable")
    async with process.start() as client:
        rest, errors = await asyncio.wait_for(watcher.communicate(), 30)
        lines += map(json.loads, rest.splitlines())
        assert lines == await events(client, run.run_id)
    assert watcher.returncode == 0
    assert b"The server is back" in errors or lines[-1]["type"] == "completed"
    assert b"Traceback" not in errors


async def test_watch_exits_with_1_where_the_run_failed_in_the_meantime(process):
    async with process.start() as client:
        run = await client.start("once", {})
        await until(client, run, "node_started", node="fragile")
        watcher = await watching(process, run.run_id)
        await watcher.stdout.readline()
        process.kill()
    async with process.start():
        _, errors = await asyncio.wait_for(watcher.communicate(), 30)
    assert watcher.returncode == 1
    assert b"infraweave: failed in fragile: " in errors
