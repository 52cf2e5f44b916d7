"""One live run: the only owner of its state while something of it is in flight.

Facts reach it by ``turns.apply``. A run at rest (waiting, or ended) leaves memory.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.values import Json
from infraweave.core.run import binding, readiness
from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry as OpenEntry
from infraweave.core.run.events import NodeFailed, NodeStarted, Origin, StatusChanged
from infraweave.core.run.facts import AppendRejected, ChildReady, Fact, PreflightFailed, TimerDue
from infraweave.core.run.openings import INPUT_TOO_LARGE, too_large_message
from infraweave.core.run.preflight import Preflights
from infraweave.core.run.recorder import TurnResult
from infraweave.core.run.state import RunState
from infraweave.core.run.turn import turn
from infraweave.core.workflow.graph import Graph
from infraweave.engine.clock import TimerHandle
from infraweave.engine.execution.attempt import Attempt, stopped_before_start
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.preflight import PREFLIGHTS, ChildPreflight
from infraweave.engine.runs.failure_log import tell_failure
from infraweave.errors import StorageUnavailable, Unstorable
from infraweave.failpoints import reach
from infraweave.store.journal import RunAppend
from infraweave.store.projection import UNCHANGED, URGENT, Unchanged

if TYPE_CHECKING:
    from infraweave.engine.runs.registry import Host


#: Seconds after which a run counts as taken up, though what must come before its waits has not returned.
LONG_ENOUGH = 10.0


class LiveRun:
    """A run in memory."""

    def __init__(self, host: Host, run_key: int, graph: Graph, state: RunState) -> None:
        self.host, self.run_key, self.graph, self.state = host, run_key, graph, state
        state.undoable = graph.undoable
        self.has_slot = False
        #: What admission control has been told.
        self._has_started, self._has_ended = state.started_at is not None, state.end is not None
        self._in_line = False
        self._attempts: dict[Address, Attempt] = {}
        #: Entries that are being prepared, or will be.
        self._preparing = Preflights()
        #: What is to be begun once there is a slot.
        self.todo: list[NodeStarted | Address] = []
        #: The run whose answer this one is.
        self.parent_key: int | None = None
        #: The graphs of children that may start.
        self.child_graphs: dict[Address, Graph] = {}
        #: Children that were asked to stop.
        self._told: set[str] = set()
        self._told_all = False
        #: It was taken up from the disk, and may still be what kills the process.
        self.is_unproven = False
        self.proven = asyncio.Event()
        self._patience: TimerHandle | None = None
        #: It was set aside, and is not resumed yet.
        self.is_lifted = False
        #: Bytes of its events: how much it may hold of what callers sent.
        self.size = 0
        self._uncommitted = 0
        self._last_commit: asyncio.Future[None] | None = None
        self.is_abandoned, self._holds_all = False, False
        #: Why it was abandoned, where it was for the content of its events.
        self.refusal: Unstorable | None = None
        #: Something could open but may not; the agenda then says URGENT, so that each start looks again.
        self.held = False
        self._agenda: int | Unchanged | None = UNCHANGED
        self._timer: TimerHandle | None = None
        self._arming = False

    @property
    def origin(self) -> Origin:
        """What the run was started with."""
        if self.state.origin is None:
            raise ValueError(f"{self.state.run_id} has no first event")
        return self.state.origin

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts in flight."""
        return list(self._attempts.values())

    def check_storable(self) -> None:
        """Refuse to decide anything where this state did not reach the disk.

        Raises:
            StorageUnavailable, Unstorable: it did not, and why.
        """
        if self.is_abandoned:
            raise self.refusal or StorageUnavailable()

    def _apply(self, fact: Fact) -> None:
        self.host.turns.apply(self, fact)

    def decide(self, fact: Fact) -> TurnResult:
        """Work a fact into the state."""
        now = self.host.clock.now()
        written = turn(self.graph, self.state, fact, now, self._hold, self._preparing)
        if written.preflight:
            written.preflight = self._preparing.begin(written.preflight)
        self.held |= written.deferred
        return written

    def has_news(self, written: TurnResult) -> bool:
        """Tell whether something must be written: events, or that the agenda's time has been seen to.

        What is held back, or being prepared, would be due on and on, and the alarm ring without a pause.
        """
        waits = bool(written.deferred or written.preflight)
        return bool(written.events) or (waits and self._agenda != URGENT)

    def wait_for(self, commit: asyncio.Future[None]) -> None:
        """Stay in memory until a commit is there."""
        self._uncommitted += 1
        self._last_commit = commit

    def tell_gate(self) -> None:
        """Have the first start and the end counted in the order of commits, whichever road led there."""
        admission, state = self.host.admission, self.state
        if not self._has_started and state.started_at is not None:
            self._has_started = True
            admission.started(self.run_key, self.origin)
        if state.end is not None and not self._has_ended:
            self._has_ended = True
            if self._has_started:
                admission.ended(self.origin)
            else:
                admission.remove(self.run_key)

    def untell_gate(self, written: TurnResult) -> None:
        """Take back what admission control was told of a turn that is not on disk."""
        began = any(
            isinstance(event, StatusChanged)
            and event.state == "running"
            and event.cause in ("accepted", "slot_granted")
            for event in written.events
        )
        ended = self._has_ended and self.state.end is written.events[-1]
        if began and not ended:
            self.host.admission.ended(self.origin)
        elif ended and not began:
            self.host.admission.reopened(self.origin)

    def was_refused(self, error: Unstorable, commit: asyncio.Future[None]) -> None:
        """Let whoever waits for the disk hear why it will not have what this state says."""
        self.refusal, self._last_commit = error, commit

    def mend(self, fact: AppendRejected) -> None:
        """Take that something cannot be stored, and open nothing with it: the log goes on from there."""
        self._holds_all = True
        self._apply(fact)
        self._holds_all = False

    async def durable(self) -> None:
        """Wait until all that the state says is on disk.

        Raises:
            StorageUnavailable, Unstorable: it cannot be stored.
        """
        if self._last_commit is not None:
            await self._last_commit

    def _hold(self, address: Address) -> bool:
        return self._holds_all or self.host.draining or self.host.catalog.lacks_code(self.graph, address)

    def entry(self, written: TurnResult) -> RunAppend:
        """Return what a turn adds to the journal and the agenda."""
        preparing = self._preparing.entries and self.state.stopping is None
        due_at = URGENT if preparing or self.held or self._stops_losers() else self.state.due_at()
        unchanged = due_at == self._agenda and self.state.end is None
        self._agenda = due_at
        return RunAppend(self.run_key, self.state.run_id, written.events, UNCHANGED if unchanged else due_at)

    @property
    def is_urgent(self) -> bool:
        """True while the agenda says that the run is to be taken up at a start, and tells no time."""
        return self._agenda == URGENT

    def was_urgent(self) -> None:
        """Hear what the agenda has said so far of a run that was just taken up."""
        if self._agenda is UNCHANGED:
            self._agenda = URGENT

    def was_lined_up(self) -> None:
        """Hear that the agenda is told no time any more: the same time, later, is news to it."""
        self._agenda = None

    def _stops_losers(self) -> bool:
        """Tell whether children have lost a race: the next process must stop them, if this one dies."""
        if not self.graph.races or self.state.end is not None:
            return False
        return any(e.child_run_id and self._is_given_up(e.address) for e in self.state.entries.values())

    def appended(self, entry: RunAppend) -> None:
        """Count what was appended."""
        self.size += entry.size
        self.tell_gate()

    def committed(self, written: TurnResult) -> None:
        """Do what follows from a turn, now that it is on disk."""
        self._uncommitted -= 1
        if written.events and self.state.end is written.events[-1]:
            self.host.ends.announce(self.run_key)
        if not self.is_abandoned:
            self.perform(written)

    def perform(self, written: TurnResult) -> None:
        """Do what a turn opened, and stop what it closed."""
        for event in written.events:
            if isinstance(event, NodeStarted) and event.runs_code:
                self.todo.append(event)
            elif isinstance(event, NodeFailed):
                tell_failure(self.state.run_id, event)
        self.todo += written.preflight
        if self.state.stopping is not None or self.graph.races:
            self._stop_what_is_given_up()
        self._work()
        self.rest()

    def _work(self) -> None:
        if not self.todo or self._in_line:
            return
        if not self.has_slot:
            self._in_line = True
            self.host.slots.resume(self._granted)
            return
        todo, self.todo = self.todo, []
        for item in todo:
            if isinstance(item, Address):
                self._prepare(item)
            else:
                self._attempt(item)

    def _granted(self) -> None:
        self._in_line, self.has_slot = False, True
        if self.is_unproven:
            self.host.quarantine.begin_load(self.state.run_id)
        self._work()
        self.rest()

    def _attempt(self, event: NodeStarted) -> None:
        address = event.address
        entry = self.state.entries.get(address)
        if entry is None or entry.status != "running" or entry.attempt != event.attempt:
            return  # something decided meanwhile has closed it
        node = self.graph.nodes[event.node]
        undo = self.graph.compensation(event.node) if event.phase == "compensation" else None
        if undo is not None:
            reach("compensation")
        timeout = undo.timeout if undo else getattr(node, "timeout", None)
        attempt = self._make(Attempt, address, event.attempt, entry.input or {})
        attempt.start(timeout, self.host.orphans.get((self.run_key, address)))

    def _prepare(self, address: Address) -> None:
        if address not in self._preparing.entries:
            return
        entry = self.state.entries.get(address)
        number = 1 if entry is None else entry.attempt + 1
        try:
            values = binding.bind_inputs(self.graph, self.state, address)
        except TooLarge as error:
            self._preparing.end(address)
            self._apply(
                PreflightFailed(address=address, code=INPUT_TOO_LARGE, message=too_large_message(error))
            )
            return
        kind = PREFLIGHTS[type(self.graph.nodes[address.node])]
        attempt = self._make(kind, address, number, values)
        if isinstance(attempt, ChildPreflight):
            attempt.find_child = partial(self._find_child, address)
        attempt.start(None, None)

    async def _find_child(self, address: Address, value: Json) -> ChildReady:
        """Return the fact of a child that may start.

        Raises:
            AttemptError: it may not.
        """
        graph, taken = await self.host.children.graph(self, address.node, value)
        self.child_graphs[address] = graph
        return ChildReady(address=address, input=taken)

    def _make(self, kind: type[Attempt], address: Address, number: int, values: dict[str, object]) -> Attempt:
        context = RunContext(self.state.run_id, self.origin, address, number)
        attempt = self.host.attempt(kind, self.graph, context, values, self._deliver)
        self._attempts[address] = attempt
        return attempt

    def _deliver(self, attempt: Attempt, fact: Fact) -> None:
        self._attempts.pop(attempt.address, None)
        self._preparing.end(attempt.address)
        orphan = attempt.orphan()
        if orphan is not None:
            self.host.track_orphan(self.run_key, attempt.address, orphan)
        self._apply(fact)

    def forget(self, address: Address) -> None:
        """Do without an attempt that was taken back."""
        self._attempts.pop(address, None)

    def _stop_what_is_given_up(self) -> None:
        """Stop what is in flight of a stopping run, or of what lost a race; close what never began."""
        goes_on = self.state.stopping is None and self.state.end is None
        for address, attempt in list(self._attempts.items()):
            if self.state.end is not None or self._is_given_up(address):
                attempt.stop("lost" if goes_on else "cancelled")
        self._stop_children()
        # One by one, while the others stay to be done: a turn that closes one must not find the run at rest.
        while (item := next(filter(self._is_in_vain, self.todo), None)) is not None:
            self.todo.remove(item)
            if isinstance(item, Address):
                self._preparing.end(item)
            else:
                self._apply(stopped_before_start(item))

    def _is_in_vain(self, item: NodeStarted | Address) -> bool:
        return self._is_given_up(item if isinstance(item, Address) else item.address)

    def _is_given_up(self, address: Address) -> bool:
        return readiness.is_abandoned(self.graph, self.state, address)

    def _stop_children(self) -> None:
        if self._told_all:
            return
        self._told_all = self.state.stopping is not None  # none begins from here on
        for entry in self.state.entries.values():
            child = entry.child_run_id
            if child is not None and child not in self._told and self._is_given_up(entry.address):
                self._told.add(child)
                self.host.spawn(self.host.children.cancel(self, child), f"cancel {child}")

    # --- rest ----------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Leave memory, where nothing is in flight; else see to timers that run beside it."""
        if self.is_unproven:
            self._look_whether_proven()
        if self._uncommitted or self.todo or self._attempts or self._in_line:
            self._arm_soon()
        else:
            self._disarm()
            self.release()
            self.host.let_go(self)

    def _look_whether_proven(self) -> None:
        """Tell the suspects where the run, taken up, has done all that it does by itself.

        That is over once its first turn is on disk, its bodies have been called, and what must come before
        its waits has returned. What a body does later is counted by its interruptions.
        """
        if self._in_line:
            self.host.quarantine.pause_load(self.state.run_id)
            self.proven.set()
        elif self._uncommitted or self.todo or self.is_lifted:
            return
        elif not self._preparing.entries:
            # The tasks of its attempts make their first step before this.
            asyncio.get_running_loop().call_soon(self.prove)
        elif self._patience is None:
            self._patience = self.host.clock.call_later(LONG_ENOUGH, self.prove)

    def prove(self) -> None:
        """Take the run off the suspects: it has been taken up, and the process lives."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self.is_unproven and not self._in_line:
            self.is_unproven = False
            self.host.quarantine.end_load(self.state.run_id)
        self.proven.set()

    def release(self) -> None:
        """Give the slot back."""
        if self.has_slot:
            self.has_slot = False
            self.host.slots.release()

    def _arm_soon(self) -> None:
        """Set the timer once for all turns of one moment: each look goes over all that is open."""
        if self._timer is None and self._waits_for_no_time():
            return
        if not self._arming:
            self._arming = True
            asyncio.get_running_loop().call_soon(self._arm)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._arming = False
        self._disarm()
        if self.is_abandoned or self.host.live.get(self.run_key) is not self:
            return
        due_at = self.next_due()
        if due_at is not None and self.state.state != "queued":
            clock = self.host.clock
            self._timer = clock.call_later(clock.until(due_at), self._look)

    def _look(self) -> None:
        """Go on where something is due; else only time has passed, and perhaps not by this clock."""
        due_at = self.next_due()
        if due_at is not None and due_at <= self.host.clock.now():
            self._apply(TimerDue())
        else:
            self._arm()

    def next_due(self) -> int | None:
        """Return when time will next change something; an attempt that is held is due in vain."""
        entries = self.state.entries
        if self.state.state == "queued":
            return self.state.due_at()
        if self._waits_for_no_time():
            return None
        return min(
            (e.due_at for e in entries.values() if e.due_at is not None and self._is_free(e)), default=None
        )

    def _waits_for_no_time(self) -> bool:
        """Tell whether all that is open is in flight, as after most turns."""
        return self.state.running == len(self.state.entries) and self.state.state != "queued"

    def _is_free(self, entry: OpenEntry) -> bool:
        if entry.status != "backoff":
            return True
        # What is being prepared opens as soon as it is ready; to look again before would be in vain.
        return entry.address not in self._preparing.entries and not self._hold(entry.address)

    def abandon(self) -> None:
        """Stop all bodies without a fact: the process is ending, or the disk has failed."""
        self._disarm()
        self.is_abandoned = True
        self.proven.set()
        self.todo.clear()
        for attempt in self._attempts.values():
            attempt.discard()
