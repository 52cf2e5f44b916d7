"""Handlers of runs: list, inspect, result, history, cancel, terminate, signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from infraweave.api.http.cursors import Cursors
from infraweave.api.http.encoding import encode
from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.api.runs import presenters
from infraweave.api.runs.queries import HistoryQuery, RunFilter, RunQuery
from infraweave.api.runs.schemas import (
    History,
    HistoryRow,
    Run,
    RunCounts,
    RunExplanation,
    RunFailed,
    RunSucceeded,
    SendSignal,
    SignalReceipt,
    StopAcknowledged,
    StopRun,
)
from infraweave.core import trace_context
from infraweave.core.access import Principal, readable
from infraweave.core.data.json_codec import loads
from infraweave.core.data.redact import redact
from infraweave.core.lazy_records import frozen
from infraweave.core.run.events import TERMINAL_STATES, Completed, State
from infraweave.core.run.history import RowFilter
from infraweave.engine.engine import Engine
from infraweave.errors import RunNotFinished, RunNotFound
from infraweave.store.follow import TERMINAL_TYPES
from infraweave.store.history import history_page
from infraweave.store.runs import ListedRow, RunFilters, RunRow
from infraweave.store.sqlite.audit_record import AuditRecord

#: A page of runs ends early beyond this number of characters in tags, which callers choose.
_PAGE_CHARACTERS = 4 << 20


class _Who(TypedDict):
    """Who stops a run, and why."""

    by: str
    reason: str | None
    link: str | None
    record: AuditRecord


@frozen(eq=False)
class RunHandlers:
    """The handlers of runs."""

    _engine: Engine
    _cursors: Cursors = Cursors.field()

    async def list(self, request: ApiRequest[RunQuery, None]) -> ApiResponse:
        """List runs of the workflows that the principal may read, newest first."""
        query = request.query
        filters = _filters(query, request.principal, query.status)
        tenant, limit = request.principal.tenant, query.limit
        before = await self._cursors.read("runs", request)
        rows = await self._engine.runs.page(tenant, filters, limit=limit + 1, before=before)
        page = _bounded(rows[:limit])
        last = page[-1].run_key if len(rows) > len(page) else None
        aside = self._engine.quarantine.quarantined
        listed = [presenters.listed_row(row, row.run_id in aside) for row in page]
        next_cursor = await self._cursors.issue("runs", request, last)
        return ApiResponse(encode({"runs": listed, "next_cursor": next_cursor}))  # a RunList

    async def counts(self, request: ApiRequest[RunFilter, None]) -> ApiResponse:
        """Count runs by state."""
        who = request.principal
        counts = await self._engine.runs.counts_of(who.tenant, _filters(request.query, who))
        return ApiResponse(RunCounts(counts=counts))

    async def inspect(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Show a run and its node summary."""
        return ApiResponse(await self._run(request.run))

    async def _run(self, row: RunRow) -> Run:
        is_aside = row.finished_at is None and self._engine.quarantine.is_quarantined(row.run_id)
        return presenters.run(row, await self._engine.service.inspect(row), is_aside)

    async def explain(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Explain in one sentence why a run does not move."""
        run_id = request.run.run_id
        state, found = await self._engine.service.explain(request.run)
        return ApiResponse(
            present(RunExplanation, found, run_id=run_id, state=state, explanation=found.sentence)
        )

    async def result(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Show the result of a run."""
        row = request.run
        if row.state not in TERMINAL_STATES:
            message = f"Run {row.run_id} is {row.state}; try again, or watch its events."
            raise RunNotFinished(message, headers={"Retry-After": "1"})
        if row.error is not None:
            return ApiResponse(RunFailed(run_id=row.run_id, state=row.state, error=row.error))
        last = await self._engine.journal.last_seq(row.run_key)
        stored = await self._engine.journal.event_at(row.run_key, last)
        if stored is None or stored.type not in TERMINAL_TYPES:
            raise RunNotFound(f"No run {row.run_id}.")  # it is being removed
        end = stored.event()
        result = end.result if isinstance(end, Completed) else None
        return ApiResponse(RunSucceeded(run_id=row.run_id, state=row.state, result=result))

    async def history(self, request: ApiRequest[HistoryQuery, None]) -> ApiResponse:
        """Show the history of a run, one row per attempt."""
        row, query = request.run, request.query
        graph = await self._engine.catalog.graph(row.tenant, row.workflow_id, row.workflow_version)
        kinds = {name: node.kind for name, node in graph.nodes.items()}
        rows = RowFilter(node=query.node, iteration=query.iteration, index=query.index, state=query.state)
        after = await self._cursors.read("history", request) or 0
        page = await history_page(
            self._engine.journal, row.run_key, row.run_id, kinds, rows, query.limit, after
        )
        if page.gone and row.finished_at is not None:
            raise RunNotFound(f"No run {row.run_id}.")  # it is being removed
        last = page.rows[-1].first_seq if page.more else None
        next_cursor = await self._cursors.issue("history", request, last)
        shown = tuple(present(HistoryRow, row) for row in page.rows)
        return ApiResponse(History(history=shown, next_cursor=next_cursor))

    async def cancel(self, request: ApiRequest[NoQuery, StopRun]) -> ApiResponse:
        """Cancel a run: steps in flight clean up and compensations run."""
        changed = await self._engine.service.cancel(request.run, **_who(request))
        return ApiResponse(await self._stopped(request), 202 if changed else 200)

    async def terminate(self, request: ApiRequest[NoQuery, StopRun]) -> ApiResponse:
        """Terminate a run by force: no clean-up, no compensation."""
        await self._engine.service.terminate(request.run, **_who(request))
        return ApiResponse(await self._stopped(request))

    async def resume(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Resume a run that was set aside because the process died while it loaded the run."""
        await self._engine.service.resume(request.run, request.record)
        return ApiResponse(await self._stopped(request))

    async def signal(self, request: ApiRequest[NoQuery, SendSignal]) -> ApiResponse:
        """Send a signal to a run."""
        run, name, body = request.run, request.path["name"], request.body
        by, link = request.principal.name, _trace_link(request)
        done = await self._engine.service.signal(
            run, name, body.request_id, body.payload, by=by, link=link, record=request.record
        )
        receipt = present(SignalReceipt, done, run_id=run.run_id, name=name)
        return ApiResponse(receipt, 200 if done.duplicate else 202)

    async def _stopped(self, request: ApiRequest[NoQuery, Any]) -> Run | StopAcknowledged:
        run = await self._run(request.run)
        return run if request.may_read(run.workflow_id) else presenters.stopped(run)


def _bounded(rows: Sequence[ListedRow]) -> Sequence[ListedRow]:
    """Return the rows that fit on a page, at least one."""
    if sum(len(row.tags) for row in rows) <= _PAGE_CHARACTERS:
        return rows  # as JSON, tags are longer than they are
    size = 0
    for count, row in enumerate(rows):
        size += sum(len(key) + len(value) for key, value in loads(row.tags).items())
        if count and size > _PAGE_CHARACTERS:
            return rows[:count]
    return rows


def _filters(query: RunFilter, who: Principal, states: tuple[State, ...] | None = None) -> RunFilters:
    """Return the filters of a query, limited to the workflows that the principal may read."""
    roots = query.parent_run_id == "none"
    return RunFilters(
        states=states,
        workflow_id=query.workflow_id,
        workflow_version=query.workflow_version,
        trigger=query.trigger,
        tag=query.tag,
        started_after=query.started_after,
        started_before=query.started_before,
        parent=None if roots else query.parent_run_id,
        roots=roots,
        readable=readable(who),
    )


def _who(request: ApiRequest[NoQuery, StopRun]) -> _Who:
    reason = request.body.reason
    return {
        "by": request.principal.name,
        "reason": None if reason is None else redact(reason),
        "link": _trace_link(request),
        "record": request.record,
    }


def _trace_link(request: ApiRequest[Any, Any]) -> str | None:
    return trace_context.link(request.headers.getlist("traceparent"))
