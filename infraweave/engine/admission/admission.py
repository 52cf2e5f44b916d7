"""Decides which runs may start: within the concurrency limits, the size of the queue, and the free slots.

A *concurrency group* is the set of runs that one limit counts: all runs of a workflow, or those with one
value of its concurrency key. A run takes a place in each of its groups, the keyed one first, then a slot.
The order is always the same, so no runs can wait for each other in a circle, and a run that waits for one
group delays no run of another. Within a group runs start first come, first served, whatever limit their own
versions give. A run with an ancestor in the group passes without waiting, because the two would wait for
each other; it counts there like any other.

A run keeps its places from its start to its end, however long it waits in between. Places are not stored:
they are counted from the database when a group is first needed, and from then on by ``started`` and
``ended``. So only queued runs are known here, and a restart counts the same.

    admit       a new run: it may start now, is queued, or is refused
    enqueue     an existing run (a child, a delayed run, any run after a restart): never refused
    started     called with the append that starts a run
    ended       called with the append that ends a run; frees its places for the next runs
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias

from infraweave.core.run.events import Origin
from infraweave.engine.admission.groups import (
    AdmissionRequest,
    ConcurrencyGroup,
    GroupKey,
    GroupLimits,
    PendingRun,
)
from infraweave.engine.admission.slots import Slots
from infraweave.errors import Capacity
from infraweave.settings import Settings

CountOpen: TypeAlias = Callable[[Sequence[GroupKey]], Awaitable[Sequence[int]]]

#: Groups in memory beyond which those without queued runs are dropped.
MAX_IDLE_GROUPS = 10_000
_RETRY = {"Retry-After": "5"}


class AdmissionControl:
    """The concurrency groups of one process, and the queue for its slots.

    ``count_open`` returns how many runs of each group have started and not ended, in the order of commits;
    ``tenants`` returns the number of tenants.
    """

    def __init__(
        self, slots: Slots, settings: Settings, count_open: CountOpen, tenants: Callable[[], int]
    ) -> None:
        self._slots, self._settings = slots, settings
        self._count_open, self._tenants = count_open, tenants
        self._groups: dict[GroupKey, ConcurrencyGroup] = {}
        self._pending: dict[int, PendingRun] = {}
        #: How many runs are queued, for a group or for a slot.
        self.queued = 0
        self._queued: Counter[str] = Counter()

    def queued_of(self, tenant: str | None) -> int:
        """Return how many runs of a tenant are queued; None: of all tenants."""
        return self.queued if tenant is None else self._queued[tenant]

    # --- admission -----------------------------------------------------------------------------------------

    async def prepare(self, requests: Iterable[AdmissionRequest]) -> None:
        """Count the groups of these runs, as ``admit`` and ``enqueue`` require.

        The caller must not await anything between this and those.
        """
        keys = {key for request in requests if request.limits for key, _ in request.group_limits()}
        while missing := [key for key in keys if not self._is_counted(key)]:
            new = [key for key in missing if key not in self._groups]
            if new:
                self._evict_idle(len(new), keys)
                await self._count(new)
            else:
                await self._groups[missing[0]].counted.wait()

    def _is_counted(self, key: GroupKey) -> bool:
        return key in self._groups and self._groups[key].counted.is_set()

    def _evict_idle(self, wanted: int, needed: set[GroupKey]) -> None:
        """Drop the oldest groups without pending runs, if there are many; they can be counted again."""
        if len(self._groups) + wanted > MAX_IDLE_GROUPS:
            for key, group in list(islice(self._groups.items(), 2 * wanted)):
                del self._groups[key]
                if group.pending or not group.counted.is_set() or key in needed:
                    self._groups[key] = group  # at the end, so that the next call looks at others

    async def _count(self, keys: Sequence[GroupKey]) -> None:
        # From here on starts and ends are counted, and the file has all earlier ones: no await in between.
        groups = [self._groups.setdefault(key, ConcurrencyGroup()) for key in keys]
        try:
            for group, stored in zip(groups, await self._count_open(keys), strict=True):
                group.open += stored
        except BaseException:
            for key in keys:
                del self._groups[key]
            raise
        finally:
            for group in groups:
                group.counted.set()

    def admit(self, run_key: int, request: AdmissionRequest) -> bool:
        """Return True if a new run may start: it has a slot and all its places. False: it is queued.

        Raises:
            Capacity: a limit refuses it, or the queue is full; nothing has changed.
        """
        if not request.limits and self._slots.try_acquire():
            return True
        limits = request.group_limits()
        self._refuse_beyond_limits(request, limits)
        if limits and self._is_free(limits) and self._slots.try_acquire():
            self._add(run_key, request, limits).passed = len(limits)
            for key, _ in limits:
                self._groups[key].reserved += 1
            return True
        self._refuse_beyond_queue(request.tenant)
        self.enqueue(run_key, request)
        return False

    def _refuse_beyond_limits(self, request: AdmissionRequest, limits: GroupLimits) -> None:
        for key, limit in limits:
            if limit.when_full == "reject" and not self._is_free([(key, limit)]):
                where = "" if limit.key is None else f" for {request.concurrency_key}"
                raise Capacity(
                    f"Workflow {request.workflow_id} is at its limit of {limit.limit}{where};"
                    " try again once a run has ended.",
                    headers=_RETRY,
                )

    def _refuse_beyond_queue(self, tenant: str) -> None:
        left = self._settings.max_queued - self.queued
        if left <= 0:
            raise Capacity(headers=_RETRY)
        # With several tenants, each may queue as many runs as there are places left: none fills the queue.
        if self._tenants() > 1 and self._queued[tenant] >= left:
            raise Capacity(
                f"This tenant has {self._queued[tenant]} runs in the queue, its share; try again later.",
                headers=_RETRY,
            )

    def _is_free(self, limits: GroupLimits) -> bool:
        groups = ((self._groups[key], limit) for key, limit in limits)
        return all(group.has_room(limit.limit) and group.first() is None for group, limit in groups)

    def _add(self, run_key: int, request: AdmissionRequest, limits: GroupLimits) -> PendingRun:
        run = self._pending[run_key] = PendingRun(run_key, request.tenant, limits)
        for key, _ in limits:
            self._groups[key].pending += 1
        return run

    def enqueue(self, run_key: int, request: AdmissionRequest) -> None:
        """Queue a run for its groups and then for a slot, unless it is queued already."""
        if run_key in self._pending:
            return
        run = self._add(run_key, request, request.group_limits())
        run.queued = True
        self.queued += 1
        self._queued[run.tenant] += 1
        self._advance(run)

    def _advance(self, run: PendingRun) -> None:
        """Take one place after the other; wait in the first group without room."""
        while run.passed < len(run.groups):
            key, limit = run.groups[run.passed]
            group = self._groups[key]
            if group.first() is not None or not group.has_room(limit.limit):
                group.queue.append((run, limit.limit))
                return
            group.reserved += 1
            run.passed += 1
        self._slots.enqueue(run.tenant, run.run_key)

    def reason(self, run_key: int) -> str | None:
        """Return what a queued run waits for, as a clause; None if it is not queued."""
        run = self._pending.get(run_key)
        if run is None:
            return None
        if run.passed == len(run.groups):
            return "all slots are taken"
        (_, workflow_id, concurrency_key), limit = run.groups[run.passed]
        runs = "1 run" if limit.limit == 1 else f"{limit.limit} runs"
        where = "" if concurrency_key is None else f" for {concurrency_key}"
        return f"{workflow_id} may have {runs} open at once{where}, and others came before"

    # --- started, ended ------------------------------------------------------------------------------------

    def started(self, run_key: int, origin: Origin) -> None:
        """Count a run whose first start has just been appended."""
        run = self._pending.pop(run_key, None)
        if run is not None:
            self._clear_reservations(run)
        if self._groups:
            for group in self._groups_of(origin):
                group.open += 1

    def ended(self, origin: Origin) -> None:
        """Free the places of a started run whose end has just been appended."""
        if self._groups:
            for group in self._groups_of(origin):
                group.open -= 1
                self._fill(group)

    def reopened(self, origin: Origin) -> None:
        """Count a run again because its end was not stored."""
        for group in self._groups_of(origin):
            group.open += 1

    def _groups_of(self, origin: Origin) -> list[ConcurrencyGroup]:
        """Return the groups in memory that count a run; others are counted when they are needed."""
        names = (None,) if origin.lane is None else (origin.lane, None)
        keys = [(origin.tenant, origin.workflow_id, name) for name in names]
        return [self._groups[key] for key in keys if key in self._groups]

    def remove(self, run_key: int) -> None:
        """Remove a run that has not started from its queues, and free its places."""
        run = self._pending.pop(run_key, None)
        if run is None:
            return
        run.removed = True
        self._slots.remove(run_key)
        self._clear_reservations(run)
        for key, _ in run.groups:
            if (group := self._groups.get(key)) is not None:
                self._fill(group)

    def _clear_reservations(self, run: PendingRun) -> None:
        """Stop counting a run as pending: its places are counted as open now, or are free."""
        for place, (key, _) in enumerate(run.groups):
            group = self._groups[key]
            group.pending -= 1
            group.reserved -= place < run.passed
        if run.queued:
            self.queued -= 1
            self._queued[run.tenant] -= 1
            if not self._queued[run.tenant]:
                del self._queued[run.tenant]

    def _fill(self, group: ConcurrencyGroup) -> None:
        """Give the free places to queued runs, in order."""
        while (found := group.first()) is not None and group.has_room(found[1]):
            group.queue.popleft()
            group.reserved += 1
            found[0].passed += 1
            self._advance(found[0])
