"""Follows one run: stored events first, then live ones, each once and in order.

A reader has a cursor and no queue. A commit wakes it without data, and it reads the events after its cursor.
So it never loses or repeats an event, whenever it joined and however slow it is. The readers of a run share
a *tail* of its newest events, which saves each of them the read; a reader that is behind the tail reads the
table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, TypeAlias

from attrs import field

from infraweave.core.data.json_codec import loads
from infraweave.core.data.values import Json
from infraweave.core.records import define
from infraweave.core.run.event_codec import (
    LEFT_OUT_BYTES,
    beside_by_name,
    decode_event,
    feed_fields,
    feed_line,
)
from infraweave.core.run.events import Event

#: ``asyncio.sleep``, or that of a virtual clock.
Sleep: TypeAlias = Callable[[float], Awaitable[object]]

TERMINAL_TYPES = frozenset({"completed", "failed", "cancelled"})
#: Limits of the tail of one run.
TAIL_EVENTS = 256
TAIL_BYTES = 1 << 20


@define
class Stored:
    """One event as it is stored; core/run/event_codec.py describes ``data`` and ``payload``."""

    seq: int
    type: str
    #: Milliseconds.
    at: int
    data: bytes
    payload: bytes | int | None
    #: The line of the feed, made once for all readers of a run.
    _line: bytes | None = field(default=None, init=False, eq=False)

    @property
    def size(self) -> int:
        """The size of the event in memory, in bytes, roughly."""
        beside = len(self.payload) if isinstance(self.payload, bytes) else 0
        return len(self.data) + beside + LEFT_OUT_BYTES

    def event(self, *, payloads: bool = True) -> Event:
        """Return the event; its payload fields are None if they were not read, or without ``payloads``."""
        return decode_event(self.type, self.seq, self.at, self.data, self.payload if payloads else None)

    def fields(self, run_id: str) -> dict[str, Json]:
        """Return the fields of the feed, without payloads."""
        return feed_fields(run_id, self.type, self.seq, self.at, self.data)

    def line(self, run_id: str) -> bytes:
        """Return the line of the feed: ASCII JSON without payloads."""
        if self._line is None:
            self._line = feed_line(run_id, self.type, self.seq, self.at, self.data)
        return self._line

    def beside(self) -> dict[str, Json]:
        """Return the payloads by their names."""
        return loads(beside_by_name(self.type, self.payload)) if isinstance(self.payload, bytes) else {}


def _with_line(event: Stored) -> int:
    """Return the size of an event together with its line."""
    return event.size + len(event.data)


ReadPage: TypeAlias = Callable[[int], Awaitable[list[Stored]]]


def _new_wake() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@define(eq=False)
class Topic:
    """What the readers of one run share."""

    #: The newest known committed seq.
    head: int = 0
    readers: int = 0
    tail: deque[Stored] = field(factory=deque)
    #: Resolves with the next commit, and is then replaced.
    wake: asyncio.Future[None] = field(factory=_new_wake)
    _bytes: int = 0

    def add(self, event: Stored) -> None:
        """Add an event that was just committed. One whose payload is too far back empties the tail."""
        self.head = max(self.head, event.seq)
        if (self.tail and event.seq != self.tail[-1].seq + 1) or not self._complete(event):
            self.tail.clear()
            self._bytes = 0
        if isinstance(event.payload, int):
            return
        self.tail.append(event)
        self._bytes += _with_line(event)
        while len(self.tail) > TAIL_EVENTS or self._bytes > TAIL_BYTES:
            self._bytes -= _with_line(self.tail.popleft())

    def _complete(self, event: Stored) -> bool:
        """Replace a reference to an event of the tail by that event's payload; tell whether that is done."""
        if not isinstance(event.payload, int):
            return True
        found = self.after(event.payload - 1, 1)
        if found:
            event.payload = found[0].payload
        return bool(found)

    def notify(self) -> None:
        """Wake all waiting readers."""
        woken, self.wake = self.wake, _new_wake()
        woken.set_result(None)

    def after(self, cursor: int, limit: int) -> list[Stored]:
        """Return the events after ``cursor`` if the tail reaches back to it, otherwise nothing."""
        if not self.tail or self.tail[0].seq > cursor + 1:
            return []
        start = cursor + 1 - self.tail[0].seq
        return list(islice(self.tail, start, start + limit))


class EventReader:
    """One reader of a run's events. Iterate over its pages, or call ``next`` with a timeout."""

    def __init__(self, topic: Topic, after: int, page: int, read: ReadPage, sleep: Sleep) -> None:
        #: The seq of the last event returned.
        self.cursor = after
        #: True once no event follows: the terminal event was returned, or the run is gone.
        self.ended = False
        self._topic = topic
        self._page = page
        self._read = read
        self._sleep = sleep

    @property
    def head(self) -> int:
        """The newest seq of the run; a valid cursor is not beyond it."""
        return self._topic.head

    async def next(self, timeout: float | None = None) -> list[Stored]:  # noqa: ASYNC109  # on an injected clock
        """Return the next events in order: at least one, or none at the end and after ``timeout`` seconds."""
        await asyncio.sleep(0)  # a reader that never waits must not block the loop
        wake = self._topic.wake  # read before the events, so that no commit is missed
        page = await self._read_page()
        if page or self.ended:
            return page
        async with timeout_future(self._sleep, timeout) as waiting_for:
            while not page and not any(alarm.done() for alarm in waiting_for):
                await asyncio.wait({wake, *waiting_for}, return_when=asyncio.FIRST_COMPLETED)
                wake = self._topic.wake
                page = await self._read_page()
        return page

    async def _read_page(self) -> list[Stored]:
        if self.ended or self.cursor >= self._topic.head:
            return []
        page = self._topic.after(self.cursor, self._page) or await self._read(self.cursor)
        if page:
            self.cursor = page[-1].seq
        # There were events after the cursor; if none is found, the run was removed meanwhile.
        self.ended = not page or page[-1].type in TERMINAL_TYPES
        return page

    async def __aiter__(self) -> AsyncIterator[list[Stored]]:
        while page := await self.next():
            yield page


@asynccontextmanager
async def timeout_future(sleep: Sleep, timeout: float | None) -> AsyncIterator[set[asyncio.Future[Any]]]:  # noqa: ASYNC109
    """Yield a future that resolves after ``timeout`` seconds, or nothing if there is no limit."""
    if timeout is None:
        yield set()
        return
    alarm: asyncio.Future[Any] = asyncio.ensure_future(sleep(timeout))
    try:
        yield {alarm}
    finally:
        alarm.cancel()
