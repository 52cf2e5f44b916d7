"""Expressions in the Common Expression Language (CEL), for routers and conditions of published documents.

An expression has no loops and only sees the values it is given, but it can multiply them. Four things are
bounded: its length; its nesting (32) and the iterations of its macros (10,000), which the library counts;
and, before it runs, the memory that it could need with these values. This does not bound its time well, and
nothing can stop it. ``is_quick`` tells whether it is safe to wait for it on the event loop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from attrs import evolve

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.pattern_cost import pattern_weight
from infraweave.core.data.values import Json, list_names
from infraweave.errors import Fault

MAX_LENGTH = 2_000
#: The most macros in one expression, and commas beside them: each can multiply what the previous one made.
MAX_MACROS, MAX_COMMAS = 3, 64
#: The most items that ``map`` and ``filter`` may iterate over: the library copies the list for each item.
MAX_ITEMS = 2_000
#: The most bytes that concatenated texts and lists may have.
MAX_SUMS = 256 * 2**20
#: The most bytes of values for an expression with macros.
MAX_SEEN = 2**20
#: The most values that may be read, at a fifth of a microsecond each: some seconds in the worst case.
MAX_WORK = 30_000_000
#: Iterations of macros that the library allows.
_MAX_TURNS = 10_000
#: The most values in a result.
MAX_RESULT = 100_000
#: The most bytes of values for evaluation on the event loop: the library first copies them all.
_SMALL = 32 * 1024
#: The most nanoseconds, by the worst-case estimate, on the event loop: in truth some milliseconds.
_QUICK = 20_000_000
#: Nanoseconds to read one value; to match one character with one atom of a pattern; for one iteration of a
#: macro; and for one value of the result.
_LOOK, _MATCH, _TURN, _YIELD = 200, 20, 2_000, 1_000
#: Bytes that are compared, and copied, in a nanosecond.
_COMPARED, _COPIED = 10, 5
#: The status code at the end of the library's messages, which people need not see.
_STATUS = re.compile(r"\s*\[[A-Z_]+\]$")
_PROBLEM = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
#: Comments and string literals, raw ones first: their content is not code.
_QUOTED = re.compile(
    r"""//[^\n]*|[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)
