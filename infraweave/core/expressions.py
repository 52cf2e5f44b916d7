"""Expressions in the Common Expression Language (CEL), for routers and conditions of published documents.

An expression has no loops of its own and touches nothing but the values it is given, but it can multiply
them. It is bounded four times: its length; its nesting (32) and the turns of its macros (10,000), which the
library counts; and, before it runs, the memory that it could come to take with the values at hand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from infraweave.core.codec import dumps, loads
from infraweave.core.values import Json

MAX_LENGTH = 2_000
#: Most macros in one expression, and list or map elements beside them: each can multiply what the last made.
MAX_MACROS, MAX_COMMAS = 3, 64
#: The items that ``map`` and ``filter`` may go over: the library copies the list with each.
MAX_ITEMS = 2_000
#: Bytes that an expression may come to hold.
MAX_WORK = 256 * 2**20
#: How often the values may be compared within macros, or lie in memory because of them.
_MACRO_COPIES = 1_024
#: The end of a message of the library that people need not see.
_STATUS = re.compile(r"\s*\[[A-Z_]+\]$")
_PROBLEM = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
#: Comments and texts, raw ones first: what stands in them is no code.
_QUOTED = re.compile(
    r"""//[^\n]*|[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)
_MACRO = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transform\w+)\s*\(")
_COPYING = re.compile(r"\+|\b(?:string|bytes)\s*\(")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Words of the language, which cannot be names of values there.
_RESERVED = re.compile(
    "as|break|const|continue|else|false|for|function|if|import|in|let|loop|package|namespace|null|return|true"
    "|var|void|while"
)


class ExpressionError(ValueError):
    """An expression cannot be evaluated with these values."""


def faults(expression: str, names: Collection[str]) -> list[str]:
    """Return what is wrong with an expression whose variables may be ``names``."""
    if len(expression) > MAX_LENGTH:
        return [f"the expression has {len(expression):,} characters, more than {MAX_LENGTH:,}"]
    found = list(_excesses(expression))
    if not found:
        try:
            _compiled(expression, _usable(names))
        except ExpressionError as error:
            found = str(error).split("\n")
    return [f"{fault} in the expression {expression!r:.120}" for fault in found]


def evaluate(expression: str, values: Mapping[str, Json]) -> Json:
    """Return what an expression yields, as plain JSON.

    Raises:
        ExpressionError: it is no expression, asks for what is not there, mixes types, yields no JSON, or
            would take too much memory with these values.
    """
    for excess in _excesses(expression):
        raise ExpressionError(excess)
    _check_work(expression, values)
    program = _compiled(expression, _usable(values))
    try:
        yielded = program.eval(data={name: values[name] for name in _usable(values)})
        kind, value = yielded.type().name(), yielded.plain_value()
    except (RuntimeError, MemoryError) as error:
        raise ExpressionError(_told(str(error))) from error
    if kind == "ERROR":
        raise ExpressionError(_told(str(value)))
    return _as_json(kind, value)


def _usable(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(n for n in names if _IDENTIFIER.fullmatch(n) and not _RESERVED.fullmatch(n)))


@lru_cache(maxsize=1_024)
def _compiled(expression: str, names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel  # its library is read when the first expression is

    try:
        return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN)).compile(expression)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExpressionError("\n".join(_problems(str(error), names))) from None


def _problems(message: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the library's complaints, one a line, with the names that there are."""
    found = list(dict.fromkeys(_PROBLEM.findall(message)))
    if not found:
        yield _told(message)
    for _, column, text in found:
        said = _STATUS.sub("", text).replace(" (in container '')", "").partition(" expecting {")[0]
        if said.startswith("undeclared reference"):
            said += f"; there are {', '.join(names) or 'no names'}"
        yield said if column.startswith("-") else f"at character {column}: {said}"


def _told(message: str) -> str:
    """Return a message of the library without its codes."""
    text = _STATUS.sub("", message.partition("\n")[0])
    _, separator, rest = text.partition(": ")
    return f"the expression fails: {rest if separator else text}"


# --- bounds ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1_024)
def _code(expression: str) -> str:
    return _QUOTED.sub("''", expression)


def _excesses(expression: str) -> Iterator[str]:
    if len(expression) > MAX_LENGTH:
        yield f"the expression has {len(expression):,} characters, more than {MAX_LENGTH:,}"
        return
    code = _code(expression)
    macros = len(_MACRO.findall(code))
    if macros > MAX_MACROS:
        yield f"there are {macros} macros (all, exists, map, filter, …), more than {MAX_MACROS}"
    if macros and _COPYING.search(code):
        yield "+, string() and bytes() cannot stand beside macros: they could multiply what those go over"
    if macros and code.count(",") > MAX_COMMAS:
        yield f"there are more than {MAX_COMMAS} commas beside macros"


def _check_work(expression: str, values: Mapping[str, Json]) -> None:
    code = _code(expression)
    macros = _MACRO.findall(code)
    copies = _MACRO_COPIES if macros else 1 + code.count(",") + len(_COPYING.findall(code)) ** 2
    size = len(dumps(values))
    if size * copies > MAX_WORK:
        raise ExpressionError(
            f"the values have {size:,} bytes; this expression takes at most {MAX_WORK // copies:,}"
        )
    if any(macro not in ("all", "exists") for macro in macros) and _longest(values) > MAX_ITEMS:
        raise ExpressionError(f"map and filter go over lists of at most {MAX_ITEMS:,} items")


def _longest(values: Json) -> int:
    longest, level = 0, [values]
    while level := [item for item in level if isinstance(item, dict | list)]:
        longest = max(longest, *map(len, level))
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return longest


# --- results -----------------------------------------------------------------------------------------------


def _as_json(kind: str, value: Any) -> Json:
    fault = _unfit(value)
    if fault is None:
        try:
            return loads(dumps(value))
        except TypeError as error:
            fault = str(error)
    raise ExpressionError(f"the expression yields {kind.lower()}, which is no JSON value: {fault}")


def _unfit(value: Any) -> str | None:
    """Return why a value is no JSON, apart from what the encoder itself refuses."""
    level = [value]
    while level:
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            return "it is infinite, or no number"
        if any(not isinstance(item, dict | list | str | int | float | None) for item in level):
            return "expected null, a truth value, a number, text, a list or a map with texts for keys"
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return None
