"""A server in a process of its own, to be killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infraweave.client import Client

WORKFLOWS = '''
"""Workflows that say in a log what they did, and wait for a file named go."""
import asyncio
import time
from pathlib import Path

from infraweave import Context, Retry, Workflow

HERE = Path(__file__).parent


def say(*words):
    with (HERE / "log").open("a") as file:
        file.write(" ".join(map(str, words)) + "\\n")


mixed = Workflow("mixed", version="v1", input={"type": "object"})


@mixed.node
def first(input: dict, ctx: Context) -> dict:
    say("done", ctx.run_id, "first")
    return input


@mixed.router(routes=["second", "approval", "shaky"])
def way(first: dict) -> str:
    return {"busy": "second", "human": "approval", "backoff": "shaky"}[first["kind"]]


@mixed.node
async def second(first: dict, ctx: Context) -> dict:
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)
    say("done", ctx.run_id, "second")
    return first


@mixed.human_input(schema={"type": "object", "required": ["ok"]})
def approval(first: dict) -> str:
    return "go on?"


@mixed.node(retry=Retry(max_attempts=5, initial=0.4, jitter=False))
def shaky(first: dict, ctx: Context) -> dict:
    if not (HERE / "go").exists():
        raise RuntimeError("not yet")
    say("done", ctx.run_id, "shaky")
    return first


@mixed.node
async def last(first: dict, second: dict | None = None, approval: dict | None = None,
               shaky: dict | None = None, *, ctx: Context) -> dict:
    say("done", ctx.run_id, "last")
    return {"kind": first["kind"]}


chain = Workflow("chain", version="v1", input={"type": "object"})


def step(place):
    async def body(ctx: Context) -> dict:
        await asyncio.sleep(0.01)
        return {"steps": place}

    chain.node(name=f"s{place}", after=[f"s{place - 1}"] if place > 1 else [])(body)


for place in range(1, 7):
    step(place)

deaf = Workflow("deaf", version="v1")


@deaf.node(retry=Retry(initial=0))
def thread(ctx: Context) -> str:
    say("thread began", ctx.attempt)
    while ctx.attempt == 1:
        time.sleep(0.05)
    return "second"


@deaf.node(retry=Retry(initial=0))
async def task(ctx: Context) -> str:
    while ctx.attempt == 1:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            say("task will not stop")
    return "second"


once = Workflow("once", version="v1")


@once.node(retry=None)
async def fragile() -> None:
    say("fragile began")
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)
'''


class Process:
    """The server of one folder, started as often as needed on the same file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.db = folder, folder / "runs.db"
        self.grace, self.port = "5", "0"
        #: Soft limits of the next start, by ``resource.RLIMIT_…``.
        self.limits: dict[int, int] = {}
        #: A command that runs the server, such as strace.
        self.under: list[str] = []
        #: More options of the next start.
        self.options: list[str] = []
        #: What it serves.
        self.workflows: list[Path] = [folder / "flows.py"]
        self._server: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def _command(self, *options: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "infraweave",
            "serve",
            *map(str, self.workflows),
            "--db",
            str(self.db),
            "--port",
            self.port,
            *self.options,
            *options,
        ]

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Client]:
        """Start the server and give a client that may do everything."""
        self.begin()
        async with Client(self.url, self.token) as client:
            yield client

    @property
    def token(self) -> str:
        """The token of who may do everything."""
        return self.db.with_name(f"{self.db.name}.token").read_text().strip()

    def begin(self) -> None:
        """Start the server; return once it answers."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the server."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.folder / "out").open("a") as out:
            self._server = subprocess.Popen(
                [*self.under, *self._command("--ready-file", str(ready), "--grace", self.grace)],
                stdout=out,
                stderr=out,
                text=True,
                preexec_fn=self._limit if self.limits else None,  # noqa: PLW1509 - it only sets limits
            )

    def await_ready(self) -> None:
        """Return once the server answers."""
        self.url = self._url(self.folder / "ready.json")

    def await_words(self, words: str, times: int = 1) -> None:
        """Return once the server has said something so many times."""
        for _ in range(600):
            if self.said().count(words) >= times:
                return
            time.sleep(0.05)
        raise AssertionError(self.said())

    def _url(self, ready: Path) -> str:
        for _ in range(600):
            if ready.exists():
                return str(json.loads(ready.read_text())["url"])
            assert self._server is not None
            assert self._server.poll() is None, (self.folder / "out").read_text()
            time.sleep(0.05)  # a real process starts in real time
        raise AssertionError((self.folder / "out").read_text())

    def _limit(self) -> None:
        for kind, soft in self.limits.items():
            resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))

    def said(self) -> str:
        """What the servers wrote on stdout and stderr."""
        return (self.folder / "out").read_text()

    def kill(self) -> None:
        """Kill it without a warning."""
        if self._server is not None and self._server.poll() is None:
            os.kill(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def terminate(self) -> None:
        """Ask it to stop."""
        assert self._server is not None
        self._server.terminate()

    def wait(self, timeout: float = 20) -> int:
        """Wait for it to end by itself."""
        assert self._server is not None
        return self._server.wait(timeout=timeout)

    def second(self) -> tuple[int, str]:
        """Start a second server on the same file; return its exit code and what it said."""
        done = subprocess.run(self._command(), capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr

    def log(self) -> str:
        """What the node bodies said."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""
