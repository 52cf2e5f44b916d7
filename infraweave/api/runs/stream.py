"""The events of a run: as a stream (SSE), or in pages with a long poll.

Both read the table after a cursor. So a late, slow or disconnected reader does not affect others, and a
resumed read is the same as a live read. Events are framed as they were stored, without decoding.
"""

from __future__ import annotations

from infraweave.api.http.auth import Authenticator
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import JSON, SSE, ApiRequest, ApiResponse, Blocks
from infraweave.api.runs.queries import EventQuery, read_seq
from infraweave.core.access import Principal
from infraweave.core.data import json_codec
from infraweave.core.lazy_records import frozen
from infraweave.engine.access.revocation import Recheck
from infraweave.engine.engine import Engine
from infraweave.errors import InvalidCursor, RateLimited, RunNotFound
from infraweave.settings import Settings
from infraweave.store.follow import TERMINAL_TYPES, Stored
from infraweave.store.journal import Head

#: A comment line without a blank line: some clients read a blank line as an empty message.
HEARTBEAT = b":\n"
#: Part of the first event's block, because some clients read a separate block as an event. Milliseconds.
RETRY = b"retry: 1000\n"
#: Proxies must not buffer the stream.
STREAM_HEADERS = {"X-Accel-Buffering": "no"}
#: The part of an event's payloads for the server alone: keys, digests and the tenant of a start.
_PRIVATE = "origin"


@frozen(eq=False)
class EventHandlers:
    """The handler of events."""

    _engine: Engine
    _settings: Settings
    _metrics: Metrics
    _authenticator: Authenticator = Authenticator.field()

    async def read(self, request: ApiRequest[EventQuery, None]) -> ApiResponse:
        """Stream the events of a run, or read them in pages."""
        after = _last_event_id(request)
        head = await self._engine.journal.head(request.run.run_key)
        if not head.seq or (request.run.finished_at is not None and not head.terminal):
            raise RunNotFound(f"No run {request.run.run_id}.")  # it is being removed
        if after > head.seq:
            raise InvalidCursor(f"The run has {head.seq} events; {after} is past the last one.")
        if request.accept == JSON:
            return await self._page(request, after, head)
        return self._stream(request, after, head)

    # --- pages ---------------------------------------------------------------------------------------------

    async def _page(self, request: ApiRequest[EventQuery, None], after: int, head: Head) -> ApiResponse:
        query, payloads, key = request.query, request.query.include is not None, request.run.run_key
        if query.wait and after == head.seq:
            with self._engine.revocation.watch(request.caller.expires_at) as recheck:
                async with self._engine.journal.follow(key, after, query.limit, payloads=payloads) as reader:
                    page = await self._engine.unless_drained(reader.next(query.wait), recheck.due) or []
                    page = page if await self._may_go_on(request, recheck) else []
        else:
            page = await self._engine.journal.read(key, after, query.limit, payloads=payloads)
        terminal = page[-1].type in TERMINAL_TYPES if page else head.terminal
        events = b",".join(_data(stored, request.run.run_id, payloads=payloads) for stored in page)
        rest = json_codec.dumps({"next_after": page[-1].seq if page else after, "terminal": terminal})
        return ApiResponse(b'{"events":[' + events + b"]," + rest[1:])

    # --- streams -------------------------------------------------------------------------------------------

    def _stream(self, request: ApiRequest[EventQuery, None], after: int, head: Head) -> ApiResponse:
        if head.terminal and after == head.seq:
            return ApiResponse(None, 204)
        check_room(self._metrics, self._settings, request.principal)
        return ApiResponse(self._blocks(request, after), headers=STREAM_HEADERS, media=SSE)

    async def _blocks(self, request: ApiRequest[EventQuery, None], after: int) -> Blocks:
        engine, first, key, run_id = self._engine, RETRY, request.run.run_key, request.run.run_id
        payloads = request.query.include is not None
        with (
            self._metrics.streaming(request.principal),
            engine.revocation.watch(request.caller.expires_at) as recheck,
        ):
            async with engine.journal.follow(key, after, payloads=payloads) as follower:
                while not follower.ended and not engine.draining:
                    page = await engine.unless_drained(follower.next(self._settings.heartbeat), recheck.due)
                    if not await self._may_go_on(request, recheck):
                        return
                    if page:
                        yield first + b"".join(_block(stored, run_id, payloads=payloads) for stored in page)
                        first = b""
                    elif page is not None and not follower.ended:
                        yield HEARTBEAT

    async def _may_go_on(self, request: ApiRequest[EventQuery, None], recheck: Recheck) -> bool:
        """Tell whether the caller may still read. It is checked again only when it is due."""
        if not recheck.due.done():
            return True
        recheck.rearm()
        return await self._authenticator.is_still_allowed(request.caller, "read", request.run)


def check_room(metrics: Metrics, settings: Settings, who: Principal) -> None:
    """Check that a principal may open another stream.

    Raises:
        RateLimited: too many streams are open.
    """
    later = {"Retry-After": "5"}
    if metrics.open_streams >= settings.max_streams:
        raise RateLimited("Too many event streams are open.", headers=later)
    if metrics.streams_of[who.tenant, who.name] >= settings.max_streams_per_principal:
        raise RateLimited("This principal has too many event streams open.", headers=later)


def _last_event_id(request: ApiRequest[EventQuery, None]) -> int:
    """Return the seq of the caller's last event. The header takes precedence over the query."""
    last = request.headers.get("Last-Event-ID")
    return read_seq(last.strip()) if last is not None else request.query.after or 0


def _block(stored: Stored, run_id: str, *, payloads: bool) -> bytes:
    """Return the block of an event. ``id`` is last, because some clients store it when they read its line."""
    kind = stored.type.encode()
    return b"event: %b\ndata: %b\nid: %d\n\n" % (kind, _data(stored, run_id, payloads=payloads), stored.seq)


def _data(stored: Stored, run_id: str, *, payloads: bool) -> bytes:
    """Return an event's line of JSON, with its payloads on request."""
    if not payloads or stored.payload is None:
        return stored.line(run_id)
    beside = stored.beside()
    beside.pop(_PRIVATE, None)
    return json_codec.dump_ascii({**stored.fields(run_id), **beside})
