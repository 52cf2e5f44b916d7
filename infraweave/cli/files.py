"""Files named on the command line: workflows, and JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infraweave.cli.output import USAGE, fail
from infraweave.errors import StartupError

if TYPE_CHECKING:
    from infraweave.authoring.decorators import Workflow
    from infraweave.authoring.loader import Found

#: Where workflows are looked for when none are named.
DEFAULT_FOLDER = Path("workflows")


def load_workflows(paths: Sequence[Path]) -> list[Workflow]:
    """Return the workflows of files and folders, by default those of ``workflows/``.

    Raises:
        StartupError: there are none, or one fails to load; names the file, the line and the reason.
    """
    from infraweave.authoring.loader import load

    with redirect_stdout(sys.stderr):  # what a file prints is no result of ours
        return load(_named(paths))


def survey_workflows(paths: Sequence[Path]) -> tuple[list[Found], list[str]]:
    """Return the workflows that compile, with their files, and what is wrong with the others.

    Raises:
        StartupError: none are named, and there is no folder ``workflows/``.
    """
    from infraweave.authoring.loader import survey

    with redirect_stdout(sys.stderr):
        return survey(_named(paths))


def _named(paths: Sequence[Path]) -> Sequence[Path]:
    if not paths and not DEFAULT_FOLDER.is_dir():
        raise StartupError(f"There is no folder {DEFAULT_FOLDER}/ here; name workflow files or folders.")
    return paths or [DEFAULT_FOLDER]


def read_json(text: str, option: str) -> Any:
    """Return the JSON that an option gives as text, as ``@file``, or as ``-`` for stdin."""
    from infraweave.core import codec

    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return codec.parse(text.encode())
    except (OSError, ValueError, RecursionError) as error:
        fail(f"{option}: {error}", code=USAGE)
