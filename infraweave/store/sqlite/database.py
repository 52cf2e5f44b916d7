"""An open database: one lock, one writing connection, a few reading ones, for the length of a block.

All writes go through one thread (``writer``): ``append`` takes rows, ``transact`` takes functions. Readers
are query_only and neither write nor checkpoint, because two connections that checkpoint at the same instant
can corrupt a WAL database in common SQLite versions. ``read`` uses a reader with a thread; ``peek``, for
point reads, a reader of the loop's own thread (``point_reads``).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import aiosqlite

from infraweave.errors import StartupError, StorageUnavailable
from infraweave.failpoints import reach
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.batch import Effect, WritingConnection, is_about_the_file
from infraweave.store.sqlite.lock import lock_database
from infraweave.store.sqlite.migrations import prepare
from infraweave.store.sqlite.open_files import OpenFiles
from infraweave.store.sqlite.point_reads import PointReader
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.statements import QUERIES
from infraweave.store.sqlite.write_stall import WriteStall
from infraweave.store.sqlite.writer import Listener, Writer
from infraweave.store.sqlite.writer_thread import WriterThread

T = TypeVar("T")

log = logging.getLogger("infraweave.store")
Params: TypeAlias = Sequence[Any] | Mapping[str, Any]

MEMORY = ":memory:"
#: Seconds that a read, and an attempt to write, wait for a lock of another program.
_BUSY, _BUSY_WRITING = 10.0, 5.0
#: Settings of the writing connection.
WRITER_PRAGMAS = (
    "synchronous = FULL",
    "foreign_keys = ON",
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 67108864",
    "cache_size = -65536",
    "temp_store = MEMORY",
)
_READER_PRAGMAS = ("query_only = ON", "wal_autocheckpoint = 0", "cache_size = -8192", "temp_store = MEMORY")
#: A private file ends with its process, so it need not survive a power cut.
_PRIVATE_PRAGMAS = ("synchronous = OFF",)
_UNREADABLE = "The database cannot be read."


class Database:
    """An open database, created by ``Database.open``."""

    def __init__(
        self, path: Path, writer: Writer, readers: Sequence[aiosqlite.Connection], point_reader: PointReader
    ) -> None:
        self.path = path
        #: Keys for new runs, beginning after the newest run of the file.
        self.run_keys: Iterator[int] = itertools.count(1)
        self._writer = writer
        self._readers = readers
        self._point_reader = point_reader
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        self._open = True
        for reader in readers:
            self._idle.put_nowait(reader)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: str | Path, *, now: int = 0, readers: int = 3, patient: bool = False
    ) -> AsyncIterator[Database]:
        """Open a file for the length of a block; ``:memory:`` is a private file, removed at the end.

        ``now`` is recorded as the time of migrations. With ``patient``, writes are retried while another
        program holds a lock or the disk is full; otherwise they fail.

        Raises:
            StartupError: another process serves the file, it is not an InfraWeave database, or it cannot be
            opened.
        """
        async with AsyncExitStack() as stack:
            file = stack.enter_context(_file(path))
            descriptor = stack.enter_context(lock_database(file, make=True))
            await asyncio.to_thread(prepare, file, now)
            files = stack.enter_context(closing(OpenFiles(file, descriptor)))
            writer = await stack.enter_async_context(_writer(file, files, is_private=str(path) == MEMORY))
            pool = [await stack.enter_async_context(_reader(file)) for _ in range(readers)]
            point_reader = stack.enter_context(closing(PointReader(file, _BUSY)))
            stack.enter_context(files.pinned())
            writer.is_patient = patient
            database = cls(file, writer, pool, point_reader)
            stack.push_async_callback(database._close)
            await database._continue_run_keys()
            yield database

    async def _continue_run_keys(self) -> None:
        last = await self.read_one("last_run_key")
        self.run_keys = itertools.count((last[0] if last else 0) + 1)

    async def _close(self) -> None:
        await self._writer.close()
        self._open = False
        readers = [await self._idle.get() for _ in self._readers]
        for reader in readers:  # wakes waiting reads, which then fail
            self._idle.put_nowait(reader)

    @property
    def failed(self) -> BaseException | None:
        """The error after which this database accepts no writes, or None."""
        return self._writer.failed

    @property
    def stall(self) -> WriteStall:
        """Whether writes are stalled for a transient reason."""
        return self._writer.stall

    def stop_waiting(self) -> None:
        """Let stalled writes fail, because the process is ending."""
        self._writer.is_patient = False

    @property
    def is_idle(self) -> bool:
        """True while nothing is being read or written."""
        return self._writer.is_idle and self._idle.qsize() == len(self._readers)

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each commit with the Rows it wrote, before their futures resolve."""
        self._writer.listeners.append(listener)

    def append(self, rows: RowChanges, effect: Effect | None = None) -> asyncio.Future[None]:
        """Write ``rows`` with the next commit; the future resolves after it, and cannot be cancelled.

        It fails with StorageUnavailable, or with sqlite3.IntegrityError if the rows contradict what is
        stored. ``effect`` is called with the future once the outcome is known.
        """
        return self._writer.submit(rows, effect)

    async def transact(self, work: Callable[[sqlite3.Connection], T], record: AuditRecord | None = None) -> T:
        """Run ``work`` within the next commit, in the writer's thread, and return its result.

        If ``work`` raises, its changes are rolled back; otherwise ``record`` is added to the audit log.
        ``work`` may run a second time after a roll-back, so it must change nothing but the database.
        Cancelling the caller does not stop it.

        Raises:
            StorageUnavailable: the database cannot be written.
            Exception: the exception of ``work``.
        """
        result: T = await asyncio.shield(
            self._writer.submit(work if record is None else _with_record(work, record))
        )
        if record is not None:
            record.is_written = True
        return result

    async def ping(self) -> None:
        """Write a page.

        Raises:
            StorageUnavailable: the database cannot be written.
        """
        await self.transact(lambda connection: connection.execute(QUERIES["write_page"]))

    async def read(self, name: str, params: Params = ()) -> list[sqlite3.Row]:
        """Return the rows of a named statement.

        Raises:
            StorageUnavailable: the database cannot be read, or is closed.
        """
        self._check_open()
        reader = await self._idle.get()
        try:
            self._check_open()
            return list(await reader.execute_fetchall(QUERIES[name], params))
        except sqlite3.Error as error:
            if is_about_the_file(error):
                raise StorageUnavailable(_UNREADABLE) from error
            raise
        finally:
            self._idle.put_nowait(reader)

    async def read_one(self, name: str, params: Params = ()) -> sqlite3.Row | None:
        """Return the first row of a named statement, or None."""
        rows = await self.read(name, params)
        return rows[0] if rows else None

    async def peek(self, name: str, params: Params = ()) -> sqlite3.Row | None:
        """Return the first row of a point read, or None, without a hop into another thread if possible.

        Raises:
            StorageUnavailable: the database cannot be read, or is closed.
        """
        rows = self.try_peek(name, params)
        if rows is None:
            return await self.read_one(name, params)
        return rows[0] if rows else None

    def try_peek(self, name: str, params: Params = ()) -> list[sqlite3.Row] | None:
        """Return the rows of a point read; None if a reader must be asked: for a lock, or a long value.

        Raises:
            StorageUnavailable: the database cannot be read, or is closed.
        """
        self._check_open()
        try:
            return self._point_reader.rows(name, params)
        except sqlite3.Error as error:
            if is_about_the_file(error):
                raise StorageUnavailable(_UNREADABLE) from error
            raise

    def _check_open(self) -> None:
        if not self._open:
            raise StorageUnavailable("The database is closed.")


