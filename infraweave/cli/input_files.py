"""Files named on the command line: workflows, and JSON."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from infraweave.cli.output import USAGE, fail
from infraweave.errors import DeclarationError, MalformedRequest, StartupError

if TYPE_CHECKING:
    from infraweave.authoring.decorators import Workflow
    from infraweave.authoring.loader import Found
    from infraweave.core.workflow.document import Document

#: Where workflows are looked for when none are named.
DEFAULT_FOLDER = Path("workflows")


def load_workflows(paths: Sequence[Path]) -> list[Workflow]:
    """Return the workflows of files and folders, by default those of ``workflows/``.

    Raises:
        StartupError: there are none, or one fails to load; names the file, the line and the reason.
    """
    from infraweave.authoring.loader import load

    with redirect_stdout(sys.stderr):  # what a file prints is no result of ours
        return load(_named(paths), _written)


def survey_workflows(paths: Sequence[Path]) -> tuple[list[Found], list[str]]:
    """Return the workflows that compile, with their files, and what is wrong with the others.

    Raises:
        StartupError: none are named, and there is no folder ``workflows/``.
    """
    from infraweave.authoring.loader import survey

    with redirect_stdout(sys.stderr):
        return survey(_named(paths), _written)


def _named(paths: Sequence[Path]) -> Sequence[Path]:
    if not paths and not DEFAULT_FOLDER.is_dir():
        raise StartupError(f"There is no folder {DEFAULT_FOLDER}/ here; name workflow files or folders.")
    return paths or [DEFAULT_FOLDER]


def _written(file: Path) -> Workflow:
    """Return the workflow that a file spells as a definition document.

    Raises:
        OSError, ValueError: it cannot be read, or is no JSON object. What else is wrong, ``compile`` tells.
    """
    from infraweave.authoring.document_workflow import DocumentWorkflow

    value = read_object(file.read_bytes())
    workflow_id = value.get("workflow_id")
    return DocumentWorkflow(
        workflow_id if isinstance(workflow_id, str) else "without an id", partial(_document, value)
    )


def read_object(data: bytes) -> dict[str, Any]:
    """Return the definition document of a file, not yet checked; some editors begin files with a mark.

    Raises:
        ValueError: it is no JSON object.
    """
    from infraweave.core.data import json_codec

    value = json_codec.parse(data.removeprefix(codecs.BOM_UTF8))
    if not isinstance(value, dict):
        raise ValueError("it must hold a JSON object, a definition document")
    return value


def _document(value: dict[str, Any]) -> Document:
    """Return the document that an object spells, as a server would keep it.

    Raises:
        DeclarationError: it is no valid one; lists every fault.
    """
    from infraweave.api.http.decoding import read_body
    from infraweave.api.workflows.document_schema import EDITORS_OWN, LAYOUT
    from infraweave.core.workflow import document_codec
    from infraweave.core.workflow.document import Document
    from infraweave.core.workflow.rules import check

    try:
        kept = {key: item for key, item in value.items() if key not in (EDITORS_OWN, LAYOUT)}
        document = read_body(Document, kept)
    except MalformedRequest as error:
        raise DeclarationError(
            str(value.get("workflow_id")),
            [
                evolve(d, message=f"{d.path or '/'}: {d.message.removeprefix(d.path).lstrip()}")
                for d in error.details
            ],
        ) from error
    document = evolve(document, version=document.version or document_codec.derived_version(document))
    faults = check.faults(document)
    if faults:
        raise DeclarationError(document.workflow_id, faults)
    return document


def read_json(text: str, option: str) -> Any:
    """Return the JSON that an option gives as text, as ``@file``, or as ``-`` for stdin."""
    from infraweave.core.data import json_codec

    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json_codec.parse(text.encode())
    except OSError as error:
        fail(f"{option}: {text[1:] or text}: {error.strerror}", code=USAGE)
    except (ValueError, RecursionError) as error:
        fail(f"{option}: {error}", code=USAGE)
