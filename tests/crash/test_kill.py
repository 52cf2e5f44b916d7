"""A real server process, killed for real: every run ends right, and completed nodes do not run again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter

import pytest

from tests.crash.server import WORKFLOWS, Process

RUNS = 12


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


def ran(process: Process) -> Counter:
    """How often each node body of each run completed, by its own word in the log."""
    return Counter(line for line in process.log().splitlines() if line.startswith("done"))


async def test_after_kill_9_every_run_ends_right_and_completed_nodes_did_not_run_again(process):
    async with process.start() as client:
        busy = [await client.start("mixed", {"kind": "busy", "n": n}) for n in range(RUNS)]
        human = [await client.start("mixed", {"kind": "human", "n": n}) for n in range(RUNS)]
        backoff = [await client.start("mixed", {"kind": "backoff", "n": n}) for n in range(RUNS)]
        for run in human:
            await until(client, run, "input_requested")
        for run in backoff:
            await until(client, run, "node_failed")
        for run in busy:
            await until(client, run, "node_started", node="second")
        seen = {run.run_id: await events(client, run.run_id) for run in (*busy, *human, *backoff)}
        process.kill()
    (process.folder / "go").touch()
    async with process.start() as client:
        for run in human:
            await client.run(run.run_id).signal("approval", {"ok": True})
        for run in (*busy, *human, *backoff):
            result = await client.run(run.run_id).result()
            assert result["kind"] == {r.run_id: k for r, k in _kinds(busy, human, backoff)}[run.run_id]
            after = [e async for e in client.events(run.run_id, after=seen[run.run_id][-1]["seq"])]
            whole = [*seen[run.run_id], *after]
            assert [e["seq"] for e in whole] == list(range(1, len(whole) + 1))
            assert whole[-1]["type"] == "completed"
            assert whole == await events(client, run.run_id)
    assert all(count == 1 for line, count in ran(process).items()), ran(process)
    interrupted = [e for run in busy for e in seen[run.run_id] if e.get("code") == "interrupted"]
    assert interrupted == []


def _kinds(busy, human, backoff):
    for kind, runs in (("busy", busy), ("human", human), ("backoff", backoff)):
        for run in runs:
            yield run, kind


async def test_kills_at_random_moments_lose_nothing(process):
    rng = random.Random(7)
    started: list[str] = []
    for _ in range(4):
        async with process.start() as client:
            started += [(await client.start("chain", {"n": n})).run_id for n in range(10)]
            await asyncio.sleep(rng.uniform(0, 0.15))  # a real kill comes at a real moment
            process.kill()
    async with process.start() as client:
        for run_id in started:
            result = await client.run(run_id).result()
            log = await events(client, run_id)
            assert result == {"steps": 6}
            assert [e["seq"] for e in log] == list(range(1, len(log) + 1))
            closed = Counter(e["node"] for e in log if e["type"] == "node_completed")
            assert set(closed.values()) == {1}
            opened = Counter((e["node"], e["attempt"]) for e in log if e["type"] == "node_started")
            assert set(opened.values()) == {1}


async def test_a_node_with_one_attempt_is_not_run_twice(process):
    async with process.start() as client:
        run = await client.start("once", {})
        await until(client, run, "node_started", node="fragile")
        process.kill()
    async with process.start() as client:
        end = [e async for e in client.run(run.run_id).events()][-1]
    assert end["type"] == "failed"
    assert end["error"]["code"] == "interrupted"
    assert process.log().count("fragile began") == 1


async def test_sigterm_ends_streams_lets_bodies_finish_and_exits_0(process):
    async with process.start() as client:
        run = await client.start("mixed", {"kind": "busy", "n": 0})
        await until(client, run, "node_started", node="second")
        path = f"/v1/runs/{run.run_id}/events"
        async with client._http.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer:
            parts = answer.aiter_text()
            assert (await anext(parts)).startswith("retry: 1000\nevent: status_changed\n")
            os.kill(process.pid, signal.SIGTERM)
            assert "event: completed" not in "".join([part async for part in parts])
            (process.folder / "go").touch()
        assert process.wait() == 0
    assert (
        not process.db.with_name("runs.db-wal").exists()
        or not (process.folder / "runs.db-wal").stat().st_size
    )
    async with process.start() as client:
        assert (await client.run(run.run_id).result())["kind"] == "busy"
        log = await events(client, run.run_id)
    assert [e for e in log if e.get("code") == "interrupted"] == []


async def test_bodies_that_do_not_stop_do_not_keep_a_server_from_ending(process):
    process.grace = "0.2"
    async with process.start() as client:
        run = await client.start("deaf", {})
        await until(client, run, "node_started", node="thread")
        await until(client, run, "node_started", node="task")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 0
    process.grace = "5"
    async with process.start() as client:
        assert await client.run(run.run_id).result() == {"thread": "second", "task": "second"}


async def test_a_second_process_on_the_same_file_is_refused_and_names_the_first(process):
    async with process.start():
        code, said = process.second()
    assert code == 1
    assert str(process.pid) in said


async def until(client, run, kind, **fields) -> None:
    """Wait for an event."""
    async with asyncio.timeout(20):
        async for event in client.events(run.run_id):
            if event["type"] == kind and all(event.get(k) == v for k, v in fields.items()):
                return
    raise AssertionError(f"{run.run_id} ended without {kind} {fields}")


async def events(client, run_id) -> list[dict]:
    """Return all events there are now."""
    found: list[dict] = []
    while True:
        after = found[-1]["seq"] if found else 0
        page = await client.request(
            "GET",
            f"/v1/runs/{run_id}/events",
            params={"after": after},
            headers={"Accept": "application/json"},
        )
        if not page["events"]:
            return found
        found += page["events"]
