"""What is written about callers beside their acts: denials, and when tokens were last used.

Both are gathered in memory and written together about a second later, so that no flood of refused requests
becomes a flood of transactions. Of more denials than a batch holds, only the number is kept.
"""

from __future__ import annotations

import asyncio
import logging

from infraweave.engine.clock import Clock
from infraweave.errors import StorageUnavailable
from infraweave.settings import Settings
from infraweave.store.audit import Audit
from infraweave.store.notes import Note
from infraweave.store.principals import Principals

log = logging.getLogger("infraweave.engine")

#: Seconds that denials and uses are gathered. The loop's, not the clock's: nothing is decided by it.
GATHERING = 1.0
#: Denials that one batch holds.
MOST = 1_000
#: Milliseconds between two notes of one token's use, and between two looks at what is too old.
COARSE, PRUNING = 60_000, 3_600_000


class Ledger:
    """Gathers and writes."""

    def __init__(self, audit: Audit, principals: Principals, clock: Clock, settings: Settings) -> None:
        self._audit, self._principals, self._clock, self._settings = audit, principals, clock, settings
        self._denials: list[Note] = []
        self._unlisted = 0
        #: When the use of each token was last noted.
        self._noted: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._pruned_at: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def deny(self, note: Note) -> None:
        """Have a denial written soon."""
        if len(self._denials) < MOST:
            self._denials.append(note)
        else:
            self._unlisted += 1
        self._arm()

    def used(self, token_id: str) -> None:
        """Have the use of a token written, if the last note of it is a minute old."""
        now = self._clock.now()
        if now - self._noted.get(token_id, -COARSE) >= COARSE:
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
            await self.flush()
            await self._prune()
        except StorageUnavailable as error:
            log.warning("denials and uses of tokens could not be written: %s", error.message)

    async def flush(self) -> None:
        """Write what was gathered.

        Raises:
            StorageUnavailable: it cannot be written, and is lost.
        """
        async with self._writing:  # a second flush returns no sooner than the first
            denials, self._denials = self._denials, []
            unlisted, self._unlisted = self._unlisted, 0
            uses, self._uses = self._uses, {}
            if unlisted:
                denials.append(self._more(unlisted))
            if denials:
                await self._audit.keep_all(denials)
            if uses:
                await self._principals.used(uses)

    def _more(self, count: int) -> Note:
        note = Note(at=self._clock.now(), action="audit", resource="server")
        return note.denied("too_many", f"{count:,} more denials of this moment are not listed")

    async def _prune(self) -> None:
        now = self._clock.now()
        if self._pruned_at is None or now - self._pruned_at >= PRUNING:
            self._pruned_at = now
            before = now - round(self._settings.audit_keep * 1000)
            await self._audit.prune(before, self._settings.audit_rows)

    async def close(self) -> None:
        """Write what is left; nothing is gathered from then on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
        await self._write()