def _with_record(
    work: Callable[[sqlite3.Connection], T], record: AuditRecord
) -> Callable[[sqlite3.Connection], T]:
    def both(connection: sqlite3.Connection) -> T:
        result = work(connection)
        connection.execute(QUERIES["insert_audit"], record.row())
        return result

    return both


@contextmanager
def _file(path: str | Path) -> Iterator[Path]:
    if str(path) != MEMORY:
        if Path(path).is_dir():
            raise StartupError(f"{path} is a folder; expected a file")
        yield Path(path).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="infraweave-") as folder:
        yield Path(folder) / "infraweave.db"


@asynccontextmanager
async def _writer(path: Path, files: OpenFiles, *, is_private: bool) -> AsyncIterator[Writer]:
    thread, opened = WriterThread(), ExitStack()
    try:
        pragmas = (*WRITER_PRAGMAS, *(_PRIVATE_PRAGMAS if is_private else ()))
        connection = await thread.run(partial(_writing_connection, path, pragmas, opened))
        connection.files = None if is_private else files
        writer = Writer(thread, connection)
        try:
            yield writer
        finally:
            await writer.close()
            if writer.failed is None:
                reach("checkpoint")
                await thread.run(partial(_checkpoint, connection))
    finally:
        try:
            await thread.run(opened.close)
        finally:
            thread.stop()


def _writing_connection(path: Path, pragmas: Sequence[str], opened: ExitStack) -> WritingConnection:
    """Open the connection that writes; ``opened`` closes it."""
    factory = WritingConnection
    connection = sqlite3.connect(path, timeout=_BUSY_WRITING, isolation_level=None, factory=factory)
    opened.enter_context(closing(connection))
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute(QUERIES["any_table"]).fetchall()  # the first read opens the log
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from error
    return connection


def _cannot_open(path: Path, error: sqlite3.Error) -> StartupError:
    return StartupError(f"{path} cannot be opened: {error}")


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Copy the log into the database, so that one file is left."""
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        log.warning("The log was not copied into the database; the next start does that: %s", error)


@asynccontextmanager
async def _reader(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(path, timeout=_BUSY, isolation_level=None) as connection:
        try:
            for pragma in _READER_PRAGMAS:
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            await connection.execute_fetchall(QUERIES["any_table"])  # the first read opens the log
        except sqlite3.Error as error:
            raise _cannot_open(path, error) from error
        connection.row_factory = sqlite3.Row
        yield connection
