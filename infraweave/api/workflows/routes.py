"""The part of the table that is about workflows: their documents, their versions, and which is active."""

from __future__ import annotations

from typing import Any

from infraweave.api.http.routing import JSON, Header, Reply, Route
from infraweave.api.runs import schemas
from infraweave.api.workflows import schemas as workflow_schemas
from infraweave.api.workflows.document_schema import EDITORS_OWN, LAYOUT
from infraweave.api.workflows.handlers import WorkflowRoutes
from infraweave.core.workflow.document import Document
from infraweave.errors import (
    DefinitionInvalid,
    StorageUnavailable,
    VersionConflict,
    VersionNotFound,
    WebhookConflict,
    WorkflowNotFound,
)

KEPT = (Header(name="Location", doc="Where the version's document is."),)


def workflow_routes(workflows: WorkflowRoutes) -> list[Route]:
    """Return the routes of workflows."""
    return [*_reading(workflows), *_versions(workflows), *_publishing(workflows)]


def _reading(workflows: WorkflowRoutes) -> list[Route]:
    return [
        Route(
            name="list_workflows",
            method="GET",
            path="/v1/workflows",
            handler=workflows.list,
            summary="List workflows",
            on="own",
            replies={200: Reply(doc="What the principal may read.", shape=schemas.WorkflowList)},
        ),
        Route(
            name="show_workflow",
            method="GET",
            path="/v1/workflows/{workflow_id}",
            handler=workflows.show,
            summary="Show a workflow's versions",
            on="workflow",
            action="read",
            replies={200: Reply(doc="The workflow.", shape=schemas.Workflow)},
            errors=(WorkflowNotFound,),
        ),
        Route(
            name="workflow_schema",
            method="GET",
            path="/v1/schemas/workflow",
            handler=workflows.schema,
            summary="The JSON Schema of definition documents, for editors",
            on="own",
            replies={200: Reply(doc="A schema of draft 2020-12.", shape=dict[str, Any])},
        ),
    ]


def _versions(workflows: WorkflowRoutes) -> list[Route]:
    return [
        Route(
            name="show_version",
            method="GET",
            path="/v1/workflows/{workflow_id}/versions/{version}",
            handler=workflows.document,
            summary="Show a version's definition document",
            on="workflow",
            action="read",
            query=workflow_schemas.DocumentQuery,
            replies={200: Reply(doc="The document.", shape=Document)},
            errors=(WorkflowNotFound, VersionNotFound),
        ),
        Route(
            name="diff_versions",
            method="GET",
            path="/v1/workflows/{workflow_id}/diff",
            handler=workflows.diff,
            summary="Tell how one version differs from another",
            on="workflow",
            action="read",
            query=workflow_schemas.DiffQuery,
            replies={200: Reply(doc="Every difference.", shape=workflow_schemas.DocumentDiff)},
            errors=(WorkflowNotFound, VersionNotFound),
        ),
    ]


def _publishing(workflows: WorkflowRoutes) -> list[Route]:
    return [
        Route(
            name="publish_workflow",
            method="POST",
            path="/v1/workflows",
            handler=workflows.publish,
            summary="Publish a definition document",
            on="body",
            action="publish",
            query=workflow_schemas.PublishQuery,
            body=Document,
            max_body=None,
            ignores=(EDITORS_OWN, LAYOUT),
            replies={
                201: Reply(doc="A new version.", shape=workflow_schemas.Publication, headers=KEPT),
                200: Reply(doc="It was there already.", shape=workflow_schemas.Publication, headers=KEPT),
            },
            errors=(VersionConflict, WebhookConflict, DefinitionInvalid, StorageUnavailable),
        ),
        Route(
            name="activate_version",
            method="PUT",
            path="/v1/workflows/{workflow_id}/active",
            handler=workflows.activate,
            summary="Choose the version that new runs use",
            on="workflow",
            action="publish",
            body=schemas.ActivateVersion,
            replies={
                200: Reply(
                    doc="The workflow.",
                    media=((JSON, schemas.Workflow), (JSON, schemas.ActivationAcknowledged)),
                )
            },
            errors=(WorkflowNotFound, VersionNotFound, WebhookConflict, StorageUnavailable),
        ),
    ]
