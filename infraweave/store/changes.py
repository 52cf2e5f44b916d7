"""A feed of changed runs for subscribers who watch the runs of a tenant: hints, without a history.

A commit names the runs whose events it wrote. Without subscribers that is all. Otherwise the keys are
collected, and at most twice a second their rows are read, once for all subscribers. A subscription holds its
undelivered runs, each once and in its latest state. If they are more than a batch holds, it only says that
there are many, so a slow subscriber costs no more than a fast one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from weakref import WeakSet

from attrs import field

from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.errors import StorageUnavailable
from infraweave.store.follow import Sleep, timeout_future
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.row_changes import RowChanges

#: Seconds from one batch to the next.
PAUSE = 0.5
#: Runs in a batch; if more have changed, the batch says so and lists none.
MOST = 100

log = logging.getLogger("infraweave.store")


@define(eq=False)
class ChangedRun:
    """A run that changed, as it is now."""

    row: RunRow
    last_seq: int
    #: Its encoded form, set by the first sender and used by all.
    encoded: bytes | None = None


@frozen
class ChangeBatch:
    """Changed runs. ``many``: too many runs changed to list them."""

    runs: Sequence[ChangedRun] = ()
    many: bool = False


@define(eq=False)
class ChangeSubscription:
    """A subscription to the runs of a tenant; ``readable`` names the workflows, None: all."""

    tenant: str
    readable: frozenset[str] | None
    _sleep: Sleep
    #: True once nothing follows; the subscriber should subscribe again.
    ended: bool = False
    _runs: dict[int, ChangedRun] = field(factory=dict)
    _many: bool = False
    _wake: asyncio.Event = field(factory=asyncio.Event)

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # on an injected clock
        """Return True once there are changes or the end, False after ``timeout`` seconds."""
        await asyncio.sleep(0)  # a reader that never waits must not block the loop
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
        """Return the changes since the last call, possibly none."""
        batch = ChangeBatch(many=True) if self._many else ChangeBatch(tuple(self._runs.values()))
        self._runs, self._many = {}, False
        if not self.ended:
            self._wake.clear()
        return batch

    def restrict(self, readable: frozenset[str] | None) -> None:
        """Restrict the subscription to some workflows, also the undelivered runs."""
        self.readable = readable
        self._runs = {key: changed for key, changed in self._runs.items() if self.may_read(changed.row)}

    def may_read(self, row: RunRow) -> bool:
        """Tell whether the subscriber may read a run."""
        return self.readable is None or row.workflow_id in self.readable

    def add(self, changed: dict[int, ChangedRun] | None) -> None:
        """Add changed runs; None: many."""
        self._runs |= changed or {}
        self._many |= changed is None or len(self._runs) > MOST
        if self._many:
            self._runs = {}
        self._wake.set()

    def end(self) -> None:
        """End the subscription."""
        self.ended = True
        self._wake.set()


class RunChangeFeed:
    """The subscriptions of a database. ``sleep`` waits between batches."""

    def __init__(self, db: Database, sleep: Sleep = asyncio.sleep) -> None:
        self._runs, self._sleep = Runs(db), sleep
        # Weak references: a stream that never began cannot end its subscription.
        self._subscriptions: WeakSet[ChangeSubscription] = WeakSet()
        self._touched: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        db.listen(self._committed)

    def subscribe(self, tenant: str, readable: frozenset[str] | None) -> ChangeSubscription:
        """Subscribe from now on, for as long as the caller holds the subscription."""
        subscription = ChangeSubscription(tenant, readable, self._sleep)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: ChangeSubscription) -> None:
        """Remove a subscription."""
        self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """End all subscriptions."""
        self._end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _committed(self, written: Sequence[RowChanges]) -> None:
        if not self._subscriptions:
            return
        self._touched.update(row[0] for rows in written for row in rows.events)
        if self._touched and self._task is None:
            self._task = asyncio.create_task(self._publish_all(), name="changes of runs")

    async def _publish_all(self) -> None:
        try:
            while self._touched:
                touched, self._touched = self._touched, set()
                await self._publish(touched)
                await self._sleep(PAUSE)
        except StorageUnavailable as error:
            log.warning("The streams of run changes end: %s", error)
            self._end()
        finally:
            self._task = None

    def _end(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.end()

    async def _publish(self, touched: Iterable[int]) -> None:
        groups = self._groups()
        found = await self._runs.owners(touched, {tenant for tenant, _ in groups})
        keys = {who: _readable(found.get(who[0], ()), who[1]) for who in groups}
        named = {key for mine in keys.values() if len(mine) <= MOST for key in mine}
        changed = {row.run_key: ChangedRun(row, seq) for row, seq in await self._runs.with_seqs(named)}
        for who, mine in keys.items():
            if mine:
                told = None if len(mine) > MOST else {key: changed[key] for key in mine if key in changed}
                for subscription in groups[who]:
                    subscription.add(told)

    def _groups(self) -> dict[tuple[str, frozenset[str] | None], list[ChangeSubscription]]:
        """Return the subscriptions, grouped by what they may read."""
        groups = defaultdict(list)
        for subscription in list(self._subscriptions):
            groups[subscription.tenant, subscription.readable].append(subscription)
        return groups


def _readable(runs: Iterable[tuple[int, str]], readable: frozenset[str] | None) -> list[int]:
    return [key for key, workflow_id in runs if readable is None or workflow_id in readable]
