"""The cycle that explains every kind of node: decide, append, perform.

``apply`` is the only place where a fact enters a run. Turns that belong together share one transaction: those
of a parent and its new children, and those of a child that ends and its parent. The audit row of an act is
in that transaction too. Effects follow their commit: a body starts only once the event that opened it is on
disk.

A parent that is not in memory is loaded before the append. That wait does no harm: every run in such a group
has ended and decides nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from attrs import field

from infraweave.core.records import define
from infraweave.core.run.events import NodeStarted
from infraweave.core.run.facts import Fact
from infraweave.core.run.recorder import TurnResult
from infraweave.engine.runs.children import Children, child_ended_fact
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.queued_runs import QueuedRuns
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.tasks import BackgroundTasks
from infraweave.engine.runs.unstorable import Turn
from infraweave.errors import RunNotFound, RunSetAside, StorageUnavailable, Unstorable
from infraweave.store.journal import Journal
from infraweave.store.sqlite.audit_record import AuditRecord


@define(eq=False)
class TurnGroup:
    """Turns that are decided together and appended together."""

    record: AuditRecord | None
    turns: list[Turn] = field(factory=list)
    #: Ended children of parents that do not know it yet.
    ended: list[LiveRun] = field(factory=list)
    #: New children without a slot.
    queued: list[LiveRun] = field(factory=list)
    #: Replaces the commit while parents are loaded.
    later: asyncio.Future[None] | None = None

    def add(self, turn: Turn) -> None:
        """Add a turn; its run stays in memory until the commit."""
        self.turns.append(turn)
        if self.later is not None:
            turn.live.hold_until(self.later)


class Turns:
    """Applies facts to live runs."""

    def __init__(
        self,
        journal: Journal,
        tasks: BackgroundTasks,
        registry: RunRegistry,
        children: Children,
        queued: QueuedRuns,
    ) -> None:
        self._journal, self._tasks, self._registry = journal, tasks, registry
        self._children, self._queued = children, queued

    def apply(
        self, live: LiveRun, fact: Fact, *others: tuple[LiveRun, Fact], record: AuditRecord | None = None
    ) -> asyncio.Future[None] | None:
        """Decide, append, perform. Return the commit, or None if nothing had to be stored.

        The facts of ``others`` are decided after ``fact`` and committed with it. ``record`` is the audit row
        of the act; without a commit it is not written. The commit fails with Unstorable where the file cannot
        hold an event; then the step that led to the event fails.

        Raises:
            StorageUnavailable, Unstorable: the state of ``live`` did not reach the disk.
        """
        if live.is_dropped:
            live.check_storable()
        if live.results:
            live.apply_results()
        if not others and live.parent_key is None and not live.graph.starts_children:
            return self._store(Turn(live, live.decide(fact), fact), record)
        group = TurnGroup(record)
        for run, its_fact in ((live, fact), *others):
            self._decide(group, run, its_fact)
        if not group.turns:
            return None
        return self._append(group) if self._notify_parents(group) is None else self._append_later(group)

    def apply_results(self, live: LiveRun) -> None:
        """Apply results of bodies that came in one turn of the loop, in their order and in one append."""
        facts = live.pop_results()
        if facts and not live.is_dropped:
            self._store(_together([Turn(live, live.decide(fact), fact) for fact in facts]), None)

    def _store(self, turn: Turn, record: AuditRecord | None) -> asyncio.Future[None] | None:
        """Append and perform a turn of a run without relatives, as nearly all are: no group is needed."""
        live, result = turn.live, turn.result
        if not (result.events or live.needs_append(result)):
            live.perform(result)
            return None
        turns = (turn,)
        try:
            entry = live.to_append(result)
            commit = self._journal.append((entry,), partial(self._committed, turns), record)
        except Unstorable as error:
            return self._registry.reject(error, turns)
        live.hold_until(commit)
        live.appended(entry)
        return commit

    # --- decide --------------------------------------------------------------------------------------------

    def _decide(self, group: TurnGroup, live: LiveRun, fact: Fact) -> None:
        """Decide the turns of a run and of its new children."""
        result = live.decide(fact)
        if not live.needs_append(result):
            live.perform(result)
            return
        group.add(Turn(live, result, fact))
        if live.graph.starts_children:
            for event in result.events:
                if isinstance(event, NodeStarted) and event.child_run_id is not None:
                    child, accepted = self._children.spawn_child(live, event)
                    self._decide(group, child, accepted)
                    if not accepted.slot:
                        group.queued.append(child)
        if live.parent_key is not None and result.events and live.state.end is result.events[-1]:
            group.ended.append(live)

    def _notify_parents(self, group: TurnGroup) -> int | None:
        """Decide the turns of parents of ended children; return the key of a parent that is not in memory."""
        while group.ended:
            child = group.ended[-1]
            parent = self._registry.live.get(child.parent_key or 0)
            if parent is None:
                return child.parent_key
            group.ended.pop()
            entry = child.origin.parent_entry
            if entry is None:
                raise ValueError(f"{child.state.run_id} is no child")
            self._decide(group, parent, child_ended_fact(child.state, entry.address, entry.attempt))
        return None

    # --- append --------------------------------------------------------------------------------------------

    def _append(self, group: TurnGroup) -> asyncio.Future[None]:
        """Append all turns of a group; return the commit.

        Raises:
            StorageUnavailable: the state of one of the runs did not reach the disk.
        """
        turns = group.turns
        try:
            for live, *_ in turns:
                if live.is_dropped:
                    raise Unstorable if live.refusal else StorageUnavailable
            entries = [live.to_append(result) for live, result, *_ in turns]
            commit = self._journal.append(entries, partial(self._committed, turns), group.record)
        except Unstorable as error:
            return self._registry.reject(error, turns)
        except StorageUnavailable:
            self._evict(turns)
            raise
        for (live, *_), entry in zip(turns, entries, strict=True):
            live.appended(entry)
            if group.later is None:
                live.hold_until(commit)
        for child in group.queued:
            self._queued.enqueue_child(child)
        return commit

    def _append_later(self, group: TurnGroup) -> asyncio.Future[None]:
        """Load the parents that are not in memory, then append."""
        later = group.later = asyncio.get_running_loop().create_future()
        for live, *_ in group.turns:
            live.hold_until(later)
        task = self._tasks.spawn(self._load_parents(group, later), "notify parents")
        task.add_done_callback(partial(self._check_appended, group, later))
        return later

    async def _load_parents(self, group: TurnGroup, later: asyncio.Future[None]) -> None:
        async with AsyncExitStack() as stack:
            while (parent_key := self._notify_parents(group)) is not None:
                try:
                    await stack.enter_async_context(self._registry.pinned(parent_key))
                except (RunNotFound, RunSetAside):
                    # It was removed, or it will learn of the end when it is resumed.
                    group.ended.pop()
            self._append(group).add_done_callback(partial(_pass_on, later))

    def _check_appended(
        self, group: TurnGroup, later: asyncio.Future[None], task: asyncio.Task[None]
    ) -> None:
        """End all waiting for an append that failed, or that a shutdown cancelled."""
        if task.cancelled() or task.exception() is not None:
            self._evict(group.turns)
            _fail(later, StorageUnavailable())

    # --- perform -------------------------------------------------------------------------------------------

    def _committed(self, turns: Sequence[Turn], commit: asyncio.Future[None]) -> None:
        error = commit.exception()  # a write cannot be cancelled
        if isinstance(error, Unstorable):
            for live, result, *_ in turns:
                live.take_back(result)
            self._registry.reject(error, turns)
        elif error is not None:
            self._evict(turns)
        else:
            for live, result, *_ in turns:
                live.committed(result)

    def _evict(self, turns: Sequence[Turn]) -> None:
        for live, *_ in turns:
            self._registry.evict(live)


def _together(turns: Sequence[Turn]) -> Turn:
    """Return turns of one run as one turn."""
    if len(turns) == 1:
        return turns[0]
    result = TurnResult()
    for turn in turns:
        result.events += turn.result.events
        result.preflight += turn.result.preflight
        result.deferred |= turn.result.deferred
    return Turn(turns[0].live, result, turns[0].fact, turns)


def _error_of(commit: asyncio.Future[None]) -> BaseException | None:
    return StorageUnavailable() if commit.cancelled() else commit.exception()


def _pass_on(later: asyncio.Future[None], commit: asyncio.Future[None]) -> None:
    if (error := _error_of(commit)) is not None:
        _fail(later, error)
    elif not later.done():
        later.set_result(None)


def _fail(later: asyncio.Future[None], error: BaseException) -> None:
    if not later.done():
        later.set_exception(error)
        later.exception()  # mark as retrieved: perhaps no task awaits it, and the error was logged
