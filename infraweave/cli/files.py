"""Workflow files named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infraweave.errors import StartupError

if TYPE_CHECKING:
    from infraweave.authoring.decorators import Workflow

#: Where workflows are looked for when none are named.
DEFAULT_FOLDER = Path("workflows")


def load_workflows(paths: Sequence[Path]) -> list[Workflow]:
    """Return the workflows of files and folders, by default those of ``workflows/``.

    Raises:
        StartupError: there are none, or one fails to load; names the file, the line and the reason.
    """
    from infraweave.authoring.loader import load

    if not paths and not DEFAULT_FOLDER.is_dir():
        raise StartupError(f"There is no folder {DEFAULT_FOLDER}/ here; name workflow files or folders.")
    return load(paths or [DEFAULT_FOLDER])
