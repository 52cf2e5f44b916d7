"""Query parameters and bodies of workflows: versions, publishing and differences."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING

from infraweave.api.http.fields import Time, described, query_param
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.diff import Change

# --- requests ----------------------------------------------------------------------------------------------


def _read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"expected true or false, not {text!r:.60}")
    return text == "true"


def _read_include(text: str) -> bool:
    if text != "layout":
        raise ValueError(f"expected layout, not {text!r:.60}")
    return True


def _version(doc: str, name: str) -> Any:
    def read(text: str) -> str:
        if not text:
            raise ValueError("expected a version, not nothing")
        return text

    return query_param(read, doc, {"type": "string", "minLength": 1}, NOTHING, name=name)


@frozen(kw_only=True)
class ActivateVersion:
    """The version that new runs use."""

    version: str = described("A published version.")


@frozen(kw_only=True)
class PublishQuery:
    """What to do with a document after it is stored."""

    activate: bool = query_param(
        _read_flag,
        "true: new runs use this version, even if it existed already. By default only the first version of a"
        " workflow becomes active.",
        {"type": "boolean", "default": False},
        False,
    )


@frozen(kw_only=True)
class DocumentQuery:
    """What to show of a version."""

    layout: bool = query_param(
        _read_include,
        "layout: the document includes the coordinates of nodes and edges in a drawing from left to right.",
        {"type": "string", "enum": ["layout"]},
        False,
        name="include",
    )


@frozen(kw_only=True)
class DiffQuery:
    """The versions to compare."""

    from_version: str = _version("The older version.", "from")
    to_version: str = _version("The newer version.", "to")


# --- responses ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class WorkflowSummary:
    """A workflow and its versions, oldest first."""

    workflow_id: str
    active_version: str
    versions: tuple[str, ...]
    open_runs: int = described("Runs of all versions that have not ended.")


@frozen(kw_only=True)
class WorkflowList:
    """The workflows that the principal may read."""

    workflows: tuple[WorkflowSummary, ...]


@frozen(kw_only=True)
class VersionSummary:
    """One version of a workflow."""

    version: str
    active: bool
    open_runs: int
    created_at: Time


@frozen(kw_only=True)
class Workflow:
    """A workflow with its versions, oldest first."""

    workflow_id: str
    active_version: str
    versions: tuple[VersionSummary, ...]


@frozen(kw_only=True)
class ActivationAcknowledged:
    """A workflow with a newly active version, for a principal without ``read``."""

    workflow_id: str
    active_version: str


@frozen(kw_only=True)
class Publication:
    """The result of publishing a document."""

    workflow_id: str
    version: str = described("The version in the document, or one derived from its content.")
    created: bool = described("False: this content existed already.")
    active_version: str
    previously_active: str | None = described(
        "The version that was active before. Null: the workflow is new."
    )
    unresolved: tuple[str, ...] = described(
        "Code references that are not loaded. Nodes with these references wait until the code is loaded."
    )
    missing_workflows: tuple[str, ...] = described(
        "Missing workflows that nodes start, as ID or ID VERSION. Such nodes fail."
    )


@frozen(kw_only=True)
class DocumentDifference:
    """One difference between two versions."""

    change: Change
    node: str | None = described("The node of the difference. Null: the workflow itself.")
    field: str = described("The field that differs, for example retry.max_attempts. Empty: the whole node.")
    before: Json = described("The value before. Null also where there was none.")
    after: Json = described("The value after. Null also where there is none.")
    text: str = described("The same as a sentence.")


@frozen(kw_only=True)
class DocumentDiff:
    """The differences between two versions of a workflow. The order of nodes does not matter."""

    workflow_id: str
    from_version: str
    to_version: str
    differences: tuple[DocumentDifference, ...]
