"""The table of the patterns is true: each of the 43 stands there once, with the file that shows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROW = re.compile(r"\| (\d+) \| (.+?) \| (directly|by construction|not) \| (.+) \|")
FILE = re.compile(r"\[file\]\((test_wcp(\d\d)_\w+\.py)\)")
ROWS = [line for line in (HERE / "README.md").read_text().splitlines() if re.match(r"\| \d", line)]


def rows() -> list[re.Match[str]]:
    read = [ROW.fullmatch(line) for line in ROWS]
    assert None not in read
    return [row for row in read if row]


def test_each_pattern_stands_there_once_in_order():
    assert [int(row[1]) for row in rows()] == list(range(1, 44))


def test_every_file_stands_there_and_every_file_that_stands_there_is_one():
    named = [found[1] for row in rows() if (found := FILE.match(row[4]))]
    assert sorted(named) == sorted(path.name for path in HERE.glob("test_wcp*.py"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"wcp{row[1]}")
def test_a_row_says_what_its_file_says(row):
    number, name, supported, where = row.groups()
    found = FILE.match(where)
    if supported == "not":
        assert found is None
        return
    assert found is not None
    assert int(found[2]) == int(number)
    said = ast.get_docstring(ast.parse((HERE / found[1]).read_text()))
    assert said is not None
    words = " ".join(said.split())
    assert words.startswith(f"WCP-{number} {name}")
    assert f"In the graph: {supported}" in words
