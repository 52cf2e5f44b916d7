"""Processes for long computations in libraries, which can only be stopped by killing their process.

A process is started when first needed and then kept. It is killed when its caller stops waiting. The kernel
kills it when it exceeds its processor time or its memory, even if the server has died meanwhile. Requests and
answers are JSON over its pipes (``compute_worker``), never pickles, which could execute code.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.data.values import Json
from infraweave.engine.execution.compute_worker import LENGTH

#: Processes of one server; further calls wait in order.
MAX_PROCESSES = 2
#: -P: import nothing from the current folder.
_COMMAND = ("-P", "-c", "from infraweave.engine.execution.compute_worker import main; main()")


class WorkRejected(ValueError):
    """The work raised ValueError; this one has its text."""


class WorkLimitExceeded(Exception):
    """The work exceeded its processor time or its memory; its process was killed."""


class ComputePool:
    """The compute processes of one server."""

    def __init__(self, max_processes: int = MAX_PROCESSES) -> None:
        self._room = asyncio.Semaphore(max_processes)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def call(self, work: str, *given: Json, seconds: int) -> Json:
        """Return the result of one of ``compute_worker.WORKS`` within ``seconds`` of processor time.

        Raises:
            WorkRejected: it raised ValueError.
            WorkLimitExceeded: it exceeded its processor time or its memory.
        """
        async with self._room:
            process = await self._ready()
            try:
                kind, value = await _asked(process, dumps([work, seconds, *given]))
            except BaseException as error:
                await self._end(process)
                if isinstance(error, ConnectionError | asyncio.IncompleteReadError):
                    raise WorkLimitExceeded(_cause(process, seconds)) from error
                raise
            self._idle.append(process)
        if kind == "rejected":
            raise WorkRejected(value)
        return value

    async def _ready(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
            await self._end(process)  # it died while idle
        return await self._begin()

    async def _begin(self) -> Process:
        paths = os.pathsep.join(path for path in sys.path if path)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        self._all.add(process)
        return process

    async def _end(self, process: Process) -> None:
        self._all.discard(process)
        if process.returncode is None:
            # Not process.kill(): that would take the exit status of a dead process from its waiter.
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        # Shielded, so that a cancelled caller does not leave a zombie behind.
        await asyncio.shield(process.wait())
        _close(process)

    def pids(self) -> list[int]:
        """Return the ids of the living processes."""
        return [process.pid for process in self._all if process.returncode is None]

    async def close(self) -> None:
        """End all processes."""
        self._idle.clear()
        for process in list(self._all):
            await self._end(process)


async def _asked(process: Process, request: bytes) -> tuple[str, Json]:
    given, taken = process.stdin, process.stdout
    if given is None or taken is None:
        raise TypeError("the process has no pipes")
    given.write(len(request).to_bytes(LENGTH, "big") + request)
    await given.drain()
    length = int.from_bytes(await taken.readexactly(LENGTH), "big")
    kind, value = loads(await taken.readexactly(length))
    return kind, value


def _cause(process: Process, seconds: int) -> str:
    if process.returncode == -signal.SIGXCPU:
        return f"it takes more than {seconds} seconds of processor time"
    return "its process ended before it was done (out of memory?)"


def _close(process: Process) -> None:
    """Close the pipes now, or their garbage collection would warn."""
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
