"""Routes of runs, their events and the questions that they ask."""

from __future__ import annotations

from typing import Any

from infraweave.api.http.header_specs import (
    IDEMPOTENCY_KEY,
    LOCATION,
    REPLAYED,
    RETRY_AFTER,
    TRACE,
    UNBUFFERED,
)
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import JSON, SSE, WRITE_ERRORS, HeaderSpec, ResponseSpec, Route
from infraweave.api.runs import schemas
from infraweave.api.runs.changes import ChangeHandlers
from infraweave.api.runs.handlers import RunHandlers
from infraweave.api.runs.input_requests import InputRequestHandlers
from infraweave.api.runs.queries import EventQuery, HistoryQuery, InputRequestQuery, RunFilter, RunQuery
from infraweave.api.runs.starts import OWN_TRIGGERS, TRIGGER_HEADER, StartHandlers
from infraweave.api.runs.stream import EventHandlers
from infraweave.engine.engine import Engine
from infraweave.errors import (
    Capacity,
    IdempotencyMismatch,
    InputInvalid,
    InvalidCursor,
    PayloadInvalid,
    RequestError,
    RunFinished,
    RunNotFinished,
    RunNotFound,
    RunSetAside,
    RunStopping,
    SignalConflict,
    SignalNotFound,
    VersionNotFound,
    WorkflowNotFound,
)
from infraweave.settings import Settings

_TRIGGER = HeaderSpec(
    name=TRIGGER_HEADER,
    doc="What started the run. Only clients that come with the server send it. Default: api.",
    schema={"type": "string", "enum": list(OWN_TRIGGERS)},
)
_PREFER = HeaderSpec(
    name="Prefer", doc="wait=N: hold the response for up to N (60) seconds, until the run ends."
)
_LAST_EVENT_ID = HeaderSpec(
    name="Last-Event-ID", doc="The seq of the last event received; takes precedence over ?after."
)
_APPLIED = HeaderSpec(name="Preference-Applied", doc="The wait that was applied.")
#: The headers of a start, of its response, and of the response to its repetition.
_TAKES = (IDEMPOTENCY_KEY, _PREFER, _TRIGGER, *TRACE)
_STARTED, _REPLAYED = (LOCATION, _APPLIED), (LOCATION, _APPLIED, REPLAYED)
_START_ERRORS: tuple[type[RequestError], ...] = (
    VersionNotFound,
    InputInvalid,
    IdempotencyMismatch,
    Capacity,
    *WRITE_ERRORS,
)
#: All of the run for principals with ``read``.
_STOPPED = ((JSON, schemas.Run), (JSON, schemas.StopAcknowledged))


def run_routes(engine: Engine, settings: Settings, metrics: Metrics) -> list[Route]:
    """Return the routes of runs, bound to an engine."""
    starts, runs = StartHandlers(engine), RunHandlers(engine)
    changes, events = ChangeHandlers(engine, settings, metrics), EventHandlers(engine, settings, metrics)
    return [
        *_starts(starts),
        *_lists(runs, changes, InputRequestHandlers(engine)),
        *_views(runs),
        *_stops(runs),
        *_other_acts(runs, starts),
        _events(events),
    ]


def _on_run(name: str, method: Any, path: str, handler: Any, action: Any, **more: Any) -> Route:
    errors = (RunNotFound, *more.pop("errors", ()))
    path = f"/v1/runs/{{run_id}}{path}"
    return Route(
        name=name, method=method, path=path, handler=handler, on="run", action=action, errors=errors, **more
    )


def _starts(starts: StartHandlers) -> list[Route]:
    return [
        Route(
            name="start_run",
            method="POST",
            path="/v1/runs",
            handler=starts.start,
            on="body",
            action="execute",
            body=schemas.StartRun,
            max_body=None,
            headers=_TAKES,
            responses={
                201: ResponseSpec(doc="The run is durable.", schema=schemas.StartedRun, headers=_STARTED),
                200: ResponseSpec(
                    doc="The run of an earlier request with this key.",
                    schema=schemas.StartedRun,
                    headers=_REPLAYED,
                ),
            },
            errors=(WorkflowNotFound, *_START_ERRORS),
        ),
        Route(
            name="start_runs",
            method="POST",
            path="/v1/runs/batch",
            handler=starts.start_many,
            on="own",
            body=schemas.StartBatch,
            max_body=None,
            headers=(_TRIGGER, *TRACE),
            responses={
                200: ResponseSpec(
                    doc="The result of each start, in order.",
                    schema=schemas.BatchResults,
                    headers=[RETRY_AFTER],
                )
            },
            errors=WRITE_ERRORS,
        ),
    ]


