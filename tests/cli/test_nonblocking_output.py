"""Whether somebody reads what is told, or not, changes nothing but what is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from infraweave.cli import nonblocking_output
from infraweave.cli.nonblocking_output import NonblockingOutput
from infraweave.client import Client
from tests.crash.server import Process

FLOW = """
import sys
from infraweave import Workflow

flow = Workflow("loud", version="v1")

@flow.node(retry=None)
def shout() -> int:
    print("x" * 200_000)
    print("y" * 200_000, file=sys.stderr)
    return 5
"""


class Unread(Process):
    """A server that writes to pipes, which its test reads, closes or leaves alone."""

    def launch(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = self._command("--ready-file", str(ready), "--grace", self.grace)
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def close_pipes(self) -> None:
        assert self._server is not None
        for pipe in (self._server.stdout, self._server.stderr):
            if pipe is not None:
                pipe.close()

    def read(self) -> str:
        """Return all that it says until it ends."""
        assert self._server is not None
        return "".join(self._server.communicate(timeout=50))


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOW)
    server = Unread(tmp_path)
    yield server
    server.kill()
    server.close_pipes()


async def test_a_server_whose_readers_have_gone_serves_and_stops_as_usual(process):
    async with process.start() as client:
        process.close_pipes()
        for _ in range(2):
            assert await (await client.start("loud")).result() == 5
    process.terminate()
    assert process.wait() == 0


async def test_a_server_whose_readers_do_not_read_serves_and_stops_as_usual(process):
    """Each run says more than a pipe holds."""
    async with process.start() as client:
        for _ in range(2):
            assert await (await client.start("loud")).result() == 5
        async with httpx.AsyncClient(base_url=process.url, trust_env=False) as http:
            for _ in range(50):
                assert (await http.get("/healthz")).status_code == 200
    process.terminate()
    said = process.read()
    assert process.wait() == 0
    assert "InfraWeave serves loud" in said


async def test_a_server_that_is_told_to_stop_before_anybody_hears_what_it_serves(process):
    process.launch()
    process.close_pipes()
    process.await_ready()
    async with Client(process.url, process.token) as client:
        assert await (await client.start("loud")).result() == 5
    process.terminate()
    assert process.wait() == 0


def test_a_run_whose_reader_of_remarks_has_gone_ends(tmp_path):
    (tmp_path / "flow.py").write_text("from infraweave import Workflow\nflow = Workflow('a', version='v1')\n"
                                      "flow.node(lambda: 5, name='five')\n")  # fmt: skip
    command = [sys.executable, "-m", "infraweave", "run", "flow.py"]
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        command, check=False, cwd=tmp_path, stdout=subprocess.PIPE, stderr=writing, timeout=50, text=True
    )
    os.close(writing)
    assert (ran.returncode, ran.stdout) == (0, "5\n")


def test_a_server_without_stdin_stdout_and_stderr_opens_no_file_in_their_place(process, tmp_path):
    command = process._command("--ready-file", str(tmp_path / "ready.json"))
    shell = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    process._server = shell
    process.await_ready()
    names = [Path(f"/proc/{shell.pid}/fd/{number}").readlink() for number in range(3)]
    assert names == [Path(os.devnull)] * 3
    shell.send_signal(signal.SIGTERM)
    assert shell.wait() == 0


# --- one descriptor ----------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_what_nobody_takes_is_dropped_and_told_once_somebody_reads(pipe, monkeypatch):
    monkeypatch.setattr(nonblocking_output, "PATIENCE", 0.01)
    reading, writing = pipe
    stream = NonblockingOutput(writing)
    assert stream.write(b"x" * 1_000_000) == 1_000_000
    taken = os.read(reading, 1_000_000)
    assert set(taken) == {ord("x")}
    stream.write(b"again\n")
    dropped = 1_000_000 - len(taken)
    assert os.read(reading, 1_000) == b"[%d unread bytes were dropped]\nagain\n" % dropped


def test_writing_where_the_reader_has_gone_fails_nothing(pipe):
    reading, writing = pipe
    os.close(reading)
    assert NonblockingOutput(writing).write(b"hello") == 5


def test_a_reader_who_reads_gets_all_of_it_in_order(pipe):
    reading, writing = pipe
    lines = [f"{number} {'x' * 5_000}\n".encode() for number in range(200)]
    found = bytearray()

    def read() -> None:
        while piece := os.read(reading, 4_000):
            found.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    stream = NonblockingOutput(writing)
    for line in lines:
        stream.write(line)
    os.close(writing)
    reader.join(20)
    assert bytes(found) == b"".join(lines)
