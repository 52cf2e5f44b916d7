"""How runs went, and what the server is doing: for overviews."""

from __future__ import annotations

from attrs import asdict, frozen

from infraweave import __version__
from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.service.statistics_schemas import (
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
from infraweave.engine.engine import Engine
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.errors import Fault, MalformedRequest
from infraweave.store.statistics import HOUR, Figures, RunSelection, Statistics

_DAY = 24 * HOUR
#: How far back one may ask, in hours; as many are told of at most.
_MOST_HOURS = 31 * 24


@frozen(eq=False)
class StatisticsRoutes:
    """The handlers of statistics and status."""

    _engine: Engine
    _statistics: Statistics
    #: When it began, in seconds by a clock that nobody sets.
    _opened_at: float

    async def statistics(self, call: Call[StatisticsQuery, None]) -> Answer:
        """Tell how the runs went that the principal may read."""
        until, query, who = self._engine.clock.now(), call.query, call.principal
        asked = RunSelection(
            tenant=who.tenant,
            since=_since(query.since, until),
            until=until,
            workflow_id=query.workflow_id,
            workflow_version=query.workflow_version,
            readable=readable(who),
        )
        return Answer(_told(asked, await self._statistics.read(asked)))

    async def status(self, call: Call[NoQuery, None]) -> Answer:
        """Tell what the server is doing: of the caller's tenant, or of all where the caller is an admin."""
        engine, tenant = self._engine, whose(call.principal)
        now = await self._statistics.open_counts(tenant)
        return Answer(
            Status(
                version=__version__,
                slots=SlotUse(total=engine.host.slots.limit, taken=engine.host.slots_of(tenant)),
                threads=_threads(engine.host.threads) if tenant is None else None,
                queued=now.queued,
                waiting=now.waiting,
                open_runs=now.open_runs,
                database_bytes=await self._statistics.size() if tenant is None else None,
                uptime_s=int(engine.clock.elapsed() - self._opened_at),
            )
        )


def _threads(threads: ThreadPool) -> ThreadUse:
    return ThreadUse(total=threads.count, busy=threads.busy, waiting=threads.queued, lost=threads.lost)


def whose(who: Principal) -> str | None:
    """Return the tenant whose totals a principal may be told; None: those of all."""
    return None if allows(who, "admin", "tenant:*") else who.tenant


def _since(wanted: int | None, until: int) -> int:
    """Return where to begin; an hour that would be one too many is left out, though it was hardly begun.

    Raises:
        MalformedRequest: that lies too far back, or is to come.
    """
    since = until - _DAY if wanted is None else wanted
    if not until - _MOST_HOURS * HOUR <= since <= until:
        told = f"expected a time from {rfc3339(until - _MOST_HOURS * HOUR)} to now, {rfc3339(until)}"
        raise MalformedRequest(f"since: {told}.", details=[Fault("/since", told)])
    return max(since, until - until % HOUR - (_MOST_HOURS - 1) * HOUR)


def _told(asked: RunSelection, figures: Figures) -> RunStatistics:
    total = figures.total
    judged = total.succeeded + total.failed
    return RunStatistics(
        since=rfc3339(asked.since),
        until=rfc3339(asked.until),
        runs=Outcomes(**asdict(total)),
        success_rate=total.succeeded / judged if judged else None,
        hours=tuple(
            HourOutcomes(hour=rfc3339(hour), **asdict(tally)) for hour, tally in figures.hours.items()
        ),
        duration=Durations(p50_ms=figures.p50_ms, p95_ms=figures.p95_ms),
        errors=tuple(
            ErrorStatistics(**{**asdict(error), "last_at": rfc3339(error.last_at)})
            for error in figures.errors
        ),
        nodes=tuple(NodeStatistics(**asdict(node)) for node in figures.nodes),
        usage=_usage(figures, judged + total.cancelled),
        sampled_runs=figures.sampled_runs,
    )


def _usage(figures: Figures, ended: int) -> UsageStatistics:
    tokens, cost = figures.tokens, figures.cost_micro_usd
    return UsageStatistics(
        tokens=tokens,
        cost_micro_usd=cost,
        per_run_tokens=round(tokens / ended) if ended else None,
        per_run_cost_micro_usd=round(cost / ended) if ended else None,
    )
