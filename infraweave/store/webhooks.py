"""Webhooks that start workflows, and the secrets of those that were created through the API.

A secret is stored as plain text, because an HMAC needs it. Protect the file like the secret.
"""

from __future__ import annotations

import sqlite3

from attrs import evolve, field

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import trigger_to_json, webhook_from_json
from infraweave.core.workflow.triggers import Webhook
from infraweave.errors import WebhookConflict, WebhookDeclared, WebhookNotFound, WorkflowNotFound
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES, fetch


@frozen(kw_only=True)
class WebhookRow:
    """A webhook of a tenant."""

    tenant: str
    workflow_id: str
    webhook: Webhook
    #: The version that declares it; None: created through the API.
    declared_in: str | None = None
    #: None: the environment holds it.
    secret: str | None = field(default=None, repr=False)


#: The stored form of a webhook that does not exist.
_NONE = dumps(trigger_to_json(Webhook(name="none"))).decode()


def no_webhook(tenant: str, name: str) -> WebhookRow:
    """Return a stand-in for a missing webhook, decoded like a real one but without a secret."""
    webhook = evolve(webhook_from_json(loads(_NONE)), name=name)
    return WebhookRow(tenant=tenant, workflow_id="", webhook=webhook)


@frozen(eq=False)
class Webhooks:
    """The webhooks of a database."""

    _db: Database

    async def list(self, tenant: str) -> list[WebhookRow]:
        """Return the webhooks of a tenant by name."""
        params = {"tenant": tenant, "workflow_id": None}
        return [_row(row) for row in await self._db.read("webhooks", params)]

    async def get(self, tenant: str, name: str) -> WebhookRow | None:
        """Return a webhook, or None."""
        row = await self._db.peek("webhook", {"tenant": tenant, "name": name})
        return None if row is None else _row(row)

    async def create(self, row: WebhookRow, record: AuditRecord | None = None) -> None:
        """Create a webhook.

        Raises:
            WorkflowNotFound: the tenant has no such workflow.
            WebhookConflict: the tenant has a webhook of this name.
        """

        def work(db: sqlite3.Connection) -> None:
            if db.execute(QUERIES["workflow"], (row.tenant, row.workflow_id)).fetchone() is None:
                raise WorkflowNotFound(f"No workflow {row.workflow_id}.")
            if _find(db, row.tenant, row.webhook.name) is not None:
                raise WebhookConflict(f"There is a webhook {row.webhook.name}; choose another name.")
            _put(db, row)

        await self._db.transact(work, record)

    async def delete(self, tenant: str, name: str, record: AuditRecord | None = None) -> None:
        """Delete a webhook and its secret.

        Raises:
            WebhookNotFound: it does not exist.
            WebhookDeclared: a workflow declares it.
        """

        def work(db: sqlite3.Connection) -> None:
            row = _find(db, tenant, name)
            if row is None:
                raise WebhookNotFound(f"No webhook {name}.")
            if row.declared_in is not None:
                raise WebhookDeclared(
                    f"The workflow {row.workflow_id} declares {name} in version {row.declared_in};"
                    " remove it there."
                )
            db.execute(QUERIES["delete_webhook"], {"tenant": tenant, "name": name})

        await self._db.transact(work, record)


def declare(db: sqlite3.Connection, tenant: str, document: Document) -> None:
    """Replace the webhooks that another version declared by those of a document.

    Raises:
        WebhookConflict: another workflow has a webhook of the name, or it was created through the API.
    """
    params = {"tenant": tenant, "workflow_id": document.workflow_id}
    stored = map(_row, fetch(db, "webhooks", params))
    before = {row.webhook.name for row in stored if row.declared_in is not None}
    for webhook in document.webhooks:
        found = _find(db, tenant, webhook.name)
        if found is not None and webhook.name not in before:
            raise _taken(found, document)
        before.discard(webhook.name)
        _put(db, WebhookRow(**params, webhook=webhook, declared_in=document.version))
    for name in before:
        db.execute(QUERIES["delete_webhook"], {"tenant": tenant, "name": name})


def _taken(found: WebhookRow, document: Document) -> WebhookConflict:
    owner = "was created through the API" if found.declared_in is None else "is declared there"
    return WebhookConflict(
        f"Workflow {document.workflow_id} declares the webhook {found.webhook.name}, but tenant"
        f" {found.tenant} already has it for the workflow {found.workflow_id}: it {owner}."
        " Choose another name."
    )


def _find(db: sqlite3.Connection, tenant: str, name: str) -> WebhookRow | None:
    rows = fetch(db, "webhook", {"tenant": tenant, "name": name})
    return _row(rows[0]) if rows else None


def _put(db: sqlite3.Connection, row: WebhookRow) -> None:
    values = {
        "tenant": row.tenant,
        "name": row.webhook.name,
        "workflow_id": row.workflow_id,
        "declared_in": row.declared_in,
        "spec": dumps(trigger_to_json(row.webhook)).decode(),
        "secret": row.secret,
    }
    db.execute(QUERIES["put_webhook"], values)


def _row(row: sqlite3.Row) -> WebhookRow:
    values = dict(row)
    del values["name"]
    return WebhookRow(webhook=webhook_from_json(loads(values.pop("spec"))), **values)
