"""Events that can never be stored: which run is to blame, and with what it is taken up again.

What a run holds is judged where it comes in, so this is the net below: what SQLite cannot hold, or JSON
cannot carry, must leave no run that goes on for ever. Its log ends before those events; it is taken up from
there, and what led to them fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from infraweave.core.run.facts import AppendRejected, Fact
from infraweave.core.run.recorder import TurnResult
from infraweave.engine.runs.live_run import LiveRun
from infraweave.errors import Unstorable

#: Characters of the reason that an event tells.
_LONGEST = 500


class Turn(NamedTuple):
    """A run, the fact that it decided about, and what it wrote."""

    live: LiveRun
    result: TurnResult
    fact: Fact


def blamed(error: Unstorable, turns: Sequence[Turn]) -> Turn | None:
    """Return the turn that is to fail; of a child that is not on disk yet, its parent's."""
    by_key = {turn.live.run_key: turn for turn in turns}
    turn = by_key.get(error.run_key or 0)
    while turn is not None and not is_stored(turn):
        turn = by_key.get(turn.live.parent_key or 0)
    return turn


def is_stored(turn: Turn) -> bool:
    """Tell whether a turn's run is on disk, as far as it went before."""
    return not turn.result.events or turn.result.events[0].seq > 1


def rejected(error: Unstorable, fact: Fact) -> AppendRejected:
    """Return the fact with which a run is taken up again."""
    reason = error.message.encode(errors="replace").decode()
    return AppendRejected(reason[:_LONGEST], getattr(fact, "address", None))
