"""Routes of schedules and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infraweave.api.http.header_specs import IDEMPOTENCY_KEY, LOCATION, REPLAYED, TRACE
from infraweave.api.http.routing import JSON, WRITE_ERRORS, HeaderSpec, ResponseSpec, Route
from infraweave.api.runs.schemas import StartedRun
from infraweave.api.triggers import schemas
from infraweave.api.triggers.schedules import ScheduleHandlers
from infraweave.api.triggers.webhooks import WebhookHandlers
from infraweave.engine.engine import Engine
from infraweave.errors import (
    AclDenied,
    Capacity,
    DefinitionInvalid,
    IdempotencyMismatch,
    InputInvalid,
    ScheduleConflict,
    ScheduleDeclared,
    ScheduleNotFound,
    WebhookConflict,
    WebhookDeclared,
    WebhookNotFound,
    WorkflowNotFound,
)

_SIGNED = (
    HeaderSpec(name="X-Signature", doc="sha256=<hex>, unless the webhook names another header."),
    HeaderSpec(
        name="X-Delivery-Id", doc="Makes the delivery idempotent, unless the webhook names another header."
    ),
    *TRACE,
)
_STARTED = {
    201: ResponseSpec(doc="The run is durable.", schema=StartedRun, headers=[LOCATION]),
    200: ResponseSpec(
        doc="The run of an earlier request with this key.", schema=StartedRun, headers=[LOCATION, REPLAYED]
    ),
}
_DELETED = {204: ResponseSpec(doc="It is deleted. Its runs remain.")}


def trigger_routes(engine: Engine) -> Sequence[Route]:
    """Return the routes of schedules and webhooks, bound to an engine."""
    schedules, webhooks = ScheduleHandlers(engine), WebhookHandlers(engine)
    return [
        *_all_schedules(schedules),
        *_one_schedule(schedules),
        *_webhooks(webhooks),
        _deliveries(webhooks),
    ]


def _all_schedules(schedules: ScheduleHandlers) -> list[Route]:
    return [
        Route(
            name="list_schedules",
            method="GET",
            path="/v1/schedules",
            handler=schedules.list,
            on="own",
            query=schemas.ScheduleQuery,
            responses={200: ResponseSpec(doc="The schedules.", schema=schemas.ScheduleList)},
        ),
        Route(
            name="create_schedule",
            method="POST",
            path="/v1/schedules",
            handler=schedules.create,
            on="body",
            action="publish",
            body=schemas.CreateSchedule,
            max_body=None,
            responses={
                201: ResponseSpec(doc="The schedule.", schema=schemas.ScheduleShown, headers=[LOCATION])
            },
            errors=(WorkflowNotFound, ScheduleConflict, DefinitionInvalid, InputInvalid, *WRITE_ERRORS),
        ),
    ]


def _on_schedule(method: Any, act: str, handler: Any, action: Any, **more: Any) -> Route:
    """Return a route of one schedule. ``act`` is the last part of its path, or the meaning of its method."""
    is_post = method == "POST"
    errors = (ScheduleNotFound, *more.pop("errors", ()), *(() if method == "GET" else WRITE_ERRORS))
    media = (
        (JSON, schemas.ScheduleShown),
        *(() if method == "GET" else ((JSON, schemas.ScheduleAcknowledged),)),
    )
    shown = {200: ResponseSpec(doc="The schedule after the act.", media=media)}
    return Route(
        **{"responses": shown, **more},
        name=f"{act}_schedule",
        method=method,
        path=f"/v1/schedules/{{schedule_id}}/{act}" if is_post else "/v1/schedules/{schedule_id}",
        handler=handler,
        on="schedule",
        action=action,
        errors=errors,
    )


def _one_schedule(schedules: ScheduleHandlers) -> list[Route]:
    changing = (DefinitionInvalid, InputInvalid, ScheduleDeclared)
    starting = (DefinitionInvalid, IdempotencyMismatch, WorkflowNotFound, InputInvalid, Capacity)
    return [
        _on_schedule("GET", "show", schedules.show, "read"),
        _on_schedule(
            "PUT",
            "change",
            schedules.change,
            "publish",
            body=schemas.ChangeSchedule,
            max_body=None,
            errors=changing,
        ),
        _on_schedule("POST", "pause", schedules.pause, "publish"),
        _on_schedule("POST", "resume", schedules.resume, "publish"),
        _on_schedule(
            "POST",
            "trigger",
            schedules.trigger,
            "execute",
            headers=(IDEMPOTENCY_KEY,),
            responses=_STARTED,
            errors=starting,
        ),
        _on_schedule(
            "DELETE",
            "delete",
            schedules.delete,
            "publish",
            responses=_DELETED,
            errors=(ScheduleDeclared,),
        ),
    ]


def _webhooks(webhooks: WebhookHandlers) -> list[Route]:
    return [
        Route(
            name="list_webhooks",
            method="GET",
            path="/v1/webhooks",
            handler=webhooks.list,
            on="own",
            query=schemas.WebhookQuery,
            responses={200: ResponseSpec(doc="The webhooks.", schema=schemas.WebhookList)},
        ),
        Route(
            name="create_webhook",
            method="POST",
            path="/v1/webhooks",
            handler=webhooks.create,
            on="body",
            action="publish",
            body=schemas.CreateWebhook,
            max_body=None,
            responses={201: ResponseSpec(doc="The webhook with its secret.", schema=schemas.NewWebhook)},
            errors=(WorkflowNotFound, WebhookConflict, DefinitionInvalid, *WRITE_ERRORS),
        ),
        Route(
            name="delete_webhook",
            method="DELETE",
            path="/v1/webhooks/{webhook}",
            handler=webhooks.delete,
            on="own",
            responses=_DELETED,
            errors=(AclDenied, WebhookNotFound, WebhookDeclared, *WRITE_ERRORS),
        ),
    ]


def _deliveries(webhooks: WebhookHandlers) -> Route:
    return Route(
        name="deliver",
        method="POST",
        path="/hooks/{name}",
        handler=webhooks.deliver,
        on="public",
        raw=True,
        max_body=None,
        headers=_SIGNED,
        responses=_STARTED,
        errors=(WebhookNotFound, WorkflowNotFound, InputInvalid, Capacity, *WRITE_ERRORS),
    )
