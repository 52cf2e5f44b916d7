"""Handlers of workflows: their versions, documents and differences, and which version is active."""

from __future__ import annotations

import asyncio
from collections import Counter

from attrs import evolve, field

from infraweave.api.http.decoding import summary
from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery, hide_details, require
from infraweave.api.workflows import schemas
from infraweave.api.workflows.document_schema import LAYOUT, workflow_schema
from infraweave.api.workflows.layouts import Layouts
from infraweave.api.workflows.schemas import DiffQuery, DocumentQuery, PublishQuery
from infraweave.core.access import Principal, allows
from infraweave.core.data import json_codec
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow import document_codec
from infraweave.core.workflow.diff import differences
from infraweave.core.workflow.document import Document, Map, Subworkflow
from infraweave.core.workflow.rules import check
from infraweave.engine.catalog import references
from infraweave.engine.engine import Engine
from infraweave.errors import DefinitionInvalid, VersionConflict, WorkflowNotFound


@frozen(eq=False)
class WorkflowHandlers:
    """The handlers of workflows."""

    _engine: Engine
    _layouts: Layouts = field(factory=Layouts, init=False)

    async def list(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """List the workflows that the principal may read."""
        tenant, open_runs = request.principal.tenant, Counter[str]()
        for version in await self._engine.runs.open_counts(tenant):
            open_runs[version.workflow_id] += version.runs
        found = await self._engine.documents.list(tenant)
        readable = tuple(
            present(schemas.WorkflowSummary, workflow, open_runs=open_runs[workflow.workflow_id])
            for workflow in found
            if _may_read(request.principal, workflow.workflow_id)
        )
        return ApiResponse(schemas.WorkflowList(workflows=readable))

    async def show(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Show the versions of a workflow and the open runs of each."""
        return ApiResponse(await self._workflow(request.principal.tenant, request.path["workflow_id"]))

    async def _workflow(self, tenant: str, workflow_id: str) -> schemas.Workflow:
        versions = await self._engine.documents.versions(tenant, workflow_id)
        active = next((version.version for version in versions if version.active), None)
        if active is None:
            raise WorkflowNotFound(f"No workflow {workflow_id}.")
        shown = tuple(present(schemas.VersionSummary, version) for version in versions)
        return schemas.Workflow(workflow_id=workflow_id, active_version=active, versions=shown)

    async def document(self, request: ApiRequest[DocumentQuery, None]) -> ApiResponse:
        """Show the definition document of a version, with its drawing on request."""
        path = request.path
        graph = await self._engine.catalog.graph(
            request.principal.tenant, path["workflow_id"], path["version"]
        )
        document: dict[str, Json] = dict(document_codec.document_to_json(graph.document))
        if request.query.layout:
            document[LAYOUT] = await self._layouts.of(graph)
        return ApiResponse(json_codec.dumps(document))

    async def publish(self, request: ApiRequest[PublishQuery, Document]) -> ApiResponse:
        """Publish a definition document as a version of its workflow."""
        catalog = self._engine.catalog
        # In a thread: the check of a large graph takes a second.
        document = await asyncio.to_thread(_publishable, request.principal, request.body)
        unresolved = await asyncio.to_thread(catalog.unresolved, document)
        missing = await catalog.missing_workflows(request.principal.tenant, document)
        request.record.resource = f"workflow:{document.workflow_id}"
        request.record.detail = f"version {document.version}"
        with hide_details(request, document.workflow_id, VersionConflict):
            done = await catalog.publish(
                request.principal.tenant, document, activate=request.query.activate, record=request.record
            )
        publication = present(
            schemas.Publication,
            done,
            workflow_id=document.workflow_id,
            version=document.version,
            previously_active=done.previous,
            unresolved=tuple(unresolved),
            missing_workflows=tuple(missing),
        )
        where = f"/v1/workflows/{document.workflow_id}/versions/{document.version}"
        return ApiResponse(publication, 201 if done.created else 200, {"Location": where})

    async def diff(self, request: ApiRequest[DiffQuery, None]) -> ApiResponse:
        """Compare two versions of a workflow."""
        workflow_id, query = request.path["workflow_id"], request.query
        graphs = [
            await self._engine.catalog.graph(request.principal.tenant, workflow_id, version)
            for version in (query.from_version, query.to_version)
        ]
        old, new = (graph.document for graph in graphs)
        found = await asyncio.to_thread(
            lambda: tuple(present(schemas.DocumentDifference, one) for one in differences(old, new))
        )
        return ApiResponse(present(schemas.DocumentDiff, query, workflow_id=workflow_id, differences=found))

    async def schema(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Return the JSON Schema of definition documents, for editors."""
        return ApiResponse(json_codec.dumps(workflow_schema()))

    async def activate(self, request: ApiRequest[NoQuery, schemas.ActivateVersion]) -> ApiResponse:
        """Choose the version that new runs use: a release, or a roll-back."""
        tenant, workflow_id = request.principal.tenant, request.path["workflow_id"]
        request.record.detail = f"version {request.body.version}"
        await self._engine.catalog.activate(tenant, workflow_id, request.body.version, request.record)
        if not request.may_read(workflow_id):
            active = schemas.ActivationAcknowledged(
                workflow_id=workflow_id, active_version=request.body.version
            )
            return ApiResponse(active)
        return ApiResponse(await self._workflow(tenant, workflow_id))


def _publishable(principal: Principal, document: Document) -> Document:
    """Return a document that may be stored, with its version.

    Raises:
        AclDenied: it calls a workflow that the principal may not execute.
        DefinitionInvalid: it is not a valid workflow; the details name every fault.
    """
    if not document.version:
        document = evolve(document, version=document_codec.derived_version(document))
    found = check.faults(document)
    if found:
        raise DefinitionInvalid(f"This is not a valid workflow: {summary(found)}.", details=found)
    _may_call(principal, document)
    return document


def _may_call(principal: Principal, document: Document) -> None:
    """Require execute on every other workflow that a document starts or takes code from.

    Raises:
        AclDenied: a grant is missing.
    """
    owners = {reference.partition(":")[0] for reference in references(document)}
    children = {node.workflow_id for node in document.nodes if isinstance(node, Subworkflow | Map)}
    others = {owner for owner in owners | children if owner is not None and check.is_id(owner)}
    for owner in sorted(others - {document.workflow_id}):
        require(principal, "execute", f"workflow:{owner}")


def _may_read(principal: Principal, workflow_id: str) -> bool:
    return allows(principal, "read", f"workflow:{workflow_id}")
