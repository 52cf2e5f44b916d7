"""The table of all routes: what there is, what it needs, what it answers, and what can go wrong.

``app`` registers it and ``openapi`` describes it; a route that is not here does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infraweave.api.admin.routes import admin_routes
from infraweave.api.http.metrics import MEDIA, Metrics
from infraweave.api.http.routing import JSON, KEY, SSE, Header, Reply, Route
from infraweave.api.openapi import describe
from infraweave.api.runs import schemas
from infraweave.api.runs.batch_schemas import BatchResults, StartBatch
from infraweave.api.runs.handlers import RunRoutes
from infraweave.api.runs.input_requests import InputRequestRoutes, input_request_route
from infraweave.api.runs.queries import EventQuery, HistoryQuery, RunFilter, RunQuery
from infraweave.api.runs.rerun_schemas import RerunPlan, RerunRun, RunExplanation
from infraweave.api.runs.signals import SignalRoutes
from infraweave.api.runs.starts import OWN_TRIGGERS, TRIGGER_HEADER, StartRoutes
from infraweave.api.runs.stream import EventRoutes
from infraweave.api.service.console_files import console_routes
from infraweave.api.service.health import ServiceRoutes
from infraweave.api.service.routes import overview_routes
from infraweave.api.service.sign_in import SignInRoutes, sign_in_routes
from infraweave.api.triggers.routes import trigger_routes
from infraweave.api.workflows.handlers import WorkflowRoutes
from infraweave.api.workflows.routes import workflow_routes
from infraweave.core.data.values import Json
from infraweave.engine.engine import Engine
from infraweave.errors import (
    Capacity,
    Draining,
    IdempotencyMismatch,
    InputInvalid,
    InvalidCursor,
    PayloadInvalid,
    RateLimited,
    RequestError,
    RunFinished,
    RunNotFinished,
    RunNotFound,
    RunSetAside,
    RunStopping,
    SignalConflict,
    SignalNotFound,
    StorageUnavailable,
    Unstorable,
    VersionNotFound,
    WorkflowNotFound,
)
from infraweave.settings import Settings

TRACE = (
    Header(name="traceparent", doc="W3C trace context; a start joins the trace, others record a link."),
    Header(name="tracestate", doc="Goes with traceparent."),
)
TRIGGER = Header(
    name=TRIGGER_HEADER,
    doc="What started the run, said by the clients that come with the server; api where it is left out.",
    schema={"type": "string", "enum": list(OWN_TRIGGERS)},
)
PREFER = Header(name="Prefer", doc="wait=N: hold the answer for up to N (60) seconds, until the run ends.")
CURSOR = Header(name="Last-Event-ID", doc="The seq of the last event received; goes before ?after.")
UNBUFFERED = Header(name="X-Accel-Buffering", doc="no, on a stream: proxies must not hold it back.")
STARTED = (
    Header(name="Location", doc="Where the run is."),
    Header(name="Preference-Applied", doc="The wait that was applied."),
)
REPLAYED = (*STARTED, Header(name="Idempotent-Replayed", doc="true: the run was there before."))
RETRY_AFTER = Header(name="Retry-After", doc="Seconds until a try makes sense of what a limit has refused.")
#: All of the run for who may read it.
STOPPED = ((JSON, schemas.Run), (JSON, schemas.StopAcknowledged))
WRITES: tuple[type[RequestError], ...] = (Draining, StorageUnavailable, Unstorable)
#: What a signal may be refused for.
SIGNAL_ERRORS: tuple[type[RequestError], ...] = (
    SignalNotFound,
    RunFinished,
    RunStopping,
    RunSetAside,
    SignalConflict,
    PayloadInvalid,
    *WRITES,
)


def routes(engine: Engine, settings: Settings, metrics: Metrics) -> Sequence[Route]:
    """Return every route, bound to an engine."""
    table: list[Route] = []

    def description() -> Json:
        return describe(table)

    table += [
        *_starts(StartRoutes(engine)),
        _rerun(StartRoutes(engine)),
        *_lists(RunRoutes(engine)),
        *overview_routes(engine, settings, metrics),
        *_views(RunRoutes(engine)),
        *_acts(RunRoutes(engine), SignalRoutes(engine)),
        _events(EventRoutes(engine, settings, metrics)),
        input_request_route(InputRequestRoutes(engine)),
        *workflow_routes(WorkflowRoutes(engine)),
        *trigger_routes(engine),
        *admin_routes(engine),
        *_service(ServiceRoutes(engine, metrics, description)),
        *console_routes(),
        *sign_in_routes(SignInRoutes(engine)),
    ]
    return table


def _on_run(name: str, method: Any, path: str, handler: Any, action: Any, **more: Any) -> Route:
    errors = (RunNotFound, *more.pop("errors", ()))
    path = f"/v1/runs/{{run_id}}{path}"
    return Route(
        name=name, method=method, path=path, handler=handler, on="run", action=action, errors=errors, **more
    )


def _starts(starts: StartRoutes) -> list[Route]:
    return [
        Route(
            name="start_run",
            method="POST",
            path="/v1/runs",
            handler=starts.start,
            summary="Start a run",
            on="body",
            action="execute",
            body=schemas.StartRun,
            max_body=None,
            takes=(KEY, PREFER, TRIGGER, *TRACE),
            replies={
                201: Reply(doc="The run is durable.", shape=schemas.StartedRun, headers=STARTED),
                200: Reply(doc="The key made this run before.", shape=schemas.StartedRun, headers=REPLAYED),
            },
            errors=(WorkflowNotFound, VersionNotFound, InputInvalid, IdempotencyMismatch, Capacity, *WRITES),
        ),
        Route(
            name="start_runs",
            method="POST",
            path="/v1/runs/batch",
            handler=starts.start_many,
            summary="Start many runs in one transaction; each needs execute on its workflow",
            on="own",
            body=StartBatch,
            max_body=None,
            takes=(TRIGGER, *TRACE),
            replies={
                200: Reply(doc="What became of each, in order.", shape=BatchResults, headers=[RETRY_AFTER])
            },
            errors=WRITES,
        ),
    ]


def _rerun(starts: StartRoutes) -> Route:
    return _on_run(
        "rerun_run",
        "POST",
        "/rerun",
        starts.rerun,
        "execute",
        summary="Run a run again, from a node on; a dry run says what that would do",
        body=RerunRun,
        max_body=None,
        body_required=False,
        takes=(KEY, PREFER, TRIGGER, *TRACE),
        replies={
            201: Reply(doc="The new run is durable.", shape=schemas.StartedRun, headers=STARTED),
            200: Reply(
                doc="A dry run's plan; or the key made this run before.",
                media=((JSON, schemas.StartedRun), (JSON, RerunPlan), (JSON, schemas.RunAcknowledged)),
                headers=REPLAYED,
            ),
        },
        errors=(
            VersionNotFound,
            RunNotFinished,
            InputInvalid,
            IdempotencyMismatch,
            Capacity,
            *WRITES,
        ),
    )


def _lists(runs: RunRoutes) -> list[Route]:
    return [
        Route(
            name="list_runs",
            method="GET",
            path="/v1/runs",
            handler=runs.list,
            summary="List runs, newest first",
            on="own",
            query=RunQuery,
            replies={200: Reply(doc="A page of runs.", shape=schemas.RunList)},
            errors=(InvalidCursor,),
        ),
        Route(
            name="count_runs",
            method="GET",
            path="/v1/runs/counts",
            handler=runs.counts,
            summary="Count runs by state",
            on="own",
            query=RunFilter,
            replies={200: Reply(doc="The counts, of one moment.", shape=schemas.RunCounts)},
        ),
    ]


def _views(runs: RunRoutes) -> list[Route]:
    return [
        _on_run(
            "show_run",
            "GET",
            "",
            runs.inspect,
            "read",
            summary="Show a run and its node summary",
            replies={200: Reply(doc="The run.", shape=schemas.Run)},
        ),
        _on_run(
            "explain_run",
            "GET",
            "/explain",
            runs.explain,
            "read",
            summary="Say in one sentence why a run is not moving",
            replies={200: Reply(doc="The explanation.", shape=RunExplanation)},
        ),
        _on_run(
            "run_result",
            "GET",
            "/result",
            runs.result,
            "read",
            summary="Show how a run ended",
            replies={
                200: Reply(
                    doc="The run has ended.",
                    media=((JSON, schemas.RunSucceeded), (JSON, schemas.RunFailed)),
                )
            },
            errors=(RunNotFinished,),
        ),
        _on_run(
            "run_history",
            "GET",
            "/history",
            runs.history,
            "read",
            summary="Show what happened, one row per attempt",
            query=HistoryQuery,
            replies={200: Reply(doc="A page of rows.", shape=schemas.History)},
            errors=(InvalidCursor,),
        ),
    ]


def _resume(runs: RunRoutes) -> Route:
    return _on_run(
        "resume_run",
        "POST",
        "/resume",
        runs.resume,
        "operate",
        summary="Let a run go on that was set aside, because the process died as it was taken up",
        replies={200: Reply(doc="It goes on; or it was not set aside.", media=STOPPED)},
        errors=WRITES,
    )


def _acts(runs: RunRoutes, signals: SignalRoutes) -> list[Route]:
    return [
        _on_run(
            "cancel_run",
            "POST",
            "/cancel",
            runs.cancel,
            "cancel",
            summary="Cancel a run: clean-up and compensations run",
            body=schemas.StopRun,
            body_required=False,
            takes=TRACE,
            replies={
                202: Reply(doc="The run is stopping.", media=STOPPED),
                200: Reply(doc="The run had ended; nothing changed.", media=STOPPED),
            },
            errors=WRITES,
        ),
        _on_run(
            "terminate_run",
            "POST",
            "/terminate",
            runs.terminate,
            "operate",
            summary="End a run by force: no clean-up, no compensation",
            body=schemas.StopRun,
            body_required=False,
            takes=TRACE,
            replies={200: Reply(doc="The run has ended.", media=STOPPED)},
            errors=WRITES,
        ),
        _resume(runs),
        _on_run(
            "send_signal",
            "POST",
            "/signals/{name}",
            signals.send,
            "signal",
            summary="Send a signal to a run",
            body=schemas.SendSignal,
            max_body=None,
            body_required=False,
            takes=TRACE,
            replies={
                202: Reply(doc="The signal is durable.", shape=schemas.SignalReceipt),
                200: Reply(doc="It was delivered before.", shape=schemas.SignalReceipt),
            },
            errors=SIGNAL_ERRORS,
        ),
    ]


def _events(events: EventRoutes) -> Route:
    return _on_run(
        "run_events",
        "GET",
        "/events",
        events.read,
        "read",
        summary="Stream a run's events, or read them in pages",
        query=EventQuery,
        produces=(SSE, JSON),
        takes=(CURSOR,),
        replies={
            200: Reply(
                doc="Events in order of seq.",
                media=((SSE, None), (JSON, schemas.EventPage)),
                headers=(UNBUFFERED,),
            ),
            204: Reply(doc="The terminal event was received before; nothing follows."),
        },
        errors=(InvalidCursor, RateLimited),
    )


def _service(service: ServiceRoutes) -> list[Route]:
    def public(name: str, path: str, handler: Any, summary: str, shape: Any, **more: Any) -> Route:
        replies = {200: Reply(doc=summary, shape=shape)}
        return Route(
            name=name,
            method="GET",
            path=path,
            handler=handler,
            summary=summary,
            on="public",
            replies=replies,
            **more,
        )

    return [
        Route(
            name="whoami",
            method="GET",
            path="/v1/whoami",
            handler=service.whoami,
            summary="Tell whom the token speaks for",
            on="own",
            replies={200: Reply(doc="Tenant, principal, grants.", shape=schemas.WhoAmI)},
        ),
        Route(
            name="metrics",
            method="GET",
            path="/metrics",
            handler=service.metrics,
            summary="Metrics for Prometheus",
            on="workflows",
            action="operate",
            produces=("text/plain",),
            replies={200: Reply(doc="Prometheus text.", media=((MEDIA.partition(";")[0], None),))},
        ),
        public("healthz", "/healthz", service.healthz, "The process answers", schemas.Health),
        public(
            "readyz",
            "/readyz",
            service.readyz,
            "Recovery is done and the database can be written",
            schemas.Health,
            errors=WRITES,
        ),
        public("openapi", "/openapi.json", service.openapi, "This description", dict[str, Any]),
    ]
