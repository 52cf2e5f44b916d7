"""Events that can never be stored: which run is to blame, and with what it is taken up again.

What a run holds is judged where it comes in, so this is the net below: what SQLite cannot hold, or JSON
cannot carry, must leave no run that goes on for ever. Its log ends before those events; it is taken up from
there, and what led to them fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from infraweave.core.run.facts import AppendRejected, Fact
from infraweave.core.run.recorder import TurnResult
from infraweave.errors import Unstorable

if TYPE_CHECKING:
    from infraweave.engine.runs.live_run import LiveRun

#: Characters of the reason that an event tells.
_LONGEST = 500


class Turn(NamedTuple):
    """A run, the fact that it decided about, and what it wrote."""

    live: LiveRun
    written: TurnResult
    fact: Fact


def blamed(error: Unstorable, turns: Sequence[Turn]) -> Turn | None:
    """Return the turn that is to fail; of a child that is not on disk yet, its parent's."""
    by_key = {turn[0].run_key: turn for turn in turns}
    turn = by_key.get(error.run_key or 0)
    while turn is not None and not is_stored(turn):
        turn = by_key.get(turn[0].parent_key or 0)
    return turn


def is_stored(turn: Turn) -> bool:
    """Tell whether a turn's run is on disk, as far as it went before."""
    _, written, _ = turn
    return not written.events or written.events[0].seq > 1


def refused(error: Unstorable, fact: Fact) -> AppendRejected:
    """Return the fact with which a run is taken up again."""
    reason = error.message.encode(errors="replace").decode()
    return AppendRejected(reason[:_LONGEST], getattr(fact, "address", None))
