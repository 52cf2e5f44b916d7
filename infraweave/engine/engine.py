"""The façade of the engine: what may be asked of runs. Thin; deciding is the core's, keeping the store's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve

from infraweave.authoring.decorators import Workflow
from infraweave.core.access import EVERY_GRANT, FIRST_PRINCIPAL, FIRST_TENANT
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.json_schema import validator
from infraweave.core.data.values import Json, rfc3339
from infraweave.core.run import signals
from infraweave.core.run.events import State
from infraweave.core.run.explain import Explanation, explain
from infraweave.core.run.facts import CancelRequested, SignalAccepted, TerminateRequested
from infraweave.core.workflow.document import signal_schemas
from infraweave.engine.access.audit_buffer import AuditBuffer
from infraweave.engine.access.revocation import RevocationWatch
from infraweave.engine.access.sign_in_codes import SignInCodes
from infraweave.engine.catalog import Catalog, CodeOverride
from infraweave.engine.clock import Clock, SystemClock, request_id, sleep, ulid
from infraweave.engine.clock_trust import ClockTrust
from infraweave.engine.execution.builtins import Builtins
from infraweave.engine.execution.compute_pool import ComputePool
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.loop_watch import LoopWatch
from infraweave.engine.retention import Sweeper
from infraweave.engine.runs.completion import give_up
from infraweave.engine.runs.inspection import Looks
from infraweave.engine.runs.not_started import unbegun
from infraweave.engine.runs.registry import Host, set_aside
from infraweave.engine.runs.requests import (
    Delivered,
    Inspection,
    PlannedRerun,
    RerunWish,
    Started,
    StartRequest,
)
from infraweave.engine.runs.reruns import Reruns
from infraweave.engine.runs.starts import Starts
from infraweave.engine.triggers.scheduler import Scheduler
from infraweave.engine.triggers.webhooks import WebhookService
from infraweave.errors import Draining, RequestError, StorageUnavailable
from infraweave.forks import loop_stays_here
from infraweave.settings import Settings
from infraweave.store.admin import Admin
from infraweave.store.agenda import Agenda
from infraweave.store.changes import RunChangeFeed
from infraweave.store.clock_trust import ClockStore
from infraweave.store.documents import Documents
from infraweave.store.journal import Journal
from infraweave.store.load_quarantine import LoadQuarantine
from infraweave.store.principals import NewTokenRow, Principals
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database

T = TypeVar("T")


class Engine:
    """Starts, inspects, signals and cancels runs."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        settings: Settings,
        workflows: Sequence[Workflow] = (),
        code_override: CodeOverride | None = None,
    ) -> None:
        self.db, self.clock, self.settings = db, clock, settings
        pause = partial(sleep, clock)
        self.journal, self.changes = Journal(db, pause), RunChangeFeed(db, pause)
        self.runs, self.documents = Runs(db), Documents(db)
        self.principals, self.admin, self.audit = Principals(db), Admin(db), self.journal.audit
        self.clock_trust = ClockTrust(ClockStore(db), clock, settings)
        self.audit_buffer = AuditBuffer(self.audit, self.principals, self.clock_trust, clock, settings)
        self.revocation, self.sign_in = RevocationWatch(clock), SignInCodes(clock, self.principals)
        self.compute_pool = ComputePool()
        self.schema_checker = SchemaChecker(self.compute_pool)
        self.builtins = Builtins(clock, settings, self.compute_pool)
        self.catalog = Catalog(self.documents, clock, self.builtins, workflows, code_override)
        self.quarantine = LoadQuarantine(db.path)
        self.host = Host(
            clock,
            settings,
            self.journal,
            Agenda(db),
            self.runs,
            self.catalog,
            self.schema_checker,
            self.quarantine,
        )
        self._starts = Starts(self.host, self.catalog, self.runs)
        self._reruns = Reruns(self.journal, self.catalog, self.schema_checker)
        self._looks = Looks(self.journal, self.catalog)
        self.scheduler = Scheduler(self)
        self.webhooks = WebhookService(self)
        self.loop_watch = LoopWatch(clock, settings.slow_body if isinstance(clock, SystemClock) else 0)
        self.sweeper = Sweeper(db, clock, self.clock_trust, settings)
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
        code_override: CodeOverride | None = None,
    ) -> AsyncIterator[Engine]:
        """Serve a file for the length of the block, then drain. ``code_override`` replaces code of nodes.

        Raises:
            StartupError: the file is in use, newer than this program, or not ours.
            DeclarationError: a workflow cannot be compiled.
            VersionConflict: a version that runs have used is loaded with another content.
        """
        clock, settings = clock or SystemClock(), settings or Settings()
        opening = Database.open(path, now=clock.now(), readers=settings.readers, patient=True)
        with loop_stays_here():
            async with opening as db:
                engine = cls(db, clock, settings, workflows, code_override)
                try:
                    await engine._begin()
                    yield engine
                finally:
                    await engine.drain()
                    await engine.changes.close()
                    await engine.builtins.close()
                    await engine.compute_pool.close()
                    await engine.audit_buffer.close()
                    engine.quarantine.close()

    async def _begin(self) -> None:
        await self.clock_trust.begin()
        for tenant in {FIRST_TENANT, *await self.principals.tenants()}:
            await self.catalog.publish_loaded(tenant)
        await self.host.recover()
        self.host.spawn(self.host.alarm.run(), "alarm")
        await self.scheduler.begin()
        self.host.spawn(self.sweeper.run(), "retention")
        self.host.spawn(self.host.take_up_suspects(), "suspects")
        self._recovered = True

    async def admit(self, token_hash: bytes) -> str:
        """Make a token of the first tenant's principal, who may do everything; return its id."""
        now = self.clock.now()
        token = NewTokenRow(token_id=f"tok_{ulid(now)}", token_hash=token_hash)
        await self.principals.create_token(FIRST_TENANT, FIRST_PRINCIPAL, EVERY_GRANT, token, now)
        return token.token_id

    async def dismiss(self, token_id: str) -> None:
        """Revoke a token."""
        await self.principals.revoke(token_id, self.clock.now())

    # --- starting ------------------------------------------------------------------------------------------

    async def start(self, request: StartRequest) -> Started:
        """Start a run, or return the one that its idempotency key made.

        Raises:
            WorkflowNotFound, VersionNotFound: there is no such workflow or version.
            InputInvalid: the input does not match the schema, or has nothing for the concurrency key.
            IdempotencyMismatch: the key came with another body.
            Capacity: the queue is full, or a limit of the workflow that refuses.
            Draining, StorageUnavailable: nothing can be stored now.
        """
        self._accepting()
        return await self._starts.one(request)

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Started | RequestError]:
        """Start runs in one transaction; tell in order what became of each, refusals as the error.

        Two requests with one idempotency key make one run. A request that is refused holds up no other.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry one of the requests; none was started.
        """
        self._accepting()
        return await self._starts.many(requests)

    async def plan_rerun(self, run: RunRow, wish: RerunWish) -> PlannedRerun:
        """Return what a rerun would keep and run anew; see ``Reruns.plan`` for what it raises."""
        return await self._reruns.plan(run, wish)

    async def rerun(self, run: RunRow, wish: RerunWish, request: StartRequest) -> Started:
        """Start another run of a finished one, which keeps results of it as ``plan_rerun`` says.

        ``request`` says who asks, with which key and trace; workflow, version and input come from the run.

        Raises:
            What ``plan_rerun`` and ``start`` raise.
        """
        self._accepting()
        planned = await self._reruns.plan(run, wish)
        again = evolve(
            request,
            workflow_version=planned.version,
            input=planned.input,
            tags=run.tags,
            rerun_of=run.run_id,
            reused=planned.reused,
        )
        return await self._starts.one(again)

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
        record: AuditRecord | None = None,
    ) -> Delivered:
        """Deliver a signal.

        Raises:
            SignalConflict, SignalNotFound, RunFinished, RunStopping, PayloadInvalid: see ``check_signal``.
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry the payload.
        """
        self._accepting()
        dumps([payload, request_id_, by, link])
        async with self.host.pinned(run.run_key) as live:
            request = request_id_ or request_id(self.clock.now())
            schema = signal_schemas(live.graph.document).get(name)
            # Found before it is decided, for that may take a while, and nothing may come in between.
            faults = [] if schema is None else await self.schema_checker.faults(validator(schema), payload)
            try:
                fresh = signals.check_signal(live.graph, live.state, name, request, payload, faults)
            except RequestError:
                await live.durable()  # a refusal too tells of what must not be lost
                raise
            if fresh:
                fact = SignalAccepted(name=name, request_id=request, payload=payload, by=by, link=link)
                self.host.turns.apply(live, fact, record=record)
            await live.durable()
        return Delivered(request, duplicate=not fresh)

    async def cancel(
        self,
        run: RunRow,
        *,
        by: str,
        reason: str | None = None,
        link: str | None = None,
        record: AuditRecord | None = None,
    ) -> bool:
        """Ask a run to stop; return False where it had ended, which changes nothing.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry the reason.
        """
        return await self._stop(run, CancelRequested(by=by, reason=reason, link=link), record)

    async def terminate(
        self,
        run: RunRow,
        *,
        by: str,
        reason: str | None = None,
        link: str | None = None,
        record: AuditRecord | None = None,
    ) -> bool:
        """End a run at once, without clean-up; return False where it had ended.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot carry the reason.
        """
        return await self._stop(run, TerminateRequested(by=by, reason=reason, link=link), record)

    async def resume(self, run: RunRow, record: AuditRecord | None = None) -> bool:
        """Let a run go on that is set aside; return False where it was not, which changes nothing.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
        """
        self._accepting()
        if not self.quarantine.is_quarantined(run.run_id):
            return False
        async with self.host.pinned(run.run_key, lifting=True) as live:
            if live.is_lifted:
                await self.host.resume(live, record)
            await live.durable()
        return True

    async def _stop(
        self, run: RunRow, fact: CancelRequested | TerminateRequested, record: AuditRecord | None
    ) -> bool:
        self._accepting()
        dumps([fact.by, fact.reason, fact.link])
        async with AsyncExitStack() as stack:
            if isinstance(fact, TerminateRequested):  # at once, so with all that it started
                live, *children = await self.host.children.pin_descendants(stack, run.run_key)
            else:
                pinned = self.host.pinned(run.run_key, lifting=True)
                live, children = await stack.enter_async_context(pinned), []
            is_open = live.state.end is None
            if is_open:
                self.host.turns.apply(live, fact, *((child, fact) for child in children), record=record)
            await live.durable()
        return is_open

    # --- looking -------------------------------------------------------------------------------------------

    async def inspect(self, run: RunRow) -> Inspection:
        """Return what the stored events of a run say. Read it at once: its state goes on with the next look.

        Raises:
            RunNotFound: it is gone.
        """
        return await self._looks.at(run)

    async def explain(self, run: RunRow) -> tuple[State, Explanation]:
        """Return a run's state, and in one sentence why it is not moving.

        Raises:
            RunNotFound: it is gone.
        """
        seen = await self.inspect(run)
        if seen.state.end is None and self.quarantine.is_quarantined(run.run_id):
            why = set_aside(run.run_id, self.quarantine.crashes(run.run_id))
            return seen.state.state, Explanation(False, why)
        start_at, now = seen.origin.start_at, self.clock.now()
        queued = self.host.admission.reason(run.run_key) or "its turn has come"
        if start_at is not None and start_at > now:
            queued = f"it is not to start before {rfc3339(start_at)}"
        live = self.host.live.get(run.run_key)
        waiting = {} if live is None else unbegun(live)
        told = explain(seen.graph, seen.state, now, blocked=seen.blocked, queued=queued, not_started=waiting)
        return seen.state.state, told

    async def wait_end(self, run_key: int, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - own clock
        """Wait until a run has ended; return False where ``timeout`` seconds or a shutdown came before."""
        waiter = self.host.ends.wait(run_key)
        timer = None if timeout is None else self.clock.call_later(timeout, partial(give_up, waiter))
        try:
            live = self.host.live.get(run_key)
            may_have_ended = live is None or live.state.end is not None
            if may_have_ended and await self._is_over(run_key):
                return True
            return await waiter
        finally:
            self.host.ends.forget(run_key, waiter)
            if timer is not None:
                timer.cancel()

    async def _is_over(self, run_key: int) -> bool:
        row = await self.runs.get_by_key(run_key)
        return row is None or row.finished_at is not None

    async def unless_drained(self, wait: Coroutine[Any, Any, T], *ends: asyncio.Future[Any]) -> T | None:
        """Return what ``wait`` returns, or None as soon as a shutdown begins, or one of ``ends`` is done."""
        task = asyncio.create_task(wait)
        drained = asyncio.create_task(self._drained.wait())
        try:
            await asyncio.wait({task, drained, *ends}, return_when=asyncio.FIRST_COMPLETED)
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
            self.db.stall.raise_if_stalled()  # or pings would gather
            await self.db.stall.run_until_stalled(self.db.ping())
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
        self.db.stop_waiting()
        self.scheduler.close()
        self.host.ends.close()
        self._drained.set()

    def abandon(self) -> None:
        """Let go of all runs as a killed process would: nothing more of them is decided, stored or called."""
        self.begin_drain()
        self.host.abandon()

    async def drain(self) -> None:
        """Shut down: bodies may finish within the grace period; what is durable stays."""
        self.begin_drain()
        await self.host.drain(self.settings.grace)
