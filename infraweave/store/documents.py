"""Workflow documents and their active versions, per tenant.

A version is immutable once a run has used it: different content is rejected, with the first difference.
Before that, a *load* (the server reads the author's file) may replace it; a *publication* (through the API)
never does. A load activates the version that the file declares if it differs from the one of the last load,
so a roll-back through the API survives restarts. The schedules and webhooks of a workflow are those of its
active version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from itertools import groupby

from attrs import field

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.diff import first_difference, is_recompilation
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import content_digest, document_from_json, document_to_json
from infraweave.errors import VersionConflict, VersionNotFound, WorkflowNotFound
from infraweave.store import schedules, webhooks
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES


@frozen(kw_only=True)
class Published:
    """The result of a publication or a load."""

    #: The version is new.
    created: bool
    #: The content of the version was replaced.
    replaced: bool = False
    #: The version that is active now.
    active_version: str
    #: The version that was active before; None: the workflow is new.
    previous: str | None = None


@frozen
class WorkflowVersions:
    """A workflow of a tenant: its versions, oldest first, and the version of new runs."""

    workflow_id: str
    active_version: str
    versions: tuple[str, ...]


@frozen
class Version:
    """One version of a workflow."""

    version: str
    created_at: int
    active: bool
    open_runs: int


@frozen(eq=False)
class Documents:
    """The documents of a database."""

    _db: Database
    #: Called with tenant and workflow when the active version or its content may have changed.
    listeners: list[Callable[[str, str], Awaitable[None]]] = field(factory=list, init=False)

    async def publish(
        self,
        tenant: str,
        document: Document,
        now: int,
        *,
        activate: bool = False,
        record: AuditRecord | None = None,
    ) -> Published:
        """Store a version. It becomes active with ``activate``, or if it is the first of the workflow.

        Raises:
            VersionConflict: the version exists with different content.
            WebhookConflict: it declares a webhook that another workflow of the tenant has.
        """
        done = await self._db.transact(
            lambda db: _Tenant(db, tenant, now).publish(document, activate), record
        )
        await self._notify(tenant, document.workflow_id)
        return done

    async def load(
        self,
        tenant: str,
        document: Document,
        now: int,
        *,
        superseded: bool = False,
        derived: bool = False,
    ) -> Published:
        """Store the author's document; it becomes active if the file declared another version before.

        ``superseded``: a later file declares another version of the workflow, so this one is not activated.
        ``derived``: the input schema comes from a class. A version that runs have used keeps the schema that
        an earlier release derived.

        Raises:
            VersionConflict: a run has used the version with different content.
            WebhookConflict: it declares a webhook that another workflow of the tenant has.
        """
        done = await self._db.transact(
            lambda db: _Tenant(db, tenant, now).load(document, superseded, derived)
        )
        await self._notify(tenant, document.workflow_id)
        return done

    async def conflict(
        self, tenant: str, document: Document, *, derived: bool = False
    ) -> VersionConflict | None:
        """Return the error that ``load`` would raise because runs used the version with different content."""
        stored = await self.get(tenant, document.workflow_id, document.version)
        if stored is None or content_digest(stored) == content_digest(document):
            return None
        used = await self._db.read_one("version_is_used", (tenant, document.workflow_id, document.version))
        is_changed = used and used[0] and not is_recompilation(stored, document, derived=derived)
        return _conflict(stored, document) if is_changed else None

    async def _notify(self, tenant: str, workflow_id: str) -> None:
        for listener in self.listeners:
            await listener(tenant, workflow_id)

    async def get(self, tenant: str, workflow_id: str, version: str) -> Document | None:
        """Return one version of a workflow."""
        row = await self._db.read_one("document", (tenant, workflow_id, version))
        return None if row is None else document_from_json(loads(row["document"]))

    async def active_version(self, tenant: str, workflow_id: str) -> str | None:
        """Return the version of new runs, or None if there is no such workflow."""
        row = await self._db.peek("workflow", (tenant, workflow_id))
        return None if row is None else row["active_version"]

    async def versions(self, tenant: str, workflow_id: str) -> list[Version]:
        """Return the versions of a workflow, oldest first; an empty list if there is no such workflow."""
        rows = await self._db.read("versions", (tenant, workflow_id))
        return [Version(version, at, bool(active), runs) for version, at, active, runs in rows]

    async def set_active(
        self, tenant: str, workflow_id: str, version: str, record: AuditRecord | None = None
    ) -> None:
        """Make ``version`` the version of new runs.

        Raises:
            WorkflowNotFound, VersionNotFound: it does not exist.
            WebhookConflict: it declares a webhook that another workflow of the tenant has.
        """
        await self._db.transact(lambda db: _Tenant(db, tenant).activate(workflow_id, version), record)
        await self._notify(tenant, workflow_id)

    async def list(self, tenant: str) -> list[WorkflowVersions]:
        """Return the workflows of a tenant by name."""
        rows = await self._db.read("workflows", (tenant,))
        return [
            WorkflowVersions(workflow_id, active, tuple(row["version"] for row in group))
            for (workflow_id, active), group in groupby(rows, key=lambda row: (row[0], row[1]))
        ]


@frozen
class _Tenant:
    """One tenant's documents within a transaction."""

    db: sqlite3.Connection
    tenant: str
    now: int = 0

    def publish(self, document: Document, activate: bool) -> Published:
        """See ``Documents.publish``."""
        stored = self._stored(document)
        if stored is not None and content_digest(stored) != content_digest(document):
            raise _conflict(stored, document)
        if stored is None:
            self._put(document)
        previous, loaded = self._pointers(document.workflow_id)
        active = document.version if previous is None or activate else previous
        if active != previous:
            self._point(document.workflow_id, active, loaded)
            self._declare(document)
        return Published(created=stored is None, active_version=active, previous=previous)

    def load(self, document: Document, superseded: bool, derived: bool) -> Published:
        """See ``Documents.load``."""
        stored = self._stored(document)
        replaced = stored is not None and content_digest(stored) != content_digest(document)
        if stored is not None and replaced and self._is_used(document):
            if not is_recompilation(stored, document, derived=derived):
                raise _conflict(stored, document)
            replaced = False  # a version that runs have used is immutable
        if stored is None or replaced:
            self._put(document)
        active, loaded = self._pointers(document.workflow_id)
        if active is None or (loaded != document.version and not superseded):
            active = document.version
            self._point(document.workflow_id, active, document.version)
        if active == document.version:
            self._declare(document)
        return Published(created=stored is None, replaced=replaced, active_version=active)

    def activate(self, workflow_id: str, version: str) -> None:
        """See ``Documents.set_active``."""
        active, loaded = self._pointers(workflow_id)
        if active is None:
            raise WorkflowNotFound(f"There is no workflow {workflow_id}.")
        document = self._get(workflow_id, version)
        if document is None:
            raise VersionNotFound(f"Workflow {workflow_id} has no version {version}.")
        self._point(workflow_id, version, loaded)
        self._declare(document)

    def _declare(self, document: Document) -> None:
        """Replace the declared schedules and webhooks of the workflow by those of its active version."""
        schedules.declare(self.db, self.tenant, document)
        webhooks.declare(self.db, self.tenant, document)

    def _stored(self, document: Document) -> Document | None:
        return self._get(document.workflow_id, document.version)

    def _get(self, workflow_id: str, version: str) -> Document | None:
        row = self.db.execute(QUERIES["document"], (self.tenant, workflow_id, version)).fetchone()
        return None if row is None else document_from_json(loads(row[0]))

    def _is_used(self, document: Document) -> bool:
        key = (self.tenant, document.workflow_id, document.version)
        return bool(self.db.execute(QUERIES["version_is_used"], key).fetchone()[0])

    def _put(self, document: Document) -> None:
        values = {
            "tenant": self.tenant,
            "workflow_id": document.workflow_id,
            "version": document.version,
            "digest": content_digest(document),
            "document": dumps(document_to_json(document)).decode(),
            "now": self.now,
        }
        self.db.execute(QUERIES["put_document"], values)

    def _pointers(self, workflow_id: str) -> tuple[str | None, str | None]:
        row = self.db.execute(QUERIES["workflow"], (self.tenant, workflow_id)).fetchone()
        return (None, None) if row is None else row

    def _point(self, workflow_id: str, active: str, loaded: str | None) -> None:
        self.db.execute(QUERIES["put_workflow"], (self.tenant, workflow_id, active, loaded))


def _conflict(stored: Document, document: Document) -> VersionConflict:
    return VersionConflict(
        f"Workflow {document.workflow_id} {document.version} exists with different content"
        f" ({first_difference(stored, document)}); give the changed workflow a new version."
    )
