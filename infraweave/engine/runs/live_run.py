"""A live run is the only owner of its state while the run has something in flight.

Every fact about it goes through ``turns.apply``. A run that is idle (it waits, or has ended) leaves memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.run import readiness
from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import Origin
from infraweave.core.run.facts import AppendRejected, Fact, Recovered, SlotGranted
from infraweave.core.run.recorder import TurnResult
from infraweave.core.run.state import RunState
from infraweave.core.run.turn import turn
from infraweave.core.workflow.graph import Graph
from infraweave.engine.runs.admission_report import AdmissionReport
from infraweave.engine.runs.performer import Performer
from infraweave.engine.runs.probation import Probation
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.run_timer import RunTimer
from infraweave.errors import StorageUnavailable, Unstorable
from infraweave.store.journal import RunAppend
from infraweave.store.projection import UNCHANGED, URGENT, Unchanged

#: The most results that share one append; then other runs get their turn.
MOST_RESULTS = 100


@frozen
class RunCallbacks:
    """What a live run needs from the modules above it."""

    apply: Callable[[LiveRun, Fact], object]
    apply_results: Callable[[LiveRun], None]
    unload: Callable[[LiveRun], None]
    resolve_child: Callable[[LiveRun, str, Json], Coroutine[Any, Any, tuple[Graph, Json]]]
    cancel_child: Callable[[LiveRun, str], Coroutine[Any, Any, None]]


class LiveRun:
    """A run in memory."""

    def __init__(
        self,
        resources: RunResources,
        callbacks: RunCallbacks,
        run_key: int,
        graph: Graph,
        state: RunState,
        *,
        parent_key: int | None = None,
        has_slot: bool = False,
    ) -> None:
        self._resources, self._callbacks = resources, callbacks
        self.run_key, self.graph, self.state, self.parent_key = run_key, graph, state, parent_key
        state.undoable = graph.undoable
        self.performer = Performer(resources, has_slot=has_slot)
        #: Made once something open waits for time.
        self._timer: RunTimer | None = None
        self._admission = AdmissionReport(resources.admission, run_key, state)
        #: Results of bodies that came in this turn of the loop.
        self.results: deque[Fact] = deque()
        #: Set while loading the run may still kill the process.
        self.probation: Probation | None = None
        #: True while the run was set aside and has not been resumed yet.
        self.is_set_aside = False
        #: Bytes of its events, which bound its memory.
        self.size = 0
        self._uncommitted = 0
        self._last_commit: asyncio.Future[None] | None = None
        self.is_dropped, self._opens_nothing = False, False
        #: Why the run was abandoned: the file cannot hold one of its events. None otherwise.
        self.refusal: Unstorable | None = None
        #: True while something could open but may not. The agenda then says URGENT, so each process checks.
        self.is_deferred = False
        self._written_due_at: int | Unchanged | None = UNCHANGED

    @property
    def origin(self) -> Origin:
        """The origin of the run."""
        if self.state.origin is None:
            raise ValueError(f"{self.state.run_id} has no first event")
        return self.state.origin

    # --- the cycle -----------------------------------------------------------------------------------------

    def apply(self, fact: Fact) -> object:
        """Send a fact through the cycle, see ``turns.apply``."""
        return self._callbacks.apply(self, fact)

    def deliver(self, fact: Fact) -> None:
        """Apply the result of a body, in the next turn of the loop if others may come in this one.

        The results of one turn share one append. A fact that is applied meanwhile comes after them.
        """
        if self.state.running_entries < 2 or self.parent_key is not None or self.graph.starts_children:
            self.apply(fact)
            return
        self.results.append(fact)
        if len(self.results) == 1:
            asyncio.get_running_loop().call_soon(self._apply_some)

    def _apply_some(self) -> None:
        if self.results:
            self._callbacks.apply_results(self)
        if self.results:
            asyncio.get_running_loop().call_soon(self._apply_some)

    def apply_results(self) -> None:
        """Apply all results that were delivered and not applied yet."""
        while self.results:
            self._callbacks.apply_results(self)

    def pop_results(self) -> list[Fact]:
        """Remove and return the oldest delivered results, as many as may share an append."""
        results = self.results
        return [results.popleft() for _ in range(min(len(results), MOST_RESULTS))]

    def check_storable(self) -> None:
        """Refuse further decisions if this state did not reach the disk.

        Raises:
            StorageUnavailable, Unstorable: it did not.
        """
        if self.is_dropped:
            raise self.refusal or StorageUnavailable()

    def decide(self, fact: Fact) -> TurnResult:
        """Apply a fact to the state."""
        preflights = self.performer.preflights
        result = turn(self.graph, self.state, fact, self._resources.clock.now(), self._is_blocked, preflights)
        if result.preflight:
            result.preflight = preflights.begin(result.preflight)
        self.is_deferred |= result.deferred
        return result

    def needs_append(self, result: TurnResult) -> bool:
        """Tell whether something must be written: events, or a new agenda time.

        Without the new time, deferred work and preflights would stay due, and the alarm would never rest.
        """
        if result.events:
            return True
        return bool(result.deferred or result.preflight) and self._written_due_at != URGENT

    def to_append(self, result: TurnResult) -> RunAppend:
        """Return what a turn adds to the journal and the agenda."""
        state = self.state
        preflights = self.performer.preflights.entries and state.stopping is None
        urgent = preflights or self.is_deferred or (self.graph.races and self._stops_losers())
        due_at = URGENT if urgent else state.due_at()
        unchanged = due_at == self._written_due_at and state.end is None
        self._written_due_at = due_at
        return RunAppend(self.run_key, state.run_id, result.events, UNCHANGED if unchanged else due_at)

    def _stops_losers(self) -> bool:
        """Tell whether children have lost a race. If this process dies, the next one must stop them."""
        state = self.state
        if state.end is not None:
            return False
        entries = (entry for entry in state.entries.values() if entry.child_run_id)
        return any(readiness.is_abandoned(self.graph, state, entry.address) for entry in entries)

    def hold_until(self, commit: asyncio.Future[None]) -> None:
        """Stay in memory until a commit is done."""
        self._uncommitted += 1
        self._last_commit = commit

    def appended(self, entry: RunAppend) -> None:
        """Count what was appended."""
        self.size += entry.size
        self._admission.update(self.state)

    def committed(self, result: TurnResult) -> None:
        """Perform the effects of a turn that is now on disk."""
        self._uncommitted -= 1
        if result.events and self.state.end is result.events[-1]:
            self._resources.completion.notify(self.run_key)
        if not self.is_dropped:
            self.perform(result)

    def perform(self, result: TurnResult) -> None:
        """Start the work that a turn opened, and stop the work that it closed."""
        self.performer.perform(self, result)
        self.unload_if_idle()

    async def durable(self) -> None:
        """Wait until the whole state is on disk.

        Raises:
            StorageUnavailable, Unstorable: it cannot be stored.
        """
        if self._last_commit is not None:
            await self._last_commit

    def take_back(self, result: TurnResult) -> None:
        """Undo the changes in admission control of a turn that was not stored."""
        self._admission.take_back(self.state, self.origin, result.events)

    def reject(self, error: Unstorable, commit: asyncio.Future[None]) -> None:
        """Tell all that await the commit why these events cannot be stored."""
        self.refusal, self._last_commit = error, commit

    def _is_blocked(self, address: Address) -> bool:
        return self._opens_nothing or self._resources.is_blocked(self.graph, address)

    # --- load and start ------------------------------------------------------------------------------------

    def resume_after_load(self, size: int, *, is_set_aside: bool, rejected: AppendRejected | None) -> None:
        """Continue after a load, unless the run is set aside.

        ``rejected`` is the first fact if the last events could not be stored. Nothing opens during its turn.

        Raises:
            StorageUnavailable, Unstorable: the next events cannot be stored.
        """
        resources = self._resources
        self.size, self.is_set_aside = size, is_set_aside
        self.probation = Probation(resources.clock, resources.quarantine, self.state.run_id)
        if rejected is not None:
            self._opens_nothing = True
            self.apply(rejected)
            self._opens_nothing = False
        if self.refusal is None and not is_set_aside:
            self.apply(Recovered())
        if self.refusal is not None:
            raise self.refusal

    def released(self) -> None:
        """Note that the run is no longer set aside."""
        self.is_set_aside = False

    @property
    def wants_slot(self) -> bool:
        """True while the run is queued without a slot."""
        return not self.performer.has_slot and self.state.state == "queued"

    def start(self) -> None:
        """Start a queued run with the slot that was granted."""
        self.performer.has_slot = True
        self.apply(SlotGranted())

    def slot_granted(self) -> None:
        """Continue a started run with the slot that it was granted."""
        if self.is_dropped:
            self._resources.slots.release()
            return
        if self.probation is not None:
            self.probation.go_on()
        self.performer.go_on(self)
        self.unload_if_idle()

    def turn_came(self) -> None:
        """Begin the bodies that let acceptances go first."""
        if self.performer.turn_came(self):
            self.unload_if_idle()

    def resolve_child(self, node: str, value: Json) -> Coroutine[Any, Any, tuple[Graph, Json]]:
        """Return the graph and the input of the child that a node starts.

        Raises:
            AttemptError: the child must not start.
        """
        return self._callbacks.resolve_child(self, node, value)

    def cancel_child(self, run_id: str) -> None:
        """Cancel a child that this run no longer needs."""
        self._resources.tasks.spawn(self._callbacks.cancel_child(self, run_id), f"cancel {run_id}")

    # --- agenda and memory ---------------------------------------------------------------------------------

    @property
    def is_urgent(self) -> bool:
        """True while the agenda says URGENT: each process loads the run at its start."""
        return self._written_due_at == URGENT

    def note_urgent(self) -> None:
        """Note that the agenda says URGENT for a run that was just loaded."""
        if self._written_due_at is UNCHANGED:
            self._written_due_at = URGENT

    def note_enqueued(self) -> None:
        """Note that the agenda has no time of the run any more, so even an equal time must be written."""
        self._written_due_at = None

    def unload_if_idle(self) -> None:
        """Leave memory if nothing is in flight; otherwise set the timer."""
        performer, timer = self.performer, self._timer
        if self.probation is not None:
            busy = bool(self._uncommitted or self.results or performer.has_todo or self.is_set_aside)
            preflights = bool(performer.preflights.entries)
            self.probation.check(in_line=performer.in_line, busy=busy, preflights=preflights)
        if self._uncommitted or self.results or not performer.is_idle:
            if (timer is not None and timer.is_armed) or not (
                self._waits_for_no_time() or self.state.state == "queued"
            ):
                timer = self._timer = timer or RunTimer(self._resources.clock)
                timer.arm_soon(self)
        else:
            if timer is not None:
                timer.cancel()
            performer.release_slot()
            self._callbacks.unload(self)

    def next_due(self) -> int | None:
        """Return when time will next change something. Nothing is due for an attempt that may not open."""
        if self.state.state == "queued":
            return self.state.due_at()
        if self._waits_for_no_time():
            return None
        entries = self.state.entries.values()
        return min((e.due_at for e in entries if e.due_at is not None and self._may_open(e)), default=None)

    def _waits_for_no_time(self) -> bool:
        """Tell whether everything open is in flight, as after most turns."""
        return self.state.running_entries == len(self.state.entries) and self.state.state != "queued"

    def _may_open(self, entry: Entry) -> bool:
        if entry.status != "backoff":
            return True
        # A wait opens as soon as its preflight ends; an earlier check would find nothing.
        return entry.address not in self.performer.preflights.entries and not self._is_blocked(entry.address)

    def drop(self) -> None:
        """Stop without a fact: the process is ending, or the disk has failed."""
        if self._timer is not None:
            self._timer.cancel()
        self.is_dropped = True
        self.results.clear()
        if self.probation is not None:
            self.probation.over.set()
        self.performer.discard()
