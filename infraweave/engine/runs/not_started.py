"""Attempts that are open: what those wait for whose bodies were not called, and the end of all at a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infraweave.core.run.address import Address
from infraweave.core.run.events import NodeStarted
from infraweave.core.run.facts import AttemptInterrupted
from infraweave.engine.execution.preflight import Preflight

if TYPE_CHECKING:
    from infraweave.engine.runs.live_run import LiveRun


def unbegun(live: LiveRun) -> dict[Address, str]:
    """Return what each of a run's attempts waits for whose body has not been called."""
    waiting = {a.address: what for a in live.attempts if (what := a.waits_for) is not None}
    return waiting | {item.address: "a free slot" for item in _in_line(live)}


def put_back(live: LiveRun) -> None:
    """Close such attempts: the process is ending, and the next one is to know that they did nothing.

    Raises:
        StorageUnavailable: that cannot be stored.
    """
    # What is being prepared is in no event, and is prepared anew.
    never = [a for a in live.attempts if not isinstance(a, Preflight) and a.cancel_unstarted()]
    back = [(a.address, a.context.attempt) for a in never]
    back += [(item.address, item.attempt) for item in _in_line(live)]
    live.todo.clear()
    for address, attempt in back:
        live.forget(address)
        live.host.turns.apply(live, AttemptInterrupted(address=address, attempt=attempt))


def cut_off(live: LiveRun) -> None:
    """Close the attempts whose bodies did not end within the grace period: they are interrupted.

    Raises:
        StorageUnavailable: that cannot be stored.
    """
    for attempt in live.attempts:
        if not isinstance(attempt, Preflight):
            attempt.discard()
            live.forget(attempt.address)
            fact = AttemptInterrupted(
                address=attempt.address,
                attempt=attempt.context.attempt,
                started=True,
                usage=attempt.context.usage,
            )
            live.host.turns.apply(live, fact)


def _in_line(live: LiveRun) -> list[NodeStarted]:
    return [item for item in live.todo if isinstance(item, NodeStarted)]
