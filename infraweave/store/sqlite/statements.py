"""The named SQL statements of the store, read from ``queries/*.sql``. Values are always bound parameters.

A statement begins with a line ``-- name: purpose`` and ends before the next such line. SQL that several
statements of a file share stands once, above them, under ``-- fragment name: purpose``; ``{{name}}`` stands
for its text.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

_HEADING = re.compile(r"^-- (fragment )?(\w+): \S.*$", re.MULTILINE)
_REFERENCE = re.compile(r"{{(\w+)}}")
_SQL = files(__package__)


def read_sql(name: str) -> str:
    """Return the text of an SQL file of this package."""
    return _SQL.joinpath(name).read_text(encoding="utf-8")


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Return the statements of some files by their names.

    Raises:
        ValueError: a name is used twice, or a fragment is used that is not defined above in the same file.
    """
    statements: dict[str, str] = {}
    for text in texts:
        fragments: dict[str, str] = {}
        _, *parts = _HEADING.split(text)
        for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if name in statements or name in fragments:
                raise ValueError(f"two statements or fragments have the name {name}")
            sql = _resolved(body.strip().removesuffix(";"), fragments)
            (fragments if kind else statements)[name] = sql
    return statements


def _resolved(sql: str, fragments: dict[str, str]) -> str:
    if unknown := set(_REFERENCE.findall(sql)) - fragments.keys():
        raise ValueError(f"unknown fragments: {', '.join(sorted(unknown))}")
    return _REFERENCE.sub(lambda reference: fragments[reference[1]], sql)


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


def fetch(
    connection: sqlite3.Connection, name: str, params: Mapping[str, Any] | Sequence[Any] = ()
) -> list[sqlite3.Row]:
    """Return the rows of a named statement, on a connection whose rows are tuples otherwise."""
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(QUERIES[name], params).fetchall()


def as_dict(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row by the names of its columns; ``dict(row)`` searches all of them for each."""
    return dict(zip(row.keys(), row, strict=True))


QUERIES = parse(file.read_text(encoding="utf-8") for file in _SQL.joinpath("queries").iterdir())
