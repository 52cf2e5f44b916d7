"""The journal: ``append`` writes the events of runs; ``load``, ``read`` and ``follow`` read them.

An append is durable when its future resolves, and effects run after that. Appends of several runs in one
call are committed together: this is how the end of a child reaches its parent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from attrs import field

from infraweave.core.data.json_codec import dumps
from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.core.run.event_codec import TYPES, beside_by_name
from infraweave.core.run.events import Event
from infraweave.core.run.state import RunState, evolve
from infraweave.errors import Unstorable
from infraweave.store.audit import AuditLog
from infraweave.store.follow import TERMINAL_TYPES, EventReader, Sleep, Stored, Topic
from infraweave.store.projection import UNCHANGED, DueAt, project, row_size
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.batch import Effect
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.point_reads import MOST_EVENTS
from infraweave.store.sqlite.row_changes import Row, RowChanges, merge

#: Events decoded at a time: about two milliseconds of the loop's time.
LOAD_PAGE = 256
#: A page of events ends early beyond this size, so that the buffer of a reader is bounded.
PAGE_BYTES = 4 << 20


@define(eq=False)
class RunAppend:
    """The next events of one run, and when the run must be in memory afterwards (see projection)."""

    run_key: int
    run_id: str
    events: Sequence[Event]
    due_at: DueAt = UNCHANGED
    #: Bytes of the events, set when they are appended.
    size: int = field(default=0, init=False)


@frozen
class Head:
    """Where a run's events end: the last ``seq`` (0: there are none), and whether more can follow."""

    seq: int
    terminal: bool


