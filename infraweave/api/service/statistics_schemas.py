"""The shapes of statistics and of the server's status."""

from __future__ import annotations

from attrs import frozen

from infraweave.api.http.decoding import read_time
from infraweave.api.runs.queries import text
from infraweave.api.runs.schemas import Time, given, said


@frozen(kw_only=True)
class StatisticsQuery:
    """Which runs are meant."""

    workflow_id: str | None = text("Only runs of this workflow.")
    workflow_version: str | None = text("Only runs of this version.")
    since: int | None = given(
        read_time,
        "Where to begin, at most 31 days ago; 24 hours ago where it is left out.",
        {"type": "string", "format": "date-time"},
    )


@frozen(kw_only=True)
class Outcomes:
    """How many runs started, and how many ended how, in some time; a run may do either without the other."""

    started: int
    succeeded: int
    failed: int
    cancelled: int


@frozen(kw_only=True)
class HourOutcomes:
    """The same, in an hour."""

    hour: Time = said("Its beginning.")
    started: int
    succeeded: int
    failed: int
    cancelled: int


@frozen(kw_only=True)
class Durations:
    """How long it took half of them at most, and 95 in a hundred."""

    p50_ms: int | None
    p95_ms: int | None


@frozen(kw_only=True)
class ErrorStatistics:
    """An error, and how often it came."""

    code: str
    node: str | None = said("Null where no node had it.")
    count: int
    final: bool = said("True where it ended a run.")
    tolerated: bool = said(
        "True where an item failed for good and its map went on without it. Neither final nor this: retried."
    )
    last_run_id: str
    last_at: Time


@frozen(kw_only=True)
class NodeStatistics:
    """A node, of all versions that ran."""

    workflow_id: str
    node: str
    executions: int = said("How often it came to an end, each iteration and item for itself.")
    failures: int = said("How many of them failed for good.")
    retries: int = said("How many attempts failed and were followed by another.")
    p50_ms: int = said("Of attempts, whatever came of them.")
    p95_ms: int


@frozen(kw_only=True)
class UsageStatistics:
    """What the runs used that ended."""

    tokens: int
    cost_micro_usd: int
    per_run_tokens: int | None = said("Rounded; null where none ended.")
    per_run_cost_micro_usd: int | None


@frozen(kw_only=True)
class RunStatistics:
    """How runs went."""

    since: Time
    until: Time
    runs: Outcomes
    success_rate: float | None = said("Succeeded of those that succeeded or failed; null where none did.")
    hours: tuple[HourOutcomes, ...] = said("Every hour in order; the first and the last may be cut.")
    duration: Durations = said("From start to end, of runs that succeeded or failed.")
    errors: tuple[ErrorStatistics, ...] = said("The most frequent first, at most 20.")
    nodes: tuple[NodeStatistics, ...] = said(
        "The slowest p95 first, at most 50; timers, waits for signals and for people are left out."
    )
    usage: UsageStatistics
    sampled_runs: int = said(
        "Of how many of the newest ended runs, at most 1,000, nodes and errors that were not final are told."
    )


@frozen(kw_only=True)
class SlotUse:
    """How many runs may execute at once, and how many do."""

    total: int
    taken: int


@frozen(kw_only=True)
class ThreadUse:
    """The threads of sync bodies."""

    total: int = said("How many work at once, at most; lost ones are replaced beyond that.")
    busy: int = said("Those that are in a body, lost ones among them.")
    waiting: int = said("Bodies that wait for one.")
    lost: int = said("Those whose bodies have not returned though their time, grace included, is over.")


@frozen(kw_only=True)
class Status:
    """What the server is doing: of all tenants for an admin, else of the caller's."""

    version: str
    slots: SlotUse
    threads: ThreadUse | None = said("Of all tenants; null for who is no admin.")
    queued: int = said("Runs that have not started, delayed ones among them.")
    waiting: int = said("Runs that started and hold no slot: they wait for a time, a person, or another run.")
    open_runs: int
    database_bytes: int | None = said("Of the whole file; null for who is no admin.")
    uptime_s: int
