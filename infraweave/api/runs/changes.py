"""One stream of changes for all runs that the principal may read.

It tells clients with a list of runs what to refresh. There is no replay: a client lists the runs after the
stream opens, and again after too many changes. Batches come at most twice a second.
"""

from __future__ import annotations

from infraweave.api.http.auth import Authenticator
from infraweave.api.http.decoding import dump
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import SSE, ApiRequest, ApiResponse, Blocks, NoQuery
from infraweave.api.runs import presenters
from infraweave.api.runs.stream import HEARTBEAT, RETRY, STREAM_HEADERS, check_room
from infraweave.core.access import readable
from infraweave.core.data import json_codec
from infraweave.core.lazy_records import frozen
from infraweave.engine.access.revocation import Recheck
from infraweave.engine.engine import Engine
from infraweave.settings import Settings
from infraweave.store.changes import ChangeBatch, ChangedRun, ChangeSubscription

MANY = b"event: many_changed\ndata: {}\n\n"


@frozen(eq=False)
class ChangeHandlers:
    """The handler of changes."""

    _engine: Engine
    _settings: Settings
    _metrics: Metrics
    _authenticator: Authenticator = Authenticator.field()

    async def follow(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Stream which runs change, for the workflows that the principal may read."""
        principal = request.principal
        check_room(self._metrics, self._settings, principal)
        # It begins before the head is sent, so a client that lists after the head misses nothing.
        subscription = self._engine.changes.subscribe(principal.tenant, readable(principal))
        return ApiResponse(self._blocks(request, subscription), headers=STREAM_HEADERS, media=SSE)

    async def _blocks(self, request: ApiRequest[NoQuery, None], subscription: ChangeSubscription) -> Blocks:
        engine, first, beat = self._engine, RETRY, self._settings.heartbeat
        with (
            self._metrics.streaming(request.principal),
            engine.revocation.watch(request.caller.expires_at) as recheck,
        ):
            try:
                while not engine.draining and not subscription.ended:
                    woken = await engine.unless_drained(subscription.wait(beat), recheck.due)
                    if not await self._may_go_on(request, recheck, subscription):
                        return
                    if batch := _block(subscription.drain()):
                        yield first + batch
                        first = b""
                    elif woken is False:
                        yield HEARTBEAT
            finally:
                engine.changes.unsubscribe(subscription)

    async def _may_go_on(
        self, request: ApiRequest[NoQuery, None], recheck: Recheck, subscription: ChangeSubscription
    ) -> bool:
        """Tell whether the caller may still read. It is checked again only when it is due."""
        if recheck.due.done():
            recheck.rearm()
            principal = await self._authenticator.current_principal(request.caller)
            if principal is None:
                return False
            subscription.restrict(readable(principal))
        return True


def _block(batch: ChangeBatch) -> bytes:
    return MANY if batch.many else b"".join(map(_framed, batch.runs))


def _framed(changed: ChangedRun) -> bytes:
    if changed.encoded is None:
        data = json_codec.dump_ascii(dump(presenters.listed(changed.row, changed.last_seq)))
        changed.encoded = b"event: run_changed\ndata: %b\n\n" % data
    return changed.encoded
