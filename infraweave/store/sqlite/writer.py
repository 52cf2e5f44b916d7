"""The one writer, on the event loop's side: a task that commits all waiting writes in one transaction.

Order of submission is order of commit. While one batch is being written, the next one collects, so a busier
server has larger batches (group commit). No request can cancel a write or leave a transaction open, because
none ever holds the connection. After a lock of another program or a full disk the batch waits and is
retried. After any other error of the file the outcome of the batch is unknown, and nothing is written before
a restart has read the file.
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

#: Seconds between two attempts to write a batch.
_RETRY_DELAY = 0.5
_UNKNOWN = "The database cannot be written. Whether this was stored is unknown until a restart."
#: Replaces the work of a finished write.
_DONE = RowChanges()


class Writer:
    """Accepts writes at once and resolves them when they are durable."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        #: Called after each commit with its rows, before the futures of its writes resolve.
        self.listeners: list[Listener] = []
        #: The error after which nothing more is written, or None.
        self.failed: BaseException | None = None
        #: Whether a batch is retried after a transient error instead of failing.
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
        """Add ``work`` to the next batch. The future fails with StorageUnavailable if it cannot be written.

        ``effect`` is called once the outcome is known. All effects of a batch run in one iteration of the
        loop, which is cheaper than a callback for each.
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
        """True while no write is waiting, being written, or about to resolve."""
        return not self._waiting and not self._effects and all(write.done() for write in self._batch)

    async def close(self) -> None:
        """Write what is waiting, and accept no more."""
        self._open = False
        self._wake.set()
        await asyncio.wait({self._task})
        self._task.exception()  # retrieved here; it was logged, and ``failed`` holds it

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
        # Callers that the last commit resumed can add their next write to this batch.
        await asyncio.sleep(0)
        self._batch, self._waiting = self._waiting, []
        if self._batch:
            await self._write(self._batch)
            self._resolve(self._batch)

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
                await asyncio.sleep(_RETRY_DELAY)
            else:
                self.stall.end()
                return

    def _resolve(self, batch: Sequence[Write]) -> None:
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
        self._refuse_followers(batch)
        for write in batch:
            write.work = _DONE  # the future may live longer than its rows need to
        self._schedule_effects(batch)

    def _refuse_followers(self, batch: Sequence[Write]) -> None:
        """Refuse waiting writes of runs whose last write was refused: they would leave gaps in the logs.

        The effects of refused writes come first, so that nothing is added to these runs in between.
        """
        refused = {run_key for write in batch for run_key in write.refused_runs}
        if not refused:
            return
        late = [write for write in self._waiting if write.refuse_after(refused)]
        self._waiting = [write for write in self._waiting if write.fault is None]
        for write in late:
            write.set_exception(write.fault or Unstorable())
        for write in (*(write for write in batch if write.refused_runs), *late):
            write.exception()  # retrieved here: the caller may be gone
            effect, write.effect = write.effect, None
            if effect is not None:
                effect(write)

    def _schedule_effects(self, writes: Iterable[Write]) -> None:
        self._effects.extend(write for write in writes if write.effect is not None)
        self._loop.call_soon(self._run_effects)

    def _run_effects(self) -> None:
        try:
            while self._effects:
                write = self._effects.popleft()
                # Break the reference cycle between the effect's owner and the write.
                effect, write.effect = write.effect, None
                if effect is not None:
                    effect(write)
        finally:  # the loop logs an exception of one effect; the others still run
            if self._effects:
                self._loop.call_soon(self._run_effects)

    def _fail(self, error: BaseException) -> None:
        self.failed, self._open = (
            (error.__cause__ or error) if isinstance(error, TransientWriteError) else error,
            False,
        )
        reason = str(error) if isinstance(error, FileLost) else repr(self.failed)
        log.critical("The database cannot be written any more; restart to recover: %s", reason)
        self._refuse((write for write in self._batch if not write.done()), _UNKNOWN)
        self._refuse(self._waiting)

    def _refuse(self, writes: Iterable[Write], why: str | None = None) -> None:
        why = why if self.failed else "The database is closed."
        for write in writes:
            refusal = StorageUnavailable(why)
            refusal.__cause__ = self.failed
            write.set_exception(refusal)
            write.exception()  # retrieved here: the caller may be gone, and it was logged
            self._schedule_effects([write])
