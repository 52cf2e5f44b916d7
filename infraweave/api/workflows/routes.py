"""Routes of workflows: their documents, their versions, and which version is active."""

from __future__ import annotations

from typing import Any

from infraweave.api.http.header_specs import LOCATION
from infraweave.api.http.routing import JSON, ResponseSpec, Route
from infraweave.api.workflows import schemas
from infraweave.api.workflows.document_decoding import read_document
from infraweave.api.workflows.document_schema import EDITORS_OWN, LAYOUT
from infraweave.api.workflows.handlers import WorkflowHandlers
from infraweave.core.workflow.document import Document
from infraweave.engine.engine import Engine
from infraweave.errors import (
    DefinitionInvalid,
    VersionConflict,
    VersionNotFound,
    WebhookConflict,
    WorkflowNotFound,
)


def workflow_routes(engine: Engine) -> list[Route]:
    """Return the routes of workflows, bound to an engine."""
    workflows = WorkflowHandlers(engine)
    return [*_lists(workflows), *_versions(workflows), *_publishing(workflows)]


def _lists(workflows: WorkflowHandlers) -> list[Route]:
    return [
        Route(
            name="list_workflows",
            method="GET",
            path="/v1/workflows",
            handler=workflows.list,
            on="own",
            responses={200: ResponseSpec(doc="The workflows.", schema=schemas.WorkflowList)},
        ),
        Route(
            name="show_workflow",
            method="GET",
            path="/v1/workflows/{workflow_id}",
            handler=workflows.show,
            on="workflow",
            action="read",
            responses={200: ResponseSpec(doc="The workflow.", schema=schemas.Workflow)},
            errors=(WorkflowNotFound,),
        ),
        Route(
            name="workflow_schema",
            method="GET",
            path="/v1/schemas/workflow",
            handler=workflows.schema,
            on="own",
            responses={200: ResponseSpec(doc="A schema of draft 2020-12.", schema=dict[str, Any])},
        ),
    ]


def _versions(workflows: WorkflowHandlers) -> list[Route]:
    return [
        Route(
            name="show_version",
            method="GET",
            path="/v1/workflows/{workflow_id}/versions/{version}",
            handler=workflows.document,
            on="workflow",
            action="read",
            query=schemas.DocumentQuery,
            responses={200: ResponseSpec(doc="The document.", schema=Document)},
            errors=(WorkflowNotFound, VersionNotFound),
        ),
        Route(
            name="diff_versions",
            method="GET",
            path="/v1/workflows/{workflow_id}/diff",
            handler=workflows.diff,
            on="workflow",
            action="read",
            query=schemas.DiffQuery,
            responses={200: ResponseSpec(doc="Every difference.", schema=schemas.DocumentDiff)},
            errors=(WorkflowNotFound, VersionNotFound),
        ),
    ]


def _publishing(workflows: WorkflowHandlers) -> list[Route]:
    def published(doc: str) -> ResponseSpec:
        return ResponseSpec(doc=doc, schema=schemas.Publication, headers=(LOCATION,))

    activated = ((JSON, schemas.Workflow), (JSON, schemas.ActivationAcknowledged))
    return [
        Route(
            name="publish_workflow",
            method="POST",
            path="/v1/workflows",
            handler=workflows.publish,
            on="body",
            action="publish",
            query=schemas.PublishQuery,
            body=Document,
            decoder=read_document,
            max_body=None,
            ignores=(EDITORS_OWN, LAYOUT),
            responses={201: published("A new version."), 200: published("The version existed already.")},
            errors=(VersionConflict, WebhookConflict, DefinitionInvalid),
        ),
        Route(
            name="activate_version",
            method="PUT",
            path="/v1/workflows/{workflow_id}/active",
            handler=workflows.activate,
            on="workflow",
            action="publish",
            body=schemas.ActivateVersion,
            responses={200: ResponseSpec(doc="The workflow.", media=activated)},
            errors=(WorkflowNotFound, VersionNotFound, WebhookConflict),
        ),
    ]
