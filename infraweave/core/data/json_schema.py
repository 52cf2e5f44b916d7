"""JSON Schema: checks values against schemas, and schemas themselves. The only module with jsonschema_rs.

Schemas come from authors and over the wire, so no schema is trusted. Patterns run in a linear-time engine, no
``$ref`` leads outside the schema, and unbounded work is refused beforehand (``schema_cost``). The draft is
2020-12, unless ``$schema`` names another; ``format`` is checked. Messages say what was expected and never
repeat the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import jsonschema_rs
from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.data.json_codec import canonical, dumps, loads
from infraweave.core.data.pattern_cost import heaviest_pattern
from infraweave.core.data.schema_cost import (
    BOUNDLESS,
    MAX_SUBSCHEMAS,
    Cost,
    comparisons,
    errors,
    references,
    subschemas,
)
from infraweave.core.data.values import Json, JsonObject, list_names, to_pointer
from infraweave.errors import Fault

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_FAULTS = 50
_MAX_MESSAGE = 300
#: The most unknown keys of an object that get a suggestion, names that are compared, and characters of those.
_MAX_HINTS, _SEARCHED, _MAX_NAME = 5, 100, 64


class Bounds(NamedTuple):
    """The most work of one check."""

    #: Checks of one part of the value by one subschema: 20 to 300 ns each.
    visits: int
    #: Listed errors: the library creates them all at once, with over a kilobyte each.
    errors: int
    #: Bytes of the values in the errors: each error has a copy of the faulty value.
    copied: int


#: On the event loop; on the event loop if the check can run nowhere else; elsewhere.
QUICK = Bounds(500_000, 20_000, 20_000_000)
AT_MOST = Bounds(5_000_000, 20_000, 20_000_000)
LONG = Bounds(50_000_000, 200_000, 200_000_000)
#: Steps of patterns that cost as much as one visit: some 50 ns each if they miss the engine's cache.
_STEPS = 4
#: With patterns below this weight, no text is too long for a value within the limit of visits.
_LIGHT = 10
#: From so many levels on, a value is accepted only if deeper ones cost no more.
_SHALLOW = 8
#: Bytes of a number, a boolean, or null.
_BYTES = 16
#: A schema that checks one part of a value more often than this cannot be published.
_MAX_COST = 10_000
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Up to this size all faults of a schema are listed, not only the first.
_MAX_LISTED_BYTES = 16 * 1024

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(
    _DATE.pattern + r"[Tt]([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):\d\d)", re.ASCII
)
_ARTICLES = {"array": "an array", "integer": "an integer", "null": "null", "object": "an object"}


class Validator:
    """One compiled schema.

    Raises:
        ValueError: the schema is not valid; ``schema_faults`` says why.
    """

    def __init__(self, schema: JsonObject) -> None:
        self.schema = schema
        self._compiled = _compile(schema)
        self._visits, self._errors = Cost(dict(schema), comparisons), Cost(dict(schema), errors)
        self._weight = heaviest_pattern(schema)
        #: By the levels of a value: the most bytes as JSON with which ``accepts`` checks it.
        self._accepted: list[int | None] = [None] * (_SHALLOW + 1)
        # The first error of alternatives contains all errors of each alternative.
        self._alternates = any(key in item for item in subschemas(schema) for key in ("anyOf", "oneOf"))

    def accepts(self, value: Json) -> bool:
        """Tell whether a value is valid and small. If not, ``faults`` finds out more.

        Every output of a node comes by here. To measure it exactly, as ``faults`` does, takes sixty times as
        long as to check it. So this measures its JSON: that has no fewer bytes than the value has parts, or
        characters, and no fewer brackets than levels.
        """
        try:
            data = dumps(value)
            levels = data.count(b"{") + data.count(b"[")
            most = self._accepted[min(levels, _SHALLOW)]
            if most is None:
                most = self._most_accepted(min(levels, _SHALLOW))
            return len(data) <= most and self._compiled.is_valid(value)
        except (TypeError, ValueError):
            return False

    def _most_accepted(self, levels: int) -> int:
        visits = self._visits.at(levels) * (1 + self._weight // _STEPS)
        is_known = levels < _SHALLOW or self._visits.is_settled
        self._accepted[levels] = most = QUICK.visits // visits if is_known else 0
        return most

    def is_quick(self, value: Json) -> bool:
        """Tell whether ``faults`` takes milliseconds, or a tenth of a second in the worst case."""
        if self.accepts(value):
            return True
        size = self._size(value, QUICK.visits)
        if size is None or self._steps(size) > QUICK.visits * _STEPS:
            return False
        return self._can_list(size, QUICK) or self._compiled.is_valid(value)

    def faults(self, value: Json, most: Bounds = AT_MOST) -> list[Fault]:
        """Return the faults of ``value``, one per wrong field, at most fifty.

        For a very large value, or a schema with very many names or alternatives, the result is only the first
        fault, or a fault that says that there are some.
        """
        if self.accepts(value):
            return []
        size = self._size(value, most.visits)
        if size is None:
            return [
                Fault(
                    "", "too_large", "is too large, or nested too deeply, to be checked against this schema"
                )
            ]
        if self._steps(size) > most.visits * _STEPS:
            return [
                Fault("", "too_large", "has texts too long to be checked against the patterns of this schema")
            ]
        try:
            if self._compiled.is_valid(value):
                return []
            return list(_collect(self._told(value, size, most), self.schema))
        except ValueError as error:
            return [Fault("", "unchecked", _trim(str(error)))]

    def _told(self, value: Json, size: _Size, most: Bounds) -> Iterable[ValidationError | Fault]:
        if self._can_list(size, most):
            return self._compiled.iter_errors(value)
        if self._alternates:
            return [Fault("", "schema", "does not fit the schema; it is too large to list its faults")]
        try:
            self._compiled.validate(value)
        except ValidationError as first:
            return [first]
        return []

    def _size(self, value: Json, most: int) -> _Size | None:
        """Return the size of a value; None if a check could take more than ``most`` visits."""
        size = _measured(value, lambda parts, depth: parts * self._visits.at(depth) <= most)
        if size is None and self._visits.at(MAX_DEPTH) == 1 and not self._weight:
            return _UNMEASURED  # only the root is checked
        return size

    def _steps(self, size: _Size) -> int:
        heavy = self._weight > _LIGHT
        return size.characters * self._weight * (self._visits.at(size.depth) if heavy else 1)

    def _can_list(self, size: _Size, most: Bounds) -> bool:
        copied = self._errors.widest * size.depth * (size.characters + _BYTES * size.parts)
        return size.parts * self._errors.at(size.depth) <= most.errors and copied <= most.copied


class _Size(NamedTuple):
    """How many parts a value has, how deeply it is nested, and the characters of its texts and keys."""

    parts: int
    depth: int
    characters: int


#: A value whose check is fast, and which is too large to be copied into errors.
_UNMEASURED = _Size(1, 1, 10**9)


#: By the schema as JSON. A validator takes about sixty times the bytes of its schema.
_validators: BoundedCache[bytes, Validator] = BoundedCache(2 << 20)


def validator(schema: JsonObject) -> Validator:
    """Return the validator of a schema; the same schema gives the same validator."""
    key = canonical(schema)
    found = _validators.get(key)
    if found is None:
        found = Validator(loads(key))
        _validators.keep(key, found, len(key))
    return found


def schema_faults(schema: Json) -> list[Fault]:
    """Return why a schema cannot be published; empty if it can. Paths lead into the schema."""
    return list(_size_faults(schema)) or list(_reference_faults(schema)) or list(_compile_faults(schema))


def _size_faults(schema: Json) -> Iterator[Fault]:
    if not isinstance(schema, dict):
        yield _schema_fault("it must be a JSON object")
        return
    try:
        size = len(dumps(schema))
    except TypeError as error:
        yield _schema_fault(f"it cannot be written as JSON: {_trim(str(error))}")
        return
    if size > MAX_BYTES:
        yield _schema_fault(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
    elif _measured(schema, lambda _, depth: depth <= MAX_DEPTH) is None:
        yield _schema_fault(f"it is nested deeper than {MAX_DEPTH} levels")


def _reference_faults(schema: dict[str, Any]) -> Iterator[Fault]:
    cost = Cost(schema)
    for item in subschemas(schema):
        if item is not schema and isinstance(item.get("$id"), str):
            yield _schema_fault(
                f"$id {_trim(item['$id'])!r} is inside the schema; only its root may have one"
            )
        for reference in references(item):
            if not reference.startswith("#"):
                yield _schema_fault(
                    f"$ref {_trim(reference)!r} leads outside the schema; only #/… is followed"
                )
            elif cost.resolve(reference) is None:
                yield _schema_fault(f"$ref {_trim(reference)!r} names nothing in the schema")
    if cost.widest >= BOUNDLESS:
        yield _schema_fault(f"it has more than {MAX_SUBSCHEMAS:,} subschemas, or references chained too far")
    elif cost.widest > _MAX_COST:
        yield _schema_fault(f"its alternatives multiply to more than {_MAX_COST:,} checks of one value")


def _compile_faults(schema: dict[str, Any]) -> Iterator[Fault]:
    try:
        _compile(schema)
        # The library does not compile unused definitions, but a published schema is checked completely.
        every = [{"$ref": f"#/$defs/{_escaped(name)}"} for name in schema.get("$defs", {})]
        _compile({**schema, "allOf": [*schema.get("allOf", []), *every, {}]})
    except ValidationError as first:
        fault = _fault_of(first)
        others = {other.path: other for other in map(_fault_of, _meta_errors(schema))}
        yield fault
        # For a wrong name the metaschema reports the object around it.
        more = [other for path, other in others.items() if not f"{fault.path}/".startswith(f"{path}/")]
        yield from more[: MAX_FAULTS - 1]
    except ValueError as error:
        yield _schema_fault(_trim(str(error)))


def _meta_errors(schema: dict[str, Any]) -> Iterator[ValidationError]:
    """Yield all errors that the metaschema finds in a schema; compiling stops at the first."""
    if len(dumps(schema)) > _MAX_LISTED_BYTES:  # all errors are created at once, with over a kilobyte each
        return
    try:
        yield from _compile({"$ref": schema.get("$schema", _DRAFT)}).iter_errors(schema)
    except (ValueError, ValidationError):
        return  # its metaschema is unknown, as the first error says


def _schema_fault(message: str, path: str = "") -> Fault:
    return Fault(path, "schema", message)


def _escaped(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else _percent(c) for c in to_pointer([name])[1:])


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _fault_of(error: ValidationError) -> Fault:
    where = to_pointer(error.instance_path)
    if isinstance(error.kind, Kind.Format) and error.kind.format == "regex":
        return _schema_fault(
            f"the pattern at {where} is refused: it is not a regular expression, is too large, or needs "
            "look-around or back-references, which cannot run in linear time",
            where,
        )
    if isinstance(error.kind, Kind.Referencing):
        return _schema_fault(_trim(error.message))
    fault = next(_faults(error, {}))
    return _schema_fault(_trim(f"{fault.path or 'the schema'} {fault.message}"), fault.path)


def _compile(schema: JsonObject) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        dict(schema),
        validate_formats=True,
        formats={"date-time": _is_time, "date": _is_date},
        retriever=_refuse,
        mask="it",
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _is_time(text: str) -> bool:
    """Tell whether a text is an RFC 3339 time that exists, without leap seconds and the year 0."""
    return _TIME.fullmatch(text) is not None and _is_read(datetime.fromisoformat, text.upper())


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and _is_read(date.fromisoformat, text)


def _is_read(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _refuse(uri: str) -> NoReturn:
    raise LookupError(f"{_trim(uri)} is outside the schema, and nothing is fetched")


def _measured(value: Json, may_go_on: Callable[[int, int], bool]) -> _Size | None:
    """Return the size of a value; None as soon as ``may_go_on`` rejects the parts and the depth so far."""
    # Plain loops: every value of a run is measured and most are small, where generators cost more than loops.
    parts, depth, characters, level = 1, 0, 0, [value]
    while level:
        containers = []
        for item in level:
            kind = type(item)
            if kind is str:
                characters += len(item)
            elif kind is dict or kind is list:
                containers.append(item)
                parts += len(item)
        depth += bool(containers)
        if not may_go_on(parts, depth):
            return None
        level = []
        for item in containers:
            if type(item) is dict:
                characters += sum(map(len, item))
                level += item.values()
            else:
                level += item
    return _Size(parts, depth, characters)


# --- errors as faults --------------------------------------------------------------------------------------


def _collect(found: Iterable[ValidationError | Fault], schema: JsonObject) -> Iterator[Fault]:
    seen: dict[str, Fault] = {}
    for fault in (fault for error in found for fault in _faults(error, schema)):
        seen.setdefault(fault.path, fault)
        if len(seen) == MAX_FAULTS:
            break
    return iter(seen.values())


def _faults(error: ValidationError | Fault, schema: JsonObject) -> Iterator[Fault]:
    """Yield the faults of one error, at the wrong field rather than at the object around it.

    ``schema`` is the whole schema; its properties are the suggestions for an unknown key.
    """
    if isinstance(error, Fault):
        yield error
        return
    path = error.instance_path
    match error.kind:
        case Kind.Required(property=name):
            yield _fault([*path, name], "required", "is required")
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            known = _known(schema, error.schema_path)
            for place, name in enumerate(islice(names, MAX_FAULTS)):
                hint = _nearest_name(name, known) if place < _MAX_HINTS else ""
                yield _fault([*path, name], "unknown_field", f"is not allowed{hint}")
        case Kind.AnyOf(context=branches) | Kind.OneOfNotValid(context=branches):
            yield from _nearest(path, branches, schema)
        case _:
            yield _fault(path, *_message(error))


def _known(schema: Json, way: Sequence[str | int]) -> list[str]:
    """Return the names that the object has whose keyword is at the end of a way through a schema."""
    try:
        for part in way[:-1]:
            schema = schema[part]
        return list(schema["properties"])
    except LookupError:
        return []


def _nearest_name(name: str, known: list[str]) -> str:
    """Return a suggestion for a name, or the known names, as the end of a message."""
    close = get_close_matches(
        name[:_MAX_NAME], [one for one in known[:_SEARCHED] if len(one) <= _MAX_NAME], 1
    )
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {list_names(known)}" if known else ""


def _nearest(
    path: list[str | int], branches: list[list[ValidationError]], schema: JsonObject
) -> Iterator[Fault]:
    """Yield the faults of the alternative that was probably meant: right type, right constants."""
    meant = [branch for branch in branches if not any(_is_type_at(error, path) for error in branch)]
    if len(meant) > 1:
        meant = [branch for branch in meant if not any(_is_choice(error) for error in branch)] or meant
    if len(meant) > 1:
        meant = [branch for branch in meant if not any(_lacks_at(error, path) for error in branch)] or meant
    if len(meant) == 1:
        for error in meant[0]:
            yield from _faults(error, schema)
    elif meant:
        yield _fault(path, "no_alternative", f"fits none of the {len(branches)} alternatives")
    else:
        kinds = (error.kind for branch in branches for error in branch if _is_type_at(error, path))
        types = [name for kind in kinds if isinstance(kind, Kind.Type) for name in kind.types]
        yield _fault(path, "type", _must_be(types))


def _is_type_at(error: ValidationError, path: list[str | int]) -> bool:
    return isinstance(error.kind, Kind.Type) and error.instance_path == path


def _lacks_at(error: ValidationError, path: list[str | int]) -> bool:
    return isinstance(error.kind, Kind.Required) and error.instance_path == path


def _is_choice(error: ValidationError) -> bool:
    return isinstance(error.kind, Kind.Constant | Kind.Enum)


def _message(error: ValidationError) -> tuple[str, str]:
    """Return the code and the message of an error."""
    match error.kind:
        case Kind.Type(types=types):
            return "type", _must_be(types)
        case Kind.Format(format=name):
            return "format", f"must be a valid {name}"
        case Kind.Constant(expected_value=expected):
            return "value", f"must be {_spelled(expected)}"
        case Kind.Enum(options=options):
            return "value", f"must be one of {', '.join(_spelled(option) for option in options)}"
        case Kind.FalseSchema():
            return "not_allowed", "is not allowed"
        case Kind.Not():
            return "not_allowed", "must not fit what `not` describes"
        case Kind.Contains():
            return "contains", "has no item that `contains` describes"
        case Kind.OneOfMultipleValid():
            return "no_alternative", "fits more than one of the alternatives"
        case _:
            # The library calls the value "it", its mask.
            return "constraint", error.message.removeprefix("it ")


def _must_be(types: Sequence[str]) -> str:
    return "must be " + " or ".join(_ARTICLES.get(name, f"a {name}") for name in dict.fromkeys(types))


def _spelled(value: Json) -> str:
    return _trim(dumps(value).decode(), 80)


def _fault(path: Sequence[str | int], code: str, message: str) -> Fault:
    where = to_pointer([part if isinstance(part, int) else _trim(part) for part in path])
    return Fault(where, code, _trim(message))


def _trim(text: str, length: int = _MAX_MESSAGE) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
