"""Runs: list, inspect, result, history, cancel, terminate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from attrs import evolve, field, frozen

from infraweave.api.http.cursors import Cursors
from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.runs import presenters
from infraweave.api.runs.queries import HistoryQuery, RunFilter, RunQuery
from infraweave.api.runs.rerun_schemas import RunExplanation
from infraweave.api.runs.schemas import (
    History,
    Run,
    RunCounts,
    RunFailed,
    RunList,
    RunSucceeded,
    StopAcknowledged,
    StopRun,
)
from infraweave.core import trace_context
from infraweave.core.access import Principal, readable
from infraweave.core.data.redact import redact
from infraweave.core.run import event_codec
from infraweave.core.run.events import TERMINAL_STATES, Completed, State
from infraweave.core.run.history import RowFilter
from infraweave.engine.engine import Engine
from infraweave.errors import RunNotFinished, RunNotFound
from infraweave.store.follow import TERMINAL_TYPES
from infraweave.store.history import history_page
from infraweave.store.runs import RunFilters, RunRow
from infraweave.store.sqlite.audit_record import AuditRecord

#: A page of runs ends early beyond so many characters of what their callers gave them: tags can be long.
_PAGE_CHARACTERS = 4 << 20


class _Who(TypedDict):
    """Who stops a run, and why."""

    by: str
    reason: str | None
    link: str | None
    record: AuditRecord


@frozen(eq=False)
class RunRoutes:
    """The handlers of runs."""

    _engine: Engine
    _cursors: Cursors = field(init=False)

    @_cursors.default
    def _made(self) -> Cursors:
        return Cursors(self._engine)

    async def list(self, call: Call[RunQuery, None]) -> Answer:
        """List the runs of the workflows that the principal may read."""
        query = call.query
        filters = _filters(query, call.principal, query.status)
        tenant, limit = call.principal.tenant, query.limit
        before = await self._cursors.read("runs", call)
        rows = await self._engine.runs.list(tenant, filters, limit=limit + 1, before=before)
        page = _bounded(rows[:limit])
        is_more = len(rows) > len(page)
        following = await self._cursors.give("runs", call, page[-1].run_key) if is_more else None
        heads = await self._engine.journal.last_seqs([row.run_key for row in page])
        aside = self._engine.quarantine.quarantined
        listed = [presenters.listed(row, heads[row.run_key], row.run_id in aside) for row in page]
        return Answer(RunList(runs=tuple(listed), next_cursor=following))

    async def counts(self, call: Call[RunFilter, None]) -> Answer:
        """Count the runs that are meant, by state."""
        filters = _filters(call.query, call.principal)
        return Answer(RunCounts(counts=await self._engine.runs.counts_of(call.principal.tenant, filters)))

    async def inspect(self, call: Call[NoQuery, None]) -> Answer:
        """Show a run."""
        return Answer(await self._run(call.run))

    async def _run(self, row: RunRow) -> Run:
        seen = presenters.run(row, await self._engine.inspect(row))
        is_aside = row.finished_at is None and self._engine.quarantine.is_quarantined(row.run_id)
        return evolve(seen, set_aside=is_aside or None)

    async def explain(self, call: Call[NoQuery, None]) -> Answer:
        """Say why a run is not moving."""
        state, told = await self._engine.explain(call.run)
        return Answer(
            RunExplanation(run_id=call.run.run_id, state=state, moving=told.moving, explanation=told.sentence)
        )

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
        if not stored or stored[0].type not in TERMINAL_TYPES:
            raise RunNotFound(f"No run {row.run_id}.")  # it is being removed
        end = event_codec.decode_event(stored[0].type, stored[0].data, stored[0].payload)
        result = end.result if isinstance(end, Completed) else None
        return Answer(RunSucceeded(run_id=row.run_id, state=row.state, result=result))

    async def history(self, call: Call[HistoryQuery, None]) -> Answer:
        """Tell what happened, attempt by attempt."""
        row, query = call.run, call.query
        graph = await self._engine.catalog.graph(row.tenant, row.workflow_id, row.workflow_version)
        kinds = {name: node.kind for name, node in graph.nodes.items()}
        wanted = RowFilter(node=query.node, iteration=query.iteration, index=query.index, state=query.state)
        after = await self._cursors.read("history", call) or 0
        page = await history_page(
            self._engine.journal, row.run_key, row.run_id, kinds, wanted, query.limit, after
        )
        if page.gone and row.finished_at is not None:
            raise RunNotFound(f"No run {row.run_id}.")  # it is being removed
        following = None
        if page.more:
            following = await self._cursors.give("history", call, page.rows[-1].first_seq)
        return Answer(History(history=tuple(map(presenters.history_row, page.rows)), next_cursor=following))

    async def cancel(self, call: Call[NoQuery, StopRun]) -> Answer:
        """Ask a run to stop; in-flight steps clean up and compensations run."""
        changed = await self._engine.cancel(call.run, **_who(call))
        return Answer(await self._stopped(call), 202 if changed else 200)

    async def terminate(self, call: Call[NoQuery, StopRun]) -> Answer:
        """End a run at once: no clean-up, no compensation."""
        await self._engine.terminate(call.run, **_who(call))
        return Answer(await self._stopped(call))

    async def resume(self, call: Call[NoQuery, None]) -> Answer:
        """Let a run go on that was set aside."""
        await self._engine.resume(call.run, call.record)
        return Answer(await self._stopped(call))

    async def _stopped(self, call: Call[NoQuery, Any]) -> Run | StopAcknowledged:
        run = await self._run(call.run)
        return run if call.may_read(run.workflow_id) else presenters.stopped(run)


def _bounded(rows: Sequence[RunRow]) -> Sequence[RunRow]:
    """Return the first rows of a page: as many as it holds, and one at least."""
    size = 0
    for count, row in enumerate(rows):
        size += sum(len(key) + len(value) for key, value in row.tags.items())
        if count and size > _PAGE_CHARACTERS:
            return rows[:count]
    return rows


def _filters(query: RunFilter, who: Principal, states: tuple[State, ...] | None = None) -> RunFilters:
    """Return which runs are meant, of those that the principal may read."""
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


def _who(call: Call[NoQuery, StopRun]) -> _Who:
    link = trace_context.link(call.headers.getlist("traceparent"))
    return {"by": call.principal.name, "reason": _told(call.body.reason), "link": link, "record": call.record}


def _told(reason: str | None) -> str | None:
    return None if reason is None else redact(reason)
