"""The façade of the engine: what may be asked of runs. Thin; deciding is the core's, keeping the store's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from attrs import fields

from infraweave.authoring.decorators import Workflow
from infraweave.core import settle, signals
from infraweave.core.address import Address
from infraweave.core.codec import decode_event, dumps
from infraweave.core.events import Origin, StatusChanged
from infraweave.core.facts import Accepted, CancelAsked, Signalled, TerminateAsked
from infraweave.core.graph import Graph
from infraweave.core.schema import validator
from infraweave.core.state import RunState, fold
from infraweave.core.unwind import next_undo
from infraweave.core.values import Json, JsonObject
from infraweave.engine.builtins import Builtins
from infraweave.engine.catalog import Catalog
from infraweave.engine.clock import Clock, SystemClock, request_id, run_id, sleep
from infraweave.engine.ends import give_up
from infraweave.engine.hooks import Hooks
from infraweave.engine.host import Host
from infraweave.engine.live import LiveRun
from infraweave.engine.outbound import Guard
from infraweave.engine.requests import Delivered, Inspection, Started, StartRequest
from infraweave.engine.scheduler import Scheduler
from infraweave.errors import (
    Capacity,
    Draining,
    Fault,
    IdempotencyMismatch,
    InputInvalid,
    RunNotFound,
    StorageUnavailable,
)
from infraweave.settings import Settings
from infraweave.store.agenda import Agenda
from infraweave.store.database import Database
from infraweave.store.documents import Documents
from infraweave.store.journal import Journal
from infraweave.store.principals import FIRST_TENANT, Principals
from infraweave.store.runs import RunRow, Runs

T = TypeVar("T")


class Engine:
    """Starts, inspects, signals and cancels runs."""

    def __init__(
        self, db: Database, clock: Clock, settings: Settings, workflows: Sequence[Workflow] = ()
    ) -> None:
        self.db, self.clock, self.settings = db, clock, settings
        self.journal = Journal(db, partial(sleep, clock))
        self.runs, self.documents = Runs(db), Documents(db)
        self.principals = Principals(db)
        self.builtins = Builtins(clock, Guard(settings.allow_outbound))
        self.catalog = Catalog(self.documents, clock, self.builtins, workflows)
        self.host = Host(clock, settings, self.journal, Agenda(db), self.runs, self.catalog)
        self.scheduler = Scheduler(self)
        self.hooks = Hooks(self)
        self._starting: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._recovered = False
        self._drained = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | Path,
        workflows: Sequence[Workflow] = (),
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
    ) -> AsyncIterator[Engine]:
        """Serve a file for the length of the block; at its end, drain.

        Raises:
            StartupError: the file is in use, newer than this program, or not ours.
            DeclarationError: a workflow cannot be compiled.
            VersionConflict: a version that runs have used is loaded with another content.
        """
        clock, settings = clock or SystemClock(), settings or Settings()
        async with Database.open(path, now=clock.now(), readers=settings.readers) as db:
            engine = cls(db, clock, settings, workflows)
            try:
                await engine._begin()
                yield engine
            finally:
                await engine.drain()
                await engine.builtins.close()

    async def _begin(self) -> None:
        for tenant in {FIRST_TENANT, *await self.principals.tenants()}:
            await self.catalog.welcome(tenant)
        await self.host.recover()
        self.host.spawn(self.host.alarm.run(), "alarm")
        await self.scheduler.begin()
        self._recovered = True

    async def welcome(self, tenant: str) -> None:
        """Publish the loaded workflows to a tenant, unless it has them."""
        await self.catalog.welcome(tenant)

    # --- starting ------------------------------------------------------------------------------------------

    async def start(self, request: StartRequest) -> Started:
        """Start a run, or return the one that its idempotency key made.

        Raises:
            WorkflowNotFound, VersionNotFound: there is no such workflow or version.
            InputInvalid: the input does not match the schema.
            IdempotencyMismatch: the key came with another body.
            Capacity: the queue is full.
            Draining, StorageUnavailable: nothing can be stored now.
        """
        self._accepting()
        if request.idempotency_key is None:
            return Started(await self._start(request), replayed=False)
        return await self._start_once(request, (request.tenant, request.idempotency_key))

    async def _start_once(self, request: StartRequest, key: tuple[str, str]) -> Started:
        """Let simultaneous calls with one key pass one by one; the table's unique index stands behind."""
        while (other := self._starting.get(key)) is not None:
            await asyncio.shield(other)
        self._starting[key] = gate = asyncio.get_running_loop().create_future()
        try:
            row = await self.runs.by_idempotency_key(*key)
            if row is None:
                return Started(await self._start(request), replayed=False)
            if row.body_digest != request.body_digest:
                raise IdempotencyMismatch
            return Started(row, replayed=True)
        finally:
            del self._starting[key]
            gate.set_result(None)

    async def _start(self, request: StartRequest) -> RunRow:
        catalog = self.catalog
        await catalog.welcome(request.tenant)
        version = request.workflow_version or await catalog.active_version(
            request.tenant, request.workflow_id
        )
        graph = await catalog.graph(request.tenant, request.workflow_id, version)
        _check_input(graph, request.input)
        slot = self.host.slots.take()
        if not slot and self.host.slots.queued >= self.settings.max_queued:
            raise Capacity(headers={"Retry-After": "5"})
        live = LiveRun(self.host, self.journal.new_key(), graph, RunState(run_id(self.clock.now())))
        live.has_slot = slot
        self.host.adopt(live)
        commit = live.take(Accepted(origin=_origin(request, version), input=request.input, slot=slot))
        if not slot:  # before the commit: whoever waits for that may be cancelled, or be one of many at once
            self.host.slots.enqueue(request.tenant, live.run_key)
        if commit is not None:
            await commit
        return _row(live)

    def _accepting(self) -> None:
        if self.host.draining:
            raise Draining(headers={"Retry-After": "1"})

    # --- acting on a run -----------------------------------------------------------------------------------

    async def signal(
        self,
        run: RunRow,
        name: str,
        request_id_: str | None,
        payload: Json,
        *,
        by: str,
        link: str | None = None,
    ) -> Delivered:
        """Deliver a signal.

        Raises:
            SignalConflict, SignalNotFound, RunFinished, RunStopping, PayloadInvalid: see ``signals.admit``.
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry the payload.
        """
        self._accepting()
        dumps([payload, request_id_, by, link])
        async with self.host.pinned(run.run_key) as live:
            request = request_id_ or request_id(self.clock.now())
            fresh = signals.admit(live.graph, live.state, name, request, payload, _faults)
            if fresh:
                live.take(Signalled(name=name, request_id=request, payload=payload, by=by, link=link))
            await live.durable()
        return Delivered(request, duplicate=not fresh)

    async def cancel(
        self, run: RunRow, *, by: str, reason: str | None = None, link: str | None = None
    ) -> bool:
        """Ask a run to stop; return False where it had ended, which changes nothing.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry the reason.
        """
        return await self._stop(run, CancelAsked(by=by, reason=reason, link=link))

    async def terminate(
        self, run: RunRow, *, by: str, reason: str | None = None, link: str | None = None
    ) -> bool:
        """End a run at once, without clean-up; return False where it had ended.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry the reason.
        """
        return await self._stop(run, TerminateAsked(by=by, reason=reason, link=link))

    async def _stop(self, run: RunRow, fact: CancelAsked | TerminateAsked) -> bool:
        self._accepting()
        dumps([fact.by, fact.reason, fact.link])
        async with AsyncExitStack() as stack:
            if isinstance(fact, TerminateAsked):  # at once, so with all that it started
                live, *children = await self.host.children.family(stack, run.run_key)
            else:
                live, children = await stack.enter_async_context(self.host.pinned(run.run_key)), []
            is_open = live.state.end is None
            if is_open:
                live.take(fact, *((child, fact) for child in children))
            await live.durable()
        for stopped in (live, *children):
            self.host.slots.forget(stopped.run_key)
        return is_open

    # --- looking -------------------------------------------------------------------------------------------

    async def inspect(self, run: RunRow) -> Inspection:
        """Return what the stored events of a run say.

        Raises:
            RunNotFound: it is gone.
        """
        events = await self.journal.load(run.run_key, payloads=False)
        first = await self.journal.read(run.run_key, 0, 1)
        if not events or not first:
            raise RunNotFound
        state = fold(run.run_id, events)
        opening = decode_event(first[0].type, first[0].data, first[0].payload)
        given = opening.input if isinstance(opening, StatusChanged) else None
        graph = await self.catalog.graph(run.tenant, run.workflow_id, run.workflow_version)
        return Inspection(state=state, graph=graph, blocked=self._blocked(graph, state), input=given)

    def _blocked(self, graph: Graph, state: RunState) -> list[str]:
        if state.end is not None or state.state == "queued":
            return []
        late = [e.address for e in state.entries.values() if e.status == "backoff" or e.address in state.maps]
        addresses = [*_openable(graph, state), *late]
        return sorted({a.node for a in addresses if self.catalog.lacks_code(graph, a)})

    async def wait_end(self, run_key: int, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - own clock
        """Wait until a run has ended; return False where ``timeout`` seconds or a shutdown came before."""
        waiter = self.host.ends.wait(run_key)
        timer = None if timeout is None else self.clock.call_later(timeout, partial(give_up, waiter))
        try:
            live = self.host.live.get(run_key)
            may_have_ended = live is None or live.state.end is not None
            if may_have_ended and (await self.journal.head(run_key)).terminal:
                return True
            return await waiter
        finally:
            self.host.ends.forget(run_key, waiter)
            if timer is not None:
                timer.cancel()

    async def unless_drained(self, wait: Coroutine[Any, Any, T]) -> T | None:
        """Return what ``wait`` returns, or None as soon as a shutdown begins."""
        task = asyncio.create_task(wait)
        drained = asyncio.create_task(self._drained.wait())
        try:
            await asyncio.wait({task, drained}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            drained.cancel()

    async def ready(self) -> str | None:
        """Return None when requests can be served, else why not."""
        if self.host.draining:
            return "draining"
        if not self._recovered:
            return "recovering"
        try:
            await self.db.ping()
        except StorageUnavailable:
            return "storage_unavailable"
        return None

    # --- the end -------------------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """True once the server is shutting down."""
        return self.host.draining

    async def drained(self) -> None:
        """Wait until a shutdown begins: long answers end then."""
        await self._drained.wait()

    def begin_drain(self) -> None:
        """Stop accepting, and let long answers end."""
        self.host.draining = True
        self.scheduler.close()
        self.host.ends.close()
        self._drained.set()

    async def drain(self) -> None:
        """Shut down: bodies may finish within the grace period; what is durable stays."""
        self.begin_drain()
        await self.host.drain(self.settings.grace)


def _openable(graph: Graph, state: RunState) -> list[Address]:
    """Return what would open next, if nothing held it back."""
    if state.stopping is None:
        return [Address(name) for name in settle.all_ready(graph, state)]
    undo = None if state.entries else next_undo(graph, state)
    return [] if undo is None else [undo]


def _faults(schema: JsonObject, value: Json) -> list[Fault]:
    return validator(schema).faults(value)


def _check_input(graph: Graph, value: Json) -> None:
    faults = graph.input_validator.faults(value)
    if faults:
        first = f"{faults[0].path or '/'} {faults[0].message}"
        raise InputInvalid(
            f"The input does not match the schema of {graph.document.workflow_id}: {first}",
            details=faults,
        )


#: What the index takes from a run's origin as it is.
_ORIGIN = tuple({field.name for field in fields(Origin)} & {field.name for field in fields(RunRow)})


def _row(live: LiveRun) -> RunRow:
    """Return what the index holds of a run that was just started, without reading it back."""
    state, origin = live.state, live.origin
    return RunRow(
        run_key=live.run_key,
        run_id=state.run_id,
        state="queued" if state.started_at is None else "running",
        created_at=state.created_at,
        started_at=state.started_at,
        finished_at=None,
        cancel_requested=False,
        forced=False,
        error=None,
        tokens=0,
        cost_micro_usd=0,
        **{name: getattr(origin, name) for name in _ORIGIN},
    )


def _origin(request: StartRequest, version: str) -> Origin:
    trace = request.trace
    return Origin(
        workflow_id=request.workflow_id,
        workflow_version=version,
        trigger=request.trigger,
        tenant=request.tenant,
        by=request.by,
        tags=request.tags,
        trace_id=trace.trace_id,
        parent_span_id=trace.parent_span_id,
        trace_flags=trace.flags,
        tracestate=trace.tracestate,
        idempotency_key=request.idempotency_key,
        body_digest=request.body_digest,
    )
