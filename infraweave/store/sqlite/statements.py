"""Reads the named statements of queries.sql. Python never glues SQL; the one thing it does is repeat a row.

A statement begins with a line ``-- name: purpose`` and ends before the next such line.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files

_HEADING = re.compile(r"^-- (\w+): \S.*$", re.MULTILINE)
_SECTION = re.compile(r"^-- [^\n:]* -{5,}$", re.MULTILINE)


def read_sql(name: str) -> str:
    """Return the text of an SQL file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def parse(text: str) -> dict[str, str]:
    """Return the statements of ``text`` by their names.

    Raises:
        ValueError: two statements have one name.
    """
    _, *parts = _HEADING.split(_SECTION.sub("", text))
    names, bodies = parts[::2], parts[1::2]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"statements with one name: {', '.join(sorted(repeated))}")
    return dict(zip(names, (body.strip().removesuffix(";") for body in bodies), strict=True))


def split(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one, so that they can share a transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def widen(statement: str, rows: int) -> str:
    """Return an ``INSERT … VALUES (…)`` that takes ``rows`` rows at once."""
    head, row = statement.rsplit("VALUES", 1)
    return f"{head}VALUES{','.join([row] * rows)}"


QUERIES = parse(read_sql("queries.sql"))
