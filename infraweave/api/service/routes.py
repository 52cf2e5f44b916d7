"""The rows of the table that tell of many runs at once: which change, how they went, and the server."""

from __future__ import annotations

from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import SSE, Header, Reply, Route
from infraweave.api.runs.changes import ChangeRoutes
from infraweave.api.service.statistics import StatisticsRoutes
from infraweave.api.service.statistics_schemas import RunStatistics, StatisticsQuery, Status
from infraweave.engine.engine import Engine
from infraweave.errors import RateLimited
from infraweave.settings import Settings
from infraweave.store.statistics import Statistics

UNBUFFERED = Header(name="X-Accel-Buffering", doc="no: proxies must not hold the stream back.")


def overview_routes(engine: Engine, settings: Settings, metrics: Metrics) -> list[Route]:
    """Return the routes about many runs, bound to an engine."""
    statistics = StatisticsRoutes(engine, Statistics(engine.db), engine.clock.elapsed())
    return [
        _changes(ChangeRoutes(engine, settings, metrics)),
        Route(
            name="statistics",
            method="GET",
            path="/v1/statistics",
            handler=statistics.statistics,
            summary="Tell how runs went, hour by hour, of those that the principal may read",
            on="own",
            query=StatisticsQuery,
            replies={200: Reply(doc="The figures.", shape=RunStatistics)},
        ),
        Route(
            name="status",
            method="GET",
            path="/v1/status",
            handler=statistics.status,
            summary="Tell what the server is doing",
            on="workflows",
            action="operate",
            replies={200: Reply(doc="The figures, of all tenants.", shape=Status)},
        ),
    ]


def _changes(changes: ChangeRoutes) -> Route:
    return Route(
        name="run_changes",
        method="GET",
        path="/v1/runs/changes",
        handler=changes.follow,
        summary="Stream which runs change, of those that the principal may read",
        on="own",
        produces=(SSE,),
        replies={
            200: Reply(
                doc="From now on, at most twice a second: run_changed with the run as lists show it, each run"
                " once; or many_changed with {}, where more than 100 changed: list again. No ids, no replay.",
                media=((SSE, None),),
                headers=(UNBUFFERED,),
            )
        },
        errors=(RateLimited,),
    )
