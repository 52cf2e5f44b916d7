"""CPU-bound bodies in processes of their own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys

from infraweave.authoring.loader import load
from tests.engine.conftest import beat

FLOW = """
import os
import signal
import subprocess
import time
from contextvars import ContextVar
from infraweave import Context, NonRetryable, Retry, Workflow

flow = Workflow("apart", version="v1", input={"type": "object"})

@flow.node(executor="process")
def where(input: dict, ctx: Context) -> dict:
    ctx.report(tokens=7)
    return {"pid": os.getpid(), "node": ctx.node, **input}

dying = Workflow("dying", version="v1")

@dying.node(executor="process", retry=Retry(max_attempts=2, initial=0, jitter=False))
def dies_once(ctx: Context) -> int:
    if ctx.attempt == 1:
        os._exit(1)
    return ctx.attempt

refusing = Workflow("refusing", version="v1")

@refusing.node(executor="process")
def refuses() -> None:
    raise NonRetryable("never")

once = Workflow("where_once", version="v1")

@once.node(executor="process", retry=None)
def says_where() -> int:
    return os.getpid()

patient = Workflow("patient", version="v1", input={"type": "object"})

@patient.node(executor="process", retry=None)
def waits(input: dict) -> int:
    open(input["there"], "w").close()
    while not os.path.exists(input["go"]):
        time.sleep(0.01)
    return os.getpid()

hasty = Workflow("hasty", version="v1")

@hasty.node(executor="process", timeout="5s", retry=None)
def hurries() -> str:
    return "in time"

deadly = Workflow("deadly", version="v1")

@deadly.node(executor="process", retry=None)
def dies() -> None:
    os._exit(9)

leaving = Workflow("leaving", version="v1")

@leaving.node(executor="process", retry=None)
def leaves() -> None:
    raise KeyboardInterrupt

interrupted = Workflow("interrupted", version="v1")

@interrupted.node(executor="process", retry=None)
def goes_on() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "here"

stubborn = Workflow("stubborn", version="v1", input={"type": "object"})

@stubborn.node(executor="process", timeout="5s", retry=Retry(max_attempts=2, initial=0, jitter=False))
def stays(input: dict, ctx: Context) -> int:
    if ctx.attempt == 1:
        helper = subprocess.Popen(["sleep", "3600"])
        forked = os.fork()
        if forked == 0:
            time.sleep(3600)
        write(input["there"], f"{os.getpid()} {helper.pid} {forked}")
        while True:
            time.sleep(0.01)
    return ctx.attempt

def write(path: str, text: str) -> None:
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)

wrapped = Workflow("wrapped", version="v1")

async def answer() -> int:
    return 5

@wrapped.node(executor="process")
def wraps() -> int:
    return answer()

painted = Workflow("painted", version="v1")
colour = ContextVar("colour", default="none")

@painted.node(executor="process")
def paints() -> str:
    found = colour.get()
    colour.set("red")
    return found
"""


LOCKING = """
import fcntl
import time
from infraweave import Workflow

flow = Workflow("locking", version="v1")

