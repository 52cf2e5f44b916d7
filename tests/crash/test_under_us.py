"""Others at our file: what moves, cuts, links, locks or closes it loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager

import httpx
import pytest

from infraweave.client import Client, ClientError
from infraweave.store.maintenance.verify import verify
from tests.crash.load import WORKFLOWS as LOAD
from tests.crash.load import Ledger, check
from tests.crash.server import Process
from tests.crash.test_disk import MEBIBYTE, fill, small_disk

WORKFLOWS = '''
"""A run that takes its time, and one whose node reads all files of a folder."""
import asyncio
from pathlib import Path

from infraweave import Workflow

HERE = Path(__file__).parent

quick = Workflow("quick", version="v1", input={"type": "object"})


@quick.node
async def only(input: dict) -> dict:
    return {"n": input.get("n")}


gated = Workflow("gated", version="v1", input={"type": "object"})


@gated.node
async def gate(input: dict) -> dict:
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)
    return {"through": True}


@gated.node
async def after(gate: dict) -> dict:
    return gate


reader = Workflow("reader", version="v1", input={"type": "object"})


@reader.node
def files(input: dict) -> int:
    return sum(len(path.read_bytes()) for path in HERE.iterdir() if path.is_file())
'''

#: Another program, at the file that is its argument.
TOOL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute(sys.argv[2]).fetchall()
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    (tmp_path / "load.py").write_text(LOAD)
    server = Process(tmp_path)
    server.workflows.append(tmp_path / "load.py")
    yield server
    server.kill()


def tool(path, sql):
    """Have another program execute a statement and close the file."""
    command = [sys.executable, "-c", TOOL, str(path), sql]
    subprocess.run(command, input="", capture_output=True, text=True, check=True, timeout=60)


@contextmanager
def locked(path):
    """Have another program hold the lock of writers for the length of a block."""
    command = [sys.executable, "-c", TOOL, str(path), "BEGIN IMMEDIATE"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "done\n"
        try:
            yield
        finally:
            other.stdin.close()


async def start(client: Client, n: int) -> str:
    """Start a run and await its end; return its id."""
    run = await client.start("quick", {"n": n}, idempotency_key=f"k{n}")
    assert await run.result() == {"n": n}
    return run.run_id


async def ready(process: Process) -> tuple[int, str]:
    """Return what readiness says."""
    async with httpx.AsyncClient(base_url=process.url) as http:
        answer = await http.get("/readyz", timeout=30)
        return answer.status_code, answer.json().get("error", {}).get("code", "")


async def until_ready(process: Process) -> None:
    while await ready(process) != (200, ""):  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.1)


async def refusal(client: Client) -> tuple[int, str]:
    """Return how a start is refused."""
    with pytest.raises(ClientError) as error:
        await client.start("quick", {"n": -1}, idempotency_key="refused")
    return error.value.status, error.value.code


UNAVAILABLE = (503, "storage_unavailable")


def beside(path, ending):
    return path.with_name(path.name + ending)


async def stands(process: Process, run_ids: list[str]) -> None:
    """Start the server anew, and hold it to what it had acknowledged."""
    async with process.start() as client:
        for n, run_id in enumerate(run_ids):
            assert await client.run(run_id).result() == {"n": n}
        await start(client, 1_000)
    process.kill()
    assert list(verify(process.db)) == []


# --- names -------------------------------------------------------------------------------------------------


def remove_log(db):
    beside(db, "-wal").unlink()


def remove_index(db):
    beside(db, "-shm").unlink()


def replace_log(db):
    beside(db, "-other").write_bytes(b"")
    beside(db, "-other").replace(beside(db, "-wal"))


def link(db):
    db.with_name("link.db").hardlink_to(db)


@pytest.mark.parametrize(
    ("act", "first"), [(remove_log, "start"), (remove_log, "ready"), (remove_index, "ready"), (link, "start")]
)
async def test_what_others_do_to_the_names_is_noticed_and_loses_nothing(process, act, first):
    async with process.start() as client:
        run_ids = [await start(client, n) for n in range(5)]
        act(process.db)
        if first == "ready":  # an idle server notices too
            assert await ready(process) == UNAVAILABLE
        assert await refusal(client) == UNAVAILABLE
        assert await ready(process) == UNAVAILABLE
        assert await client.run(run_ids[0]).result() == {"n": 0}  # what is there can be read
    said = process.said()
    assert "The database cannot be written any more; restart to recover" in said
    assert "Stop whatever does that" in said
    assert "Nothing that was acknowledged is lost" in said
    process.kill()
    process.db.with_name("link.db").unlink(missing_ok=True)
    await stands(process, run_ids)


async def test_a_log_in_the_place_of_ours_is_not_touched_as_the_server_ends(process):
    async with process.start() as client:
        await start(client, 0)
        replace_log(process.db)
        assert await refusal(client) == UNAVAILABLE
    process.terminate()
    assert process.wait() == 1
    assert beside(process.db, "-wal").read_bytes() == b""


async def test_a_file_that_was_moved_and_left_a_link_behind_is_whole_where_it_is(process):
    async with process.start() as client:
        run_ids = [await start(client, n) for n in range(5)]
        process.db.symlink_to(process.db.rename(process.db.with_name("moved.db")))
        assert await refusal(client) == UNAVAILABLE
        assert await ready(process) == UNAVAILABLE
    process.kill()
    await stands(process, run_ids)


async def test_a_file_that_was_moved_is_whole_under_its_new_name(process):
    async with process.start() as client:
        run_ids = [await start(client, n) for n in range(5)]
        moved = process.db.rename(process.db.with_name("moved.db"))
        assert await ready(process) == UNAVAILABLE
        assert await refusal(client) == UNAVAILABLE
        assert "was removed or moved while it was in use" in process.said()
    process.kill()

    code, said = process.second()
    assert code == 1
    assert "is missing, but its log runs.db-wal is here" in said
    assert not process.db.exists()
    beside(process.db, "-wal").unlink()
    process.db = moved.rename(process.db)
    await stands(process, run_ids)


async def test_after_a_file_was_replaced_the_server_ends_and_leaves_the_new_one_alone(process, tmp_path):
    async with process.start() as client:
        run_ids = [await start(client, n) for n in range(3)]
        with closing(sqlite3.connect(process.db)) as old, closing(sqlite3.connect(tmp_path / "new")) as new:
            old.backup(new)
        await start(client, 100)
        (tmp_path / "new").replace(process.db)
        assert await ready(process) == UNAVAILABLE
        assert await refusal(client) == UNAVAILABLE
        assert "was replaced by another file" in process.said()
    process.terminate()
    assert process.wait() == 1
    assert not beside(process.db, "-wal").exists()  # it belonged to the other one
    await stands(process, run_ids)


@pytest.mark.parametrize("ending", ["", "-wal"])
async def test_a_file_that_was_cut_short_is_neither_ready_nor_written(process, ending):
    async with process.start() as client:
        await start(client, 0)
        if ending == "":
            tool(process.db, "PRAGMA wal_checkpoint(FULL)")
            await start(client, 1)
        os.truncate(beside(process.db, ending), 4_096)
        assert await ready(process) == UNAVAILABLE
        assert await refusal(client) == UNAVAILABLE
        assert "was cut short while it was in use" in process.said()
    process.terminate()
    assert process.wait() == 1


# --- locks -------------------------------------------------------------------------------------------------


async def test_removing_the_lock_file_does_not_let_a_second_server_in(process):
    async with process.start() as client:
        await start(client, 0)
        beside(process.db, ".lock").unlink()
        code, said = process.second()
        assert (code, "is already served" in said) == (1, True)
        assert await ready(process) == (200, "")
        await start(client, 1)
    process.terminate()
    assert process.wait() == 0


async def test_a_link_does_not_let_a_second_server_in(process):
    async with process.start() as client:
        await start(client, 0)
        db = process.db
        link(db)
        process.db = db.with_name("link.db")
        code, said = process.second()
        process.db = db
    assert (code, "is already served" in said) == (1, True)


async def test_a_file_with_two_names_is_not_served(process):
    process.begin()
    process.kill()
    link(process.db)

    code, said = process.second()
    assert code == 1
    assert "has 2 names (hard links)" in said


async def test_a_lock_of_another_program_keeps_writes_waiting_and_fails_nothing(process, tmp_path):
    async with process.start() as client:
        await start(client, 0)
        gated = await client.start("gated", {})
        with locked(process.db):
            (tmp_path / "go").touch()  # the node ends now, and its result cannot be stored
            held = await asyncio.gather(
                client.start("quick", {"n": 1}, idempotency_key="k1"), return_exceptions=True
            )
            assert (held[0].status, held[0].code) == UNAVAILABLE
            assert await refusal(client) == UNAVAILABLE  # at once, and nothing of it is kept
            assert await ready(process) == UNAVAILABLE
            assert (await gated.show())["state"] == "running"
            assert "another program holds a lock on the database" in process.said()
        assert await gated.result() == {"through": True}
        await until_ready(process)
        assert await start(client, 1)
        assert len((await client.request("GET", "/v1/runs"))["runs"]) == 3
        assert "The database can be written again" in process.said()
    process.terminate()
    assert process.wait() == 0
    assert list(verify(process.db)) == []


async def test_a_server_that_is_stopped_while_another_program_holds_a_lock_ends(process):
    async with process.start() as client:
        run_ids = [await start(client, 0)]
        with locked(process.db):
            assert await refusal(client) == UNAVAILABLE
            process.terminate()
            assert process.wait() == 1  # what waited was not stored
    await stands(process, run_ids)


async def test_closing_the_file_elsewhere_after_a_node_has_read_it_removes_no_log(process):
    async with process.start() as client:
        run_ids = []
        for n in range(10):
            await (await client.start("reader", {})).result()  # drops SQLite's own locks
            tool(process.db, "SELECT count(*) FROM runs")
            run_ids.append(await start(client, n))
        assert await ready(process) == (200, "")
    process.kill()
    await stands(process, run_ids)


# --- a full disk -------------------------------------------------------------------------------------------


async def test_once_a_full_disk_has_room_again_the_server_goes_on_by_itself(process, tmp_path):
    ledger = Ledger()
    with small_disk(tmp_path / "disk", "24m") as disk:
        process.db = disk / "runs.db"
        async with process.start() as client:
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(21 * MEBIBYTE))
            error = await fill(client, ledger)
            assert (error.status, error.code) == UNAVAILABLE
            assert await ready(process) == UNAVAILABLE
            assert "the disk is full" in process.said()
            ballast.unlink()
            await until_ready(process)
            assert "The database can be written again" in process.said()
            await check(client, ledger)
        process.terminate()
        assert process.wait() == 0
        async with process.start() as client:
            await check(client, ledger)


# --- who may read ------------------------------------------------------------------------------------------


async def test_only_the_owner_may_read_the_files_whatever_the_umask(process):
    old = os.umask(0)
    try:
        process.begin()
        async with Client(process.url, process.token) as client:
            await start(client, 0)
        back_up(process.db, process.db.with_name("copy.db"))
    finally:
        os.umask(old)
    names = ["runs.db", "runs.db-wal", "runs.db-shm", "runs.db.lock", "runs.db.token", "copy.db"]
    assert {name: modes(process.db.with_name(name)) for name in names} == dict.fromkeys(names, 0o600)


async def test_a_file_that_others_could_read_is_its_owners_alone_from_the_next_start_on(process):
    process.begin()
    process.kill()
    for ending in ("", "-wal", "-shm"):
        beside(process.db, ending).chmod(0o644)
    process.begin()

    assert {modes(beside(process.db, ending)) for ending in ("", "-wal", "-shm")} == {0o600}
    assert "was readable by others" in process.said()


def back_up(db, target):
    command = [sys.executable, "-m", "infraweave", "db", "backup", str(target), "--db", str(db)]
    subprocess.run(command, capture_output=True, check=True, timeout=60)


def modes(path):
    return stat.S_IMODE(path.stat().st_mode)
