"""Query parameters and bodies of the service's own routes: sign-in, health, statistics and status."""

from __future__ import annotations

from typing import Literal

from infraweave.api.http.fields import Time, described
from infraweave.api.http.query_fields import text, time
from infraweave.core.lazy_records import frozen

# --- callers and health ------------------------------------------------------------------------------------


@frozen(kw_only=True)
class WhoAmI:
    """Whom the token speaks for."""

    tenant: str
    principal: str
    grants: tuple[str, ...]


@frozen(kw_only=True)
class SignIn:
    """A sign-in code."""

    code: str = described("The code that the server printed when it started.", minLength=1, maxLength=128)


@frozen(kw_only=True)
class SignedIn:
    """A new token, shown only once, and whom it speaks for."""

    token: str
    tenant: str
    principal: str
    grants: tuple[str, ...]
    expires_at: Time


@frozen(kw_only=True)
class Health:
    """A sign of life."""

    status: Literal["ok", "ready"]
    runs_set_aside: int | None = described(
        "Runs that are not loaded because the process died while it loaded them. Resume or stop them.",
        default=None,
        omit=True,
    )


# --- statistics --------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StatisticsQuery:
    """Which runs to consider."""

    workflow_id: str | None = text("Only runs of this workflow.")
    workflow_version: str | None = text("Only runs of this version.")
    since: int | None = time("Where to begin, at most 31 days ago. Default: 24 hours ago.")


@frozen(kw_only=True)
class Outcomes:
    """The runs that started and the runs that ended in a period."""

    started: int
    succeeded: int
    failed: int
    cancelled: int


@frozen(kw_only=True)
class HourOutcomes:
    """The outcomes of one hour."""

    hour: Time = described("The beginning of the hour.")
    started: int
    succeeded: int
    failed: int
    cancelled: int


@frozen(kw_only=True)
class Durations:
    """The 50th and the 95th percentile of durations."""

    p50_ms: int | None
    p95_ms: int | None


@frozen(kw_only=True)
class ErrorStatistics:
    """An error, and how often it occurred."""

    code: str
    node: str | None = described("Null: the error is not of a node.")
    count: int
    final: bool = described("True: the error ended a run.")
    tolerated: bool = described(
        "True: an item failed for good and its map continued. Neither final nor tolerated: it was retried."
    )
    last_run_id: str
    last_at: Time


@frozen(kw_only=True)
class NodeStatistics:
    """A node, over all versions that ran."""

    workflow_id: str
    node: str
    executions: int = described("How often the node ended; each iteration and item counts.")
    failures: int = described("Executions that failed for good.")
    retries: int = described("Attempts that failed and were followed by another.")
    p50_ms: int = described("Of all attempts.")
    p95_ms: int


@frozen(kw_only=True)
class UsageStatistics:
    """What ended runs used."""

    tokens: int
    cost_micro_usd: int
    per_run_tokens: int | None = described("Rounded. Null: no run ended.")
    per_run_cost_micro_usd: int | None


@frozen(kw_only=True)
class RunStatistics:
    """Statistics of runs."""

    since: Time
    until: Time
    runs: Outcomes
    success_rate: float | None = described(
        "Succeeded runs divided by succeeded and failed runs. Null: there are none."
    )
    hours: tuple[HourOutcomes, ...] = described("Every hour in order. The first and the last may be partial.")
    duration: Durations = described("From start to end, of runs that succeeded or failed.")
    errors: tuple[ErrorStatistics, ...] = described("The most frequent first, at most 20.")
    nodes: tuple[NodeStatistics, ...] = described(
        "The slowest p95 first, at most 50. Timers, signals and questions to people are not included."
    )
    usage: UsageStatistics
    sampled_runs: int = described(
        "The number of newest ended runs, at most 1,000, that nodes and non-final errors are taken from."
    )


@frozen(kw_only=True)
class SlotUse:
    """How many runs may execute at once, and how many do."""

    total: int
    taken: int


@frozen(kw_only=True)
class ThreadUse:
    """The threads that run sync node code."""

    total: int = described("The largest number that work at once. Lost threads are replaced beyond it.")
    busy: int = described("Threads that run node code, lost ones included.")
    waiting: int = described("Calls that wait for a thread.")
    lost: int = described("Threads whose node code has not returned after its timeout and the grace period.")


@frozen(kw_only=True)
class Status:
    """What the server is doing: for all tenants if the caller is an admin, else for the caller's tenant."""

    version: str
    slots: SlotUse
    threads: ThreadUse | None = described("Of all tenants. Null unless the caller is an admin.")
    queued: int = described("Runs that have not started, delayed ones included.")
    waiting: int = described("Started runs without a slot: they wait for a time, a person or another run.")
    open_runs: int
    database_bytes: int | None = described("The size of the file. Null unless the caller is an admin.")
    uptime_s: int
