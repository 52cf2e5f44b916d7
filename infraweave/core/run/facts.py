"""Facts: everything that the engine can tell a run. A closed union.

The time of a fact is an argument of ``turn``; random numbers are fields of the facts that need them.
"""

from __future__ import annotations

from typing import TypeAlias

from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.run.address import Address
from infraweave.core.run.events import Origin, RunError, State
from infraweave.core.run.rerun import ReusedNodes


@frozen(kw_only=True)
class RunAccepted:
    """A run was requested with valid input. It starts at once if it has a ``slot``, else it is queued."""

    origin: Origin
    input: Json
    slot: bool
    #: The results that a rerun takes from the earlier run.
    reused: ReusedNodes | None = None


@frozen
class SlotGranted:
    """A queued run got a slot."""


@frozen
class Recovered:
    """The run was loaded again. The attempts that were in flight have been interrupted."""


@frozen
class TimerDue:
    """The due time of some entry may have passed: of a timer, a deadline or a retry."""


@frozen(kw_only=True)
class AttemptUsage:
    """The tokens and the cost that an attempt reported."""

    tokens: int = 0
    cost_micro_usd: int = 0
    model: str | None = None


NO_USAGE = AttemptUsage()


@frozen(kw_only=True)
class AttemptInterrupted:
    """The server stops before an attempt has ended; the next process starts another attempt.

    ``started``: the code was called in this process and cut off. Otherwise it was never called.
    """

    address: Address
    attempt: int
    started: bool = False
    usage: AttemptUsage = NO_USAGE


@frozen(kw_only=True)
class AttemptSucceeded:
    """An attempt returned. ``output`` is a JSON value, the same as after a restart."""

    address: Address
    attempt: int
    output: Json
    latency_ms: int
    usage: AttemptUsage = NO_USAGE


@frozen(kw_only=True)
class AttemptFailed:
    """An attempt failed.

    ``final``: a retry cannot help. ``chance``: a random number in [0, 1) for the jitter of the retry.
    ``retry_after``: the minimum wait in seconds that the called service asked for. ``traceback``: where the
    author's code raised; None if the error did not come from there.
    """

    address: Address
    attempt: int
    code: str
    message: str
    traceback: str | None = None
    latency_ms: int
    final: bool = False
    chance: float = 0.0
    retry_after: float | None = None
    usage: AttemptUsage = NO_USAGE


@frozen(kw_only=True)
class PromptReady:
    """The code of a human node returned its prompt."""

    address: Address
    prompt: str
    data: Json = None


@frozen(kw_only=True)
class TimerReady:
    """The code of a timer chose its time, in milliseconds."""

    address: Address
    wake_at: int


@frozen(kw_only=True)
class ChildReady:
    """A child run can start: its workflow exists and its input is valid."""

    address: Address
    input: Json


@frozen(kw_only=True)
class PreflightFailed:
    """The preflight of an entry failed permanently, so the entry fails. ``traceback``: see AttemptFailed."""

    address: Address
    code: str
    message: str
    traceback: str | None = None


@frozen(kw_only=True)
class ChildEnded:
    """A child run ended, and with it one attempt. It has an ``output`` if it succeeded, else an ``error``."""

    address: Address
    attempt: int
    child_run_id: str
    state: State
    output: Json = None
    error: RunError | None = None
    #: A random number in [0, 1) for the jitter of the retry.
    chance: float = 0.0


@frozen(kw_only=True)
class SignalAccepted:
    """A signal passed ``signals.check_signal``."""

    name: str
    request_id: str
    payload: Json
    by: str
    link: str | None = None


@frozen(kw_only=True)
class CancelRequested:
    """A principal requested the cancellation of the run."""

    by: str
    reason: str | None = None
    link: str | None = None


@frozen(kw_only=True)
class TerminateRequested:
    """An operator terminated the run."""

    by: str
    reason: str | None = None
    link: str | None = None


@frozen
class AppendRejected:
    """The events that followed from a fact cannot be stored. ``address``: the entry of that fact, if any."""

    message: str
    address: Address | None = None


Fact: TypeAlias = (
    RunAccepted
    | SlotGranted
    | Recovered
    | TimerDue
    | AttemptInterrupted
    | AttemptSucceeded
    | AttemptFailed
    | PromptReady
    | TimerReady
    | ChildReady
    | PreflightFailed
    | ChildEnded
    | SignalAccepted
    | CancelRequested
    | TerminateRequested
    | AppendRejected
)
