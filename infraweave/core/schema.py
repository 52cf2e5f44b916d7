"""JSON Schema: does a value fit, and is a schema fit to be published. The only module with jsonschema_rs.

Schemas come from authors and over the wire, so none of them is trusted: patterns run in a linear-time
engine, no ``$ref`` leaves the schema, and work that grows without bound is refused beforehand
(``schema_cost``). Draft 2020-12, unless ``$schema`` names another; ``format`` is checked. Messages say what
was expected and never repeat the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs
from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from infraweave.core.codec import canonical, dumps, loads
from infraweave.core.pattern_cost import heaviest
from infraweave.core.schema_cost import BOUNDLESS, MAX_SUBSCHEMAS, Cost, references, subschemas
from infraweave.core.values import Json, JsonObject, pointer
from infraweave.errors import Fault

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_FAULTS = 50
_MAX_MESSAGE = 300
#: Visits that one check may make; some seconds at the very worst.
_BUDGET = 50_000_000
#: Below this cost no value is measured before it is checked.
_CHEAP = 256
#: Steps that patterns may take: some 50 ns each where they thwart the engine's cache.
_STEPS = 200_000_000
#: Below this weight of its patterns no text is too long: a body ends before.
_LIGHT = 10
#: Characters of a value up to which all errors are listed: each of them may hold a copy of it.
_COPIED = 200_000
#: Visits up to which all errors are listed; the library makes them all at once, some 5 kB each.
_LISTED = 20_000
#: A schema that visits one place of a value more often than this is refused when it is published.
_MAX_COST = 10_000

_ARTICLES = {"array": "an array", "integer": "an integer", "null": "null", "object": "an object"}


class Validator:
    """One compiled schema.

    Raises:
        ValueError: the schema is not valid; ``schema_faults`` says why in a sentence.
    """

    def __init__(self, schema: JsonObject) -> None:
        self._compiled = _compile(schema)
        self._cost = Cost(dict(schema))
        self._weight = heaviest(schema)

    def faults(self, value: Json) -> list[Fault]:
        """Return what is wrong with ``value``, one fault per wrong field, at most fifty.

        Of a value that is very large, or a schema with very many alternatives, only the first is told.
        """
        if self._cost.at(MAX_DEPTH) > _CHEAP and self._work(value) > _BUDGET:
            return [Fault("", "is too large, or nested too deeply, to be checked against this schema")]
        if self._weight > _LIGHT and self._steps(value) > _STEPS:
            return [Fault("", "has texts too long to be checked against the patterns of this schema")]
        try:
            return [] if self._compiled.is_valid(value) else list(_collect(self._errors(value)))
        except ValueError as error:
            return [Fault("", _trim(str(error)))]

    def _steps(self, value: Json) -> int:
        return _characters(value) * self._weight * self._cost.at(_measure(value)[1])

    def _errors(self, value: Json) -> Iterable[ValidationError]:
        if self._work(value) <= _LISTED and _characters(value) <= _COPIED:
            return self._compiled.iter_errors(value)
        try:
            self._compiled.validate(value)
        except ValidationError as first:
            return [first]
        return []

    def _work(self, value: Json) -> int:
        parts, depth = _measure(value)
        return parts * self._cost.at(depth)


def validator(schema: JsonObject) -> Validator:
    """Return the validator of a schema; the same schema gives the same validator."""
    return _validator(canonical(schema))


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Validator:
    return Validator(loads(schema))


def schema_faults(schema: Json) -> list[str]:
    """Return why a schema cannot be published; empty where it can."""
    return list(_shape_faults(schema)) or list(_reference_faults(schema)) or list(_compile_faults(schema))


def _shape_faults(schema: Json) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield "it must be a JSON object"
        return
    try:
        size = len(dumps(schema))
    except TypeError as error:
        yield f"it cannot be written as JSON: {_trim(str(error))}"
        return
    if size > MAX_BYTES:
        yield f"it has {size:,} bytes, more than {MAX_BYTES:,}"
    elif _measure(schema)[1] > MAX_DEPTH:
        yield f"it is nested deeper than {MAX_DEPTH} levels"


def _reference_faults(schema: dict[str, Any]) -> Iterator[str]:
    cost = Cost(schema)
    for item in subschemas(schema):
        if item is not schema and isinstance(item.get("$id"), str):
            yield f"$id {_trim(item['$id'])!r} stands within the schema; only its root may have one"
        for reference in references(item):
            if not reference.startswith("#"):
                yield f"$ref {_trim(reference)!r} leads outside the schema; only #/… is followed"
            elif cost.resolve(reference) is None:
                yield f"$ref {_trim(reference)!r} names nothing in the schema"
    if cost.widest >= BOUNDLESS:
        yield f"it has more than {MAX_SUBSCHEMAS:,} subschemas, or references chained too far"
    elif cost.widest > _MAX_COST:
        yield f"its alternatives multiply to more than {_MAX_COST:,} checks of one value"


def _compile_faults(schema: dict[str, Any]) -> Iterator[str]:
    try:
        _compile(schema)
        # Definitions that nothing refers to are not compiled; a published schema is checked whole.
        every = [{"$ref": f"#/$defs/{_escaped(name)}"} for name in schema.get("$defs", {})]
        _compile({**schema, "allOf": [*schema.get("allOf", []), *every, {}]})
    except ValidationError as error:
        yield _schema_message(error)
    except ValueError as error:
        yield _trim(str(error))


def _escaped(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else _percent(c) for c in pointer([name])[1:])


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _schema_message(error: ValidationError) -> str:
    where = pointer(error.instance_path)
    if isinstance(error.kind, Kind.Format) and error.kind.format == "regex":
        return (
            f"the pattern at {where} is refused: it is no regular expression, is too large, or needs "
            "look-around or back-references, which cannot run in linear time"
        )
    if isinstance(error.kind, Kind.Referencing):
        return _trim(error.message)
    fault = next(_faults(error))
    return _trim(f"{fault.path or 'the schema'} {fault.message}")


def _compile(schema: JsonObject) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        dict(schema),
        validate_formats=True,
        retriever=_refuse,
        mask="it",
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _refuse(uri: str) -> NoReturn:
    raise LookupError(f"{_trim(uri)} is outside the schema, and nothing is fetched")


def _measure(value: Json) -> tuple[int, int]:
    """Return how many parts a value has, and how deeply it is nested."""
    parts, depth, level = 1, 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        parts += len(level)
    return parts, depth


def _characters(value: Json) -> int:
    """Return how many characters the texts and the keys of a value have."""
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            total += sum(map(len, item))
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return total


# --- errors as faults --------------------------------------------------------------------------------------


def _collect(errors: Iterable[ValidationError]) -> Iterator[Fault]:
    seen: dict[str, Fault] = {}
    for fault in (fault for error in errors for fault in _faults(error)):
        seen.setdefault(fault.path, fault)
        if len(seen) == MAX_FAULTS:
            break
    return iter(seen.values())


def _faults(error: ValidationError) -> Iterator[Fault]:
    """Yield the faults of one error, at the field that is wrong rather than at the object around it."""
    path = error.instance_path
    match error.kind:
        case Kind.Required(property=name):
            yield _fault([*path, name], "is required")
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            yield from (_fault([*path, name], "is not allowed") for name in islice(names, MAX_FAULTS))
        case Kind.AnyOf(context=branches) | Kind.OneOfNotValid(context=branches):
            yield from _nearest(path, branches)
        case _:
            yield _fault(path, _message(error))


def _nearest(path: list[str | int], branches: list[list[ValidationError]]) -> Iterator[Fault]:
    """Yield the faults of the alternative that was meant: of the right type, with the right constants."""
    meant = [branch for branch in branches if not any(_is_type_at(error, path) for error in branch)]
    if len(meant) > 1:
        meant = [branch for branch in meant if not any(_is_choice(error) for error in branch)] or meant
    if len(meant) == 1:
        for error in meant[0]:
            yield from _faults(error)
    elif meant:
        yield _fault(path, f"fits none of the {len(branches)} alternatives")
    else:
        kinds = (error.kind for branch in branches for error in branch if _is_type_at(error, path))
        types = [name for kind in kinds if isinstance(kind, Kind.Type) for name in kind.types]
        yield _fault(path, _must_be(types))


def _is_type_at(error: ValidationError, path: list[str | int]) -> bool:
    return isinstance(error.kind, Kind.Type) and error.instance_path == path


def _is_choice(error: ValidationError) -> bool:
    return isinstance(error.kind, Kind.Constant | Kind.Enum)


def _message(error: ValidationError) -> str:
    match error.kind:
        case Kind.Type(types=types):
            return _must_be(types)
        case Kind.Format(format=name):
            return f"must be a valid {name}"
        case Kind.Constant(expected_value=expected):
            return f"must be {_spelled(expected)}"
        case Kind.Enum(options=options):
            return f"must be one of {', '.join(_spelled(option) for option in options)}"
        case Kind.FalseSchema():
            return "is not allowed"
        case Kind.Not():
            return "must not fit what `not` describes"
        case Kind.Contains():
            return "has no item that `contains` describes"
        case Kind.OneOfMultipleValid():
            return "fits more than one of the alternatives"
        case _:
            return error.message.removeprefix("it ")


def _must_be(types: Sequence[str]) -> str:
    return "must be " + " or ".join(_ARTICLES.get(name, f"a {name}") for name in dict.fromkeys(types))


def _spelled(value: Json) -> str:
    return _trim(dumps(value).decode(), 80)


def _fault(path: Sequence[str | int], message: str) -> Fault:
    return Fault(pointer([part if isinstance(part, int) else _trim(part) for part in path]), _trim(message))


def _trim(text: str, length: int = _MAX_MESSAGE) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
