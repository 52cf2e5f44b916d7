"""Webhooks: list, make and delete them; and the door at which deliveries arrive, which wants no token."""

from __future__ import annotations

from typing import Any

from attrs import fields, frozen

from infraweave.api.http.body_limits import read_within
from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.runs import presenters
from infraweave.api.triggers.schedules import duration
from infraweave.api.triggers.schemas import CreateWebhook, NewWebhook, WebhookList, WebhookQuery, WebhookShown
from infraweave.core.access import allows
from infraweave.core.data.values import format_duration_exactly
from infraweave.core.workflow.triggers import Webhook
from infraweave.core.workflow.webhooks import effective_headers
from infraweave.engine.engine import Engine
from infraweave.engine.triggers.webhooks import address
from infraweave.errors import AclDenied
from infraweave.store.webhooks import WebhookRow

_NOT_OF_THE_WEBHOOK = {"workflow_id", "secret", "tolerance"}


@frozen(eq=False)
class WebhookRoutes:
    """The handlers of webhooks."""

    _engine: Engine

    async def list(self, call: Call[WebhookQuery, None]) -> Answer:
        """List the webhooks of workflows that the principal may read."""
        who, wanted = call.principal, call.query.workflow_id
        rows = [
            row
            for row in await self._engine.webhooks.store.list(who.tenant)
            if wanted in (None, row.workflow_id) and allows(who, "read", f"workflow:{row.workflow_id}")
        ]
        return Answer(WebhookList(webhooks=tuple(WebhookShown(**_shown(row)) for row in rows)))

    async def create(self, call: Call[NoQuery, CreateWebhook]) -> Answer:
        """Make a webhook; its secret is told this once."""
        body, tenant = call.body, call.principal.tenant
        names = {field.name for field in fields(CreateWebhook)} - _NOT_OF_THE_WEBHOOK
        tolerance = duration("tolerance", body.tolerance) or 0.0
        webhook = Webhook(**{name: getattr(body, name) for name in names}, tolerance=tolerance)
        asked = WebhookRow(tenant=tenant, workflow_id=body.workflow_id, webhook=webhook, secret=body.secret)
        call.record.detail = f"webhook {body.name}"
        row = await self._engine.webhooks.create(asked, call.record)
        return Answer(NewWebhook(**_shown(row), secret=row.secret or ""), 201)

    async def delete(self, call: Call[NoQuery, None]) -> Answer:
        """Forget a webhook and its secret."""
        hooks, who, name = self._engine.webhooks.store, call.principal, call.path["webhook"]
        row = await hooks.get(who.tenant, name)
        # A name does not tell its workflow. Who may not publish all learns of no other that it exists.
        workflow = "*" if row is None else row.workflow_id
        if not allows(who, "publish", f"workflow:{workflow}"):
            raise AclDenied(f"Principal lacks publish on webhook:{name}.")
        await hooks.delete(who.tenant, name, call.record)
        return Answer(status=204)

    async def deliver(self, call: Call[NoQuery, None]) -> Answer:
        """Start the run of a delivery; the answer is sent once it is durable."""
        headers = {name.lower(): ", ".join(call.headers.getlist(name)) for name, _ in call.headers}
        hooks, raw = self._engine.webhooks, call.raw
        row = await hooks.genuine(call.path["name"], headers, raw)
        call.record.tenant, call.record.principal = row.tenant, f"webhook:{row.webhook.name}"
        value = await read_within(self._engine.settings, raw)
        done = await hooks.start(row, headers, raw, value, call.record)
        given = {"Location": f"/v1/runs/{done.run.run_id}"}
        if done.replayed:
            given["Idempotent-Replayed"] = "true"
        return Answer(presenters.started(done.run), 200 if done.replayed else 201, given)


def _shown(row: WebhookRow) -> dict[str, Any]:
    webhook = row.webhook
    same = ("name", "secret_env", "scheme", "input")
    return {
        "workflow_id": row.workflow_id,
        "path": address(row.tenant, webhook.name),
        "declared_in": row.declared_in,
        "tolerance": format_duration_exactly(webhook.tolerance),
        **effective_headers(webhook),
        **{name: getattr(webhook, name) for name in same},
    }