def _lists(runs: RunHandlers, changes: ChangeHandlers, questions: InputRequestHandlers) -> list[Route]:
    return [
        Route(
            name="list_runs",
            method="GET",
            path="/v1/runs",
            handler=runs.list,
            on="own",
            query=RunQuery,
            responses={200: ResponseSpec(doc="A page of runs.", schema=schemas.RunList)},
            errors=(InvalidCursor,),
        ),
        Route(
            name="count_runs",
            method="GET",
            path="/v1/runs/counts",
            handler=runs.counts,
            on="own",
            query=RunFilter,
            responses={200: ResponseSpec(doc="The counts at one moment.", schema=schemas.RunCounts)},
        ),
        Route(
            name="run_changes",
            method="GET",
            path="/v1/runs/changes",
            handler=changes.follow,
            on="own",
            produces=(SSE,),
            responses={
                200: ResponseSpec(
                    doc="At most twice a second: run_changed with the run as lists show it, each run once,"
                    " or many_changed with {} after more than 100 changes: list again. No ids, no replay.",
                    media=((SSE, None),),
                    headers=(UNBUFFERED,),
                )
            },
        ),
        Route(
            name="list_input_requests",
            method="GET",
            path="/v1/input-requests",
            handler=questions.list,
            on="own",
            query=InputRequestQuery,
            responses={
                200: ResponseSpec(doc="A page of open input requests.", schema=schemas.InputRequestList)
            },
            errors=(InvalidCursor,),
        ),
    ]


def _views(runs: RunHandlers) -> list[Route]:
    def view(name: str, path: str, handler: Any, doc: str, schema: Any, **more: Any) -> Route:
        media = tuple((JSON, each) for each in (schema if isinstance(schema, tuple) else (schema,)))
        responses = {200: ResponseSpec(doc=doc, media=media)}
        return _on_run(name, "GET", path, handler, "read", responses=responses, **more)

    ended = (schemas.RunSucceeded, schemas.RunFailed)
    return [
        view("show_run", "", runs.inspect, "The run.", schemas.Run),
        view("explain_run", "/explain", runs.explain, "The explanation.", schemas.RunExplanation),
        view("run_result", "/result", runs.result, "The run has ended.", ended, errors=(RunNotFinished,)),
        view(
            "run_history",
            "/history",
            runs.history,
            "A page of rows.",
            schemas.History,
            query=HistoryQuery,
            errors=(InvalidCursor,),
        ),
    ]


def _stops(runs: RunHandlers) -> list[Route]:
    def act(name: str, handler: Any, action: Any, docs: dict[int, str], **more: Any) -> Route:
        responses = {status: ResponseSpec(doc=doc, media=_STOPPED) for status, doc in docs.items()}
        path = f"/{name}"
        return _on_run(
            f"{name}_run", "POST", path, handler, action, responses=responses, errors=WRITE_ERRORS, **more
        )

    cancelled = {202: "The run is stopping.", 200: "The run had ended; nothing changed."}
    reason = {"body": schemas.StopRun, "body_required": False, "headers": TRACE}
    return [
        act("cancel", runs.cancel, "cancel", cancelled, **reason),
        act("terminate", runs.terminate, "operate", {200: "The run has ended."}, **reason),
        act("resume", runs.resume, "operate", {200: "The run continues, or it was not set aside."}),
    ]


def _other_acts(runs: RunHandlers, starts: StartHandlers) -> list[Route]:
    return [
        _on_run(
            "rerun_run",
            "POST",
            "/rerun",
            starts.rerun,
            "execute",
            body=schemas.RerunRun,
            max_body=None,
            body_required=False,
            headers=_TAKES,
            responses={
                201: ResponseSpec(doc="The new run is durable.", schema=schemas.StartedRun, headers=_STARTED),
                200: ResponseSpec(
                    doc="The plan of a dry run, or the run of an earlier request with this key.",
                    media=(
                        (JSON, schemas.StartedRun),
                        (JSON, schemas.RerunPlan),
                        (JSON, schemas.RunAcknowledged),
                    ),
                    headers=_REPLAYED,
                ),
            },
            errors=(RunNotFinished, *_START_ERRORS),
        ),
        _on_run(
            "send_signal",
            "POST",
            "/signals/{name}",
            runs.signal,
            "signal",
            body=schemas.SendSignal,
            max_body=None,
            body_required=False,
            headers=TRACE,
            responses={
                202: ResponseSpec(doc="The signal is durable.", schema=schemas.SignalReceipt),
                200: ResponseSpec(doc="The signal was delivered before.", schema=schemas.SignalReceipt),
            },
            errors=(
                SignalNotFound,
                RunFinished,
                RunStopping,
                RunSetAside,
                SignalConflict,
                PayloadInvalid,
                *WRITE_ERRORS,
            ),
        ),
    ]


def _events(events: EventHandlers) -> Route:
    return _on_run(
        "run_events",
        "GET",
        "/events",
        events.read,
        "read",
        query=EventQuery,
        produces=(SSE, JSON),
        headers=(_LAST_EVENT_ID,),
        responses={
            200: ResponseSpec(
                doc="Events in order of seq.",
                media=((SSE, None), (JSON, schemas.EventPage)),
                headers=(UNBUFFERED,),
            ),
            204: ResponseSpec(doc="The client has the terminal event; nothing follows."),
        },
        errors=(InvalidCursor,),
    )
