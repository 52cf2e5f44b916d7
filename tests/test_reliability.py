"""The table of what is promised names, for each promise under each trouble, a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "tests" / "RELIABILITY.md").read_text()
BOUNDARIES = [
    *("what a 2xx means", "the start of a run", "a node's result", "a node's effects"),
    *("a timer", "a signal", "the feed", "the end of a run"),
]


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table whose first line begins so."""
    lines = TEXT[TEXT.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


LEGEND = dict(table("| name | test |"))
CELLS = table("| boundary | process killed |")


def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("name", LEGEND)
def test_each_test_that_is_named_exists(name):
    path, _, test = LEGEND[name].strip("`").partition("::")
    assert test in names_in(path)


def test_every_promise_has_a_test_under_every_trouble():
    assert [row[0] for row in CELLS] == BOUNDARIES
    for row in CELLS:
        assert len(row) == 6, row
        for cell in row[1:]:
            assert re.fullmatch(r"`\w+`( `\w+`)*", cell), row
            assert set(cell.split()) <= LEGEND.keys(), row


def test_each_file_that_is_named_exists():
    for path in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", TEXT):
        assert (ROOT / path).exists(), path


def test_the_readme_promises_the_same():
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("## What is promised") : readme.index("## How it works")]
    assert [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][
        2:
    ] == BOUNDARIES
