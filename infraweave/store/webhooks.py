"""Webhooks: which door starts which workflow, and the secret of those that were made through the API.

A secret stands in the file as it is, for an HMAC needs it: the file is to be guarded like the secret.
"""

from __future__ import annotations

import sqlite3

from attrs import evolve, field, frozen

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import trigger_to_json, webhook_from_json
from infraweave.core.workflow.triggers import Webhook
from infraweave.errors import WebhookConflict, WebhookDeclared, WebhookNotFound, WorkflowNotFound
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES


@frozen(kw_only=True)
class WebhookRow:
    """A webhook of a tenant."""

    tenant: str
    workflow_id: str
    webhook: Webhook
    #: The version that declares it; None: made through the API.
    declared_in: str | None = None
    #: None: the environment holds it.
    secret: str | None = field(default=None, repr=False)


#: How the file holds a webhook that there is not.
_NONE = dumps(trigger_to_json(Webhook(name="none"))).decode()


def no_webhook(tenant: str, name: str) -> WebhookRow:
    """Return what stands in for a webhook that there is not, read as one that there is: it has no secret."""
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
        """Return a webhook, or None where there is none."""
        row = await self._db.read_one("webhook", {"tenant": tenant, "name": name})
        return None if row is None else _row(row)

    async def create(self, row: WebhookRow, record: AuditRecord | None = None) -> None:
        """Make a webhook.

        Raises:
            WorkflowNotFound: the tenant has no such workflow.
            WebhookConflict: the tenant has one of this name.
        """

        def work(db: sqlite3.Connection) -> None:
            if db.execute(QUERIES["workflow"], (row.tenant, row.workflow_id)).fetchone() is None:
                raise WorkflowNotFound(f"No workflow {row.workflow_id}.")
            if _find(db, row.tenant, row.webhook.name) is not None:
                raise WebhookConflict(f"There is a webhook {row.webhook.name}; choose another name.")
            _put(db, row)

        await self._db.transact(work, record)

    async def delete(self, tenant: str, name: str, record: AuditRecord | None = None) -> None:
        """Forget a webhook and its secret.

        Raises:
            WebhookNotFound: there is none.
            WebhookDeclared: a workflow declares it.
        """

        def work(db: sqlite3.Connection) -> None:
            row = _find(db, tenant, name)
            if row is None:
                raise WebhookNotFound(f"No webhook {name}.")
            if row.declared_in is not None:
                raise WebhookDeclared(
                    f"The workflow {row.workflow_id} declares {name} in version {row.declared_in};"
                    " take it out there."
                )
            db.execute(QUERIES["delete_webhook"], {"tenant": tenant, "name": name})

        await self._db.transact(work, record)


def declare(db: sqlite3.Connection, tenant: str, document: Document) -> None:
    """Let the webhooks of a document take the place of those that another version declared.

    Raises:
        WebhookConflict: another workflow has one of the name, or the API has made one.
    """
    params = {"tenant": tenant, "workflow_id": document.workflow_id}
    before = {row.webhook.name for row in _rows(db, "webhooks", params) if row.declared_in is not None}
    for webhook in document.webhooks:
        found = _find(db, tenant, webhook.name)
        if found is not None and webhook.name not in before:
            raise _taken(found, document)
        before.discard(webhook.name)
        _put(db, WebhookRow(**params, webhook=webhook, declared_in=document.version))
    for name in before:
        db.execute(QUERIES["delete_webhook"], {"tenant": tenant, "name": name})


def _taken(found: WebhookRow, document: Document) -> WebhookConflict:
    owner = "was made through the API" if found.declared_in is None else "is declared there"
    return WebhookConflict(
        f"Workflow {document.workflow_id} declares the webhook {found.webhook.name}, which the tenant"
        f" {found.tenant} has for the workflow {found.workflow_id} already: it {owner}. Choose another name."
    )


def _find(db: sqlite3.Connection, tenant: str, name: str) -> WebhookRow | None:
    rows = _rows(db, "webhook", {"tenant": tenant, "name": name})
    return rows[0] if rows else None


def _rows(db: sqlite3.Connection, statement: str, params: dict[str, str]) -> list[WebhookRow]:
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    return [_row(row) for row in cursor.execute(QUERIES[statement], params).fetchall()]


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
    return WebhookRow(
        tenant=row["tenant"],
        workflow_id=row["workflow_id"],
        webhook=webhook_from_json(loads(row["spec"])),
        declared_in=row["declared_in"],
        secret=row["secret"],
    )
