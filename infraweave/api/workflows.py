"""Workflows: which there are, their versions and documents, and which version is active."""

from __future__ import annotations

from attrs import frozen

from infraweave.api import shapes, views
from infraweave.api.routing import Answer, Call, NoQuery
from infraweave.core import codec
from infraweave.core.access import Principal, allows
from infraweave.engine.engine import Engine
from infraweave.errors import WorkflowNotFound


@frozen(eq=False)
class WorkflowRoutes:
    """The handlers of workflows."""

    _engine: Engine

    async def list(self, call: Call[NoQuery, None]) -> Answer:
        """List the workflows that the principal may read."""
        found = await self._engine.documents.list(call.principal.tenant)
        readable = tuple(
            shapes.WorkflowSummary(
                workflow_id=workflow.workflow_id,
                active_version=workflow.active_version,
                versions=workflow.versions,
            )
            for workflow in found
            if _may_read(call.principal, workflow.workflow_id)
        )
        return Answer(shapes.WorkflowList(workflows=readable))

    async def show(self, call: Call[NoQuery, None]) -> Answer:
        """Show a workflow's versions, which is active, and the open runs of each."""
        return Answer(await self._workflow(call.principal.tenant, call.path["workflow_id"]))

    async def _workflow(self, tenant: str, workflow_id: str) -> shapes.Workflow:
        versions = await self._engine.documents.versions(tenant, workflow_id)
        active = next((version.version for version in versions if version.active), None)
        if active is None:
            raise WorkflowNotFound(f"No workflow {workflow_id}.")
        return shapes.Workflow(
            workflow_id=workflow_id, active_version=active, versions=tuple(map(views.version, versions))
        )

    async def document(self, call: Call[NoQuery, None]) -> Answer:
        """Show the definition document of a version."""
        path = call.path
        graph = await self._engine.catalog.graph(call.principal.tenant, path["workflow_id"], path["version"])
        return Answer(codec.dumps(codec.document_to_json(graph.document)))

    async def activate(self, call: Call[NoQuery, shapes.ActivateVersion]) -> Answer:
        """Let runs that start without a version use this one: a release, or a roll-back."""
        tenant, workflow_id = call.principal.tenant, call.path["workflow_id"]
        await self._engine.catalog.activate(tenant, workflow_id, call.body.version)
        return Answer(await self._workflow(tenant, workflow_id))


def _may_read(principal: Principal, workflow_id: str) -> bool:
    return allows(principal, "read", f"workflow:{workflow_id}")
