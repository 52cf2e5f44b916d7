"""Buffers denials and the times at which tokens were last used.

Both are collected in memory and written together about a second later, so that a flood of refused requests
does not become a flood of transactions. ``denials`` limits the number of rows.
"""

from __future__ import annotations

import asyncio
import logging

from infraweave.engine.access.denials import Denials
from infraweave.engine.clock import Clock
from infraweave.engine.clock_trust import ClockTrust
from infraweave.errors import StorageUnavailable
from infraweave.settings import Settings
from infraweave.store.audit import AuditLog
from infraweave.store.principals import Principals
from infraweave.store.sqlite.audit_record import AuditRecord

log = logging.getLogger("infraweave.engine")

#: Seconds between two writes; by the loop's time, because nothing depends on it.
INTERVAL = 1.0
#: Milliseconds between two recorded uses of one token.
USE_INTERVAL = 60_000
#: Seconds between two removals of old audit rows.
PRUNE_INTERVAL = 3_600.0


class AuditBuffer:
    """Collects denials and token uses, and writes them."""

    def __init__(
        self, audit: AuditLog, principals: Principals, trust: ClockTrust, clock: Clock, settings: Settings
    ) -> None:
        self._audit, self._principals, self._clock, self._settings = audit, principals, clock, settings
        self._trust = trust
        self._denials = Denials()
        #: When the use of each token was last recorded (Unix ms).
        self._recorded: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._pruned_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._closed = False

    def deny(self, record: AuditRecord) -> None:
        """Buffer a denial."""
        self._denials.add(record)
        self._arm()

    def token_used(self, token_id: str) -> None:
        """Buffer the use of a token, unless one was recorded within the last minute."""
        now = self._clock.now()
        if (
            abs(now - self._recorded.get(token_id, -USE_INTERVAL)) >= USE_INTERVAL
        ):  # the clock may have been set back
            self._recorded[token_id] = self._uses[token_id] = now
            self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self._write(), name="audit buffer")

    async def _write(self) -> None:
        try:
            await self._flush(whole=False)
            await self._prune()
        except StorageUnavailable as error:
            _log_lost(error)
        if self._denials.is_counting and not self._closed:
            self._arm()

    async def flush(self) -> None:
        """Write all that is buffered.

        Raises:
            StorageUnavailable: it cannot be written and is lost.
        """
        await self._flush(whole=True)

    async def _flush(self, *, whole: bool) -> None:
        async with self._writing:  # a second flush returns after the first
            denials = self._denials.drain(self._clock.now(), whole=whole)
            uses, self._uses = self._uses, {}
            if denials:
                await self._audit.write_all(denials)
            if uses:
                await self._principals.record_use(uses)

    async def _prune(self) -> None:
        now = self._clock.elapsed()
        if self._pruned_at is None or now - self._pruned_at >= PRUNE_INTERVAL:
            self._pruned_at = now
            before = await self._trust.time() - round(self._settings.audit_keep * 1000)
            await self._audit.prune(before, self._settings.audit_rows)
            await self._audit.prune(before, self._settings.audit_strangers, strangers=True)

    async def close(self) -> None:
        """Write all that is buffered, and stop."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
        try:
            await self.flush()
            await self._prune()
        except StorageUnavailable as error:
            _log_lost(error)


def _log_lost(error: StorageUnavailable) -> None:
    log.warning("denials and uses of tokens could not be written: %s", error.message)
