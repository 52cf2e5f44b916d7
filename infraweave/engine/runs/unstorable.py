"""Handles events that can never be stored: finds the run that must fail, and continues it.

Values are checked where they enter a run. This is the second line of defence: an event that SQLite or JSON
cannot hold must not keep a run open for ever. The log of the run ends before such events. The run continues
from there, and the attempt that caused them fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from infraweave.core.run.facts import AppendRejected, Fact
from infraweave.core.run.recorder import TurnResult
from infraweave.engine.runs.live_run import LiveRun
from infraweave.errors import Unstorable
from infraweave.store.projection import project

#: The most characters of the reason in an event.
_LONGEST = 500


class Turn(NamedTuple):
    """One turn of a run: the fact that it handled and the events that it wrote.

    Turns that are appended as one are its ``parts``, and ``fact`` is the first of them.
    """

    live: LiveRun
    result: TurnResult
    fact: Fact
    parts: Sequence[Turn] = ()

    @property
    def culprit(self) -> Fact:
        """The fact that led to the largest event, or to one that JSON cannot represent."""
        sizes = [_largest_event(part) for part in self.parts]
        # The first of about that size: the result of a run repeats outputs.
        return next(
            (p.fact for p, size in zip(self.parts, sizes, strict=True) if size >= max(sizes) * 0.9), self.fact
        )


def _largest_event(turn: Turn) -> float:
    try:
        rows = project(turn.live.run_key, turn.live.state.run_id, turn.result.events).events
    except (TypeError, ValueError, OverflowError, RecursionError, MemoryError):
        return math.inf
    return max((sum(len(part) for part in row if isinstance(part, str | bytes)) for row in rows), default=0)


def blamed(error: Unstorable, turns: Sequence[Turn]) -> Turn | None:
    """Return the turn that must fail. For a child that is not stored yet, it is the turn of its parent."""
    by_key = {turn.live.run_key: turn for turn in turns}
    turn = by_key.get(error.run_key or 0)
    while turn is not None and not is_stored(turn):
        turn = by_key.get(turn.live.parent_key or 0)
    return turn


def is_stored(turn: Turn) -> bool:
    """Tell whether the run of a turn was stored before this turn."""
    return not turn.result.events or turn.result.events[0].seq > 1


def rejected(error: Unstorable, fact: Fact) -> AppendRejected:
    """Return the fact with which a run continues."""
    reason = error.message.encode(errors="replace").decode()
    return AppendRejected(reason[:_LONGEST], getattr(fact, "address", None))
