"""What the shell tells the core, a closed union. Time arrives beside them, chance inside them."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from infraweave.core.data.values import Json
from infraweave.core.run.address import Address
from infraweave.core.run.events import Origin, RunError, State
from infraweave.core.run.rerun import ReusedNodes


@frozen(kw_only=True)
class RunAccepted:
    """A run was asked for and its input is valid. ``slot``: it may start at once."""

    origin: Origin
    input: Json
    slot: bool
    #: What a rerun keeps of the run before.
    reused: ReusedNodes | None = None


@frozen
class SlotGranted:
    """A queued run has a slot."""


@frozen
class Recovered:
    """The run was taken up again: whatever it had in flight was interrupted."""


@frozen
class TimerDue:
    """Some due time may have come."""


@frozen(kw_only=True)
class Usage:
    """What an attempt reported."""

    tokens: int = 0
    cost_micro_usd: int = 0
    model: str | None = None


NO_USAGE = Usage()


@frozen(kw_only=True)
class AttemptInterrupted:
    """The process was asked to end, and the next one calls an attempt's body anew.

    ``started``: it was called here, and cut off.
    """

    address: Address
    attempt: int
    started: bool = False
    usage: Usage = NO_USAGE


@frozen(kw_only=True)
class AttemptSucceeded:
    """An attempt returned. ``output`` is a JSON value as it will be after a restart."""

    address: Address
    attempt: int
    output: Json
    latency_ms: int
    usage: Usage = NO_USAGE


@frozen(kw_only=True)
class AttemptFailed:
    """An attempt failed. ``final``: trying again cannot help. ``chance`` in [0, 1) is for the jitter.

    ``retry_after``: the least seconds to wait, where the other side asked for that. ``traceback``: where in
    the author's code it was, None where it was not there.
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
    usage: Usage = NO_USAGE


@frozen(kw_only=True)
class PromptReady:
    """A human node's code made its prompt."""

    address: Address
    prompt: str
    data: Json = None


@frozen(kw_only=True)
class TimerReady:
    """A timer's code chose its time, in milliseconds."""

    address: Address
    wake_at: int


@frozen(kw_only=True)
class ChildReady:
    """A child run may start: its input is valid and its workflow is there."""

    address: Address
    input: Json


@frozen(kw_only=True)
class PreflightFailed:
    """What must come before an entry can open failed, for good; ``traceback`` as in Erred."""

    address: Address
    code: str
    message: str
    traceback: str | None = None


@frozen(kw_only=True)
class ChildEnded:
    """A child run has ended: the answer to one attempt. ``output`` where it succeeded, else ``error``."""

    address: Address
    attempt: int
    child_run_id: str
    state: State
    output: Json = None
    error: RunError | None = None
    #: For the jitter of another attempt.
    chance: float = 0.0


@frozen(kw_only=True)
class SignalAccepted:
    """A signal that ``signals.check_signal`` let in."""

    name: str
    request_id: str
    payload: Json
    by: str
    link: str | None = None


@frozen(kw_only=True)
class CancelRequested:
    """Somebody asked to cancel the run."""

    by: str
    reason: str | None = None
    link: str | None = None


@frozen(kw_only=True)
class TerminateRequested:
    """An operator ended the run by force."""

    by: str
    reason: str | None = None
    link: str | None = None


@frozen
class AppendRejected:
    """What followed from a fact cannot be stored. ``address``: the entry that it was about, None: of none."""

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
