"""Workflows: which there are, their versions and documents, and which version is active."""

from __future__ import annotations

import asyncio
from collections import Counter

from attrs import evolve, field, frozen

from infraweave.api.http.routing import Answer, Call, NoQuery, require, veiled
from infraweave.api.runs import presenters, schemas
from infraweave.api.workflows import schemas as workflow_schemas
from infraweave.api.workflows.document_schema import LAYOUT, workflow_schema
from infraweave.api.workflows.layouts import Layouts
from infraweave.api.workflows.schemas import DiffQuery, DocumentQuery, PublishQuery
from infraweave.core.access import Principal, allows
from infraweave.core.data import json_codec
from infraweave.core.data.values import Json
from infraweave.core.workflow import document_codec
from infraweave.core.workflow.diff import Difference, differences
from infraweave.core.workflow.document import Document, Map, Subworkflow
from infraweave.core.workflow.rules import check
from infraweave.core.workflow.rules.place import place_of
from infraweave.engine.catalog import references
from infraweave.engine.engine import Engine
from infraweave.errors import DefinitionInvalid, Fault, VersionConflict, WorkflowNotFound


@frozen(eq=False)
class WorkflowRoutes:
    """The handlers of workflows."""

    _engine: Engine
    _layouts: Layouts = field(factory=Layouts, init=False)

    async def list(self, call: Call[NoQuery, None]) -> Answer:
        """List the workflows that the principal may read."""
        tenant, open_runs = call.principal.tenant, Counter[str]()
        for version in await self._engine.runs.open_counts(tenant):
            open_runs[version.workflow_id] += version.runs
        found = await self._engine.documents.list(tenant)
        readable = tuple(
            schemas.WorkflowSummary(
                workflow_id=workflow.workflow_id,
                active_version=workflow.active_version,
                versions=workflow.versions,
                open_runs=open_runs[workflow.workflow_id],
            )
            for workflow in found
            if _may_read(call.principal, workflow.workflow_id)
        )
        return Answer(schemas.WorkflowList(workflows=readable))

    async def show(self, call: Call[NoQuery, None]) -> Answer:
        """Show a workflow's versions, which is active, and the open runs of each."""
        return Answer(await self._workflow(call.principal.tenant, call.path["workflow_id"]))

    async def _workflow(self, tenant: str, workflow_id: str) -> schemas.Workflow:
        versions = await self._engine.documents.versions(tenant, workflow_id)
        active = next((version.version for version in versions if version.active), None)
        if active is None:
            raise WorkflowNotFound(f"No workflow {workflow_id}.")
        return schemas.Workflow(
            workflow_id=workflow_id, active_version=active, versions=tuple(map(presenters.version, versions))
        )

    async def document(self, call: Call[DocumentQuery, None]) -> Answer:
        """Show the definition document of a version, with its drawing where that is asked for."""
        path = call.path
        graph = await self._engine.catalog.graph(call.principal.tenant, path["workflow_id"], path["version"])
        document: dict[str, Json] = dict(document_codec.document_to_json(graph.document))
        if call.query.layout:
            document[LAYOUT] = await self._layouts.of(graph)
        return Answer(json_codec.dumps(document))

    async def publish(self, call: Call[PublishQuery, Document]) -> Answer:
        """Keep a definition document as a version of its workflow."""
        catalog = self._engine.catalog
        # Off the loop: a large graph takes a second to check, and others want to be answered meanwhile.
        document = await asyncio.to_thread(_publishable, call.principal, call.body)
        unresolved = await asyncio.to_thread(catalog.unresolved, document)
        missing = await catalog.missing_workflows(call.principal.tenant, document)
        call.record.resource = f"workflow:{document.workflow_id}"
        call.record.detail = f"version {document.version}"
        with veiled(call, document.workflow_id, VersionConflict):
            done = await catalog.publish(
                call.principal.tenant, document, activate=call.query.activate, record=call.record
            )
        publication = workflow_schemas.Publication(
            workflow_id=document.workflow_id,
            version=document.version,
            created=done.created,
            active_version=done.active_version,
            previously_active=done.previous,
            unresolved=tuple(unresolved),
            missing_workflows=tuple(missing),
        )
        where = f"/v1/workflows/{document.workflow_id}/versions/{document.version}"
        return Answer(publication, 201 if done.created else 200, {"Location": where})

    async def diff(self, call: Call[DiffQuery, None]) -> Answer:
        """Tell how one version differs from another."""
        workflow_id, query = call.path["workflow_id"], call.query
        graphs = [
            await self._engine.catalog.graph(call.principal.tenant, workflow_id, version)
            for version in (query.from_version, query.to_version)
        ]
        old, new = (graph.document for graph in graphs)
        found = await asyncio.to_thread(lambda: tuple(map(_shown, differences(old, new))))
        return Answer(
            workflow_schemas.DocumentDiff(
                workflow_id=workflow_id,
                from_version=query.from_version,
                to_version=query.to_version,
                differences=found,
            )
        )

    async def schema(self, call: Call[NoQuery, None]) -> Answer:  # noqa: ARG002 - every handler takes a call
        """Return the JSON Schema of definition documents."""
        return Answer(json_codec.dumps(workflow_schema()))

    async def activate(self, call: Call[NoQuery, schemas.ActivateVersion]) -> Answer:
        """Let runs that start without a version use this one: a release, or a roll-back."""
        tenant, workflow_id = call.principal.tenant, call.path["workflow_id"]
        call.record.detail = f"version {call.body.version}"
        await self._engine.catalog.activate(tenant, workflow_id, call.body.version, call.record)
        if not call.may_read(workflow_id):
            active = schemas.ActivationAcknowledged(workflow_id=workflow_id, active_version=call.body.version)
            return Answer(active)
        return Answer(await self._workflow(tenant, workflow_id))


def _publishable(principal: Principal, document: Document) -> Document:
    """Return a document that may be kept, with its version.

    Raises:
        AclDenied: it calls what the principal may not execute.
        DefinitionInvalid: it is no valid workflow; the details name every fault.
    """
    if not document.version:
        document = evolve(document, version=document_codec.derived_version(document))
    found = check.faults(document)
    if found:
        told = "; ".join(found[:3])
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        details = [Fault(place_of(document, fault), fault) for fault in found]
        raise DefinitionInvalid(f"This is no valid workflow: {told}{more}.", details=details)
    _may_call(principal, document)
    return document


def _may_call(principal: Principal, document: Document) -> None:
    """Let a principal publish what runs another workflow, or its code, only if it may execute that one.

    Raises:
        AclDenied: it may not.
    """
    owners = {reference.partition(":")[0] for reference in references(document)}
    children = {node.workflow_id for node in document.nodes if isinstance(node, Subworkflow | Map)}
    others = {owner for owner in owners | children if owner is not None and check.is_id(owner)}
    for owner in sorted(others - {document.workflow_id}):
        require(principal, "execute", f"workflow:{owner}")


def _shown(found: Difference) -> workflow_schemas.DocumentDifference:
    return workflow_schemas.DocumentDifference(
        change=found.change,
        node=found.node,
        field=found.field,
        before=found.before,
        after=found.after,
        text=found.text,
    )


def _may_read(principal: Principal, workflow_id: str) -> bool:
    return allows(principal, "read", f"workflow:{workflow_id}")
