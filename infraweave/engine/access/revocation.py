"""Ends long answers whose caller has lost access.

A request authenticates its caller once, but a stream would continue after the token was revoked or expired,
or after its principal lost the grant. So each long answer has a ``Recheck``, which becomes due when any of
this may have happened; the caller is then authenticated again. While nothing changes, nothing is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from infraweave.engine.clock import Clock, TimerHandle


class Recheck:
    """Tells one long answer when its caller must be authenticated again: ``due`` is done then."""

    def __init__(self, clock: Clock, expires_at: int | None) -> None:
        self._clock, self._expires_at = clock, expires_at
        self._timer: TimerHandle | None = None
        self.due: asyncio.Future[None]
        self.rearm()

    def rearm(self) -> None:
        """Wait for the next change or the expiry."""
        self.due = asyncio.get_running_loop().create_future()
        if self._expires_at is not None:
            self._timer = self._clock.call_later(self._clock.until(self._expires_at), self.trigger)

    def trigger(self) -> None:
        """Make the check due."""
        self.cancel_timer()
        if not self.due.done():
            self.due.set_result(None)

    def cancel_timer(self) -> None:
        """Cancel the timer of the expiry."""
        if self._timer is not None:
            self._timer.cancel()


class RevocationWatch:
    """The rechecks of all long answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rechecks: set[Recheck] = set()

    def notify(self) -> None:
        """Have every long answer checked: tokens, grants or principals have changed."""
        for recheck in list(self._rechecks):
            recheck.trigger()

    @contextmanager
    def watch(self, expires_at: int | None) -> Iterator[Recheck]:
        """Yield the recheck of one long answer; it also becomes due when its token expires (Unix ms)."""
        recheck = Recheck(self._clock, expires_at)
        self._rechecks.add(recheck)
        try:
            yield recheck
        finally:
            self._rechecks.discard(recheck)
            recheck.cancel_timer()
