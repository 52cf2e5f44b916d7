"""The writing connection: a batch of writes is one transaction and one call in the writer's thread.

One transaction for each batch stores 49,000 durable events/s, against 5,000 with a commit each. All code of
this file runs in that thread. Rules:

* Rows are written by multi-row statements, which run without the GIL and do not starve the event loop.
* A caller's function runs under a savepoint, so its exception affects no other write.
* If rows contradict what is stored, or SQLite cannot hold them, the batch is rolled back and repeated with a
  savepoint for each write. Only the faulty write is refused, and later writes to the logs of the same runs.
  A function may therefore run twice.
* After a lock of another program or a full disk, a rolled back batch leaves nothing in the file, so it can be
  retried as it is (``TransientWriteError``).
* After any other error of the file the outcome of the batch is unknown, and nothing is retried.
* A commit counts only once the files were checked and still have their names (``OpenFiles.check``).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, TypeAlias

from infraweave.core.data.json_codec import dumps
from infraweave.errors import Unstorable
from infraweave.failpoints import reach
from infraweave.store.sqlite.open_files import FileLost, OpenFiles
from infraweave.store.sqlite.row_changes import Row, RowChanges, merge, rounds
from infraweave.store.sqlite.statements import QUERIES, widen

Job: TypeAlias = Callable[[sqlite3.Connection], Any]

#: Errors that the values of a write cause. Any other sqlite3.Error is about the file.
_OWN_FAULTS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
#: Columns of an event's row.
_DATA, _PAYLOAD = 4, 5
#: SQLITE_ERROR: the statement is wrong, not the file.
_WRONG_STATEMENT = 1
#: Errors that may end by themselves: a lock of another program (SQLite has two codes for it), and a full
#: disk.
_TRANSIENT = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_FULL)
#: Wider statements than 64 rows are hardly faster; the narrower ones write the rest.
_WIDTHS = (64, 16, 4, 1)
_INSERTS = {
    name: tuple((width, widen(QUERIES[name], width)) for width in _WIDTHS)
    for name in ("insert_run", "insert_tag", "insert_event", "insert_audit")
}
_kind_of_work = attrgetter("work.__class__")
#: Errors of rows that can never be written.
_UNSTORABLE = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
    MemoryError,
)


Effect: TypeAlias = "Callable[[Write], None]"


class Write(asyncio.Future[Any]):
    """One submitted write; the future resolves once it is on disk.

    It cannot be cancelled: a cancelled caller learns of the cancellation after the commit. Otherwise the
    callbacks that must follow the commit would run before it.
    """

    __slots__ = ("effect", "fault", "is_awaited", "value", "work")

    work: RowChanges | Job
    value: Any
    fault: Exception | None
    #: Called once the outcome is known.
    effect: Effect | None
    #: Whether somebody waits for the future.
    is_awaited: bool

    @property
    def refused_runs(self) -> set[int]:
        """The runs whose logs end before this write, because its content was refused."""
        return (
            self.work.run_keys
            if isinstance(self.fault, Unstorable) and isinstance(self.work, RowChanges)
            else set()
        )

    def refuse_after(self, refused: set[int]) -> bool:
        """Refuse this write if it would leave a gap in the log of a refused run; tell whether it would.

        The other runs of the write are added to ``refused``: their later writes would leave gaps too.
        """
        if not refused or not isinstance(self.work, RowChanges) or refused.isdisjoint(self.work.run_keys):
            return False
        self.fault = Unstorable()
        refused |= self.work.run_keys
        return True

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Call ``fn`` in the next turn of the loop after the outcome is known."""
        self.is_awaited = True
        super().add_done_callback(fn, context=context)

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002  # the signature of Future
        """Refuse to cancel: a submitted write will be written."""
        return False


class TransientWriteError(Exception):
    """Nothing of the batch was written, and it may be retried. The cause is SQLite's error."""


class WritingConnection(sqlite3.Connection):
    """The connection that writes; ``files`` are the files it writes to."""

    files: OpenFiles | None = None

    def write(self, batch: Sequence[Write]) -> None:
        """Commit a batch; afterwards each Write has its value or its fault.

        Raises:
            FileLost: the names no longer lead to the open files. The batch was not written, or it may be in a
                file without a name.
            TransientWriteError: nothing was written, and the batch may be retried.
            sqlite3.Error: the outcome is unknown.
        """
        self._check()
        commit(self, batch)
        self._check()

    def _check(self) -> None:
        if self.files is None:
            return
        try:
            self.files.check()
        except FileLost as lost:
            if lost.may_merge and self.files.has_name and self._merge():
                lost.mark_saved()
            raise

    def _merge(self) -> bool:
        """Copy the log into the database; tell whether that is complete."""
        try:
            busy, logged, merged = self.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error:
            return False
        return not busy and logged == merged