@flow.node(executor="process", retry=None)
def holds(input: dict) -> None:
    with open(input["lock"], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        open(input["there"], "w").close()
        time.sleep(3600)
"""


async def test_a_process_body_runs_elsewhere_and_reports(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        run = await w.start("apart", {"x": 1})
        result = (await w.end(run))["result"]
        assert result == {"pid": result["pid"], "node": "where", "x": 1}
        assert result["pid"] != os.getpid()
        assert (await w.engine.service.inspect(run)).state.tokens == 7
        end = await w.end(await w.start("refusing"))
        assert (end["error"]["code"], end["error"]["message"]) == ("non_retryable", "never")


async def test_a_process_that_dies_is_a_failure_and_the_pool_is_made_anew(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        assert (await w.end(await w.start("dying")))["result"] == 2


async def test_a_process_that_dies_takes_no_other_with_it(world, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        there, go = tmp_path / "there", tmp_path / "go"
        run = await w.start("patient", {"there": str(there), "go": str(go)})
        while not there.exists():
            await beat(w)
        end = await w.end(await w.start("deadly"))
        assert (end["error"]["code"], end["error"]["message"]) == (
            "error",
            "ProcessDied: the process of the body ended before the body returned (killed, or out of memory?)",
        )
        go.touch()
        assert isinstance((await w.end(run))["result"], int)


async def test_a_process_that_died_with_nothing_to_do_is_made_anew(world, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        first = (await w.end(await w.start("where_once")))["result"]
        os.kill(first, signal.SIGKILL)
        while is_there(first):
            await beat(w)
        again = (await w.end(await w.start("where_once")))["result"]
        assert again not in (first, os.getpid())


def is_there(pid: int) -> bool:
    """Tell whether a process lives, or has not been waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_does_not_outlive_its_server(tmp_path):
    (tmp_path / "flow.py").write_text(LOCKING)
    lock, there = tmp_path / "lock", tmp_path / "there"
    given = json.dumps({"lock": str(lock), "there": str(there)})
    command = [sys.executable, "-m", "infraweave", "run", "flow.py", "--input", given]
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not there.exists():
        assert server.poll() is None
    server.kill()
    server.wait()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the body would hold it for ever


async def test_the_time_that_a_body_waits_for_a_process_is_not_its_own(world, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        there, go = tmp_path / "there", tmp_path / "go"
        first = await w.start("patient", {"there": str(there), "go": str(go)})
        while not there.exists():
            await beat(w)
        others = [await w.start("hasty") for _ in range(3)]
        for run in others:
            await w.explained(run, "waits for a free thread or process")
        await w.clock.advance(3600)
        go.touch()
        assert [(await w.end(run))["type"] for run in (first, *others)] == ["completed"] * 4


async def test_nothing_a_process_body_raises_ends_the_server(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        end = await w.end(await w.start("leaving"))
        assert (end["error"]["code"], end["error"]["message"]) == ("error", "KeyboardInterrupt")


async def test_ctrl_c_is_the_servers_business(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        assert (await w.end(await w.start("interrupted")))["result"] == "here"


async def stubborn_body(w, there) -> tuple[object, list[int]]:
    """Start a body that does not end; return its run and the processes that are of it."""
    run = await w.start("stubborn", {"there": str(there)})
    while not there.exists():
        await beat(w)
    return run, [int(pid) for pid in there.read_text().split()]


async def gone(w, pids: list[int]) -> None:
    while any(is_running(pid) for pid in pids):
        await beat(w)


def is_running(pid: int) -> bool:
    """Tell whether a process lives; what is left of one that nobody waited for does not."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


async def test_a_process_body_that_outlasts_its_time_and_the_grace_is_killed_and_tried_again(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        run, pids = await stubborn_body(w, tmp_path / "there")
        await w.at_work(run)
        await w.clock.advance(5)
        await w.until(run, "node_started", attempt=2)
        assert all(is_running(pid) for pid in pids)
        await w.clock.advance(5)
        assert (await w.end(run))["result"] == 2
        await gone(w, pids)


async def test_a_process_body_of_a_cancelled_run_is_killed_after_the_grace(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        run, pids = await stubborn_body(w, tmp_path / "there")
        await w.at_work(run)
        await w.engine.service.cancel(run, by="eve")
        await w.clock.advance(5)
        assert (await w.end(run))["type"] == "cancelled"
        await gone(w, pids)
        assert isinstance((await w.end(await w.start("where_once")))["result"], int)


async def test_a_process_body_does_not_outlast_the_engine(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"]), grace=0.0) as w:
        _, pids = await stubborn_body(w, tmp_path / "there")
    while any(is_running(pid) for pid in pids):
        pass


async def test_a_sync_wrapper_around_an_async_function_is_awaited_in_its_process(world, tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        assert (await w.end(await w.start("wrapped")))["result"] == 5


async def test_what_a_process_body_sets_in_its_context_is_in_no_other_call(world, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    (tmp_path / "flow.py").write_text(FLOW)
    async with world(*load([tmp_path / "flow.py"])) as w:
        assert [(await w.end(await w.start("painted")))["result"] for _ in range(2)] == ["none", "none"]
