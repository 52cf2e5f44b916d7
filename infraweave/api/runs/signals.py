"""Signals: what people and other systems tell a run."""

from __future__ import annotations

from attrs import frozen

from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.runs.schemas import SendSignal, SignalReceipt
from infraweave.core import trace_context
from infraweave.engine.engine import Engine


@frozen(eq=False)
class SignalRoutes:
    """The handlers of signals."""

    _engine: Engine

    async def send(self, call: Call[NoQuery, SendSignal]) -> Answer:
        """Deliver a signal; the answer is sent once it is durable."""
        run, name = call.run, call.path["name"]
        done = await self._engine.signal(
            run,
            name,
            call.body.request_id,
            call.body.payload,
            by=call.principal.name,
            link=trace_context.link(call.headers.getlist("traceparent")),
            record=call.record,
        )
        receipt = SignalReceipt(
            run_id=run.run_id, name=name, request_id=done.request_id, duplicate=done.duplicate
        )
        return Answer(receipt, 200 if done.duplicate else 202)
