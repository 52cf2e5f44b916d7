"""Holds the live runs, and what they share: slots, threads, the alarm, code.

A run that is at rest is not here: it is a row with a wake-up time. Whatever arrives for it takes it up again
by ``pinned``: its events are folded and a ``Recovered`` closes what an ended process left in flight. That is
all there is to recovery. Long histories of runs that came to rest a while ago are spared it (``resting``).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from infraweave.core.data.values import Json
from infraweave.core.run.address import Address
from infraweave.core.run.event_codec import decode_event
from infraweave.core.run.events import Origin
from infraweave.core.run.facts import AppendRejected, Fact, Recovered, SlotGranted, TimerDue
from infraweave.core.run.state import RunState, evolve
from infraweave.core.workflow.document import Activity, Map
from infraweave.core.workflow.graph import Graph
from infraweave.engine.admission.admission import AdmissionControl
from infraweave.engine.admission.groups import AdmissionRequest
from infraweave.engine.admission.slots import Slots
from infraweave.engine.catalog import Catalog
from infraweave.engine.clock import Clock, sleep
from infraweave.engine.execution.attempt import Attempt
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.process_pool import ProcessPool
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.engine.runs.alarm import Alarm
from infraweave.engine.runs.children import Children
from infraweave.engine.runs.completion import Ends
from infraweave.engine.runs.idle_cache import Resting
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.not_started import cut_off, put_back
from infraweave.engine.runs.turns import Turns
from infraweave.engine.runs.unstorable import Turn, blamed, is_stored, refused
from infraweave.errors import RunNotFound, RunSetAside, StorageUnavailable, Unstorable
from infraweave.failpoints import reach
from infraweave.settings import Settings
from infraweave.store.agenda import Agenda
from infraweave.store.journal import Journal, RunAppend
from infraweave.store.load_quarantine import LoadQuarantine
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord

log = logging.getLogger("infraweave.engine")

#: Runs folded side by side when many are taken up.
LOADING = 16
#: No limit, in SQL.
ALL = -1
#: Milliseconds after which a run that could not be taken up when it was due is tried again.
SOME_TIME = 60_000


class Host:
    """The live runs of one process."""

    def __init__(
        self,
        clock: Clock,
        settings: Settings,
        journal: Journal,
        agenda: Agenda,
        runs: Runs,
        catalog: Catalog,
        schema_checker: SchemaChecker,
        quarantine: LoadQuarantine,
    ) -> None:
        self.quarantine = quarantine
        #: Runs at whose taking-up the last process died, until they are taken up, one by one; then those that
        #: are set aside.
        self._apart: set[int] = set()
        #: Those of them whose turn in the queue has come: each keeps its places until it is taken up.
        self._withheld: set[int] = set()
        self.clock, self.settings, self.journal, self.catalog = clock, settings, journal, catalog
        self.schema_checker = schema_checker
        self._agenda, self._runs = agenda, runs
        self.draining = False
        self.slots = Slots(settings.max_running, self._grant)
        self.admission = AdmissionControl(self.slots, settings, runs.count_started, lambda: catalog.tenants)
        self.alarm = Alarm(clock, self._next_due, self._wake_due)
        self.children = Children(self, runs)
        self.turns = Turns(self)
        self.live: dict[int, LiveRun] = {}
        self.resting = Resting()
        self.ends = Ends()
        #: What still runs of bodies whose attempts are over: their next attempts wait for it.
        self.orphans: dict[tuple[int, Address], asyncio.Future[Any]] = {}
        #: When runs have something due of which the agenda says that they are urgent: mostly held ones.
        self._urgent: dict[int, int] = {}
        #: With what runs are taken up whose events were refused.
        self._refused: dict[int, AppendRejected] = {}
        self._pins: Counter[int] = Counter()
        self._loading: dict[int, asyncio.Task[LiveRun]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._processes = ProcessPool()
        self.threads = ThreadPool(settings.threads, settings.lost_threads, "infraweave-node")
        self._idle = asyncio.Event()

    # --- taking up and letting go --------------------------------------------------------------------------

    def adopt(self, live: LiveRun) -> LiveRun:
        """Keep a run in memory until it is at rest."""
        self.live[live.run_key] = live
        return live

    @asynccontextmanager
    async def pinned(
        self, run_key: int, *, lifting: bool = False, payloads: bool = True
    ) -> AsyncIterator[LiveRun]:
        """Give a run that stays in memory for the length of the block.

        ``lifting``: also one that is set aside; it goes on at the end of the block, from what that has told
        it. Without ``payloads`` it must have ended by then.

        Raises:
            RunNotFound: there is no such run.
            RunSetAside: it is not to be taken up.
        """
        self._pins[run_key] += 1
        try:
            live = self.live.get(run_key) or self._rested(run_key)
            if live is None:
                live = await self._loaded(run_key, lifting=lifting, payloads=payloads)
            yield live
            if live.is_lifted:
                await self.resume(live)
        finally:
            self._pins[run_key] -= 1
            if not self._pins[run_key]:
                del self._pins[run_key]
            if run_key in self.live:
                self.live[run_key].rest()

    async def resume(self, live: LiveRun, record: AuditRecord | None = None) -> None:
        """Let a run go on that was set aside; ``record`` is the audit row of the act."""
        live.is_lifted = False
        await self.children.catch_up(live, record)
        if live.state.state == "queued":  # nobody has lined it up so far
            self.spawn(self._wake(live.run_key), f"line up {live.run_key}")

    def _rested(self, run_key: int) -> LiveRun | None:
        live = self.resting.take(run_key)
        return None if live is None else self.adopt(live)

    async def _loaded(self, run_key: int, *, lifting: bool, payloads: bool) -> LiveRun:
        task = self._loading.get(run_key)
        if task is None:
            loading = self._load(run_key, lifting, payloads)
            task = self._loading[run_key] = asyncio.create_task(loading, name=f"load {run_key}")
            task.add_done_callback(lambda _: self._loading.pop(run_key, None))
        return await asyncio.shield(task)

    async def _load(self, run_key: int, lifting: bool, payloads: bool) -> LiveRun:
        row = await self._runs.get_by_key(run_key)
        if row is None:
            raise RunNotFound
        if is_lifted := self._lift(row.run_id, lifting):
            self._apart.discard(run_key)
        self.quarantine.begin_load(row.run_id)
        try:
            return await self._folded(row, is_lifted, payloads or not is_lifted)
        except BaseException:
            self.quarantine.end_load(row.run_id)  # it could not be taken up, and killed nobody
            raise

    def _lift(self, run_id: str, lifting: bool) -> bool:
        """Tell whether a run is set aside and is to be taken up all the same.

        Raises:
            RunSetAside: it is set aside.
        """
        if not self.quarantine.is_quarantined(run_id):
            return False
        if not lifting:
            raise RunSetAside(set_aside(run_id, self.quarantine.crashes(run_id)))
        self.quarantine.release(run_id)
        return True

    async def _folded(self, row: RunRow, is_lifted: bool, payloads: bool) -> LiveRun:
        run_key = row.run_key
        if run_key in self._refused:
            await self.journal.flush()  # what was appended before the refusal is a part of it
        graph = await self.catalog.graph(row.tenant, row.workflow_id, row.workflow_version)
        state = RunState(row.run_id, undoable=graph.undoable)
        if not payloads:  # but what the run was started with stands in the first
            for first in await self.journal.read(run_key, 0, 1):
                evolve(state, decode_event(first.type, first.data, first.payload))
        size = await self.journal.catch_up(run_key, state, payloads=payloads)
        if row.finished_at is not None and state.end is None:
            raise RunNotFound(f"No run {row.run_id}.")  # it is being removed
        parent = None if row.parent_run_id is None else await self._runs.get(row.parent_run_id)
        live = self.adopt(LiveRun(self, run_key, graph, state))  # others see it now, so it must be whole
        live.parent_key = None if parent is None else parent.run_key
        live.size, live.is_unproven, live.is_lifted = size, True, is_lifted
        if (refused := self._refused.pop(run_key, None)) is not None:
            live.mend(refused)
        if live.refusal is None and not is_lifted:
            self.turns.apply(live, Recovered())
        if live.refusal is not None:
            raise live.refusal
        return live

    def let_go(self, live: LiveRun) -> None:
        """Drop a run that is at rest; the agenda knows when it is due."""
        if self._pins[live.run_key] or self.live.get(live.run_key) is not live:
            return
        del self.live[live.run_key]
        if live.state.end is None and not live.held and not self.draining:
            self.resting.keep(live)
        due_at = live.next_due()
        if due_at is not None:
            if live.is_urgent:
                self._urgent[live.run_key] = due_at
            self.alarm.set(due_at)
        self._idle.set()

    def lose(self, live: LiveRun) -> None:
        """Drop a run whose commit failed: what is on disk is the truth, and a restart takes it up."""
        if self.live.get(live.run_key) is live:
            log.error(
                "run %s: its events could not be stored; it is taken up after a restart", live.state.run_id
            )
            self._drop(live)

    def refuse(self, error: Unstorable, turns: Sequence[Turn]) -> asyncio.Future[None]:
        """Drop runs whose events can never be stored, and take them up from what is on disk.

        The one that is to blame then fails what led to those events. Return the failed commit.
        """
        commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        commit.set_exception(error)
        commit.exception()  # heard: it is told here
        dropped = [turn for turn in turns if self.live.get(turn[0].run_key) is turn[0]]
        if (turn := blamed(error, dropped)) is not None:
            live, _, fact = turn
            self._refused[live.run_key] = refused(error, fact)
            log.error("run %s: %s", live.state.run_id, error.message, exc_info=error)
        for live, _, _ in dropped:
            self._drop(live)
        for live, _, _ in turns:
            live.was_refused(error, commit)
        self.spawn(self._take_up_again([turn[0].run_key for turn in dropped if is_stored(turn)]), "mend")
        return commit

    async def _take_up_again(self, run_keys: Sequence[int]) -> None:
        # First who is to blame: what is taken up after it finds that it has failed.
        for run_key in sorted(run_keys, key=lambda key: key not in self._refused):
            with suppress(RunNotFound, Unstorable):
                async with self.pinned(run_key):
                    pass

    def _drop(self, live: LiveRun) -> None:
        del self.live[live.run_key]
        self.admission.remove(live.run_key)
        live.abandon()
        live.release()
        self._idle.set()

    # --- what live runs share ------------------------------------------------------------------------------

    def attempt(
        self,
        kind: type[Attempt],
        graph: Graph,
        context: RunContext,
        values: Mapping[str, Json],
        deliver: Callable[[Attempt, Fact], None],
    ) -> Attempt:
        """Return an attempt of the code that the context's entry runs."""
        code = self.catalog.code(graph, context.address)
        if code is None:
            raise LookupError(f"no code for {context.address}")  # held back, so never opened
        pool = self._processes if _runs_apart(graph, context.address) else self.threads
        return kind(self.clock, pool, self.settings, context, code, values, deliver)

    def track_orphan(self, run_key: int, address: Address, orphan: asyncio.Future[Any]) -> None:
        """Remember what still runs of a body until it has ended."""
        key = (run_key, address)
        self.orphans[key] = orphan
        orphan.add_done_callback(lambda _: self.orphans.pop(key, None))

    # --- waking --------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take up what an ended process had in flight; then line up what was queued."""
        # Gathered, or the tenant that comes first in the file would come first, and who is queued before
        # those who were taken up: these ask for slots once what they do next is on disk.
        with self.slots.batching():
            await self._find_suspects()
            urgent = await self._agenda.urgent()
            await self._each([key for key in urgent if key not in self._apart], self._take_up)
            for live in list(self.live.values()):
                await live.durable()
            # A suspect too: it is no reason that others pass it.
            rows = [
                row for row in await self._runs.queued(ALL) if not self.quarantine.is_quarantined(row.run_id)
            ]
            queued = [(row.run_key, await self._admission_request(row)) for row in rows]
            await self.admission.prepare(wanted for _, wanted in queued)
            for run_key, wanted in queued:
                self.admission.enqueue(run_key, wanted)

    async def _find_suspects(self) -> None:
        for run_id in sorted(self.quarantine.suspected):
            row = await self._runs.get(run_id)
            if row is None or row.finished_at is not None:
                self.quarantine.release(run_id)
                self.quarantine.end_load(run_id)
                continue
            self._apart.add(row.run_key)
            if self.quarantine.is_quarantined(run_id):
                log.error("%s", set_aside(run_id, self.quarantine.crashes(run_id)))

    async def take_up_suspects(self) -> None:
        """Take up, one by one, the runs at whose taking-up a process has died: only the guilty dies again."""
        for run_key in sorted(self._apart):
            row = await self._runs.get_by_key(run_key)
            if row is not None and self.quarantine.is_quarantined(row.run_id):
                continue
            if row is not None:
                await self._take_up_apart(row)
            self._apart.discard(run_key)
            if row is not None and row.state == "queued":
                await self._each([run_key], self._wake)  # its time may have come meanwhile
            if run_key in self._withheld:
                self._withheld.discard(run_key)
                self._grant(run_key)

    async def _take_up_apart(self, row: RunRow) -> None:
        said = "taking up %s by itself: %s processes in a row have died at that"
        log.warning(said, row.run_id, self.quarantine.crashes(row.run_id))
        await self._each([row.run_key], self._take_up_suspect)
        if (live := self.live.get(row.run_key)) is not None:
            await live.proven.wait()

    async def _admission_request(self, run: RunRow | Origin) -> AdmissionRequest:
        graph = await self.catalog.graph(run.tenant, run.workflow_id, run.workflow_version)
        limits = graph.document.concurrency
        held = await self.children.held_by_ancestors(run) if limits else ()
        return AdmissionRequest(run.tenant, run.workflow_id, run.lane, limits, held)

    async def _each(self, run_keys: Sequence[int], act: Callable[[int], Any]) -> None:
        """Act on runs side by side; log what failed: the trouble of one is no other's.

        Raises:
            StorageUnavailable: that is everybody's trouble.
        """
        room = asyncio.Semaphore(LOADING)

        async def one(run_key: int) -> None:
            async with room:
                try:
                    await act(run_key)
                except RunNotFound:  # it ended and was removed since it was read
                    self.journal.remove_from_agenda(run_key)

        outcomes = await asyncio.gather(*(one(run_key) for run_key in run_keys), return_exceptions=True)
        for run_key, error in zip(run_keys, outcomes, strict=True):
            if isinstance(error, StorageUnavailable):
                raise error
            if error is not None and not isinstance(error, RunSetAside):  # which has been told
                log.error("the run with the key %s cannot be taken up", run_key, exc_info=error)

    async def _take_up(self, run_key: int) -> None:
        async with self.pinned(run_key) as live:
            live.was_urgent()
            reach("recovery")

    async def _take_up_suspect(self, run_key: int) -> None:
        async with self.pinned(run_key):
            reach("recovery")

    async def _wake_due(self, limit: int) -> int:
        now = self.clock.now()
        run_keys = await self._agenda.due(now, limit)
        urgent = [run_key for run_key, due_at in self._urgent.items() if due_at <= now]
        for run_key in urgent:
            del self._urgent[run_key]
        await self._each([*run_keys, *urgent], self._wake_or_postpone)
        return len(run_keys)

    async def _wake_or_postpone(self, run_key: int) -> None:
        try:
            await self._wake(run_key)
        except (RunNotFound, StorageUnavailable):
            raise
        except Exception:
            # At once: whoever takes the run up meanwhile writes its time after this, and not before.
            self.journal.append([RunAppend(run_key, "", (), self.clock.now() + SOME_TIME)])
            raise

    async def _next_due(self) -> int | None:
        stored = await self._agenda.next_due()
        return min((*self._urgent.values(), *(() if stored is None else (stored,))), default=None)

    async def _wake(self, run_key: int) -> None:
        if run_key in self._apart:
            raise RunSetAside
        async with self.pinned(run_key) as live:
            self.turns.apply(live, TimerDue())
            if live.state.state == "queued" and (live.origin.start_at or 0) <= self.clock.now():
                await self._line_up(run_key)
            await live.durable()

    def line_up(self, child: LiveRun) -> None:
        """Line up a child that has been appended and could not start at once; it is never refused."""
        if child.graph.document.concurrency:
            self.spawn(self._line_up(child.run_key), f"line up {child.run_key}")
        else:
            self.admission.enqueue(
                child.run_key, AdmissionRequest(child.origin.tenant, child.origin.workflow_id)
            )

    async def _line_up(self, run_key: int) -> None:
        """Line up a queued run; the agenda has nothing to say of its time from then on."""
        async with self.pinned(run_key) as live:
            wanted = await self._admission_request(live.origin)
            await self.admission.prepare([wanted])
            if live.state.state == "queued":  # nobody has cancelled it meanwhile
                self.admission.enqueue(run_key, wanted)
                if live.origin.start_at is not None:
                    live.was_lined_up()
                    await self.journal.append([RunAppend(run_key, live.state.run_id, (), None)])

    def _grant(self, run_key: int) -> None:
        if self.draining:
            return  # it stays queued, and the next process takes it up
        if run_key in self._apart:
            self._withheld.add(run_key)
            return
        self.spawn(self._start_queued(run_key), f"start {run_key}")

    async def _start_queued(self, run_key: int) -> None:
        used = False
        try:
            async with self.pinned(run_key) as live:
                if not live.has_slot and live.state.state == "queued":
                    live.has_slot = used = True
                    self.turns.apply(live, SlotGranted())
        except RunNotFound:
            log.info("run %s ended in the queue and was removed just as its turn came", run_key)
        finally:
            if not used:
                self.admission.remove(run_key)
                self.slots.release()

    def spawn(self, work: Any, name: str) -> asyncio.Task[Any]:
        """Run a task of the host's own; what it raises is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())

    def slots_of(self, tenant: str | None) -> int:
        """Return how many slots the runs of a tenant hold; None: of all."""
        if tenant is None:
            return self.slots.used
        return sum(live.has_slot and live.origin.tenant == tenant for live in self.live.values())

    def in_flight(self) -> list[Attempt]:
        """Return the attempts whose bodies have been called and have not returned."""
        return [attempt for live in self.live.values() for attempt in live.attempts]

    # --- the end -------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Leave all live runs as they are on disk."""
        for live in list(self.live.values()):
            live.abandon()
        self.live.clear()
        self.resting.clear()

    async def _put_back(self) -> None:
        """Close what is open and did not begin, so that the next process need not take it for begun."""
        await self._close_all(put_back)

    async def _close_all(self, close: Callable[[LiveRun], None]) -> None:
        with suppress(StorageUnavailable):
            for live in list(self.live.values()):
                close(live)
            for live in list(self.live.values()):
                await live.durable()

    async def drain(self, grace: float) -> None:
        """Open nothing new, let bodies finish within ``grace`` seconds, then leave them as they are."""
        self.draining = True
        reach("shutdown")
        self.resting.clear()
        self.alarm.close()
        expired = asyncio.create_task(sleep(self.clock, grace), name="grace")
        await self._put_back()
        while self.live and not expired.done():
            self._idle.clear()
            idle = asyncio.create_task(self._idle.wait(), name="idle")
            await asyncio.wait({idle, expired}, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
        expired.cancel()
        await self._put_back()  # what was about to begin as the end began
        await self._close_all(cut_off)
        self.abandon()
        tasks = [*self._tasks, *self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.threads.shutdown()
        self._processes.shutdown()


def set_aside(run_id: str, deaths: int) -> str:
    """Return why a run is not taken up, and what to do."""
    return (
        f"Run {run_id} is set aside, because {deaths} processes in a row have died as it was taken up: "
        "resume it, cancel it, or terminate it, which reads of its payloads only the input."
    )


def _runs_apart(graph: Graph, address: Address) -> bool:
    """Tell whether an entry's body wants a process of its own."""
    node = graph.nodes[address.node]
    return isinstance(node, Activity | Map) and node.executor == "process" and address.phase == "forward"
