"""Long work of the core in processes that can be killed: no library that computes can be stopped from inside.

A process is begun when it is first needed and then kept, so that only the first call waits for it. It is
killed when its caller stops waiting; the kernel kills it when it has used the processor time that it was
given, or more memory than it may, also where the server has died meanwhile. It speaks JSON over its pipes
(``worker``), never what it could be made to execute.
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

#: Processes of one server; more calls wait in order.
AT_ONCE = 2
#: -P: nothing is imported from the folder that the server happens to stand in.
_COMMAND = ("-P", "-c", "from infraweave.engine.execution.compute_worker import main; main()")


class WorkRejected(ValueError):
    """The work was done and says no, as it does where it is called directly."""


class WorkLimitExceeded(Exception):
    """The work took more processor time, or more memory, than it may; its process is gone."""


class ComputePool:
    """The processes of one server for work that others must not wait for."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def call(self, work: str, *given: Json, seconds: int) -> Json:
        """Return what a work of ``worker.WORKS`` returns; ``seconds`` of processor time are its own.

        Raises:
            WorkRejected: it raised ValueError; the text is that one's.
            WorkLimitExceeded: it was not done with what it may take.
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
            await self._end(process)  # it died while it had nothing to do
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
            # Not process.kill(): that would take the status of a dead one from who waits for it.
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        # Shielded: who stops waiting for the work must not leave the dead process behind.
        await asyncio.shield(process.wait())
        _close(process)

    def pids(self) -> list[int]:
        """Return the processes that live."""
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
    """Close the pipes now: left to the collector, they would warn."""
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way
