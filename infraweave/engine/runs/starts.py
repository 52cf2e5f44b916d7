"""Starts runs: one, or many in one commit; at most once per idempotency key.

The order is always the same: the key, the workflow and its version, the input, admission control, the first
event. All awaits come before admission control. Nothing is awaited between admission and the append, so no
other run can take the slot meanwhile, and a batch is one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from attrs import evolve, fields

from infraweave.core.data.json_codec import dumps
from infraweave.core.records import frozen
from infraweave.core.run.events import Origin
from infraweave.core.run.facts import RunAccepted
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph
from infraweave.engine.admission.groups import AdmissionRequest, admission_request
from infraweave.engine.clock import run_id
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.requests import Started, StartRequest
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.turns import Turns
from infraweave.errors import (
    Capacity,
    IdempotencyMismatch,
    RequestError,
    StorageUnavailable,
    Unstorable,
)
from infraweave.store.journal import Journal
from infraweave.store.runs import RunRow, Runs

#: A tenant and one of its idempotency keys.
Key: TypeAlias = tuple[str, str]
#: Requests of a batch that are prepared before other work gets a turn.
_STRETCH = 50


@frozen(eq=False)
class _Ready:
    """A start that only admission control can refuse."""

    request: StartRequest
    graph: Graph
    admission: AdmissionRequest


class Starts:
    """Starts the runs that callers request; ``Children`` starts those of nodes."""

    def __init__(
        self,
        resources: RunResources,
        registry: RunRegistry,
        turns: Turns,
        schema_checker: SchemaChecker,
        journal: Journal,
        runs: Runs,
    ) -> None:
        self._resources, self._registry, self._turns = resources, registry, turns
        self._schema_checker, self._journal, self._runs = schema_checker, journal, runs
        self._starting: dict[Key, asyncio.Future[None]] = {}

    async def start_one(self, request: StartRequest) -> Started:
        """Start a run, or return the one that its key started; see ``RunService.start``."""
        with self._resources.start_priority.accepting():
            return await self._start_once(request)

    async def _start_once(self, request: StartRequest) -> Started:
        if request.idempotency_key is None:
            return Started(await self._start(request), replayed=False)
        key = (request.tenant, request.idempotency_key)
        async with self._claimed([key]):
            row = await self._runs.by_idempotency_key(*key)
            if row is None:
                return Started(await self._start(request), replayed=False)
            return _replay(request, row)

    @asynccontextmanager
    async def _claimed(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Serialize starts with the same key. The unique index of the table would catch what this misses."""
        claimed: list[Key] = []
        try:
            for key in sorted(set(keys)):  # sorted, so that two batches cannot wait for each other
                while (other := self._starting.get(key)) is not None:
                    await asyncio.shield(other)
                self._starting[key] = asyncio.get_running_loop().create_future()
                claimed.append(key)
            yield
        finally:
            for key in claimed:
                self._starting.pop(key).set_result(None)

    async def _start(self, request: StartRequest) -> RunRow:
        ready = await self._ready(request)
        if ready.admission.limits:
            await self._resources.admission.prepare([ready.admission])
        live = self._begin(ready)
        await live.durable()
        return _row(live)

    async def _ready(self, request: StartRequest) -> _Ready:
        catalog = self._resources.catalog
        await catalog.publish_loaded(request.tenant)
        version = request.workflow_version or await catalog.active_version(
            request.tenant, request.workflow_id
        )
        graph = await catalog.graph(request.tenant, request.workflow_id, version)
        value = await self._schema_checker.validated_input(graph, request.input)
        return _Ready(evolve(request, input=value), graph, admission_request(graph, request.tenant, value))

    def _begin(self, ready: _Ready) -> LiveRun:
        """Admit a run and append its first event. Await ``durable`` to know that the event is on disk.

        Raises:
            Capacity: nothing has changed.
        """
        resources, request = self._resources, ready.request
        now = resources.clock.now()
        later = request.start_at if request.start_at is not None and request.start_at > now else None
        run_key = self._journal.new_key()
        slot = later is None and resources.admission.admit(run_key, ready.admission)
        live = self._registry.create(ready.graph, RunState(run_id(now)), run_key=run_key, has_slot=slot)
        fact = RunAccepted(
            origin=_origin(ready, later), input=request.input, slot=slot, reused=request.reused
        )
        if request.record is not None:
            request.record.detail = f"run:{live.state.run_id}"
        self._turns.apply(live, fact, record=request.record)
        if live.refusal is not None:
            raise live.refusal
        return live

    # --- many ----------------------------------------------------------------------------------------------

    async def start_many(self, requests: Sequence[StartRequest]) -> list[Started | RequestError]:
        """Start all requests that can be started, in one transaction; see ``RunService.start_many``."""
        for request in requests:
            dumps([request.input, request.tags, request.by])  # raises before any run is started
        keys = [key for request in requests if (key := _key(request)) is not None]
        with self._resources.start_priority.accepting():
            return await self._start_all(requests, keys)

    async def _start_all(
        self, requests: Sequence[StartRequest], keys: Sequence[Key]
    ) -> list[Started | RequestError]:
        async with self._claimed(keys):
            made = await self._made(keys)
            ready = await self._all_ready(requests, made)
            await self._resources.admission.prepare(one.admission for one in ready if isinstance(one, _Ready))
            begun: list[LiveRun] = []
            outcomes = [
                self._outcome(request, one, made, begun) for request, one in zip(requests, ready, strict=True)
            ]
            for live in begun:
                await live.durable()
        return outcomes

    async def _made(self, keys: Sequence[Key]) -> dict[Key, RunRow]:
        made: dict[Key, RunRow] = {}
        for tenant in {tenant for tenant, _ in keys}:
            own = [key for other, key in keys if other == tenant]
            rows = await self._runs.by_idempotency_keys(tenant, own)
            made.update({(tenant, key): row for key, row in rows.items()})
        return made

    async def _all_ready(
        self, requests: Sequence[StartRequest], made: Mapping[Key, RunRow]
    ) -> list[_Ready | RequestError]:
        """Prepare each start for admission control. A start with a known key needs no preparation."""
        found: list[_Ready | RequestError] = []
        for place, request in enumerate(requests, start=1):
            found.append(IdempotencyMismatch() if _key(request) in made else await self._tried(request))
            if place % _STRETCH == 0:
                await asyncio.sleep(0)
        return found

    async def _tried(self, request: StartRequest) -> _Ready | RequestError:
        try:
            return await self._ready(request)
        except RequestError as error:
            if error.status >= StorageUnavailable.status:
                raise  # it would fail for every request
            return error

    def _outcome(
        self,
        request: StartRequest,
        ready: _Ready | RequestError,
        made: dict[Key, RunRow],
        begun: list[LiveRun],
    ) -> Started | RequestError:
        key = _key(request)
        try:
            if key is not None and key in made:
                return _replay(request, made[key])
            if isinstance(ready, RequestError):
                return ready
            live = self._begin(ready)
        except (IdempotencyMismatch, Capacity, Unstorable) as error:
            return error
        begun.append(live)
        row = _row(live)
        if key is not None:
            made[key] = row
        return Started(row, replayed=False)


def _key(request: StartRequest) -> Key | None:
    return None if request.idempotency_key is None else (request.tenant, request.idempotency_key)


def _replay(request: StartRequest, row: RunRow) -> Started:
    if row.body_digest != request.body_digest:
        raise IdempotencyMismatch
    return Started(row, replayed=True)


#: Fields that the index row copies from the run's origin.
_ORIGIN = tuple({field.name for field in fields(Origin)} & {field.name for field in fields(RunRow)})


def _row(live: LiveRun) -> RunRow:
    """Return the index row of a run that was just started, without reading it."""
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


def _origin(ready: _Ready, start_at: int | None) -> Origin:
    request, trace = ready.request, ready.request.trace
    return Origin(
        workflow_id=request.workflow_id,
        workflow_version=ready.graph.document.version,
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
        rerun_of=request.rerun_of,
        start_at=start_at,
        lane=ready.admission.concurrency_key,
    )
