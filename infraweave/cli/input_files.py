"""Reads files given on the command line: workflow files, definition documents and JSON."""

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

#: The folder of workflow files when none are given.
DEFAULT_FOLDER = Path("workflows")


def load_workflows(paths: Sequence[Path]) -> list[Workflow]:
    """Return the workflows of files and folders; by default of ``workflows/``.

    Raises:
        StartupError: there are none, or a file fails to load; names the file, the line and the reason.
    """
    from infraweave.authoring.loader import load

    with redirect_stdout(sys.stderr):  # stdout is for results; what files print goes to stderr
        return load(_paths_or_default(paths), _read_workflow)


def survey_workflows(paths: Sequence[Path]) -> tuple[list[Found], list[str]]:
    """Return the workflows that compile, with their files, and the faults of the others.

    Raises:
        StartupError: no paths are given, and there is no folder ``workflows/``.
    """
    from infraweave.authoring.loader import survey

    with redirect_stdout(sys.stderr):
        return survey(_paths_or_default(paths), _read_workflow)


def _paths_or_default(paths: Sequence[Path]) -> Sequence[Path]:
    if not paths and not DEFAULT_FOLDER.is_dir():
        raise StartupError(f"There is no folder {DEFAULT_FOLDER}/ here; give workflow files or folders.")
    return paths or [DEFAULT_FOLDER]


def _read_workflow(file: Path) -> Workflow:
    """Return the workflow of a definition document file. ``compile`` reports its faults.

    Raises:
        OSError, ValueError: the file cannot be read, or is not a JSON object.
    """
    from infraweave.authoring.document_workflow import DocumentWorkflow

    value = read_object(file.read_bytes())
    workflow_id = value.get("workflow_id")
    return DocumentWorkflow(
        workflow_id if isinstance(workflow_id, str) else "without an id", partial(_document, value)
    )


def read_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object of a definition document file, with or without a byte order mark.

    Raises:
        ValueError: it is not a JSON object.
    """
    from infraweave.core.data import json_codec

    value = json_codec.parse(data.removeprefix(codecs.BOM_UTF8))
    if not isinstance(value, dict):
        raise ValueError("a definition document must be a JSON object")
    return value


def _document(value: dict[str, Any]) -> Document:
    """Return the definition document of a JSON object, as a server would store it.

    Raises:
        DeclarationError: it is not valid; lists every fault.
    """
    from infraweave.api.workflows.document_decoding import read_document
    from infraweave.api.workflows.document_schema import EDITORS_OWN, LAYOUT
    from infraweave.core.workflow import document_codec
    from infraweave.core.workflow.rules import check

    try:
        kept = {key: item for key, item in value.items() if key not in (EDITORS_OWN, LAYOUT)}
        document = read_document(kept)
    except MalformedRequest as error:
        raise DeclarationError(
            str(value.get("workflow_id")),
            [evolve(fault, message=f"{fault.path or '/'}: {fault.message}") for fault in error.details],
        ) from error
    document = evolve(document, version=document.version or document_codec.derived_version(document))
    faults = check.faults(document)
    if faults:
        raise DeclarationError(document.workflow_id, faults)
    return document


def read_json(text: str, option: str) -> Any:
    """Return the JSON of an option value: JSON text, ``@file``, or ``-`` for stdin."""
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
