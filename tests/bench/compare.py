"""The package of two commits, each in a folder of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.child import HERE, Tree


@contextmanager
def checked_out(commits: tuple[str, str]) -> Iterator[list[Tree]]:
    """Write the packages of two commits into temporary folders. ``.`` is the checkout as it is.

    Only ``infraweave`` is taken: the code of the bench and its yardsticks are those of this checkout.
    """
    with tempfile.TemporaryDirectory(prefix="bench-trees-") as folder:
        yield [
            _tree(label, commit, Path(folder) / label)
            for label, commit in zip(("before", "after"), commits, strict=True)
        ]


def commit_of(commit: str) -> str:
    """Return the short name of a commit; that of the checkout for ``.``."""
    asked = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD" if commit == "." else commit]
    named = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return named or "unknown"


def _tree(label: str, commit: str, folder: Path) -> Tree:
    if commit == ".":
        return Tree(label)
    folder.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(HERE), "archive", commit, "infraweave"], capture_output=True, check=False
    )
    if archive.returncode:
        raise ValueError(f"{commit} is no commit of {HERE}: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return Tree(label, folder)
