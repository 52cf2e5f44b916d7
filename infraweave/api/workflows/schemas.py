"""The shapes of publishing: what became of a document, and how two versions differ."""

from __future__ import annotations

from attrs import NOTHING, frozen

from infraweave.api.runs.schemas import given, said
from infraweave.core.data.values import Json
from infraweave.core.workflow.diff import Change


def read_flag(text: str) -> bool:
    """Return what ``true`` or ``false`` says.

    Raises:
        ValueError: it is neither.
    """
    if text not in ("true", "false"):
        raise ValueError(f"expected true or false, not {text!r:.60}")
    return text == "true"


def read_version(text: str) -> str:
    """Return a version's name.

    Raises:
        ValueError: it is empty.
    """
    if not text:
        raise ValueError("expected a version, not nothing")
    return text


@frozen(kw_only=True)
class PublishQuery:
    """What to do with a document beside keeping it."""

    activate: bool = given(
        read_flag,
        "true: runs that start without a version use this one from now on, also where it was there already."
        " By default only a workflow's first version becomes active.",
        {"type": "boolean", "default": False},
        False,
    )


def read_include(text: str) -> bool:
    """Return true for the one thing that a document can come with.

    Raises:
        ValueError: it is another.
    """
    if text != "layout":
        raise ValueError(f"expected layout, not {text!r:.60}")
    return True


@frozen(kw_only=True)
class DocumentQuery:
    """What to show of a version."""

    layout: bool = given(
        read_include,
        "layout: also where nodes and edges stand in a drawing from left to right.",
        {"type": "string", "enum": ["layout"]},
        False,
        name="include",
    )


@frozen(kw_only=True)
class DiffQuery:
    """Which versions to compare."""

    from_version: str = given(
        read_version, "The older version.", {"type": "string", "minLength": 1}, NOTHING, name="from"
    )
    to_version: str = given(
        read_version, "The newer version.", {"type": "string", "minLength": 1}, NOTHING, name="to"
    )


@frozen(kw_only=True)
class Publication:
    """What became of a document that was published."""

    workflow_id: str
    version: str = said("The document's, or the one derived from its content.")
    created: bool = said("False: this content was there already.")
    active_version: str
    previously_active: str | None = said("What was active before; null: the workflow is new.")
    unresolved: tuple[str, ...] = said(
        "References that no loaded code answers; nodes that name them wait until some is loaded."
    )
    missing_workflows: tuple[str, ...] = said(
        "Workflows, ID or ID VERSION, that nodes start and that are not there; nodes that start them fail."
    )


@frozen(kw_only=True)
class DocumentDifference:
    """One difference of two versions."""

    change: Change
    node: str | None = said("The node that it is in; null: in the workflow itself.")
    field: str = said("What differs, such as retry.max_attempts; empty: the whole node.")
    before: Json = said("What was there; null also where there was nothing.")
    after: Json = said("What is there; null also where there is nothing.")
    text: str = said("The same as a sentence.")


@frozen(kw_only=True)
class DocumentDiff:
    """How one version of a workflow differs from another; the order of nodes does not count."""

    workflow_id: str
    from_version: str
    to_version: str
    differences: tuple[DocumentDifference, ...]
