"""One stream for all runs that the principal may read: which of them have changed.

Hints for whoever shows a list. There is no replay: a client lists when the stream opens, and again where too
many changed at once. Batches come at most twice a second.
"""

from __future__ import annotations

from attrs import Factory, field, frozen

from infraweave.api.http.auth import Gate
from infraweave.api.http.decoding import dump
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import SSE, Answer, Blocks, Call, NoQuery
from infraweave.api.runs import presenters
from infraweave.api.runs.stream import HEARTBEAT, RETRY, STREAM_HEADERS, check_room
from infraweave.core.access import readable
from infraweave.core.data import json_codec
from infraweave.engine.access.revocation import Recheck
from infraweave.engine.engine import Engine
from infraweave.settings import Settings
from infraweave.store.changes import ChangeBatch, ChangedRun, ChangeSubscription

MANY = b"event: many_changed\ndata: {}\n\n"


@frozen(eq=False)
class ChangeRoutes:
    """The handler of changes."""

    _engine: Engine
    _settings: Settings
    _metrics: Metrics
    _gate: Gate = field(init=False, default=Factory(lambda self: Gate.of(self._engine), takes_self=True))

    async def follow(self, call: Call[NoQuery, None]) -> Answer:
        """Stream which runs change from now on."""
        who = call.principal
        check_room(self._metrics, self._settings, who)
        # Begun before the head is sent: whoever lists once it has come misses nothing.
        subscription = self._engine.changes.subscribe(who.tenant, readable(who))
        return Answer(self._blocks(call, subscription), headers=STREAM_HEADERS, media=SSE)

    async def _blocks(self, call: Call[NoQuery, None], subscription: ChangeSubscription) -> Blocks:
        engine, first, beat = self._engine, RETRY, self._settings.heartbeat
        with (
            self._metrics.streaming(call.principal),
            engine.revocation.watch(call.caller.expires_at) as recheck,
        ):
            try:
                while not engine.draining and not subscription.ended:
                    woken = await engine.unless_drained(subscription.wait(beat), recheck.due)
                    if not await self._may_go_on(call, recheck, subscription):
                        return
                    if batch := _block(subscription.drain()):
                        yield first + batch
                        first = b""
                    elif woken is False:
                        yield HEARTBEAT
            finally:
                engine.changes.unsubscribe(subscription)

    async def _may_go_on(
        self, call: Call[NoQuery, None], recheck: Recheck, subscription: ChangeSubscription
    ) -> bool:
        """Tell whether the caller may have what follows; asked anew only where it is due."""
        if recheck.due.done():
            recheck.rearm()
            who = await self._gate.still(call.caller)
            if who is None:
                return False
            subscription.restrict(readable(who))
        return True


def _block(batch: ChangeBatch) -> bytes:
    return MANY if batch.many else b"".join(map(_framed, batch.runs))


def _framed(changed: ChangedRun) -> bytes:
    if changed.encoded is None:
        data = json_codec.dump_ascii(dump(presenters.listed(changed.row, changed.last_seq)))
        changed.encoded = b"event: run_changed\ndata: %b\n\n" % data
    return changed.encoded
