"""The operations on runs, for the API, the scheduler, the webhooks and embedding programs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from attrs import evolve

from infraweave.core.data.json_codec import dumps
from infraweave.core.data.json_schema import validator
from infraweave.core.data.values import Json, rfc3339
from infraweave.core.records import frozen
from infraweave.core.run import signals
from infraweave.core.run.events import State
from infraweave.core.run.explain import Explanation, explain
from infraweave.core.run.facts import CancelRequested, SignalAccepted, TerminateRequested
from infraweave.core.workflow.document import signal_schemas
from infraweave.engine.clock import Clock, request_id
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.runs.children import Children
from infraweave.engine.runs.completion import expire
from infraweave.engine.runs.inspection import InspectionCache
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.requests import (
    Delivered,
    Inspection,
    PlannedRerun,
    RerunWish,
    Started,
    StartRequest,
)
from infraweave.engine.runs.reruns import Reruns
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.starts import Starts
from infraweave.engine.runs.suspects import Suspects
from infraweave.engine.runs.turns import Turns
from infraweave.engine.runs.wakeups import Wakeups
from infraweave.errors import Draining, RequestError
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord


@frozen(eq=False)
class RunService:
    """Starts, inspects, signals and cancels runs."""

    clock: Clock
    _resources: RunResources
    _registry: RunRegistry
    _turns: Turns
    _children: Children
    _wakeups: Wakeups
    _suspects: Suspects
    _runs: Runs
    _schema_checker: SchemaChecker
    _starts: Starts
    _reruns: Reruns
    _inspections: InspectionCache

    def check_accepting(self) -> None:
        """Refuse everything new while the server is shutting down.

        Raises:
            Draining: the server is shutting down.
        """
        if self._resources.draining:
            raise Draining(headers={"Retry-After": "1"})

    # --- starting ------------------------------------------------------------------------------------------

    async def start(self, request: StartRequest) -> Started:
        """Start a run, or return the one that its idempotency key started.

        Raises:
            WorkflowNotFound, VersionNotFound: there is no such workflow or version.
            InputInvalid: the input does not match the schema, or lacks the value of the concurrency key.
            IdempotencyMismatch: the key was used with another body.
            Capacity: the queue is full, or a limit of the workflow is reached.
            Draining, StorageUnavailable: nothing can be stored now.
        """
        self.check_accepting()
        return await self._starts.start_one(request)

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Started | RequestError]:
        """Start runs in one transaction; return a run or an error for each, in order.

        Two requests with the same idempotency key start one run. A refused request does not affect others.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot represent one of the requests; no run was started.
        """
        self.check_accepting()
        return await self._starts.start_many(requests)

    async def check_input(self, tenant: str, workflow_id: str, value: Json) -> None:
        """Check an input against the schema of a workflow's active version.

        Raises:
            WorkflowNotFound: there is no such workflow.
            InputInvalid: the input does not match.
        """
        version = await self._resources.catalog.active_version(tenant, workflow_id)
        graph = await self._resources.catalog.graph(tenant, workflow_id, version)
        await self._schema_checker.validated_input(graph, value)

    async def missing_code(self, tenant: str, workflow_id: str) -> list[str]:
        """Return the nodes of a workflow's active version that no loaded file has code for.

        Raises:
            WorkflowNotFound: there is no such workflow.
        """
        version = await self._resources.catalog.active_version(tenant, workflow_id)
        graph = await self._resources.catalog.graph(tenant, workflow_id, version)
        return self._resources.catalog.unresolved(graph.document)

    async def plan_rerun(self, run: RunRow, wish: RerunWish) -> PlannedRerun:
        """Plan a rerun. For errors see ``Reruns.plan``."""
        return await self._reruns.plan(run, wish)

    async def rerun(self, run: RunRow, wish: RerunWish, request: StartRequest) -> Started:
        """Start a rerun of a finished run. It keeps the results that ``plan_rerun`` names.

        ``request`` has the caller, the key and the trace; workflow, version and input come from ``run``.

        Raises:
            RequestError: see ``plan_rerun`` and ``start``.
        """
        self.check_accepting()
        planned = await self._reruns.plan(run, wish)
        again = evolve(
            request,
            workflow_version=planned.version,
            input=planned.input,
            tags=run.tags,
            rerun_of=run.run_id,
            reused=planned.reused,
        )
        return await self._starts.start_one(again)

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
            TypeError: JSON cannot represent the payload.
        """
        self.check_accepting()
        dumps([payload, request_id_, by, link])
        async with self._registry.pinned(run.run_key) as live:
            request = request_id_ or request_id(self.clock.now())
            schema = signal_schemas(live.graph.document).get(name)
            # This may take a while, so it comes first: nothing may change from check_signal to the decision.
            faults = [] if schema is None else await self._schema_checker.faults(validator(schema), payload)
            try:
                fresh = signals.check_signal(live.graph, live.state, name, request, payload, faults)
            except RequestError:
                await live.durable()  # a refusal reveals the state, so that must be on disk too
                raise
            if fresh:
                fact = SignalAccepted(name=name, request_id=request, payload=payload, by=by, link=link)
                self._turns.apply(live, fact, record=record)
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
        """Cancel a run. Return False, and change nothing, if it has ended.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot represent the reason.
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
        """End a run at once, without clean-up. Return False if it had ended.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
            TypeError: JSON cannot represent the reason.
        """
        return await self._stop(run, TerminateRequested(by=by, reason=reason, link=link), record)

    async def resume(self, run: RunRow, record: AuditRecord | None = None) -> bool:
        """Resume a run that was set aside. Return False, and change nothing, if it was not.

        Raises:
            Draining, StorageUnavailable: nothing can be stored now.
        """
        self.check_accepting()
        if not self._resources.quarantine.is_quarantined(run.run_id):
            return False
        async with self._registry.pinned(run.run_key, resuming=True) as live:
            if live.is_set_aside:
                await self._wakeups.resume(live, record)
            await live.durable()
        return True

    async def _stop(
        self, run: RunRow, fact: CancelRequested | TerminateRequested, record: AuditRecord | None
    ) -> bool:
        self.check_accepting()
        dumps([fact.by, fact.reason, fact.link])
        async with AsyncExitStack() as stack:
            if isinstance(fact, TerminateRequested):  # without a pause, so together with all descendants
                live, *children = await self._children.pin_descendants(stack, run.run_key)
            else:
                pinned = self._registry.pinned(run.run_key, resuming=True)
                live, children = await stack.enter_async_context(pinned), []
            is_open = live.state.end is None
            if is_open:
                self._turns.apply(live, fact, *((child, fact) for child in children), record=record)
            await live.durable()
        return is_open

    # --- looking -------------------------------------------------------------------------------------------

    async def inspect(self, run: RunRow) -> Inspection:
        """Return the state of a run on disk. Read it at once, because the next call changes it.

        Raises:
            RunNotFound: the run is gone.
        """
        return await self._inspections.inspect(run)

    async def explain(self, run: RunRow) -> tuple[State, Explanation]:
        """Return a run's state, and a sentence that explains what it waits for.

        Raises:
            RunNotFound: the run is gone.
        """
        seen = await self.inspect(run)
        if seen.state.end is None and self._resources.quarantine.is_quarantined(run.run_id):
            why = self._suspects.why_set_aside(run.run_id)
            return seen.state.state, Explanation(False, why)
        start_at, now = seen.origin.start_at, self.clock.now()
        queued = self._resources.admission.reason(run.run_key) or "its turn has come"
        if start_at is not None and start_at > now:
            queued = f"it is not to start before {rfc3339(start_at)}"
        live = self._registry.live.get(run.run_key)
        waiting = {} if live is None else live.performer.not_started()
        told = explain(seen.graph, seen.state, now, blocked=seen.blocked, queued=queued, not_started=waiting)
        return seen.state.state, told

    async def wait_end(self, run_key: int, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - own clock
        """Wait until a run has ended. Return False if ``timeout`` seconds pass or a shutdown begins."""
        waiter = self._resources.completion.wait(run_key)
        timer = None if timeout is None else self.clock.call_later(timeout, partial(expire, waiter))
        try:
            live = self._registry.live.get(run_key)
            may_have_ended = live is None or live.state.end is not None
            if may_have_ended and await self._has_ended(run_key):
                return True
            return await waiter
        finally:
            self._resources.completion.remove(run_key, waiter)
            if timer is not None:
                timer.cancel()

    async def _has_ended(self, run_key: int) -> bool:
        row = await self._runs.get_by_key(run_key)
        return row is None or row.finished_at is not None
