"""Runs: start, list, inspect, result, history, cancel, terminate."""

from __future__ import annotations

import re
from typing import TypedDict

from attrs import frozen
from werkzeug.datastructures import Headers

from infraweave.api import views
from infraweave.api.negotiate import preferred_wait
from infraweave.api.queries import MAX_WAIT, HistoryQuery, RunQuery, cursor
from infraweave.api.routing import Answer, Call, NoQuery
from infraweave.api.shapes import (
    History,
    Run,
    RunFailed,
    RunList,
    RunSucceeded,
    StartRun,
    StopRun,
)
from infraweave.core import codec, trace
from infraweave.core.access import Principal
from infraweave.core.events import TERMINAL_STATES, Completed, Trigger
from infraweave.core.history import Ledger
from infraweave.engine import clock
from infraweave.engine.engine import Engine
from infraweave.engine.requests import StartRequest
from infraweave.errors import MalformedRequest, RunNotFinished, RunNotFound
from infraweave.store.runs import Filters, RunRow

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
#: How a client of ours says what started a run; without it, it was the API.
TRIGGER_HEADER = "X-Infraweave-Trigger"
OWN_TRIGGERS: tuple[Trigger, ...] = ("api", "cli", "console")
#: Events folded into the history between two looks at whether the page is full.
_PAGE = 500


class _Who(TypedDict):
    """Who stops a run, and why."""

    by: str
    reason: str | None
    link: str | None


@frozen(eq=False)
class RunRoutes:
    """The handlers of runs."""

    _engine: Engine

    async def start(self, call: Call[NoQuery, StartRun]) -> Answer:
        """Start a run; the answer is sent once it is durable."""
        done = await self._engine.start(self._request(call))
        row, headers = done.run, {"Location": f"/v1/runs/{done.run.run_id}"}
        if done.replayed:
            headers["Idempotent-Replayed"] = "true"
        wait = preferred_wait(call.headers.getlist("Prefer"), MAX_WAIT)
        if wait is not None:
            headers["Preference-Applied"] = f"wait={wait}"
            await self._engine.wait_end(row.run_key, wait)
            row = await self._engine.runs.get_by_key(row.run_key) or row
        return Answer(views.started(row), 200 if done.replayed else 201, headers)

    def _request(self, call: Call[NoQuery, StartRun]) -> StartRequest:
        body, headers = call.body, call.headers
        key = _idempotency_key(headers)
        return StartRequest(
            tenant=call.principal.tenant,
            by=call.principal.name,
            workflow_id=body.workflow_id,
            workflow_version=body.workflow_version,
            input=body.input,
            tags=body.tags,
            trigger=_trigger(headers),
            trace=trace.accept(
                headers.getlist("traceparent"), headers.getlist("tracestate"), clock.trace_id()
            ),
            idempotency_key=key,
            body_digest=codec.digest(call.sent) if key is not None else None,
        )

    async def list(self, call: Call[RunQuery, None]) -> Answer:
        """List the runs of the workflows that the principal may read."""
        query = call.query
        filters = Filters(
            states=query.status,
            workflow_id=query.workflow_id,
            workflow_version=query.workflow_version,
            trigger=query.trigger,
            tag=query.tag,
            started_after=query.started_after,
            started_before=query.started_before,
            readable=_readable(call.principal),
        )
        tenant, limit = call.principal.tenant, query.limit
        rows = await self._engine.runs.list(tenant, filters, limit=limit + 1, before=query.cursor)
        page = rows[:limit]
        following = cursor("runs", page[-1].run_key) if len(rows) > limit else None
        heads = await self._engine.journal.last_seqs([row.run_key for row in page])
        listed = [views.listed(row, heads[row.run_key]) for row in page]
        return Answer(RunList(runs=tuple(listed), next_cursor=following))

    async def inspect(self, call: Call[NoQuery, None]) -> Answer:
        """Show a run."""
        return Answer(await self._run(call.run))

    async def _run(self, row: RunRow) -> Run:
        seen = await self._engine.inspect(row)
        shown = {}
        for request in views.open_requests(seen.state):
            (stored,) = await self._engine.journal.read(row.run_key, request.seq - 1, 1)
            shown[request.request_id] = codec.loads(stored.payload)["data"] if stored.payload else None
        return views.run(row, seen, shown)

    async def result(self, call: Call[NoQuery, None]) -> Answer:
        """Tell how a run ended."""
        row = call.run
        if row.state not in TERMINAL_STATES:
            message = f"Run {row.run_id} is {row.state}; try again, or watch its events."
            raise RunNotFinished(message, headers={"Retry-After": "1"})
        if row.error is not None:
            return Answer(RunFailed(run_id=row.run_id, state=row.state, error=row.error))
        last = await self._engine.journal.last_seq(row.run_key)
        stored = await self._engine.journal.read(row.run_key, last - 1, 1)
        if not stored:
            raise RunNotFound(f"No run {row.run_id}.")
        end = codec.decode_event(stored[0].type, stored[0].data, stored[0].payload)
        result = end.result if isinstance(end, Completed) else None
        return Answer(RunSucceeded(run_id=row.run_id, state=row.state, result=result))

    async def history(self, call: Call[HistoryQuery, None]) -> Answer:
        """Tell what happened, attempt by attempt."""
        row, limit, journal = call.run, call.query.limit, self._engine.journal
        graph = await self._engine.catalog.graph(row.tenant, row.workflow_id, row.workflow_version)
        ledger = Ledger(row.run_id, {name: node.kind for name, node in graph.nodes.items()})
        after = call.query.cursor or 0
        while page := await journal.read(row.run_key, after, _PAGE):
            for stored in page:
                ledger.take(codec.decode_event(stored.type, stored.data, stored.payload))
            after = page[-1].seq
            if len(ledger.rows) > limit and ledger.settled(limit):
                break
        rows = ledger.rows[:limit]
        following = cursor("history", rows[-1].first_seq) if len(ledger.rows) > limit else None
        return Answer(History(history=tuple(map(views.history_row, rows)), next_cursor=following))

    async def cancel(self, call: Call[NoQuery, StopRun]) -> Answer:
        """Ask a run to stop; in-flight steps clean up and compensations run."""
        changed = await self._engine.cancel(call.run, **_who(call))
        return Answer(await self._run(call.run), 202 if changed else 200)

    async def terminate(self, call: Call[NoQuery, StopRun]) -> Answer:
        """End a run at once: no clean-up, no compensation."""
        await self._engine.terminate(call.run, **_who(call))
        return Answer(await self._run(call.run))


def _who(call: Call[NoQuery, StopRun]) -> _Who:
    link = trace.link(call.headers.getlist("traceparent"))
    return {"by": call.principal.name, "reason": call.body.reason, "link": link}


def _readable(principal: Principal) -> set[str] | None:
    """Return the workflows that the principal may read; None means all."""
    names = {grant.resource.partition(":")[2] for grant in principal.grants if grant.action == "read"}
    return None if "*" in names else names


def _idempotency_key(headers: Headers) -> str | None:
    keys = headers.getlist("Idempotency-Key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise MalformedRequest(
            "Idempotency-Key must be given once and have 1 to 255 printable ASCII characters."
        )
    return keys[0]


def _trigger(headers: Headers) -> Trigger:
    given = headers.get(TRIGGER_HEADER, "api")
    for trigger in OWN_TRIGGERS:
        if given == trigger:
            return trigger
    raise MalformedRequest(f"{TRIGGER_HEADER} must be one of {', '.join(OWN_TRIGGERS)}.")
