"""The one writer, on the event loop's side: it commits all waiting writes in one transaction.

Order of submission is order of commit. While one batch is being written, the next one collects, so a busier
server has larger batches (group commit). No request can cancel a write or leave a transaction open, because
none ever holds the connection. After a lock of another program or a full disk the batch waits and is
retried. After any other error of the file the outcome of the batch is unknown, and nothing is written before
a restart has read the file.

It is driven by callbacks, because a task would take two more turns of the loop for each commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from infraweave.errors import StorageUnavailable, Unstorable
from infraweave.store.sqlite.batch import Effect, Job, TransientWriteError, Write, WritingConnection
from infraweave.store.sqlite.open_files import FileLost
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.write_stall import WriteStall
from infraweave.store.sqlite.writer_thread import WriterThread

Listener: TypeAlias = Callable[[Sequence[RowChanges]], None]

log = logging.getLogger("infraweave.store")

#: Seconds between two attempts to write a batch.
_RETRY_DELAY = 0.5
_UNKNOWN = "The database cannot be written. Whether this was stored is unknown until a restart."
#: Replaces the work of a finished write.
_DONE = RowChanges()


class Writer:
    """Accepts writes at once and resolves them when they are durable."""

    def __init__(self, thread: WriterThread, connection: WritingConnection) -> None:
        #: Called after each commit with its rows, before the futures of its writes resolve.
        self.listeners: list[Listener] = []
        #: The error after which nothing more is written, or None.
        self.failed: BaseException | None = None
        #: Whether a batch is retried after a transient error instead of failing.
        self.is_patient = True
        self.stall = WriteStall()
        self._thread, self._connection = thread, connection
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Write] = []
        self._batch: list[Write] = []
        self._effects: deque[Write] = deque()
        self._open = True
        #: Whether a batch is being written, or will be in the next turn of the loop.
        self._is_busy = False
        #: Set while nothing is written.
        self._rests = asyncio.Event()

    def submit(self, work: RowChanges | Job, effect: Effect | None = None) -> Write:
        """Add ``work`` to the next batch. The future fails with StorageUnavailable if it cannot be written.

        ``effect`` is called once the outcome is known. All effects of a batch run in one iteration of the
        loop, which is cheaper than a callback for each.
        """
        write = Write(loop=self._loop)
        write.work, write.value, write.fault, write.effect, write.is_awaited = work, None, None, effect, False
        if self._open:
            self._waiting.append(write)
            if not self._is_busy:
                self._begin_soon()
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
        if self._is_busy:
            await self._rests.wait()

    def _begin_soon(self) -> None:
        """Write what is waiting in the next turn of the loop: until then, others can add to the batch."""
        self._is_busy = True
        self._rests.clear()
        self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        if self.failed is not None:
            return
        self._batch, self._waiting = self._waiting, []
        if self._batch:
            self._write()
        else:
            self._rest()

    def _rest(self) -> None:
        self._is_busy = False
        self._rests.set()

    def _write(self) -> None:
        self._thread.submit(partial(self._connection.write, self._batch), self._written)

    def _written(self, _: None, error: BaseException | None) -> None:
        if self.failed is not None:
            return
        if error is None:
            self.stall.end()
            if self._resolve(self._batch):
                self._go_on(self._batch)
        elif isinstance(error, TransientWriteError) and self.is_patient and self._open:
            self.stall.begin(error.__cause__)
            for write in self._batch:
                write.value = write.fault = None
            self._loop.call_later(_RETRY_DELAY, self._write)
        else:
            self._fail(error)

    def _resolve(self, batch: Sequence[Write]) -> bool:
        try:
            self._tell(batch)
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        return self.failed is None

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
        self._refuse_followers(batch)
        for write in batch:
            write.work = _DONE  # the future may live longer than its rows need to

    def _go_on(self, batch: Sequence[Write]) -> None:
        """Run the effects of a batch, after the callers that wait for it; then begin the next one."""
        self._effects.extend(batch)
        if any(write.is_awaited for write in batch):
            self._loop.call_soon(self._run_effects)
            self._loop.call_soon(self._next)
            return
        try:  # nobody waits, as within most runs: so there is no need for another turn of the loop
            self._run_effects()
        finally:
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self._begin_soon()  # after the tasks that effects have resumed, which may write too
        else:
            self._rest()

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
        self._rest()
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
