"""Removes finished runs, completely and in small steps.

A run is removed together with its descendants, the *family*, when the root is overdue and every run of the
family has ended. First the family is entered in ``removals``; from then on its removal will be completed
whatever happens. Then its runs are deleted from the index, and their events from the last to the first. Each
step is a short transaction, so other writes hardly wait. A reader of such a run finds a log without an end,
and recognises by that that the run is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from infraweave.core.data.json_codec import dumps
from infraweave.core.lazy_records import frozen
from infraweave.failpoints import reach
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.read_only import read_only
from infraweave.store.sqlite.statements import QUERIES

Pause: TypeAlias = Callable[[], Awaitable[None]]

#: Families marked for removal in one transaction.
_FAMILIES = 100
#: Runs and events deleted, and pages released, in one transaction: a few milliseconds.
_RUNS, _EVENTS, _PAGES = 50, 500, 128


@frozen(kw_only=True)
class RetentionPolicy:
    """Which finished runs are kept; None: no limit. Children belong to their parents."""

    #: Milliseconds after the end.
    age: int | None = None
    #: How many, the last to end.
    runs: int | None = None
    #: Bytes of the file that are in use.
    size: int | None = None

    @property
    def keeps_everything(self) -> bool:
        """True if nothing is ever removed."""
        return self.age is None and self.runs is None and self.size is None


@frozen(kw_only=True)
class Removed:
    """How many runs were removed, or would be, with their children, and about how many bytes of events."""

    runs: int = 0
    size: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(runs=self.runs + other.runs, size=self.size + other.size)


async def _no_pause() -> None:
    pass


@frozen(eq=False)
class Retention:
    """The removal of finished runs from an open database."""

    _db: Database

    async def oldest_end(self) -> int | None:
        """Return when the first of the finished runs ended, in milliseconds, or None."""
        row = await self._db.read_one("first_finished")
        return None if row is None else row[0]

    async def ended_before(self, time: int) -> int:
        """Return how many runs had ended by a time, without children."""
        row = await self._db.read_one("ended_before", (time,))
        return 0 if row is None else row[0]

    async def sweep(self, keep: RetentionPolicy, now: int, pause: Pause = _no_pause) -> Removed:
        """Remove overdue runs, and what an earlier sweep left; ``pause`` is awaited between two steps.

        Raises:
            StorageUnavailable: the database cannot be written; a later sweep continues.
        """
        removed, more = Removed(), True
        while more:
            await self._repeat(_erase, pause)
            marked = await self._db.transact(lambda connection: _mark(connection, keep, now))
            removed, more = removed + marked, marked.runs > 0
        if removed.runs:
            await self._repeat(_release_pages, pause)
        return removed

    async def _repeat(self, work: Callable[[sqlite3.Connection], bool], pause: Pause) -> None:
        while await self._db.transact(work):
            await pause()


def preview(path: Path, keep: RetentionPolicy, now: int) -> Removed:
    """Return what a sweep would remove from a file, which may be served; the file is only read.

    Raises:
        StartupError: it is not a database of this schema, or cannot be read.
    """
    with read_only(path) as connection:
        found = Removed()
        for root in _overdue(connection, keep, now):
            found += _family(connection, [root])
        return found


def _mark(connection: sqlite3.Connection, keep: RetentionPolicy, now: int) -> Removed:
    """Mark the next overdue families for removal; return what they hold, nothing at the end."""
    roots = list(islice(_overdue(connection, keep, now), _FAMILIES))
    if not roots:
        return Removed()
    connection.execute(QUERIES["mark_for_removal"], {"roots": dumps(roots).decode()})
    return _family(connection, roots)


def _overdue(connection: sqlite3.Connection, keep: RetentionPolicy, now: int) -> Iterator[int]:
    """Yield the keys of overdue roots in order of their end."""
    surplus = 0 if keep.runs is None else _value(connection, "count_finished_roots") - keep.runs
    excess = 0 if keep.size is None else _used(connection) - keep.size
    for place, (root, ended_at) in enumerate(_ended(connection)):
        too_old = keep.age is not None and ended_at <= now - keep.age
        if not too_old and place >= surplus and excess <= 0:
            return
        if keep.size is not None:
            excess -= _family(connection, [root]).size
        yield root


def _ended(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield the roots of ended families and when they ended, in that order."""
    after, page = {"after": -1, "after_key": -1}, []
    while page := connection.execute(QUERIES["ended_roots"], {**after, "limit": _FAMILIES}).fetchall():
        yield from page
        after = {"after": page[-1][1], "after_key": page[-1][0]}


def _family(connection: sqlite3.Connection, roots: Sequence[int]) -> Removed:
    runs, size = connection.execute(QUERIES["family_of"], {"roots": dumps(roots).decode()}).fetchone()
    return Removed(runs=runs, size=size)


def _value(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(QUERIES[name]).fetchone()[0]
    return value


def _used(connection: sqlite3.Connection) -> int:
    pages, free, size = connection.execute(QUERIES["pages"]).fetchone()
    used: int = (pages - free) * size
    return used


def _erase(connection: sqlite3.Connection) -> bool:
    """Delete a part of the marked runs; tell whether there may be more."""
    room = _EVENTS
    marked = connection.execute(QUERIES["removals"], (_RUNS,)).fetchall()
    for (run_key,) in marked:
        for name in ("delete_run", "delete_tags", "delete_from_agenda", "delete_input_requests_of_run"):
            connection.execute(QUERIES[name], (run_key,))
        room -= connection.execute(QUERIES["delete_last_events"], (run_key, room)).rowcount
        connection.execute(QUERIES["end_removal"], (run_key,))
        if room <= 0:
            break
    reach("removal")
    return bool(marked)


def _release_pages(connection: sqlite3.Connection) -> bool:
    """Shorten the file by some pages; tell whether more can be released."""
    before = _value(connection, "pages")
    for _ in range(_PAGES):  # sqlite3 performs only one step of a pragma that returns no rows
        connection.execute(QUERIES["release_page"])
    return _value(connection, "pages") < before
