"""The part of the table of routes that is about schedules and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infraweave.api.http.routing import JSON, KEY, Header, Reply, Route
from infraweave.api.runs.schemas import StartedRun
from infraweave.api.triggers import schemas as shapes
from infraweave.api.triggers.schedules import ScheduleRoutes
from infraweave.api.triggers.webhooks import WebhookRoutes
from infraweave.engine.engine import Engine
from infraweave.errors import (
    AclDenied,
    Capacity,
    DefinitionInvalid,
    Draining,
    IdempotencyMismatch,
    InputInvalid,
    RequestError,
    ScheduleConflict,
    ScheduleDeclared,
    ScheduleNotFound,
    StorageUnavailable,
    Unstorable,
    WebhookConflict,
    WebhookDeclared,
    WebhookNotFound,
    WorkflowNotFound,
)

WRITES: tuple[type[RequestError], ...] = (Draining, StorageUnavailable, Unstorable)
_WHERE = Header(name="Location", doc="Where it is.")
_TRACE = (
    Header(name="traceparent", doc="W3C trace context, which the run joins."),
    Header(name="tracestate", doc="Goes with traceparent."),
)
_SIGNED = (
    Header(name="X-Signature", doc="sha256=<hex>, unless the webhook names another header."),
    Header(name="X-Delivery-Id", doc="Makes it idempotent, unless the webhook names another header."),
    *_TRACE,
)
_REPLAYED = Header(name="Idempotent-Replayed", doc="true: the run was there before.")


def trigger_routes(engine: Engine) -> Sequence[Route]:
    """Return the routes of schedules and webhooks, bound to an engine."""
    schedules, webhooks = ScheduleRoutes(engine), WebhookRoutes(engine)
    return [
        *_all_schedules(schedules),
        *_one_schedule(schedules),
        *_webhooks(webhooks),
        _deliveries(webhooks),
    ]


def _all_schedules(schedules: ScheduleRoutes) -> list[Route]:
    return [
        Route(
            name="list_schedules",
            method="GET",
            path="/v1/schedules",
            handler=schedules.list,
            summary="List schedules",
            on="own",
            query=shapes.ScheduleQuery,
            replies={200: Reply(doc="What the principal may read.", shape=shapes.ScheduleList)},
        ),
        Route(
            name="create_schedule",
            method="POST",
            path="/v1/schedules",
            handler=schedules.create,
            summary="Make a schedule",
            on="body",
            action="publish",
            body=shapes.CreateSchedule,
            max_body=None,
            replies={201: Reply(doc="The schedule.", shape=shapes.ScheduleShown, headers=[_WHERE])},
            errors=(WorkflowNotFound, ScheduleConflict, DefinitionInvalid, InputInvalid, *WRITES),
        ),
    ]


def _on_schedule(method: Any, act: str, handler: Any, action: Any, summary: str, **more: Any) -> Route:
    """Return a route of one schedule; ``act`` is the last part of its path, or what its method does."""
    is_post = method == "POST"
    errors = (ScheduleNotFound, *more.pop("errors", ()), *(() if method == "GET" else WRITES))
    media = (
        (JSON, shapes.ScheduleShown),
        *(() if method == "GET" else ((JSON, shapes.ScheduleAcknowledged),)),
    )
    shown = {200: Reply(doc="The schedule as it is then.", media=media)}
    return Route(
        **{"replies": shown, **more},
        name=f"{act}_schedule",
        method=method,
        path=f"/v1/schedules/{{schedule_id}}/{act}" if is_post else "/v1/schedules/{schedule_id}",
        handler=handler,
        summary=summary,
        on="schedule",
        action=action,
        errors=errors,
    )


def _one_schedule(schedules: ScheduleRoutes) -> list[Route]:
    on, gone = _on_schedule, {204: Reply(doc="It is gone; its runs stay.")}
    started = {
        201: Reply(doc="The run is durable.", shape=StartedRun, headers=[_WHERE]),
        200: Reply(doc="The key made this run before.", shape=StartedRun, headers=[_WHERE, _REPLAYED]),
    }
    changing = (DefinitionInvalid, InputInvalid, ScheduleDeclared)
    starting = (WorkflowNotFound, InputInvalid, Capacity)
    return [
        on("GET", "show", schedules.show, "read", "Show a schedule and its next times"),
        on(
            "PUT",
            "change",
            schedules.change,
            "publish",
            "Replace a schedule that the API has made",
            body=shapes.ChangeSchedule,
            max_body=None,
            errors=changing,
        ),
        on("POST", "pause", schedules.pause, "publish", "Pause a schedule; what waits is forgotten"),
        on("POST", "resume", schedules.resume, "publish", "Let a schedule go on from now"),
        on(
            "POST",
            "trigger",
            schedules.trigger,
            "execute",
            "Start a run of a schedule now",
            takes=(KEY,),
            replies=started,
            errors=(DefinitionInvalid, IdempotencyMismatch, *starting),
        ),
        on(
            "DELETE",
            "delete",
            schedules.delete,
            "publish",
            "Forget a schedule that the API has made",
            replies=gone,
            errors=(ScheduleDeclared,),
        ),
    ]


def _webhooks(webhooks: WebhookRoutes) -> list[Route]:
    return [
        Route(
            name="list_webhooks",
            method="GET",
            path="/v1/webhooks",
            handler=webhooks.list,
            summary="List webhooks",
            on="own",
            query=shapes.WebhookQuery,
            replies={200: Reply(doc="What the principal may read.", shape=shapes.WebhookList)},
        ),
        Route(
            name="create_webhook",
            method="POST",
            path="/v1/webhooks",
            handler=webhooks.create,
            summary="Make a webhook; its secret is told this once",
            on="body",
            action="publish",
            body=shapes.CreateWebhook,
            max_body=None,
            replies={201: Reply(doc="The webhook with its secret.", shape=shapes.NewWebhook)},
            errors=(WorkflowNotFound, WebhookConflict, DefinitionInvalid, *WRITES),
        ),
        Route(
            name="delete_webhook",
            method="DELETE",
            path="/v1/webhooks/{webhook}",
            handler=webhooks.delete,
            summary="Forget a webhook that the API has made; needs publish on its workflow",
            on="own",
            replies={204: Reply(doc="It is gone; its runs stay.")},
            errors=(AclDenied, WebhookNotFound, WebhookDeclared, *WRITES),
        ),
    ]


def _deliveries(webhooks: WebhookRoutes) -> Route:
    return Route(
        name="deliver",
        method="POST",
        path="/hooks/{name}",
        handler=webhooks.deliver,
        summary="Deliver to a webhook: a signature stands in for a token, and a run is started",
        on="public",
        raw=True,
        max_body=None,
        takes=_SIGNED,
        replies={
            201: Reply(doc="The run is durable.", shape=StartedRun, headers=[_WHERE]),
            200: Reply(doc="The delivery came before.", shape=StartedRun, headers=[_WHERE, _REPLAYED]),
        },
        errors=(WebhookNotFound, WorkflowNotFound, InputInvalid, Capacity, *WRITES),
    )
