"""Bodies that fork: in the child nothing of the server is left, and the server does not notice."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.crash.server import Process

FLOWS = '''
import asyncio
import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

from infraweave import Workflow

HERE = Path(__file__).parent


def status(pid: int) -> int:
    """The exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


pool = Workflow("pool", version="v1")


@pool.node
def squares() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as workers:
        return workers.map(abs, [-1, -2])


terminated = Workflow("terminated", version="v1")


@terminated.node
def children() -> dict:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join()
    forked = os.fork()
    if forked == 0:
        time.sleep(600)
    os.kill(forked, signal.SIGTERM)
    interrupted = os.fork()
    if interrupted == 0:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(600)
        except KeyboardInterrupt:
            os._exit(7)
    ran = subprocess.Popen(["sleep", "600"], preexec_fn=lambda: None)
    ran.terminate()
    return {
        "process": process.exitcode, "fork": status(forked), "interrupted": status(interrupted),
        "subprocess": ran.wait(),
    }


returning = Workflow("returning", version="v1")


@returning.node
def returns_twice() -> list:
    child = os.fork()
    return ["child"] if child == 0 else ["parent", status(child)]


@returning.node
def raises_in_the_child() -> int:
    child = os.fork()
    if child == 0:
        raise SystemExit(5)
    return status(child)


@returning.node
async def awaits_in_the_child() -> int:
    child = os.fork()
    await asyncio.sleep(0)
    if child == 0:
        (HERE / "awaited").touch()
    return status(child)


@returning.node
def loops_in_the_child() -> int:
    child = os.fork()
    if child == 0:
        os._exit(asyncio.run(answer()))
    return status(child)


async def answer() -> int:
    await asyncio.sleep(0.01)
    return 9


outliving = Workflow("outliving", version="v1")


@outliving.node
def leaves_a_child() -> int:
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    return child
'''


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOWS)
    server = Process(tmp_path)
    yield server
    server.kill()


async def test_a_pool_of_processes_in_a_body_does_not_stop_the_server(process):
    async with process.start() as client:
        for _ in range(3):
            run = await client.start("pool")
            assert await run.result() == [1, 2]
    assert "Shutting down" not in process.said()


async def test_forked_children_end_on_signals_as_usual(process):
    async with process.start() as client:
        run = await client.start("terminated")
        assert await run.result() == {"process": -15, "fork": -15, "interrupted": 7, "subprocess": -15}
    assert "Shutting down" not in process.said()


async def test_a_child_that_comes_back_from_its_body_ends_there(process, tmp_path):
    async with process.start() as client:
        result = await (await client.start("returning")).result()
        assert result == {
            "returns_twice": ["parent", 0],
            "raises_in_the_child": 5,
            "awaits_in_the_child": 1,
            "loops_in_the_child": 9,
        }
        assert not (tmp_path / "awaited").exists()
        assert await (await client.start("pool")).result() == [1, 2]


async def test_a_child_that_outlives_the_server_keeps_neither_its_port_nor_its_clients(process):
    async with process.start() as client:
        child = await (await client.start("outliving")).result()
        address = urlsplit(process.url)
        try:
            with socket.create_connection((address.hostname, address.port), 20) as before:
                before.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert before.recv(100)
                child_after = await (await client.start("outliving")).result()
                process.kill()
                before.settimeout(20)
                with suppress(ConnectionResetError):
                    while before.recv(65536):
                        pass
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address.hostname, address.port), 20)
            os.kill(child, 0)
        finally:
            for pid in (child, child_after):
                os.kill(pid, signal.SIGKILL)
