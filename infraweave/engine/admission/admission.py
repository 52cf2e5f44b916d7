"""Who may start. Before the slots stand the limits of workflows, and before those the bounds of the queue.

A *lane* is what one limit counts: the runs of a workflow, or those of one value of its key. A run takes a
place in each of its lanes, the one with the key first, then the workflow's, then a slot, and always in that
order: so nobody waits in a circle, and a run that waits for a lane holds up nobody of another lane. Within a
lane it is first come, first served, whatever limit a run's own version gives it. Only a run below another of
the same lane passes it without waiting, or the two would wait for each other; it counts there like any other.

A place is held from the start to the end of a run, however long it waits in between; that is not kept in
memory but counted from the file when a lane is first needed, in the order of commits, and from there on by
``started`` and ``ended``. So no run has to be known here but those that queue, and a restart counts the same.

    may_start   whether a new run may start now, must queue, or is refused
    line_up     the same for runs that exist (children, delayed ones, all after a restart): never refused
    started     told by each live run itself, with the append that says so
    ended       the same: gives back the run's places and lets the next ones in
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias

from infraweave.core.run.events import Origin
from infraweave.engine.admission.limits import Candidate, Gates, Lane, LaneKey, Ticket
from infraweave.engine.admission.slots import Slots
from infraweave.errors import Capacity
from infraweave.settings import Settings

CountOpen: TypeAlias = Callable[[Sequence[LaneKey]], Awaitable[Sequence[int]]]

#: Lanes beyond which those are forgotten where nobody queues.
MOST_IDLE = 10_000
_RETRY = {"Retry-After": "5"}


class Gate:
    """The lanes of one process, before its slots.

    ``count_open`` says how many runs of some lanes have started and not ended, in the order of commits;
    ``tenants`` how many tenants there are.
    """

    def __init__(
        self, slots: Slots, settings: Settings, count_open: CountOpen, tenants: Callable[[], int]
    ) -> None:
        self._slots, self._settings = slots, settings
        self._count_open, self._tenants = count_open, tenants
        self._lanes: dict[LaneKey, Lane] = {}
        self._tickets: dict[int, Ticket] = {}
        #: How many runs are in line, for a lane or for a slot.
        self.queued = 0
        self._queued: Counter[str] = Counter()

    def queued_of(self, tenant: str | None) -> int:
        """Return how many runs of a tenant are in line; None: of all."""
        return self.queued if tenant is None else self._queued[tenant]

    # --- coming in -----------------------------------------------------------------------------------------

    async def prepare(self, candidates: Iterable[Candidate]) -> None:
        """Count the lanes that these runs have to pass; ``may_start`` and ``line_up`` take it as done.

        Nothing may be awaited between this and those.
        """
        keys = {key for candidate in candidates if candidate.limits for key, _ in candidate.gates()}
        while missing := [key for key in keys if not self._is_counted(key)]:
            new = [key for key in missing if key not in self._lanes]
            if new:
                self._make_room(len(new), keys)
                await self._count(new)
            else:
                await self._lanes[missing[0]].counted.wait()

    def _is_counted(self, key: LaneKey) -> bool:
        return key in self._lanes and self._lanes[key].counted.is_set()

    def _make_room(self, wanted: int, needed: set[LaneKey]) -> None:
        """Forget the oldest lanes that nobody queues for, where many are kept; they can be counted anew."""
        if len(self._lanes) + wanted > MOST_IDLE:
            for key, lane in list(islice(self._lanes.items(), 2 * wanted)):
                del self._lanes[key]
                if lane.tickets or not lane.counted.is_set() or key in needed:
                    self._lanes[key] = lane  # at the end: others are looked at next time

    async def _count(self, keys: Sequence[LaneKey]) -> None:
        # From here on starts and ends are counted, and the file tells of all before: no await in between.
        lanes = [self._lanes.setdefault(key, Lane()) for key in keys]
        try:
            for lane, stored in zip(lanes, await self._count_open(keys), strict=True):
                lane.open += stored
        except BaseException:
            for key in keys:
                del self._lanes[key]
            raise
        finally:
            for lane in lanes:
                lane.counted.set()

    def may_start(self, run_key: int, candidate: Candidate) -> bool:
        """Let a new run in: True, and it has a slot and all its places; False, and it is in line.

        Raises:
            Capacity: a limit says so, or the queue is full; nothing has changed.
        """
        if not candidate.limits and self._slots.take():
            return True
        gates = candidate.gates()
        self._refuse_beyond_limits(candidate, gates)
        if gates and self._is_free(gates) and self._slots.take():
            self._hold(run_key, candidate, gates)
            return True
        self._refuse_beyond_queue(candidate.tenant)
        self.line_up(run_key, candidate)
        return False

    def _refuse_beyond_limits(self, candidate: Candidate, gates: Gates) -> None:
        for key, limit in gates:
            if limit.when_full == "reject" and not self._is_free([(key, limit)]):
                where = "" if limit.key is None else f" for {candidate.lane}"
                raise Capacity(
                    f"Workflow {candidate.workflow_id} is at its limit of {limit.limit}{where};"
                    " try again once a run has ended.",
                    headers=_RETRY,
                )

    def _refuse_beyond_queue(self, tenant: str) -> None:
        left = self._settings.max_queued - self.queued
        if left <= 0:
            raise Capacity(headers=_RETRY)
        # Where there are several tenants, whoever comes next finds a place however much the others queue.
        if self._tenants() > 1 and self._queued[tenant] >= left:
            raise Capacity(
                f"This tenant has {self._queued[tenant]} runs in the queue, its share; try again later.",
                headers=_RETRY,
            )

    def _is_free(self, gates: Gates) -> bool:
        lanes = ((self._lanes[key], limit) for key, limit in gates)
        return all(lane.has_room(limit.limit) and lane.first() is None for lane, limit in lanes)

    def _hold(self, run_key: int, candidate: Candidate, gates: Gates) -> None:
        ticket = self._ticket(run_key, candidate, gates)
        ticket.passed = len(gates)
        for key, _ in gates:
            self._lanes[key].reserved += 1

    def _ticket(self, run_key: int, candidate: Candidate, gates: Gates) -> Ticket:
        ticket = self._tickets[run_key] = Ticket(run_key, candidate.tenant, gates)
        for key, _ in gates:
            self._lanes[key].tickets += 1
        return ticket

    def line_up(self, run_key: int, candidate: Candidate) -> None:
        """Put a run in line for its lanes and then for a slot, unless it is there already."""
        if run_key in self._tickets:
            return
        ticket = self._ticket(run_key, candidate, candidate.gates())
        ticket.queued = True
        self.queued += 1
        self._queued[ticket.tenant] += 1
        self._go_on(ticket)

    def _go_on(self, ticket: Ticket) -> None:
        """Take one place after the other; wait where there is none."""
        while ticket.passed < len(ticket.gates):
            key, limit = ticket.gates[ticket.passed]
            lane = self._lanes[key]
            if lane.first() is not None or not lane.has_room(limit.limit):
                lane.line.append((ticket, limit.limit))
                return
            lane.reserved += 1
            ticket.passed += 1
        self._slots.enqueue(ticket.tenant, ticket.run_key)

    def reason(self, run_key: int) -> str | None:
        """Say what a run in line waits for, as a clause; None where it is in no line."""
        ticket = self._tickets.get(run_key)
        if ticket is None:
            return None
        if ticket.passed == len(ticket.gates):
            return "all slots are taken"
        (_, workflow_id, lane), limit = ticket.gates[ticket.passed]
        runs = "1 run" if limit.limit == 1 else f"{limit.limit} runs"
        where = "" if lane is None else f" for {lane}"
        return f"{workflow_id} may have {runs} open at once{where}, and others came before"

    # --- started, ended ------------------------------------------------------------------------------------

    def started(self, run_key: int, origin: Origin) -> None:
        """Count a run whose first start has just been appended."""
        ticket = self._tickets.pop(run_key, None)
        if ticket is not None:
            self._tear(ticket)
        for lane in self._lanes_of(origin):
            lane.open += 1

    def ended(self, origin: Origin) -> None:
        """Give back the places of a run that had started and whose end has just been appended."""
        for lane in self._lanes_of(origin):
            lane.open -= 1
            self._fill(lane)

    def reopened(self, origin: Origin) -> None:
        """Count a run again whose end was not stored."""
        for lane in self._lanes_of(origin):
            lane.open += 1

    def _lanes_of(self, origin: Origin) -> list[Lane]:
        """Return the lanes in memory that count a run; what is not in memory is counted when it is needed."""
        if not self._lanes:
            return []
        names = (None,) if origin.lane is None else (origin.lane, None)
        keys = [(origin.tenant, origin.workflow_id, name) for name in names]
        return [self._lanes[key] for key in keys if key in self._lanes]

    def withdraw(self, run_key: int) -> None:
        """Take a run that has not started out of its lines, and give back what it held there."""
        ticket = self._tickets.pop(run_key, None)
        if ticket is None:
            return
        ticket.gone = True
        self._slots.forget(run_key)
        self._tear(ticket)
        for key, _ in ticket.gates:
            if (lane := self._lanes.get(key)) is not None:
                self._fill(lane)

    def _tear(self, ticket: Ticket) -> None:
        """Undo what a ticket counts for: its places are now counted as open, or given back."""
        for place, (key, _) in enumerate(ticket.gates):
            lane = self._lanes[key]
            lane.tickets -= 1
            lane.reserved -= place < ticket.passed
        if ticket.queued:
            self.queued -= 1
            self._queued[ticket.tenant] -= 1
            if not self._queued[ticket.tenant]:
                del self._queued[ticket.tenant]

    def _fill(self, lane: Lane) -> None:
        """Let in as many as there is room for, in order."""
        while (found := lane.first()) is not None and lane.has_room(found[1]):
            lane.line.popleft()
            lane.reserved += 1
            found[0].passed += 1
            self._go_on(found[0])
