"""Metrics for Prometheus. Each app has its own registry, for several servers in one process."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from infraweave.core.access import Principal
from infraweave.core.run.events import State
from infraweave.engine.engine import Engine
from infraweave.store.sqlite.row_changes import RowChanges

MEDIA = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters that are updated as things happen, and gauges that are read on each scrape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "infraweave_http_requests", "Answers.", ["method", "route", "status"], registry=registry
        )
        self.latency = Histogram(
            "infraweave_http_request_seconds",
            "Seconds until an answer begins.",
            ["method", "route"],
            registry=registry,
        )
        #: The children of both, by method, route and status.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.open_streams = 0
        #: Open streams by principal.
        self.streams_of: collections.Counter[tuple[str, str]] = collections.Counter()
        self._commits = Counter("infraweave_commits", "Transactions with events.", registry=registry)
        self._events = Counter("infraweave_events", "Events committed.", registry=registry)
        self._gauges = _RunGauges(registry)
        self._threads = Gauge(
            "infraweave_threads",
            "Threads of sync bodies: busy ones, lost ones among them; and bodies that wait for a thread.",
            ["state"],
            registry=registry,
        )
        self._aside = Gauge(
            "infraweave_runs_set_aside",
            "Runs that are not loaded, because processes died while they loaded them.",
            registry=registry,
        )
        self._lag = Histogram(
            "infraweave_loop_lag_seconds",
            "How late the event loop is, ten times a second.",
            buckets=(0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
            registry=registry,
        )
        self._holds = Counter(
            "infraweave_loop_holds",
            "How often the event loop was late by slow_body or more.",
            registry=registry,
        )
        engine.db.listen(self._committed)
        engine.loop_watch.on_beat = self._beat

    def _committed(self, written: Sequence[RowChanges]) -> None:
        events = sum(len(rows.events) for rows in written)
        if events:
            self._commits.inc()
            self._events.inc(events)

    def _beat(self, late: float) -> None:
        self._lag.observe(late)
        if late >= self._engine.loop_watch.patience:
            self._holds.inc()

    def count_response(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a response when it begins."""
        key = (method, route, status)
        counted = self._counted.get(key)
        if counted is None:  # finding a child by its labels takes longer than to count with it
            counted = (self.requests.labels(method, route, str(status)), self.latency.labels(method, route))
            self._counted[key] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    @contextmanager
    def streaming(self, principal: Principal) -> Iterator[None]:
        """Count an event stream while it is open."""
        key = (principal.tenant, principal.name)
        self.open_streams += 1
        self.streams_of[key] += 1
        try:
            yield
        finally:
            self.open_streams -= 1
            self.streams_of[key] -= 1
            if not self.streams_of[key]:
                del self.streams_of[key]

    async def text(self, tenant: str | None = None) -> bytes:
        """Return all metrics in the text format of Prometheus, or those of one tenant."""
        if tenant is None:
            await self._gauges.read(self._engine, None, self.open_streams)
            self._aside.set(len(self._engine.quarantine.quarantined))
            threads = self._engine.workers.threads
            for state, count in (
                ("busy", threads.busy),
                ("lost", threads.lost),
                ("waiting", threads.queued),
            ):
                self._threads.labels(state).set(count)
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        streams = sum(count for (owner, _), count in self.streams_of.items() if owner == tenant)
        await _RunGauges(registry).read(self._engine, tenant, streams)
        return generate_latest(registry)


class _RunGauges:
    """Gauges of runs, of all tenants or of one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._streams = Gauge("infraweave_event_streams", "Open event streams.", registry=registry)
        self._runs = Gauge("infraweave_runs", "Runs by state.", ["state"], registry=registry)
        self._queued = Gauge(
            "infraweave_queue_depth", "Runs that wait for a slot or a lane.", registry=registry
        )
        self._slots = Gauge("infraweave_slots_used", "Slots that runs hold.", registry=registry)
        self._limit = Gauge("infraweave_slots", "Slots there are.", registry=registry)

    async def read(self, engine: Engine, tenant: str | None, streams: int) -> None:
        counts = await engine.runs.counts(tenant)
        for state in get_args(State):
            self._runs.labels(state).set(counts.get(state, 0))
        self._queued.set(engine.admission.queued_of(tenant))
        self._slots.set(engine.registry.slots_of(tenant))
        self._limit.set(engine.slots.limit)
        self._streams.set(streams)