@frozen(eq=False)
class Journal:
    """The events of all runs of a database. ``sleep`` waits for readers."""

    _db: Database
    _sleep: Sleep = asyncio.sleep
    _topics: dict[int, Topic] = field(factory=dict, init=False)
    #: The audit log, written in the same transactions as the events.
    audit: AuditLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "audit", AuditLog(self._db))
        self._db.listen(self._committed)

    def new_key(self) -> int:
        """Return the key of a new run; it grows with creation."""
        return next(self._db.run_keys)

    def append(
        self, entries: Sequence[RunAppend], effect: Effect | None = None, record: AuditRecord | None = None
    ) -> asyncio.Future[None]:
        """Write ``entries`` in one transaction; the future resolves after it, and cannot be cancelled.

        ``effect`` is called with that result once it is known: what must follow the commit. ``record``, the
        audit row of the act behind the events, is in the same transaction.

        Raises:
            Unstorable: JSON cannot represent an event; nothing is written. The future fails with it too if
                SQLite cannot hold an event; then nothing more of these runs is written.
        """
        changes = [_projected(entry) for entry in entries]
        if record is not None:
            record.is_written = True
            changes.append(RowChanges(audit=[record.row()]))
        return self._db.append(merge(changes), effect)

    async def flush(self) -> None:
        """Wait until all earlier appends are on disk."""
        await self._db.append(RowChanges())

    def remove_from_agenda(self, run_key: int) -> None:
        """Remove a run that no longer exists from the agenda."""
        self._db.append(RowChanges(ended=[run_key]))

    async def load(self, run_key: int, *, payloads: bool = True, after: int = 0) -> list[Event]:
        """Return the events of a run, decoded; without ``payloads`` those fields are None."""
        events: list[Event] = []
        while page := await self.read(run_key, after, LOAD_PAGE, payloads=payloads):
            events += [stored.event() for stored in page]
            after = page[-1].seq
        return events

    async def fold(
        self, run_key: int, run_id: str, *, payloads: bool = True, undoable: frozenset[str] | None = None
    ) -> RunState:
        """Fold a run's events into its state, page by page, so that other work can go on in between.

        ``undoable``: the nodes whose past iterations and items the state keeps; None: all.
        """
        state = RunState(run_id, undoable=undoable)
        await self.catch_up(run_key, state, payloads=payloads)
        return state

    async def catch_up(self, run_key: int, state: RunState, *, payloads: bool = True) -> int:
        """Fold into ``state`` the events of a run that follow it; return their size in bytes."""
        size = 0
        while page := await self.read(run_key, state.seq, LOAD_PAGE, payloads=payloads):
            for stored in page:
                evolve(state, stored.event())
                size += stored.size
        return size

    async def read(self, run_key: int, after: int, limit: int, *, payloads: bool = True) -> list[Stored]:
        """Return up to ``limit`` events after a seq, fewer if they are large, none only at the end."""
        rows = await self._db.read(
            "events_after",
            {"run_key": run_key, "after": after, "limit": limit, "payloads": payloads, "most": PAGE_BYTES},
        )
        return [_from_row(row) for row in rows]

    async def event_at(self, run_key: int, seq: int) -> Stored | None:
        """Return one event of a run."""
        row = await self._db.peek("event_at", {"run_key": run_key, "seq": seq})
        return None if row is None else _from_row(row)

    def short_log(self, run_key: int, *, payloads: bool = True) -> list[Stored] | None:
        """Return all events of a short run, read at once on the loop; None for a run that is longer.

        Without ``payloads`` only the first event and questions to people have theirs.
        """
        params = {"run_key": run_key, "limit": MOST_EVENTS + 1, "payloads": payloads}
        rows = self._db.try_peek("short_log", params)
        if rows is None or len(rows) > MOST_EVENTS:
            return None
        log = [_from_row(row) for row in rows]
        for stored in log:
            if isinstance(stored.payload, int):
                stored.payload = log[stored.payload - 1].payload
        return log

    async def payloads(self, run_key: int, seqs: Collection[int]) -> dict[int, bytes]:
        """Return the payloads of some events of a run by seq, each a JSON object, where there are any."""
        rows = await self._db.read("payloads_of", {"run_key": run_key, "seqs": dumps(sorted(seqs)).decode()})
        return {
            seq: beside_by_name(TYPES[code], payload)
            for seq, code, payload in rows
            if isinstance(payload, bytes)
        }

    async def head(self, run_key: int) -> Head:
        """Return where the run's events end."""
        row = await self._db.peek("last_event", (run_key,))
        if row is None:
            return Head(0, terminal=False)
        return Head(row["seq"], TYPES[row["type"]] in TERMINAL_TYPES)

    async def last_seq(self, run_key: int) -> int:
        """Return the seq of the run's newest event, 0 where there is none."""
        return (await self.head(run_key)).seq

    @asynccontextmanager
    async def follow(
        self, run_key: int, after: int = 0, page: int = 256, *, payloads: bool = True
    ) -> AsyncIterator[EventReader]:
        """Follow a run from a cursor on for the length of a block, in pages of up to ``page`` events.

        Without ``payloads`` they are not read, but a page may still contain them.
        """
        topic = self._topics.setdefault(run_key, Topic())
        topic.readers += 1
        try:
            read = partial(self.read, run_key, limit=page, payloads=payloads)
            follower = EventReader(topic, after, page, read, self._sleep)
            head = await self.head(run_key)
            topic.head = max(topic.head, head.seq)
            follower.ended = head.terminal and after >= head.seq
            yield follower
        finally:
            topic.readers -= 1
            if not topic.readers:
                del self._topics[run_key]

    def _committed(self, written: Sequence[RowChanges]) -> None:
        if not self._topics:
            return
        touched = set()
        for rows in written:
            for row in rows.events:
                if (topic := self._topics.get(row[0])) is not None:
                    topic.add(_stored(row))
                    touched.add(topic)
        for topic in touched:
            topic.notify()


def _projected(entry: RunAppend) -> RowChanges:
    try:
        rows = project(entry.run_key, entry.run_id, entry.events, entry.due_at)
    except (TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise Unstorable.of(entry.run_key, error) from error
    entry.size = sum(map(row_size, rows.events))
    return rows


def _from_row(row: Iterable[Any]) -> Stored:
    seq, code, at, data, payload = row
    return Stored(seq, TYPES[code], at, data, payload)


def _stored(row: Row) -> Stored:
    _, seq, code, at, data, payload = row
    beside = payload.encode() if isinstance(payload, str) else payload
    return Stored(seq, TYPES[code], at, data.encode(), beside)
