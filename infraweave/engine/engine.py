"""The engine: composes its parts, opens them and shuts them down. ``service`` acts on runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from infraweave.authoring.decorators import Workflow
from infraweave.core.access import EVERY_GRANT, FIRST_PRINCIPAL, FIRST_TENANT
from infraweave.engine.access.audit_buffer import AuditBuffer
from infraweave.engine.access.revocation import RevocationWatch
from infraweave.engine.access.sign_in_codes import SignInCodes
from infraweave.engine.admission.admission import AdmissionControl
from infraweave.engine.admission.slots import Slots
from infraweave.engine.admission.start_priority import StartPriority
from infraweave.engine.catalog import Catalog, CodeOverride
from infraweave.engine.clock import Clock, SystemClock, sleep, ulid
from infraweave.engine.clock_trust import ClockTrust
from infraweave.engine.execution.builtins import Builtins
from infraweave.engine.execution.compute_pool import ComputePool
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.loop_watch import LoopWatch
from infraweave.engine.retention import Sweeper
from infraweave.engine.runs.children import Children
from infraweave.engine.runs.completion import CompletionWaiters
from infraweave.engine.runs.inspection import InspectionCache
from infraweave.engine.runs.live_run import RunCallbacks
from infraweave.engine.runs.queued_runs import QueuedRuns
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.reruns import Reruns
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.service import RunService
from infraweave.engine.runs.shutdown import drain
from infraweave.engine.runs.starts import Starts
from infraweave.engine.runs.suspects import Suspects
from infraweave.engine.runs.tasks import BackgroundTasks
from infraweave.engine.runs.turns import Turns
from infraweave.engine.runs.wakeups import Wakeups
from infraweave.engine.runs.workers import Workers
from infraweave.engine.triggers.scheduler import Scheduler
from infraweave.engine.triggers.webhooks import WebhookService
from infraweave.errors import StorageUnavailable
from infraweave.forks import detach_children_from_loop
from infraweave.settings import Settings
from infraweave.store.admin import Admin
from infraweave.store.agenda import Agenda
from infraweave.store.changes import RunChangeFeed
from infraweave.store.clock_trust import ClockStore
from infraweave.store.documents import Documents
from infraweave.store.journal import Journal
from infraweave.store.load_quarantine import LoadQuarantine
from infraweave.store.principals import NewTokenRow, Principals
from infraweave.store.runs import Runs
from infraweave.store.schedules import Schedules
from infraweave.store.sqlite.database import Database
from infraweave.store.webhooks import Webhooks

T = TypeVar("T")


class Engine:
    """The parts of one engine, and their lifetime."""

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
        self._compose_runs()
        self.scheduler = Scheduler(
            self.service, Schedules(db), self.runs, spawn=self.tasks.spawn, enabled=settings.schedules
        )
        self.webhooks = WebhookService(self.service, Webhooks(db), self.runs)
        self.loop_watch = LoopWatch(clock, settings.slow_body if isinstance(clock, SystemClock) else 0)
        self.sweeper = Sweeper(db, clock, self.clock_trust, settings)
        self._recovered = False
        self._drained = asyncio.Event()

    def _compose_runs(self) -> None:
        """Make the registry of runs and all around it, up to the service."""
        clock, settings = self.clock, self.settings
        self.tasks, self.workers = BackgroundTasks(), Workers(clock, settings, self.catalog)
        self.slots = Slots(settings.max_running, lambda run_key: self.queued.grant(run_key))  # noqa: PLW0108
        self.admission = AdmissionControl(
            self.slots, settings, self.runs.count_started, lambda: self.catalog.tenants
        )
        self.resources = RunResources(
            clock,
            self.catalog,
            self.slots,
            self.admission,
            self.workers,
            self.quarantine,
            self.tasks,
            CompletionWaiters(),
            StartPriority(),
        )
        self.suspects = Suspects(self.quarantine, self.runs)
        self.registry = RunRegistry(self.resources, self.suspects, self.journal, self.runs)
        self.children = Children(self.resources, self.registry, self.schema_checker, self.runs)
        self.queued = QueuedRuns(self.resources, self.registry, self.children, self.suspects, self.journal)
        self.turns = Turns(self.journal, self.tasks, self.registry, self.children, self.queued)
        self.wakeups = Wakeups(
            self.resources,
            self.registry,
            self.queued,
            self.turns,
            self.suspects,
            Agenda(self.db),
            self.journal,
            self.runs,
        )
        callbacks = RunCallbacks(
            apply=self.turns.apply,
            apply_results=self.turns.apply_results,
            unload=self.registry.unload,
            resolve_child=self.children.find,
            cancel_child=self.children.cancel,
        )
        self.registry.connect(callbacks, self.wakeups.unloaded, self.wakeups.resume)
        self.service = self._run_service()

    def _run_service(self) -> RunService:
        return RunService(
            self.clock,
            self.resources,
            self.registry,
            self.turns,
            self.children,
            self.wakeups,
            self.suspects,
            self.runs,
            self.schema_checker,
            Starts(self.resources, self.registry, self.turns, self.schema_checker, self.journal, self.runs),
            Reruns(self.journal, self.catalog, self.schema_checker),
            InspectionCache(self.journal, self.catalog),
        )

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
            VersionConflict: a version that runs have used is loaded with different content.
        """
        clock, settings = clock or SystemClock(), settings or Settings()
        opening = Database.open(path, now=clock.now(), readers=settings.readers, patient=True)
        with detach_children_from_loop():
            async with opening as db:
                engine = cls(db, clock, settings, workflows, code_override)
                try:
                    await engine._begin()
                    yield engine
                finally:
                    await engine.drain()
                    await engine.changes.close()
                    await engine.builtins.http.close()
                    await engine.compute_pool.close()
                    await engine.audit_buffer.close()
                    engine.quarantine.close()

    async def _begin(self) -> None:
        await self.clock_trust.start()
        for tenant in {FIRST_TENANT, *await self.principals.tenants()}:
            await self.catalog.publish_loaded(tenant)
        await self.wakeups.recover()
        self.tasks.spawn(self.wakeups.alarm.run(), "alarm")
        await self.scheduler.begin()
        self.documents.listeners.append(self.scheduler.refresh)
        self.tasks.spawn(self.sweeper.run(), "retention")
        self.tasks.spawn(self.wakeups.load_suspects(), "suspects")
        self._recovered = True

    async def create_admin_token(self, token_hash: bytes) -> str:
        """Make a token of the first tenant's principal, who may do everything; return its id."""
        now = self.clock.now()
        token = NewTokenRow(token_id=f"tok_{ulid(now)}", token_hash=token_hash)
        await self.principals.create_token(FIRST_TENANT, FIRST_PRINCIPAL, EVERY_GRANT, token, now)
        return token.token_id

    async def dismiss(self, token_id: str) -> None:
        """Revoke a token."""
        await self.principals.revoke(token_id, self.clock.now())

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
        if self.resources.draining:
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
        return self.resources.draining

    async def drained(self) -> None:
        """Wait until a shutdown begins: long answers end then."""
        await self._drained.wait()

    def begin_drain(self) -> None:
        """Stop accepting, and let long answers end."""
        self.resources.draining = True
        self.db.stop_waiting()
        self.scheduler.close()
        self.resources.completion.close()
        self._drained.set()

    def abandon(self) -> None:
        """Let go of all runs as a killed process would: nothing more of them is decided, stored or called."""
        self.begin_drain()
        self.registry.drop_all()

    async def drain(self) -> None:
        """Shut down: bodies may finish within the grace period; what is durable stays."""
        self.begin_drain()
        await drain(self.resources, self.registry, self.wakeups, self.settings.grace)
