"""Workflow files named on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

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
