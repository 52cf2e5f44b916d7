"""Handlers of statistics and of the server's status."""

from __future__ import annotations

import infraweave
from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.api.service.schemas import (
    Durations,
    ErrorStatistics,
    HourOutcomes,
    NodeStatistics,
    Outcomes,
    RunStatistics,
    SlotUse,
    StatisticsQuery,
    Status,
    ThreadUse,
    UsageStatistics,
)
from infraweave.core.access import Principal, allows, readable
from infraweave.core.data.values import rfc3339
from infraweave.core.lazy_records import frozen
from infraweave.engine.engine import Engine
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.errors import Fault, MalformedRequest
from infraweave.store.statistics import HOUR, Figures, RunSelection, Statistics

_DAY = 24 * HOUR
#: The longest period that may be selected, in hours.
_MOST_HOURS = 31 * 24


@frozen(eq=False)
class StatisticsHandlers:
    """The handlers of statistics and status."""

    _engine: Engine
    _statistics: Statistics
    #: Seconds of the monotonic clock at the start.
    _opened_at: float

    async def statistics(self, request: ApiRequest[StatisticsQuery, None]) -> ApiResponse:
        """Return statistics by hour of the runs that the principal may read."""
        until, query, principal = self._engine.clock.now(), request.query, request.principal
        selection = RunSelection(
            tenant=principal.tenant,
            since=_since(query.since, until),
            until=until,
            workflow_id=query.workflow_id,
            workflow_version=query.workflow_version,
            readable=readable(principal),
        )
        return ApiResponse(_presented(selection, await self._statistics.read(selection)))

    async def status(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Return what the server is doing: for all tenants if the caller is an admin."""
        engine, tenant = self._engine, visible_tenant(request.principal)
        now = await self._statistics.open_counts(tenant)
        return ApiResponse(
            Status(
                version=infraweave.__version__,
                slots=SlotUse(total=engine.slots.limit, taken=engine.registry.slots_of(tenant)),
                threads=_threads(engine.workers.threads) if tenant is None else None,
                queued=now.queued,
                waiting=now.waiting,
                open_runs=now.open_runs,
                database_bytes=await self._statistics.size() if tenant is None else None,
                uptime_s=int(engine.clock.elapsed() - self._opened_at),
            )
        )


def _threads(threads: ThreadPool) -> ThreadUse:
    return ThreadUse(total=threads.count, busy=threads.busy, waiting=threads.queued, lost=threads.lost)


def visible_tenant(principal: Principal) -> str | None:
    """Return the tenant of the totals that a principal may see; None: all tenants."""
    return None if allows(principal, "admin", "tenant:*") else principal.tenant


def _since(wanted: int | None, until: int) -> int:
    """Return the beginning of the period. It never covers more than the largest number of clock hours.

    Raises:
        MalformedRequest: it is too long ago, or in the future.
    """
    since = until - _DAY if wanted is None else wanted
    if not until - _MOST_HOURS * HOUR <= since <= until:
        expected = f"expected a time from {rfc3339(until - _MOST_HOURS * HOUR)} to now, {rfc3339(until)}"
        raise MalformedRequest(f"since: {expected}.", details=[Fault("/since", "format", expected)])
    return max(since, until - until % HOUR - (_MOST_HOURS - 1) * HOUR)


def _presented(selection: RunSelection, figures: Figures) -> RunStatistics:
    total = figures.total
    judged = total.succeeded + total.failed
    return present(
        RunStatistics,
        figures,
        since=selection.since,
        until=selection.until,
        runs=present(Outcomes, total),
        success_rate=total.succeeded / judged if judged else None,
        hours=tuple(present(HourOutcomes, tally, hour=hour) for hour, tally in figures.hours.items()),
        duration=present(Durations, figures),
        errors=tuple(present(ErrorStatistics, error) for error in figures.errors),
        nodes=tuple(present(NodeStatistics, node) for node in figures.nodes),
        usage=_usage(figures, judged + total.cancelled),
    )


def _usage(figures: Figures, ended: int) -> UsageStatistics:
    tokens, cost = figures.tokens, figures.cost_micro_usd
    return present(
        UsageStatistics,
        figures,
        per_run_tokens=round(tokens / ended) if ended else None,
        per_run_cost_micro_usd=round(cost / ended) if ended else None,
    )
