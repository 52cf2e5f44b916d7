"""Which runs have changed, for whoever watches the runs of a tenant: hints, without a history.

A commit names the runs whose events it wrote. While nobody watches it ends there; else the keys are gathered,
and twice a second at most their rows are read, once for all who watch. A watch holds the runs that it has yet
to hand out, each once and as it was last, and not more of them than a batch has: of more it only says that
there are many, so a reader that takes nothing costs no more than one that does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from weakref import WeakSet

from attrs import define, field, frozen

from infraweave.errors import StorageUnavailable
from infraweave.store.follow import Sleep, timeout_future
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.row_changes import RowChanges

#: Seconds from one batch to the next.
PAUSE = 0.5
#: Runs of a batch; where more have changed, it says that and names none.
MOST = 100

log = logging.getLogger("infraweave.store")


@define(eq=False)
class ChangedRun:
    """A run that changed, as it is now."""

    row: RunRow
    last_seq: int
    #: For whoever sends it: made once for all who watch.
    encoded: bytes | None = None


@frozen
class ChangeBatch:
    """What a watch hands out. ``many``: too many changed to name them."""

    runs: Sequence[ChangedRun] = ()
    many: bool = False


@define(eq=False)
class ChangeSubscription:
    """Someone who watches the runs of a tenant; ``readable`` names the workflows, None: all."""

    tenant: str
    readable: frozenset[str] | None
    _sleep: Sleep
    #: True once nothing more will come; whoever watches should begin anew.
    ended: bool = False
    _runs: dict[int, ChangedRun] = field(factory=dict)
    _many: bool = False
    _wake: asyncio.Event = field(factory=asyncio.Event)

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # on an injected clock
        """Return True once there is something to take or it is over, False after ``timeout`` seconds."""
        await asyncio.sleep(0)  # a reader that never waits must not keep the loop from others
        if self._wake.is_set():
            return True
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            async with timeout_future(self._sleep, timeout) as late:
                await asyncio.wait({woken, *late}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        return self._wake.is_set()

    def drain(self) -> ChangeBatch:
        """Return what has changed since the last time; nothing, where nothing has."""
        batch = ChangeBatch(many=True) if self._many else ChangeBatch(tuple(self._runs.values()))
        self._runs, self._many = {}, False
        if not self.ended:
            self._wake.clear()
        return batch

    def restrict(self, readable: frozenset[str] | None) -> None:
        """Name from now on the workflows that may be read; what waits of others is forgotten."""
        self.readable = readable
        self._runs = {key: changed for key, changed in self._runs.items() if self.may_read(changed.row)}

    def may_read(self, row: RunRow) -> bool:
        """Tell whether a run is one of those watched."""
        return self.readable is None or row.workflow_id in self.readable

    def add(self, changed: dict[int, ChangedRun] | None) -> None:
        """Take in what changed; None: many."""
        self._runs |= changed or {}
        self._many |= changed is None or len(self._runs) > MOST
        if self._many:
            self._runs = {}
        self._wake.set()

    def end(self) -> None:
        """Say that nothing more comes."""
        self.ended = True
        self._wake.set()


class RunChangeFeed:
    """The watches of a database. ``sleep`` is how time passes between batches."""

    def __init__(self, db: Database, sleep: Sleep = asyncio.sleep) -> None:
        self._runs, self._sleep = Runs(db), sleep
        # Weak: a stream that was never begun has nothing that could end its watch.
        self._subscriptions: WeakSet[ChangeSubscription] = WeakSet()
        self._touched: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        db.listen(self._committed)

    def subscribe(self, tenant: str, readable: frozenset[str] | None) -> ChangeSubscription:
        """Watch from now on, for as long as the watch is held."""
        subscription = ChangeSubscription(tenant, readable, self._sleep)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: ChangeSubscription) -> None:
        """Let a watch be over."""
        self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """End all watches."""
        self._end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _committed(self, written: Sequence[RowChanges]) -> None:
        if not self._subscriptions:
            return
        self._touched.update(row[0] for rows in written for row in rows.events)
        if self._touched and self._task is None:
            self._task = asyncio.create_task(self._tell_all(), name="changes of runs")

    async def _tell_all(self) -> None:
        try:
            while self._touched:
                touched, self._touched = self._touched, set()
                await self._tell(touched)
                await self._sleep(PAUSE)
        except StorageUnavailable as error:
            log.warning("Streams of changes end: %s", error)
            self._end()
        finally:
            self._task = None

    def _end(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.end()

    async def _tell(self, touched: Iterable[int]) -> None:
        alike = self._alike()
        found = await self._runs.owners(touched, {tenant for tenant, _ in alike})
        keys = {who: _readable(found.get(who[0], ()), who[1]) for who in alike}
        named = {key for mine in keys.values() if len(mine) <= MOST for key in mine}
        changed = {row.run_key: ChangedRun(row, seq) for row, seq in await self._runs.with_seqs(named)}
        for who, mine in keys.items():
            if mine:
                told = None if len(mine) > MOST else {key: changed[key] for key in mine if key in changed}
                for subscription in alike[who]:
                    subscription.add(told)

    def _alike(self) -> dict[tuple[str, frozenset[str] | None], list[ChangeSubscription]]:
        """Return the watches, together where they are to be told the same."""
        alike = defaultdict(list)
        for subscription in list(self._subscriptions):
            alike[subscription.tenant, subscription.readable].append(subscription)
        return alike


def _readable(runs: Iterable[tuple[int, str]], readable: frozenset[str] | None) -> list[int]:
    return [key for key, workflow_id in runs if readable is None or workflow_id in readable]
