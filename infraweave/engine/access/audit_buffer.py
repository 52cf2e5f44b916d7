"""What is written about callers beside their acts: denials, and when tokens were last used.

Both are gathered in memory and written together about a second later, so that no flood of refused requests
becomes a flood of transactions; nor of rows, see ``denials``.
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

#: Seconds that denials and uses are gathered. The loop's, not the clock's: nothing is decided by it.
GATHERING = 1.0
#: Milliseconds between two records of one token's use; seconds between two looks at what is too old.
COARSE, PRUNING = 60_000, 3_600.0


class AuditBuffer:
    """Gathers and writes."""

    def __init__(
        self, audit: AuditLog, principals: Principals, trust: ClockTrust, clock: Clock, settings: Settings
    ) -> None:
        self._audit, self._principals, self._clock, self._settings = audit, principals, clock, settings
        self._trust = trust
        self._denials = Denials()
        #: When the use of each token was last noted.
        self._noted: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._pruned_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._closed = False

    def deny(self, record: AuditRecord) -> None:
        """Have a denial written soon."""
        self._denials.add(record)
        self._arm()

    def token_used(self, token_id: str) -> None:
        """Have the use of a token written, if the last record of it is a minute old."""
        now = self._clock.now()
        if abs(now - self._noted.get(token_id, -COARSE)) >= COARSE:  # the clock may have been set back
            self._noted[token_id] = self._uses[token_id] = now
            self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHERING, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self._write(), name="ledger")

    async def _write(self) -> None:
        try:
            await self._flush(whole=False)
            await self._prune()
        except StorageUnavailable as error:
            _lost(error)
        if self._denials.is_counting and not self._closed:
            self._arm()

    async def flush(self) -> None:
        """Write what was gathered.

        Raises:
            StorageUnavailable: it cannot be written, and is lost.
        """
        await self._flush(whole=True)

    async def _flush(self, *, whole: bool) -> None:
        async with self._writing:  # a second flush returns no sooner than the first
            denials = self._denials.take(self._clock.now(), whole=whole)
            uses, self._uses = self._uses, {}
            if denials:
                await self._audit.write_all(denials)
            if uses:
                await self._principals.record_use(uses)

    async def _prune(self) -> None:
        now = self._clock.elapsed()
        if self._pruned_at is None or now - self._pruned_at >= PRUNING:
            self._pruned_at = now
            before = await self._trust.time() - round(self._settings.audit_keep * 1000)
            await self._audit.prune(before, self._settings.audit_rows)
            await self._audit.prune(before, self._settings.audit_strangers, strangers=True)

    async def close(self) -> None:
        """Write what is left; nothing is gathered from then on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
        try:
            await self.flush()
            await self._prune()
        except StorageUnavailable as error:
            _lost(error)


def _lost(error: StorageUnavailable) -> None:
    log.warning("denials and uses of tokens could not be written: %s", error.message)
