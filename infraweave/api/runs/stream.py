"""The events of a run: as a stream (SSE), or in pages with a long poll.

Both are fed from the table after a cursor, so a reader that joins late, drops out or is slow costs nobody
anything, and ``Last-Event-ID`` is the same code as a live read. Events are framed as they were stored.
"""

from __future__ import annotations

from attrs import Factory, field, frozen

from infraweave.api.http.auth import Gate
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import JSON, SSE, Answer, Blocks, Call
from infraweave.api.runs.queries import EventQuery, read_seq
from infraweave.core.access import Principal
from infraweave.core.data import json_codec
from infraweave.engine.access.revocation import Recheck
from infraweave.engine.engine import Engine
from infraweave.errors import InvalidCursor, RateLimited, RunNotFound
from infraweave.settings import Settings
from infraweave.store.follow import TERMINAL_TYPES, Stored
from infraweave.store.journal import Head

#: A bare line, no block: some clients take a blank line for an empty message.
HEARTBEAT = b":\n"
#: Stands in the first event's block, so that it makes no block of its own. Milliseconds.
RETRY = b"retry: 1000\n"
#: Proxies must not hold the stream back.
STREAM_HEADERS = {"X-Accel-Buffering": "no"}
#: What only the server needs of an event's payloads: keys, digests and the tenant of a start.
_PRIVATE = "origin"


@frozen(eq=False)
class EventRoutes:
    """The handler of events."""

    _engine: Engine
    _settings: Settings
    _metrics: Metrics
    _gate: Gate = field(init=False, default=Factory(lambda self: Gate.of(self._engine), takes_self=True))

    async def read(self, call: Call[EventQuery, None]) -> Answer:
        """Stream the events of a run, or return a page of them."""
        after = _cursor(call)
        head = await self._engine.journal.head(call.run.run_key)
        if not head.seq or (call.run.finished_at is not None and not head.terminal):
            raise RunNotFound(f"No run {call.run.run_id}.")  # it is being removed
        if after > head.seq:
            raise InvalidCursor(f"The run has {head.seq} events; {after} lies past them.")
        if call.accept == JSON:
            return await self._page(call, after, head)
        return self._stream(call, after, head)

    # --- pages ---------------------------------------------------------------------------------------------

    async def _page(self, call: Call[EventQuery, None], after: int, head: Head) -> Answer:
        query, payloads, key = call.query, call.query.include is not None, call.run.run_key
        if query.wait and after == head.seq:
            with self._engine.revocation.watch(call.caller.expires_at) as recheck:
                async with self._engine.journal.follow(key, after, query.limit, payloads=payloads) as reader:
                    page = await self._engine.unless_drained(reader.next(query.wait), recheck.due) or []
                    page = page if await self._may_go_on(call, recheck) else []
        else:
            page = await self._engine.journal.read(key, after, query.limit, payloads=payloads)
        terminal = page[-1].type in TERMINAL_TYPES if page else head.terminal
        events = b",".join(_data(stored, payloads=payloads) for stored in page)
        rest = json_codec.dumps({"next_after": page[-1].seq if page else after, "terminal": terminal})
        return Answer(b'{"events":[' + events + b"]," + rest[1:])

    # --- streams -------------------------------------------------------------------------------------------

    def _stream(self, call: Call[EventQuery, None], after: int, head: Head) -> Answer:
        if head.terminal and after == head.seq:
            return Answer(None, 204)
        check_room(self._metrics, self._settings, call.principal)
        return Answer(self._blocks(call, after), headers=STREAM_HEADERS, media=SSE)

    async def _blocks(self, call: Call[EventQuery, None], after: int) -> Blocks:
        engine, first, key = self._engine, RETRY, call.run.run_key
        payloads = call.query.include is not None
        with (
            self._metrics.streaming(call.principal),
            engine.revocation.watch(call.caller.expires_at) as recheck,
        ):
            async with engine.journal.follow(key, after, payloads=payloads) as follower:
                while not follower.ended and not engine.draining:
                    page = await engine.unless_drained(follower.next(self._settings.heartbeat), recheck.due)
                    if not await self._may_go_on(call, recheck):
                        return
                    if page:
                        yield first + b"".join(_block(stored, payloads=payloads) for stored in page)
                        first = b""
                    elif page is not None and not follower.ended:
                        yield HEARTBEAT

    async def _may_go_on(self, call: Call[EventQuery, None], recheck: Recheck) -> bool:
        """Tell whether the caller may have what follows; asked anew only where it is due."""
        if not recheck.due.done():
            return True
        recheck.rearm()
        return await self._gate.may_still(call.caller, "read", call.run)


def check_room(metrics: Metrics, settings: Settings, who: Principal) -> None:
    """Let one more stream of a principal be opened.

    Raises:
        RateLimited: too many are open.
    """
    later = {"Retry-After": "5"}
    if metrics.open_streams >= settings.max_streams:
        raise RateLimited("Too many event streams are open.", headers=later)
    if metrics.streams_of[who.tenant, who.name] >= settings.max_streams_per_principal:
        raise RateLimited("This principal has too many event streams open.", headers=later)


def _cursor(call: Call[EventQuery, None]) -> int:
    """Return the seq of the last event that the caller has; the header goes before the query."""
    last = call.headers.get("Last-Event-ID")
    return read_seq(last.strip()) if last is not None else call.query.after or 0


def _block(stored: Stored, *, payloads: bool) -> bytes:
    """Return an event's block; ``id`` is last: clients that take it at its line have the event by then."""
    kind = stored.type.encode()
    return b"event: %b\ndata: %b\nid: %d\n\n" % (kind, _data(stored, payloads=payloads), stored.seq)


def _data(stored: Stored, *, payloads: bool) -> bytes:
    """Return an event's JSON as it was stored, with its payloads merged in where they are wanted."""
    if not payloads or stored.payload is None:
        return stored.data
    beside = json_codec.loads(stored.payload)
    beside.pop(_PRIVATE, None)
    return json_codec.dump_ascii({**json_codec.loads(stored.data), **beside})
