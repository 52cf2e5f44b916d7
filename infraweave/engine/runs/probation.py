"""Probation: while a run is being loaded, a crash is blamed on it; see ``LoadQuarantine``.

The load of a run is over once its first turn is on disk, its bodies have been called, and the preflights
of its waits have returned. Later crashes count as interruptions of its bodies.
"""

from __future__ import annotations

import asyncio

from infraweave.engine.clock import Clock, TimerHandle
from infraweave.store.load_quarantine import LoadQuarantine

#: Seconds after which a load counts as survived, even if preflights have not returned.
LONG_ENOUGH = 10.0


class Probation:
    """The probation of one loaded run."""

    def __init__(self, clock: Clock, quarantine: LoadQuarantine, run_id: str) -> None:
        self._clock, self._quarantine, self._run_id = clock, quarantine, run_id
        self._survived = self._in_line = False
        self._timer: TimerHandle | None = None
        #: Set once the next suspect may be loaded.
        self.over = asyncio.Event()

    def go_on(self) -> None:
        """Note that the run got a slot and continues its load."""
        self._in_line = False
        if not self._survived:
            self._quarantine.begin_load(self._run_id)

    def check(self, *, in_line: bool, busy: bool, preflights: bool) -> None:
        """Check whether the load is over. ``in_line``: the run waits for a slot, and the load with it."""
        self._in_line = in_line
        if self._survived:
            return
        if in_line:
            self._quarantine.pause_load(self._run_id)
            self.over.set()
        elif busy:
            return
        elif not preflights:
            # The tasks of the attempts have run their first step by then.
            asyncio.get_running_loop().call_soon(self._survive)
        elif self._timer is None:
            self._timer = self._clock.call_later(LONG_ENOUGH, self._survive)

    def _survive(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._survived and not self._in_line:
            self._survived = True
            self._quarantine.end_load(self._run_id)
        self.over.set()
