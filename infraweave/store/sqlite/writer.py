"""The one write door, on the event loop's side: a task that commits everything waiting in one transaction.

Order of submission is order of commit. While one batch is on its way to the disk the next gathers, so the
busier the server, the larger the batch (group commit). No request can cancel a write or leave a transaction
open, for none ever holds the connection. A lock that somebody else holds, and a full disk, pass: the batch
waits and is tried again. After any other error about the file the outcome of the batch is unknown: the door
stays shut until a restart looks at what the file really holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import aiosqlite

from infraweave.errors import StorageUnavailable, Unstorable
from infraweave.store.sqlite.batch import BATCH, Effect, Job, TransientWriteError, Write
from infraweave.store.sqlite.open_files import FileLost
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.write_stall import WriteStall

Listener: TypeAlias = Callable[[Sequence[RowChanges]], None]

log = logging.getLogger("infraweave.store")

#: Seconds between two tries to write what cannot be written now.
_PAUSE = 0.5
_UNKNOWN = "The database cannot be written; whether this was stored is not known before it is restarted."
#: In place of the work of a write that is done.
_DONE = RowChanges()


class Writer:
    """Takes writes at once and tells of them once they are durable."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        #: Called after each commit with what it wrote, before those who wait for it hear of it.
        self.listeners: list[Listener] = []
        #: The error after which nothing more is written.
        self.failed: BaseException | None = None
        #: Whether a batch may wait for what passes, rather than fail.
        self.is_patient = True
        self.stall = WriteStall()
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Write] = []
        self._batch: list[Write] = []
        self._wake = asyncio.Event()
        self._effects: deque[Write] = deque()
        self._open = True
        self._task = self._loop.create_task(self._run(), name="store writer")

    def submit(self, work: RowChanges | Job, effect: Effect | None = None) -> Write:
        """Put ``work`` into the next batch. The result fails with StorageUnavailable if that cannot be.

        ``effect`` is called once the outcome is known: all effects of a batch in one turn of the loop, which
        is cheaper than a callback each.
        """
        write = Write(loop=self._loop)
        write.work, write.value, write.fault, write.effect = work, None, None, effect
        if self._open:
            self._waiting.append(write)
            self._wake.set()
        else:
            self._refuse([write])
        return write

    @property
    def is_idle(self) -> bool:
        """True while nothing waits to be written, or to be told that it was."""
        return not self._waiting and not self._effects and all(write.done() for write in self._batch)

    async def close(self) -> None:
        """Write what waits, then take no more."""
        self._open = False
        self._wake.set()
        await asyncio.wait({self._task})
        self._task.exception()  # heard: the log has told it, and ``failed`` keeps it

    async def _run(self) -> None:
        try:
            while self._waiting or self._open:
                await self._next_batch()
        except BaseException as error:
            self._fail(error)
            raise

    async def _next_batch(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        # Let those who were just told of the last commit put their next write into this one.
        await asyncio.sleep(0)
        self._batch, self._waiting = self._waiting, []
        if self._batch:
            await self._write(self._batch)
            self._tell(self._batch)

    async def _write(self, batch: Sequence[Write]) -> None:
        while True:
            try:
                await self._connection.executemany(BATCH, batch)
            except TransientWriteError as error:
                if not self.is_patient or not self._open:
                    raise
                self.stall.begin(error.__cause__)
                for write in batch:
                    write.value = write.fault = None
                await asyncio.sleep(_PAUSE)
            else:
                self.stall.end()
                return

    def _tell(self, batch: Sequence[Write]) -> None:
        written = [
            write.work for write in batch if isinstance(write.work, RowChanges) and write.fault is None
        ]
        for listener in self.listeners:
            listener(written)
        for write in batch:
            if write.fault is None:
                write.set_result(write.value)
            else:
                write.set_exception(write.fault)
        self._stop_runs(batch)
        for write in batch:
            write.work = _DONE  # what has been written need not stay as long as the promise does
        self._follow_up(batch)

    def _stop_runs(self, batch: Sequence[Write]) -> None:
        """Let go no further what was refused for its content: what waits would leave holes in these logs.

        Their effects are first of all, so that nobody adds to them meanwhile.
        """
        refused = {run_key for write in batch for run_key in write.refused_runs}
        if not refused:
            return
        late = [write for write in self._waiting if write.follows(refused)]
        self._waiting = [write for write in self._waiting if write.fault is None]
        for write in late:
            write.set_exception(write.fault or Unstorable())
        for write in (*(write for write in batch if write.refused_runs), *late):
            write.exception()  # heard: who submitted may have gone
            effect, write.effect = write.effect, None
            if effect is not None:
                effect(write)

    def _follow_up(self, writes: Iterable[Write]) -> None:
        self._effects.extend(write for write in writes if write.effect is not None)
        self._loop.call_soon(self._take_effect)

    def _take_effect(self) -> None:
        try:
            while self._effects:
                write = self._effects.popleft()
                # The effect keeps who waits, and who waits keeps the write: a circle, unless it is cut.
                effect, write.effect = write.effect, None
                if effect is not None:
                    effect(write)
        finally:  # what one effect raised is the loop's to log, and holds up no other
            if self._effects:
                self._loop.call_soon(self._take_effect)

    def _fail(self, error: BaseException) -> None:
        self.failed, self._open = (
            (error.__cause__ or error) if isinstance(error, TransientWriteError) else error,
            False,
        )
        told = str(error) if isinstance(error, FileLost) else repr(self.failed)
        log.critical("The database cannot be written any more; restart to recover: %s", told)
        self._refuse((write for write in self._batch if not write.done()), _UNKNOWN)
        self._refuse(self._waiting)

    def _refuse(self, writes: Iterable[Write], why: str | None = None) -> None:
        why = why if self.failed else "The database is closed."
        for write in writes:
            refusal = StorageUnavailable(why)
            refusal.__cause__ = self.failed
            write.set_exception(refusal)
            write.exception()  # heard: who submitted may have gone, and the log has told it already
            self._follow_up([write])
