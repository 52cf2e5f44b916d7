"""The disk fails or is full, or there are no more files: clear errors, and nothing acknowledged is lost."""

from __future__ import annotations

import random
import resource
import shutil
import socket
import subprocess
from contextlib import contextmanager

import httpx
import pytest

from infraweave.client import Client, ClientError
from tests.crash.load import WORKFLOWS, Ledger, check, read_on
from tests.crash.server import Process

MEBIBYTE = 1 << 20


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


async def fill(client: Client, ledger: Ledger, size: int = 20_000) -> ClientError:
    """Start runs with large inputs, answer and read them until the server refuses; return its refusal."""
    for n in range(2_000):
        way = random.Random(n).choice(["approval", "good", "bad"])
        body = {"way": way, "ballast": "x" * size}
        try:
            run = await client.start("load", body, idempotency_key=f"k{n}")
            ledger.started[f"k{n}"] = run.run_id
            if way == "approval":
                await run.signal("approval", {"ok": True}, request_id="s0")
                ledger.signalled.add((run.run_id, "s0"))
            await read_on(client, ledger, run.run_id)
        except ClientError as error:
            return error
    raise AssertionError("the disk never filled up")


FAILED = "The database cannot be written any more; restart to recover"
FULL = "The database cannot be written: the disk is full"


async def refused(process: Process, client: Client, ledger: Ledger, says: str = FAILED) -> None:
    """Check that a server whose file cannot be written says so, wherever it is asked."""
    error = await fill(client, ledger)
    assert (error.status, error.code) == (503, "storage_unavailable")
    assert ledger.started
    async with httpx.AsyncClient(base_url=process.url) as http:
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "storage_unavailable")
        assert (await http.get("/healthz")).status_code == 200
    run_id = next(iter(ledger.started.values()))
    assert (await client.run(run_id).show())["run_id"] == run_id  # what is there can be read
    assert says in process.said()


async def recovers(process: Process, ledger: Ledger) -> None:
    """Restart on a whole disk; hold the server to what it had acknowledged."""
    process.kill()
    process.limits, process.under = {}, []
    async with process.start() as client:
        await check(client, ledger)


async def test_a_file_that_may_not_grow(process):
    process.limits = {resource.RLIMIT_FSIZE: MEBIBYTE}
    ledger = Ledger()
    async with process.start() as client:
        await refused(process, client, ledger)
    await recovers(process, ledger)


async def test_a_full_disk(process, tmp_path):
    with small_disk(tmp_path / "disk", "3m") as disk:
        process.db = disk / "runs.db"
        ledger = Ledger()
        async with process.start() as client:
            await refused(process, client, ledger, FULL)
        process.kill()
        for name in disk.iterdir():
            shutil.copy(name, tmp_path / name.name)
    process.db = tmp_path / "runs.db"
    await recovers(process, ledger)


@contextmanager
def small_disk(path, size):
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk of its own")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    ("fault", "says", "killed"),
    [
        ("fdatasync:error=EIO:when=40+", FAILED, True),
        ("fdatasync:error=EIO:when=40+", FAILED, False),
        ("pwrite64:error=ENOSPC:when=1000+", FULL, True),
        ("pwrite64:error=ENOSPC:when=1000+", FULL, False),
        ("pwrite64:error=EIO:when=1000+", FAILED, True),
    ],
)
async def test_a_disk_that_fails(process, fault, says, killed):
    process.under = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}"]
    ledger = Ledger()
    async with process.start() as client:
        await refused(process, client, ledger, says)
        if not killed:
            process.terminate()
            assert process.wait() == 1  # so that whoever looks after it starts it again
    await recovers(process, ledger)


async def test_no_more_files(process):
    process.limits = {resource.RLIMIT_NOFILE: 64}
    ledger = Ledger()
    async with process.start() as client:
        run = await client.start("load", {"way": "good"}, idempotency_key="k1")
        ledger.started["k1"] = run.run_id
        host, port = process.url.removeprefix("http://").split(":")
        hoard = [socket.create_connection((host, int(port))) for _ in range(80)]
        for connection in hoard:
            connection.close()
        run = await client.start("load", {"way": "good"}, idempotency_key="k2")
        ledger.started["k2"] = run.run_id
        await check(client, ledger)


async def test_a_file_of_another_kind_or_a_broken_one_is_refused(process):
    process.db.write_bytes(b"no database at all" * 1000)
    code, said = process.second()
    assert code == 1
    assert "is not an SQLite database" in said
    assert "Traceback" not in said


async def test_a_corrupted_page_is_told_and_spoils_nothing_else(process):
    ledger = Ledger()
    async with process.start() as client:
        for n in range(40):
            body = {"way": "good", "ballast": "x" * 5_000}
            run = await client.start("load", body, idempotency_key=f"k{n}")
            ledger.started[f"k{n}"] = run.run_id
            await client.run(run.run_id).result()
        process.terminate()
        assert process.wait() == 0
    with process.db.open("r+b") as file:
        size = process.db.stat().st_size
        for place in range(size // 2, size // 2 + 40_960, 4_096):
            file.seek(place)
            file.write(b"\xff" * 4_096)
    async with process.start() as client:
        answers = [await told(client, run_id) for run_id in ledger.started.values()]
    assert set(answers) <= {200, 500, 503}
    assert answers.count(200) > 0
    assert any(status != 200 for status in answers)


async def told(client: Client, run_id: str) -> int:
    """Return the status of a run's events."""
    try:
        await client.request("GET", f"/v1/runs/{run_id}/events", headers={"Accept": "application/json"})
    except ClientError as error:
        return error.status
    return 200