def is_about_the_file(error: BaseException) -> bool:
    """Tell whether an error leaves the content of the file unknown (I/O, full disk, corruption, a lock)."""
    if not isinstance(error, sqlite3.Error) or isinstance(error, _OWN_FAULTS):
        return False
    return _code(error) != _WRONG_STATEMENT


def is_transient(error: BaseException) -> bool:
    """Tell whether an error may end without a restart: a lock of another program, or a full disk."""
    return isinstance(error, sqlite3.OperationalError) and _code(error) in _TRANSIENT


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def commit(connection: sqlite3.Connection, batch: Sequence[Write]) -> None:
    """Write the batch in one transaction; afterwards each Write has its value or its fault.

    Raises:
        TransientWriteError: nothing was written, for a reason that may pass.
        sqlite3.Error: the outcome is unknown.
    """
    try:
        _transaction(connection, batch, _together)
    except Exception as error:
        if isinstance(error, TransientWriteError) or is_about_the_file(error):
            raise
        _transaction(connection, batch, _one_by_one)


def _transaction(
    connection: sqlite3.Connection,
    batch: Sequence[Write],
    write: Callable[[sqlite3.Connection, Sequence[Write]], None],
) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        write(connection, batch)
        reach("commit.before")
        connection.execute("COMMIT")
        reach("commit.after")
    except BaseException as error:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if is_transient(error) and not connection.in_transaction:
            raise TransientWriteError from error
        raise


def _together(connection: sqlite3.Connection, batch: Sequence[Write]) -> None:
    for kind, writes in groupby(batch, key=_kind_of_work):
        if kind is RowChanges:
            write_rows(connection, merge([write.work for write in writes]))  # type: ignore[misc]  # kind
        else:
            _one_by_one(connection, writes)


def _one_by_one(connection: sqlite3.Connection, batch: Iterable[Write]) -> None:
    refused: set[int] = set()
    for write in batch:
        if write.refuse_after(refused):
            continue
        connection.execute("SAVEPOINT one")
        try:
            write.value, write.fault = _perform(connection, write.work), None
        except Exception as error:
            if is_about_the_file(error) or not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO one")
            write.fault = _refusal(write.work, error)
            refused |= write.refused_runs
        connection.execute("RELEASE one")


def _refusal(work: RowChanges | Job, error: Exception) -> Exception:
    """Return the error for a faulty write; if events cannot be written, it names the run of the largest."""
    if not isinstance(work, RowChanges) or not work.events or not isinstance(error, _UNSTORABLE):
        return error
    sizes = [len(row[_DATA]) + len(str(row[_PAYLOAD] or "")) for row in work.events]
    # The first of about that size: a parent's event repeats the result of its child.
    place = next(place for place, size in enumerate(sizes) if size >= max(sizes) * 0.9)
    refusal = Unstorable.of(work.events[place][0], error)
    refusal.__cause__ = error
    return refusal


def _perform(connection: sqlite3.Connection, work: RowChanges | Job) -> Any:
    return write_rows(connection, work) if isinstance(work, RowChanges) else work(connection)


def write_rows(connection: sqlite3.Connection, rows: RowChanges) -> None:
    """Write ``rows``, table by table, in the caller's transaction."""
    _insert(connection, "insert_run", rows.runs)
    _insert(connection, "insert_tag", rows.tags)
    _insert(connection, "insert_event", rows.events)
    _insert(connection, "insert_audit", rows.audit)
    reach("batch.middle")
    _by_json(connection, "insert_input_requests", rows.input_requests)
    _by_json(connection, "delete_input_requests", rows.resolved_requests)
    for changes in rounds(rows.run_updates):
        _by_json(connection, "update_runs", changes)
    due = dict(rows.due_times)
    for run_key in rows.ended:
        due.pop(run_key, None)
    _by_json(connection, "upsert_agenda", list(due.items()))
    _by_json(connection, "delete_agenda", rows.ended)


def _insert(connection: sqlite3.Connection, name: str, rows: Sequence[Row]) -> None:
    start, left = 0, len(rows)
    for width, statement in _INSERTS[name]:
        while left >= width:
            values = list(chain.from_iterable(rows[start : start + width]))
            connection.execute(statement, values)
            start, left = start + width, left - width


def _by_json(connection: sqlite3.Connection, name: str, rows: Sequence[Any]) -> None:
    if rows:
        connection.execute(QUERIES[name], {"rows": dumps(rows).decode()})
