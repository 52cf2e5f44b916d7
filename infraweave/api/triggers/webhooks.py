"""Handlers of webhooks: list, create, delete, and receive deliveries, which need no token."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import fields

from infraweave.api.http.body_limits import parse_within_limits
from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.api.runs.starts import started
from infraweave.api.triggers.schedules import duration
from infraweave.api.triggers.schemas import CreateWebhook, NewWebhook, WebhookList, WebhookQuery, WebhookShown
from infraweave.core.access import allows
from infraweave.core.data.values import format_duration_exactly
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.triggers import Webhook
from infraweave.core.workflow.webhooks import effective_headers
from infraweave.engine.engine import Engine
from infraweave.engine.triggers.webhooks import address
from infraweave.errors import AclDenied
from infraweave.store.webhooks import WebhookRow

T = TypeVar("T")
#: Fields of the body that a webhook does not have, or has in another form.
_NOT_OF_WEBHOOK = {"workflow_id", "secret", "tolerance"}


@frozen(eq=False)
class WebhookHandlers:
    """The handlers of webhooks."""

    _engine: Engine

    async def list(self, request: ApiRequest[WebhookQuery, None]) -> ApiResponse:
        """List the webhooks of workflows that the principal may read."""
        who, workflow_id = request.principal, request.query.workflow_id
        rows = [
            row
            for row in await self._engine.webhooks.store.list(who.tenant)
            if workflow_id in (None, row.workflow_id) and allows(who, "read", f"workflow:{row.workflow_id}")
        ]
        return ApiResponse(WebhookList(webhooks=tuple(_present(WebhookShown, row) for row in rows)))

    async def create(self, request: ApiRequest[NoQuery, CreateWebhook]) -> ApiResponse:
        """Create a webhook. Its secret is shown only once."""
        body, tenant = request.body, request.principal.tenant
        names = {field.name for field in fields(CreateWebhook)} - _NOT_OF_WEBHOOK
        tolerance = duration("tolerance", body.tolerance) or 0.0
        webhook = Webhook(**{name: getattr(body, name) for name in names}, tolerance=tolerance)
        new = WebhookRow(tenant=tenant, workflow_id=body.workflow_id, webhook=webhook, secret=body.secret)
        request.record.detail = f"webhook {body.name}"
        row = await self._engine.webhooks.create(new, request.record)
        return ApiResponse(_present(NewWebhook, row, secret=row.secret or ""), 201)

    async def delete(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Delete a webhook that was created through the API; needs publish on its workflow."""
        hooks, who, name = self._engine.webhooks.store, request.principal, request.path["webhook"]
        row = await hooks.get(who.tenant, name)
        # A name does not reveal its workflow. A principal without publish cannot learn that a name exists.
        workflow = "*" if row is None else row.workflow_id
        if not allows(who, "publish", f"workflow:{workflow}"):
            raise AclDenied(f"Principal lacks publish on webhook:{name}.")
        await hooks.delete(who.tenant, name, request.record)
        return ApiResponse(status=204)

    async def deliver(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Deliver to a webhook: a signature takes the place of a token, and a run starts."""
        headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers.names()}
        hooks, raw = self._engine.webhooks, request.raw
        row = await hooks.authenticate(request.path["name"], headers, raw)
        request.record.tenant, request.record.principal = row.tenant, f"webhook:{row.webhook.name}"
        value = await parse_within_limits(self._engine.settings, raw)
        done = await hooks.start(row, headers, raw, value, request.record)
        return started(done)


def _present(schema: type[T], row: WebhookRow, **more: Any) -> T:
    webhook = row.webhook
    return present(
        schema,
        webhook,
        workflow_id=row.workflow_id,
        path=address(row.tenant, webhook.name),
        declared_in=row.declared_in,
        tolerance=format_duration_exactly(webhook.tolerance),
        **effective_headers(webhook),
        **more,
    )
