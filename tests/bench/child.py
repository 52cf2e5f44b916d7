"""Processes of the bench: each side of a comparison is one, with the package of its tree."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The checkout that this bench belongs to.
HERE = Path(__file__).parents[2]
#: A list of 50 runs is longer than asyncio's usual limit of a line.
LINE = 16 << 20
START_LIMIT = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Tree:
    """A checkout whose package ``infraweave`` is measured. The code of the bench is always this one's."""

    label: str
    path: Path = HERE

    def environment(self) -> dict[str, str]:
        """Return the environment in which Python imports ``infraweave`` from this tree."""
        paths = os.pathsep.join(map(str, dict.fromkeys((self.path, HERE))))
        left_out = ("INFRAWEAVE_", "PYTHONDONTWRITEBYTECODE")  # without compiled files a start takes longer
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return {**kept, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"}


class Child:
    """A running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.pid = process, process.pid

    def cpu_seconds(self) -> float | None:
        """Return the processor time that all its threads have used; None where ``/proc`` is missing."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mib(self) -> float | None:
        """Return its resident memory; None where ``/proc`` is missing."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    async def ask(self, command: str, **options: Any) -> dict[str, Any]:
        """Let a child that uses ``answer`` carry out a command, and return what it says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"command": command, **options}).encode() + b"\n")
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process for {command!r} has ended with {await self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def child(tree: Tree, *arguments: str, log: Path | None = None) -> AsyncIterator[Child]:
    """Run ``python ARGUMENTS`` for the length of the block; what it says on stderr goes to ``log``."""
    with (log or Path(os.devnull)).open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=tree.environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors if log else None,
            limit=LINE,
        )
        try:
            yield Child(process)
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(START_LIMIT):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()


async def until_written(file: Path, process: Child) -> str:
    """Wait until a process has written its ready file, and return the text."""
    async with asyncio.timeout(START_LIMIT):
        while not file.exists():
            if process.process.returncode is not None:
                raise RuntimeError(f"the server has ended with {process.process.returncode}")
            await asyncio.sleep(0.005)
    return file.read_text()


async def answer(commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]]) -> None:
    """In a child: carry out the commands that arrive on stdin, one JSON line each, until it closes."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        options = json.loads(line)
        said = await commands[options.pop("command")](**options)
        print(json.dumps(said), flush=True)