_MACRO = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transform\w+)\s*\(")
#: Operations that may read a whole value: comparisons except with a literal, ``in``, and most functions.
_LOOKING = re.compile(
    r"[=!]=(?!\s*(?:''|-?\d|true\b|false\b|null\b))|\bin\b"
    r"|\b(?!(?:has|size|all|exists|exists_one|existsOne|map|filter)\s*\()\w+\s*\("
)
#: A pattern counts as ten reads.
_PATTERN = re.compile(r"\bmatches\s*\(")
#: A pattern that is a literal; the weight of other patterns is not known beforehand.
_KNOWN_PATTERN = re.compile(r"\bmatches\s*\(\s*''\s*\)")
#: An operation that compares one text with all parts of another.
_SEARCH = re.compile(r"\bcontains\s*\(")
_PARENTHESIS = re.compile(rf"(?P<macro>{_MACRO.pattern})|\(|\)")
_COLLECTING = re.compile(r"\.\s*(?:map|filter|transform\w+)\s*\(")
_COPYING = re.compile(r"\+|\b(?:string|bytes)\s*\(")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Reserved words of the language, which cannot be names of values.
_RESERVED = re.compile(
    "as|break|const|continue|else|false|for|function|if|import|in|let|loop|package|namespace|null|return|true"
    "|var|void|while"
)


class ExpressionError(ValueError):
    """An expression cannot be evaluated. ``faults`` are those of its text, if its text is wrong."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults)


def faults(expression: str, names: Collection[str]) -> list[Fault]:
    """Return the faults of an expression that may use the variables ``names``."""
    found = list(_excesses(expression))
    if not found:
        try:
            _compiled(expression, _usable(names))
        except ExpressionError as error:
            found = error.faults
    where = f" in the expression {expression!r:.120}" if len(expression) <= MAX_LENGTH else ""
    return [evolve(fault, message=fault.message + where) for fault in found]


def evaluate(expression: str, values: Mapping[str, Json]) -> Json:
    """Return the result of an expression as plain JSON.

    Raises:
        ExpressionError: it is not a valid expression, reads a value that does not exist, mixes types, yields
            a value that is not JSON, or would need too much memory with these values.
    """
    for excess in _excesses(expression):
        raise ExpressionError(excess.message)
    _check_work(expression, values)
    program = _compiled(expression, _usable(values))
    try:
        yielded = program.eval(data={name: values[name] for name in _usable(values)})
        return _Result().plain(yielded)
    except (RuntimeError, MemoryError) as error:
        raise ExpressionError(_told(str(error))) from error


def is_quick(expression: str, values: Mapping[str, Json]) -> bool:
    """Tell whether ``evaluate`` surely takes only milliseconds with these values."""
    code, size = _code(expression), len(dumps(values))
    if size > _SMALL or len(_KNOWN_PATTERN.findall(code)) < len(_PATTERN.findall(code)):
        return False
    count, longest = _measured(values)
    sums = len(_COPYING.findall(code))
    # Sums make texts longer, and lists can contain one value many times.
    text = (size + len(expression)) * (1 + sums)
    macros = len(_MACRO.findall(code))
    held = 1 + max(0, code.count(",") - macros)  # each macro has one comma itself
    turns = min(_MAX_TURNS, max(longest, held) ** _nesting(code)) * max(1, macros)
    looks = len(_LOOKING.findall(code)) * held * (count + text // 32) * _LOOK
    searches = len(_SEARCH.findall(code)) * text * (text // 4 // _COMPARED + _LOOK // 20)
    matches = _pattern_weight(expression) * text * _MATCH
    yields = min(MAX_RESULT, turns * held * count) * _YIELD
    reckoned: int = turns * (looks + searches + matches + _TURN) + yields + sums * text // _COPIED
    return reckoned < _QUICK


def _pattern_weight(expression: str) -> int:
    """Return the number of atoms in all string literals, if one of them may be a pattern."""
    patterns = len(_PATTERN.findall(_code(expression)))
    return patterns and patterns * sum(_weight(text) for text in _QUOTED.findall(expression))


def _weight(text: str) -> int:
    # An escape could hide a repetition of the pattern; in a raw text it belongs to the pattern itself.
    return 10**9 if "\\" in text and text[0] not in "rR" else pattern_weight(text)


def _usable(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(n for n in names if _IDENTIFIER.fullmatch(n) and not _RESERVED.fullmatch(n)))


#: By expression and names. A program takes some 100 KiB, and more for each character of a name.
_programs: BoundedCache[tuple[str, tuple[str, ...]], Any] = BoundedCache(100 << 20)
_PROGRAM, _NAME = 100 << 10, 30


def _compiled(expression: str, names: tuple[str, ...]) -> Any:
    found = _programs.get((expression, names))
    if found is None:
        found = _program(expression, names)
        _programs.keep((expression, names), found, _PROGRAM + _NAME * sum(map(len, names)))
    return found


def _program(expression: str, names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel  # loads a large library; only needed for expressions

    try:
        return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN)).compile(expression)
    except (RuntimeError, ValueError, TypeError) as error:
        found = list(_problems(str(error), names))
        raise ExpressionError("\n".join(fault.message for fault in found), found) from None


def _problems(message: str, names: tuple[str, ...]) -> Iterator[Fault]:
    """Yield the problems in a message of the library, which reports them only as text."""
    found = list(dict.fromkeys(_PROBLEM.findall(message)))
    if not found:
        yield Fault("", "expression", _told(message))
    for _, column, text in found:
        said = _STATUS.sub("", text).replace(" (in container '')", "").partition(" expecting {")[0]
        code = "unknown_name" if said.startswith("undeclared reference") else "expression"
        if code == "unknown_name":
            said += f"; there are {list_names(names) or 'no names'}"
        yield Fault("", code, said if column.startswith("-") else f"at character {column}: {said}")


def _told(message: str) -> str:
    """Return a message of the library without its status codes."""
    text = _STATUS.sub("", message.partition("\n")[0])
    _, separator, rest = text.partition(": ")
    return f"the expression fails: {rest if separator else text}"


# --- bounds ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1_024)
def _code(expression: str) -> str:
    return _QUOTED.sub("''", expression)


def _excesses(expression: str) -> Iterator[Fault]:
    if len(expression) > MAX_LENGTH:
        message = f"the expression has {len(expression):,} characters, more than {MAX_LENGTH:,}"
        yield Fault("", "length", message)
        return
    code = _code(expression)
    macros = len(_MACRO.findall(code))
    if macros > MAX_MACROS:
        message = f"there are {macros} macros (all, exists, map, filter, …), more than {MAX_MACROS}"
        yield Fault("", "too_many", message)
    if macros and _COPYING.search(code):
        message = "+, string() and bytes() cannot be used with macros: they could multiply the macros' items"
        yield Fault("", "conflict", message)
    if macros and code.count(",") > MAX_COMMAS:
        yield Fault("", "too_many", f"there are more than {MAX_COMMAS} commas in an expression with macros")


def _check_work(expression: str, values: Mapping[str, Json]) -> None:
    code, size = _code(expression), len(dumps(values))
    looks = len(_LOOKING.findall(code)) + 9 * len(_PATTERN.findall(code))
    if _MACRO.search(code) is None:
        work = looks * (size // 2)
        if size * len(_COPYING.findall(code)) ** 2 > MAX_SUMS:
            raise ExpressionError(f"the values have {size:,} bytes, too many for so many sums of texts")
    else:
        if size > MAX_SEEN:
            raise ExpressionError(f"the values have {size:,} bytes; with macros at most {MAX_SEEN:,}")
        count, longest = _measured(values)
        if longest > MAX_ITEMS and _COLLECTING.search(code):
            raise ExpressionError(f"map and filter accept lists of at most {MAX_ITEMS:,} items")
        turns = min(_MAX_TURNS, max(longest, 1) ** _nesting(code))
        # Lists within macros may contain one value many times; each macro has one comma itself.
        copies = 1 + max(0, code.count(",") - len(_MACRO.findall(code)))
        work = turns * (looks * copies**2 * (count + size // 32) + 1)
    if work > MAX_WORK:
        raise ExpressionError(f"the values have {size:,} bytes, too many for an expression of so many steps")


def _nesting(code: str) -> int:
    """Return how deeply macros are nested within macros."""
    deepest, open_ones = 0, [False]
    for found in _PARENTHESIS.finditer(code):
        if found[0] != ")":
            open_ones.append(found["macro"] is not None)
            deepest = max(deepest, sum(open_ones))
        elif len(open_ones) > 1:
            open_ones.pop()
    return deepest


def _measured(values: Json) -> tuple[int, int]:
    """Return the number of values, and the length of the longest list or object."""
    count, longest, level = 0, 0, [values]
    while level:
        count += len(level)
        level = [item for item in level if isinstance(item, dict | list)]
        longest = max([longest, *map(len, level)])
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return count, longest


# --- results -----------------------------------------------------------------------------------------------


class _Result:
    """Reads a result value by value: it may contain one value so often that a copy would fill the memory."""

    def __init__(self) -> None:
        self._left = MAX_RESULT

    def plain(self, yielded: Any) -> Json:
        """Return a value of the library as JSON."""
        kind, value = yielded.type().name(), yielded.value()
        self._left -= 1 + (len(value) // 32 if kind == "STRING" else 0)
        if kind == "ERROR":
            raise ExpressionError(_told(str(value)))
        if kind.startswith(("LIST", "MAP")):
            self._left -= len(value)
        if self._left < 0:
            raise ExpressionError(f"the expression yields more than {MAX_RESULT:,} values")
        if kind.startswith("LIST"):
            return [self.plain(item) for item in value]
        if kind.startswith("MAP"):
            return {_key(key): self.plain(item) for key, item in value.items()}
        return _scalar(kind, value)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ExpressionError(
            f"the expression yields a map with the key {key!r:.100}; JSON keys must be texts"
        )
    return key


def _scalar(kind: str, value: Any) -> Json:
    if kind == "DOUBLE" and not math.isfinite(value):
        raise ExpressionError("the expression yields infinity or NaN, which JSON cannot represent")
    if kind not in ("BOOL", "DOUBLE", "INT", "NULL", "STRING", "UINT"):
        raise ExpressionError(f"the expression yields {kind.lower()}, which is not a JSON value")
    return value
