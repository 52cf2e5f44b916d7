"""The server dies at a chosen place of its code, and is held to what it had acknowledged."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from infraweave.failpoints import NAMES
from tests.crash.load import WORKFLOWS, Ledger, check, drive
from tests.crash.server import Process

#: How often each place is reached before the server dies there; of a batch, the first are those of the start.
WHEN = {
    "commit.before": (61,),
    "commit.after": (20, 61),
    "batch.middle": (20,),
    "compensation": (3,),
}


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


@pytest.mark.parametrize(("place", "count"), [(place, n) for place, counts in WHEN.items() for n in counts])
async def test_nothing_acknowledged_is_lost(process, monkeypatch, place, count):
    ledger, rng = Ledger(), random.Random(count)
    monkeypatch.setenv("INFRAWEAVE_FAILPOINTS", f"{place}@{count}")
    await drive(process, ledger, rng, None)
    monkeypatch.delenv("INFRAWEAVE_FAILPOINTS")
    async with process.start() as client:
        ends = await check(client, ledger)
    assert sum(ends.values()) == len(ledger.started) > 0


async def test_a_server_that_dies_while_it_recovers_recovers_next_time(process, monkeypatch):
    ledger, rng = Ledger(), random.Random(3)
    await drive(process, ledger, rng, 0.5)
    monkeypatch.setenv("INFRAWEAVE_FAILPOINTS", "recovery@2")
    for _ in range(2):
        assert dies(process) == -9
    monkeypatch.delenv("INFRAWEAVE_FAILPOINTS")
    async with process.start() as client:
        await check(client, ledger)


@pytest.mark.parametrize("place", ["shutdown", "checkpoint"])
async def test_a_server_that_dies_while_it_stops_has_lost_nothing(process, monkeypatch, place):
    ledger, rng = Ledger(), random.Random(5)
    monkeypatch.setenv("INFRAWEAVE_FAILPOINTS", place)
    async with process.start() as client:
        for n in range(10):
            run = await client.start(
                "load", {"way": rng.choice(["approval", "good"])}, idempotency_key=f"k{n}"
            )
            ledger.started[f"k{n}"] = run.run_id
        process.terminate()
        assert process.wait() == -9
    monkeypatch.delenv("INFRAWEAVE_FAILPOINTS")
    async with process.start() as client:
        await check(client, ledger)


def test_a_place_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("INFRAWEAVE_FAILPOINTS", "nowhere")
    done = subprocess.run(
        [sys.executable, "-c", "import infraweave.failpoints"], capture_output=True, text=True, check=False
    )
    assert f"there are {', '.join(NAMES)}" in done.stderr


def dies(process: Process) -> int:
    """Start a server that dies by itself; return its exit code."""
    return subprocess.run(process._command(), capture_output=True, timeout=30, check=False).returncode
