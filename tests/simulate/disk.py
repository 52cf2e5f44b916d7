"""The disk of a simulated world: real connections to a real file, without threads.

Stands where ``aiosqlite`` and the thread of the writer stand. Each connection works its statements off in
their order, as a thread of its own would, and the seed says when each is done and when the loop hears of it.
When the process dies, the file and its WAL are copied byte for byte: the next process finds what a kill would
have left.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Self

from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.store.sqlite.batch import WritingConnection
from infraweave.store.sqlite.point_reads import PointReader
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.writer_thread import Outcome, WriterThread

#: Seconds that a statement may take, beside none.
DELAYS = (0.0001, 0.001, 0.001, 0.02)


class Disk:
    """What connections of one world share. ``committed`` is told of each commit before anybody
    else is, and given the connection where it may have removed something."""

    def __init__(
        self, rng: random.Random, committed: Callable[[list[RowChanges], sqlite3.Connection | None], object]
    ) -> None:
        self.rng = rng
        self.committed = committed
        #: Whether a death in the middle of a batch kept it from the file.
        self.lost = False

    def connect(self, path: Path, **options: Any) -> Connection:
        """Return a connection as ``aiosqlite.connect`` does."""
        return Connection(self, partial(sqlite3.connect, path, **options))

    def soon(self, act: Callable[[], object]) -> None:
        """Do something after a while that the seed knows."""
        loop = asyncio.get_running_loop()
        if self.rng.random() < 0.85:
            loop.call_soon(act)
        else:
            loop.call_later(self.rng.choice(DELAYS), act)


class Connection:
    """One connection, in the part of an ``aiosqlite.Connection`` that the store uses."""

    def __init__(self, disk: Disk, connect: Callable[[], sqlite3.Connection]) -> None:
        self._disk, self._connect = disk, connect
        self._raw: sqlite3.Connection | None = None
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self.row_factory: Any = None

    async def __aenter__(self) -> Self:
        self._raw = await self._do(self._connect)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._do(self.raw.close)

    @property
    def raw(self) -> sqlite3.Connection:
        """The open connection."""
        if self._raw is None:
            raise ValueError("no active connection")
        return self._raw

    async def execute_fetchall(self, sql: str, parameters: Iterable[Any] = ()) -> Iterable[sqlite3.Row]:
        """Execute a statement and return its rows."""
        return await self._do(partial(self._fetch, sql, parameters))

    def _fetch(self, sql: str, parameters: Iterable[Any]) -> list[sqlite3.Row]:
        self.raw.row_factory = self.row_factory
        return self.raw.execute(sql, parameters).fetchall()

    async def _do(self, act: Callable[[], Any]) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((done, act))
        if len(self._waiting) == 1:
            self._disk.soon(self._next)
        return await done

    def _next(self) -> None:
        done, act = self._waiting[0]
        try:
            result, error = act(), None
        except Exception as raised:  # noqa: BLE001 - it belongs to whoever waits
            result, error = None, raised
        self._disk.soon(partial(_tell, done, result, error))
        self._waiting.popleft()
        if self._waiting:
            self._disk.soon(self._next)


class Writing(WriterThread):
    """The writer's thread, without a thread."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._waiting: deque[tuple[Callable[[], Any], Outcome]] = deque()

    def submit(self, work: Callable[[], Any], then: Outcome) -> None:
        """Call something after what was submitted before."""
        self._waiting.append((work, then))
        if len(self._waiting) == 1:
            self._disk.soon(self._next)

    def stop(self) -> None:
        """There is no thread to end."""

    def _next(self) -> None:
        work, then = self._waiting[0]
        try:
            result, error = self._done(work), None
        except Exception as raised:  # noqa: BLE001 - it belongs to whoever waits
            result, error = None, raised
        self._disk.soon(partial(then, result, error))
        self._waiting.popleft()
        if self._waiting:
            self._disk.soon(self._next)

    def _done(self, work: Callable[[], Any]) -> Any:
        self._disk.lost = False
        result = work()
        if isinstance(work, partial) and work.func.__name__ == "write" and not self._disk.lost:
            raw, (batch,) = work.func.__self__, work.args
            assert isinstance(raw, WritingConnection)
            rows = [w.work for w in batch if isinstance(w.work, RowChanges) and w.fault is None]
            self._disk.committed(rows, raw if len(rows) < len(batch) else None)
        return result


def _tell(done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


class Peeks(PointReader):
    """The reader of the loop's own thread; the seed says when a lock sends it to the others."""

    def __init__(self, rng: random.Random, *args: Any) -> None:
        super().__init__(*args)
        self._rng = rng

    def rows(self, name: str, params: Sequence[Any] | Mapping[str, Any]) -> list[sqlite3.Row] | None:
        """Return the rows of a point read, or None."""
        return None if self._rng.random() < 0.3 else super().rows(name, params)


class Pool(ThreadPool):
    """Threads for sync bodies, of which each returns after a while that the seed knows."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def submit(self, tenant: str, call: Callable[[], Any]) -> Future[Any]:
        """Call a function later; until it begins it can be taken back."""
        work: Future[Any] = Future()
        loop = asyncio.get_running_loop()
        loop.call_later(self._rng.choice((0, 0, 0.01)), self._begin, work, call)
        return work

    def _begin(self, work: Future[Any], call: Callable[[], Any]) -> None:
        if work.set_running_or_notify_cancel():
            loop = asyncio.get_running_loop()
            loop.call_later(self._rng.choice((0, 0.5, 3, 40)), _end, work, call)

    def mark_lost(self, future: Future[Any]) -> None:
        """Have nothing to replace."""

    def shutdown(self) -> None:
        """Leave what runs to itself."""


def _end(work: Future[Any], call: Callable[[], Any]) -> None:
    try:
        work.set_result(call())
    except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
        work.set_exception(error)


def copy(path: Path, to: Path) -> None:
    """Copy a database as it lies on the disk."""
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, to.with_name(to.name + suffix))
