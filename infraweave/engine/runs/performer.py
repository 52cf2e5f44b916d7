"""Performs the open entries of one run while it has a slot: runs preflights and calls bodies.

A performer has no reference to its run, because only the garbage collector could free such a cycle.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.values import Json
from infraweave.core.run import binding, readiness
from infraweave.core.run.address import Address
from infraweave.core.run.events import NodeFailed, NodeStarted, Origin
from infraweave.core.run.facts import AttemptInterrupted, ChildReady, Fact, PreflightFailed
from infraweave.core.run.openings import INPUT_TOO_LARGE, too_large_message
from infraweave.core.run.preflight import Preflights
from infraweave.core.run.recorder import TurnResult
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph
from infraweave.engine.execution.attempt import Attempt, stopped_before_start
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.preflight import PREFLIGHTS, ChildPreflight, Preflight
from infraweave.engine.runs.failure_log import log_failure
from infraweave.engine.runs.resources import RunResources
from infraweave.failpoints import reach


class PerformedRun(Protocol):
    """What a performer needs from its run."""

    run_key: int
    graph: Graph
    state: RunState

    @property
    def origin(self) -> Origin:
        """The origin of the run."""

    def apply(self, fact: Fact) -> object:
        """Apply a fact."""

    def deliver(self, fact: Fact) -> None:
        """Apply the result of a body, perhaps together with others."""

    def apply_results(self) -> None:
        """Apply the results that were delivered and not applied yet."""

    def resolve_child(self, node: str, value: Json) -> Coroutine[Any, Any, tuple[Graph, Json]]:
        """Return the graph and the input of a child."""

    def cancel_child(self, run_id: str) -> None:
        """Cancel a child."""

    def slot_granted(self) -> None:
        """Continue with a slot."""

    def turn_came(self) -> None:
        """Begin what waited for acceptances."""


class Performer:
    """The bodies and preflights of one run."""

    def __init__(self, resources: RunResources, *, has_slot: bool) -> None:
        self._resources = resources
        self.has_slot = has_slot
        #: True while the run needs a slot to continue.
        self.in_line = False
        self.preflights = Preflights()
        #: The graphs of children that may start.
        self._child_graphs: dict[Address, Graph] = {}
        self._attempts: dict[Address, Attempt] = {}
        #: True while the run waits in the line of ``StartPriority``.
        self._awaits_turn = False
        #: Entries that begin once the run has a slot and its turn has come.
        self._todo: list[NodeStarted | Address] = []
        #: Children that were cancelled; and whether all were.
        self._told: set[str] = set()
        self._told_all = False

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts in flight."""
        return list(self._attempts.values())

    @property
    def has_todo(self) -> bool:
        """True while something waits to begin."""
        return bool(self._todo)

    @property
    def is_idle(self) -> bool:
        """True while nothing is in flight and nothing waits to begin."""
        return not (self._todo or self._attempts or self.in_line)

    # --- begin ---------------------------------------------------------------------------------------------

    def perform(self, run: PerformedRun, result: TurnResult) -> None:
        """Start the work that a turn opened, and stop the work that it closed."""
        for event in result.events:
            kind = type(event)
            if kind is NodeStarted and event.runs_code:  # type: ignore[union-attr]  # isinstance costs more
                self._todo.append(event)  # type: ignore[arg-type]
            elif kind is NodeFailed:
                log_failure(run.state.run_id, event)  # type: ignore[arg-type]
        self._todo += result.preflight
        if run.state.stopping is not None or run.graph.races:
            self._stop_abandoned(run)
        if self._todo:
            self._begin_all(run)

    def go_on(self, run: PerformedRun) -> None:
        """Start what waited for the slot that was granted now."""
        self.in_line, self.has_slot = False, True
        self._begin_all(run)

    def turn_came(self, run: PerformedRun) -> bool:
        """Start what waited for acceptances; return whether there was anything left to start."""
        self._awaits_turn, waited = False, bool(self._todo)
        self._begin_todo(run)
        return waited

    def release_slot(self) -> None:
        """Give the slot back."""
        if self.has_slot:
            self.has_slot = False
            self._resources.slots.release()

    def _begin_all(self, run: PerformedRun) -> None:
        if not self._todo or self.in_line or self._awaits_turn:
            return
        if not self.has_slot:
            self.in_line = True
            self._resources.slots.resume(run.slot_granted)
        elif self._resources.start_priority.must_wait:
            self._awaits_turn = True
            self._resources.start_priority.enqueue(run.origin.tenant, run.turn_came)
        else:
            self._begin_todo(run)

    def _begin_todo(self, run: PerformedRun) -> None:
        todo, self._todo = self._todo, []
        for item in todo:
            if isinstance(item, Address):
                self._begin_preflight(run, item)
            else:
                self._begin_attempt(run, item)

    def _begin_attempt(self, run: PerformedRun, event: NodeStarted) -> None:
        address = event.address
        entry = run.state.entries.get(address)
        if entry is None or entry.status != "running" or entry.attempt != event.attempt:
            return  # a later decision has closed it
        node = run.graph.nodes[event.node]
        undo = run.graph.compensation(event.node) if event.phase == "compensation" else None
        if undo is not None:
            reach("compensation")
        timeout = undo.timeout if undo else getattr(node, "timeout", None)
        attempt = self._make(run, Attempt, address, event.attempt, entry.input or {})
        attempt.start(timeout, self._resources.workers.orphans.get((run.run_key, address)))

    def _begin_preflight(self, run: PerformedRun, address: Address) -> None:
        if address not in self.preflights.entries:
            return
        entry = run.state.entries.get(address)
        number = 1 if entry is None else entry.attempt + 1
        try:
            values = binding.bind_inputs(run.graph, run.state, address)
        except TooLarge as error:
            run.apply_results()
            self.preflights.end(address)
            message = too_large_message(error)
            run.apply(PreflightFailed(address=address, code=INPUT_TOO_LARGE, message=message))
            return
        kind = PREFLIGHTS[type(run.graph.nodes[address.node])]
        attempt = self._make(run, kind, address, number, values)
        if isinstance(attempt, ChildPreflight):
            attempt.resolve_child = partial(self._resolve_child, run, address)
        attempt.start(None, None)

    async def _resolve_child(self, run: PerformedRun, address: Address, value: Json) -> ChildReady:
        """Return the fact of a child that may start.

        Raises:
            AttemptError: the child must not start.
        """
        self._child_graphs[address], checked = await run.resolve_child(address.node, value)
        return ChildReady(address=address, input=checked)

    def pop_child_graph(self, address: Address) -> Graph:
        """Return the graph of a child that starts now."""
        return self._child_graphs.pop(address)

    def _make(
        self,
        run: PerformedRun,
        kind: type[Attempt],
        address: Address,
        number: int,
        values: dict[str, object],
    ) -> Attempt:
        context = RunContext(run.state.run_id, run.origin, address, number)
        deliver = partial(self._deliver, run)
        attempt = self._resources.workers.attempt(kind, run.graph, context, values, deliver)
        self._attempts[address] = attempt
        return attempt

    def _deliver(self, run: PerformedRun, attempt: Attempt, fact: Fact) -> None:
        is_preflight = attempt.address in self.preflights.entries
        if is_preflight:
            run.apply_results()  # before the entry is in preflight no more and not open yet
        self._attempts.pop(attempt.address, None)
        self.preflights.end(attempt.address)
        orphan = attempt.orphan()
        if orphan is not None:
            self._resources.workers.track_orphan(run.run_key, attempt.address, orphan)
        if is_preflight:
            run.apply(fact)
        else:
            run.deliver(fact)

    # --- stop ----------------------------------------------------------------------------------------------

    def _stop_abandoned(self, run: PerformedRun) -> None:
        """Stop the work of a stopping run or of the losers of a race. Close entries that never began."""
        state = run.state
        goes_on = state.stopping is None and state.end is None
        for address, attempt in list(self._attempts.items()):
            if state.end is not None or _is_abandoned(run, address):
                attempt.stop("lost" if goes_on else "cancelled")
        self._stop_children(run)
        # The others stay on the list, so that a turn that closes one does not find the run idle.
        while (item := self._first_abandoned(run)) is not None:
            self._todo.remove(item)
            if isinstance(item, Address):
                self.preflights.end(item)
            else:
                run.apply(stopped_before_start(item))

    def _first_abandoned(self, run: PerformedRun) -> NodeStarted | Address | None:
        for item in self._todo:
            if _is_abandoned(run, item if isinstance(item, Address) else item.address):
                return item
        return None

    def _stop_children(self, run: PerformedRun) -> None:
        if self._told_all:
            return
        self._told_all = run.state.stopping is not None  # no child starts from here on
        for entry in run.state.entries.values():
            child = entry.child_run_id
            if child is not None and child not in self._told and _is_abandoned(run, entry.address):
                self._told.add(child)
                run.cancel_child(child)

    def discard(self) -> None:
        """Stop all bodies without a fact: the process is ending, or the disk has failed."""
        self._todo.clear()
        for attempt in self._attempts.values():
            attempt.discard()

    # --- the end of the process ----------------------------------------------------------------------------

    def not_started(self) -> dict[Address, str]:
        """Return the attempts without a called body, and what each waits for."""
        waiting = {a.address: what for a in self.attempts if (what := a.waits_for) is not None}
        return waiting | {item.address: "a free slot" for item in self._starts()}

    def close_not_started(self, run: PerformedRun) -> None:
        """Close the attempts without a called body, so that the next process knows that they never ran.

        Raises:
            StorageUnavailable: the events cannot be stored.
        """
        # Preflights are in no event; the next process repeats them.
        never = [a for a in self.attempts if not isinstance(a, Preflight) and a.cancel_unstarted()]
        back = [(a.address, a.context.attempt) for a in never]
        back += [(item.address, item.attempt) for item in self._starts()]
        self._todo.clear()
        for address, attempt in back:
            self._attempts.pop(address, None)
            run.apply(AttemptInterrupted(address=address, attempt=attempt))

    def interrupt_all(self, run: PerformedRun) -> None:
        """Close attempts with bodies that did not end within the grace period, as interrupted.

        Raises:
            StorageUnavailable: the events cannot be stored.
        """
        for attempt in self.attempts:
            if isinstance(attempt, Preflight):
                continue
            attempt.discard()
            self._attempts.pop(attempt.address, None)
            context = attempt.context
            run.apply(
                AttemptInterrupted(
                    address=attempt.address, attempt=context.attempt, started=True, usage=context.usage
                )
            )

    def _starts(self) -> list[NodeStarted]:
        return [item for item in self._todo if isinstance(item, NodeStarted)]


def _is_abandoned(run: PerformedRun, address: Address) -> bool:
    return readiness.is_abandoned(run.graph, run.state, address)
