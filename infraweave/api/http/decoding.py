"""Strict decoding of bodies and query parameters into attrs classes, and encoding of such classes as JSON.

The annotations of the class decide. Unknown, missing and mistyped fields are refused, all faults at once,
each with its path. The classes are the ``schemas`` of each resource. Nothing here knows HTTP.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs

from infraweave.api.http.fields import read_time
from infraweave.api.http.valid_bodies import Misfit, reader_of
from infraweave.core.data.json_codec import parse
from infraweave.core.data.values import Json, to_pointer
from infraweave.errors import Fault, MalformedRequest

T = TypeVar("T")
Path = tuple[str | int, ...]

#: Faults in one response. A body can contain many thousands, and each message takes time.
MAX_FAULTS = 100
#: Characters of a caller's name that are compared and repeated.
_LONGEST_NAME = 60
#: Characters of a path in a response; longer ones contain long names of the caller.
_LONGEST_PATH = 1_000
#: Larger floats cannot represent every integer.
_EXACT = 2**53
_NAMES = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    float: "a number",
    dict: "an object",
    Mapping: "an object",
    tuple: "an array",
}


class _Faults(list[Fault]):
    def add(self, path: Path, code: str, message: str) -> None:
        if not self.full:
            self.append(Fault(to_pointer(path)[:_LONGEST_PATH], code, message))

    @property
    def full(self) -> bool:
        return len(self) >= MAX_FAULTS


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the evaluated annotations of a class."""
    return typing.get_type_hints(cls, include_extras=True)


def parse_body(data: bytes, max_depth: int) -> Json:
    """Return the JSON value of a body.

    Raises:
        MalformedRequest: it is not JSON, or JSON that is not accepted.
    """
    if not data:
        raise MalformedRequest("Body is not JSON: it is empty; expected a JSON object.")
    try:
        return parse(data, max_depth)
    except json.JSONDecodeError as error:
        raise MalformedRequest(f"Body is not JSON: {error}.") from error
    except ValueError as error:
        raise MalformedRequest(f"The body is not accepted: {error}.") from error
    except RecursionError as error:
        raise MalformedRequest(
            f"The body is not accepted: it is nested deeper than {max_depth} levels."
        ) from error


def read_body(cls: type[T], value: Json, what: str = "The body", found: Sequence[Fault] = ()) -> T:
    """Return ``value`` as an object of the class.

    ``what`` names the value in messages; ``found`` are faults of it that are known already.

    Raises:
        MalformedRequest: it does not fit; the details name every fault.
    """
    result, faults = decode(cls, value)
    refuse([*found, *faults], what)
    return result


def decode(cls: type[T], value: Json) -> tuple[T, list[Fault]]:
    """Return ``value`` as an object of the class, and what is wrong with it, ``MAX_FAULTS`` at most.

    Where a value does not fit, the object has an empty one of the right type.
    """
    try:
        return reader_of(cls)(value), []  # type: ignore[arg-type]  # a class is hashable
    except Misfit:
        faults = _Faults()
        return _object(cls, value, (), faults), faults


def refuse(faults: Sequence[Fault], what: str = "The body") -> None:
    """Refuse a body that has faults.

    Raises:
        MalformedRequest: it has; the details name every fault.
    """
    if faults:
        message = f"{what} does not fit: {summary(faults, with_paths=True)}."
        raise MalformedRequest(message, details=faults[:MAX_FAULTS])


def read_query(cls: type[T], pairs: Iterable[tuple[str, str]]) -> T:
    """Return query parameters as an object of the class. The metadata of a field names its reader.

    Raises:
        MalformedRequest: one is unknown, given twice, or does not parse.
        InvalidCursor: a cursor is not valid.
    """
    faults, values = _Faults(), {}
    fields = _parameters(cls)  # type: ignore[arg-type]  # a class is hashable
    for name, text in pairs:
        if faults.full:
            break
        if name not in fields:
            faults.add((name,), "unknown_parameter", unknown("query parameter", name, list(fields)))
        elif fields[name].name in values:
            faults.add((name,), "duplicate", f"the query parameter {name} is given twice")
        else:
            values[fields[name].name] = _parsed(fields[name].metadata["read"], name, text, faults)
    for name, field in fields.items():
        if field.default is attrs.NOTHING and field.name not in values:
            faults.add((name,), "required", f"the query parameter {name} is missing")
    if faults:
        raise MalformedRequest(f"The query does not fit: {summary(faults)}.", details=faults[:MAX_FAULTS])
    return cls(**values)


@cache
def _parameters(cls: Any) -> Mapping[str, attrs.Attribute[Any]]:
    return {parameter_name(field): field for field in attrs.fields(cls)}


def parameter_name(field: attrs.Attribute[Any]) -> str:
    """Return the name of a query parameter on the wire. It may be a reserved word of Python."""
    return str(field.metadata.get("name", field.name))


def unknown(what: str, name: str, names: Sequence[str]) -> str:
    """Return the message for an unknown name, with the nearest known name."""
    shown = name[:_LONGEST_NAME]
    nearest = difflib.get_close_matches(shown, names, 1, 0.0)
    hint = f"the nearest known one is {nearest[0]}" if nearest else "none is accepted here"
    return f"unknown {what} {shown}; {hint}"


def _parsed(read: Callable[[str], Any], name: str, text: str, faults: _Faults) -> Any:
    try:
        return read(text)
    except ValueError as error:
        faults.add((name,), "format", f"{name}: {error}")
        return None


def summary(faults: Sequence[Fault], *, with_paths: bool = False) -> str:
    """Return the messages of the first faults, and the number of the others."""
    more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
    return "; ".join(_at_path(fault) if with_paths else fault.message for fault in faults[:3]) + more


def _at_path(fault: Fault) -> str:
    return f"{fault.path[: 2 * _LONGEST_NAME] or '/'}: {fault.message}"


def _object(cls: type, value: Json, path: Path, faults: _Faults) -> Any:
    if not isinstance(value, dict):
        faults.add(path, "type", f"must be an object, not {_kind(value)}")
        return _empty(cls)
    fields = attrs.fields_dict(cls)
    for name in value:
        if name not in fields and not faults.full:
            faults.add((*path, name), "unknown_field", unknown("field", name, list(fields)))
    values = {
        name: _field(hints(cls)[name], field, value[name], (*path, name), faults)
        for name, field in fields.items()
        if name in value
    }
    for name, field in fields.items():
        if name not in value and field.default is attrs.NOTHING:
            faults.add((*path, name), "required", "is missing")
            values[name] = _empty(hints(cls)[name])
    return cls(**values)


def _field(annotation: Any, field: attrs.Attribute[Any], value: Json, path: Path, faults: _Faults) -> Any:
    before = len(faults)
    result = _value(annotation, value, path, faults)
    if len(faults) > before:
        return result
    schema = field.metadata.get("schema", {})
    if isinstance(result, str):
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if len(result) < least or (most is not None and len(result) > most):
            length = f"at least {least}" if most is None else f"{least} to {most}"
            faults.add(path, "length", f"must have {length} characters")
    if isinstance(result, tuple) and len(result) > schema.get("maxItems", len(result)):
        faults.add(path, "length", f"has {len(result):,} items; {schema['maxItems']:,} are allowed")
    return result


def _value(annotation: Any, value: Json, path: Path, faults: _Faults) -> Any:
    if annotation is Any:
        return value
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, path, faults)
    if origin is Annotated:  # fields.Time
        return _time(value, path, faults)
    if origin is Literal:
        if value not in arguments:
            faults.add(path, "value", f"must be one of {', '.join(map(str, arguments))}")
            return arguments[0]
        return value
    if origin in _JSON:
        return _container(origin, arguments, value, path, faults)
    if attrs.has(annotation):
        return _object(annotation, value, path, faults)
    if not _accepts(annotation, value):
        faults.add(path, "type", f"must be {_NAMES[annotation]}, not {_kind(value)}")
        return _empty(annotation)
    return annotation(value) if annotation in (int, float) else value


def _union(arguments: tuple[Any, ...], value: Json, path: Path, faults: _Faults) -> Any:
    if value is None and types.NoneType in arguments:
        return None
    inner = [argument for argument in arguments if argument is not types.NoneType]
    if len(inner) > 1 and all(attrs.has(argument) and "kind" in hints(argument) for argument in inner):
        return _tagged(inner, value, path, faults)
    fitting = inner if len(inner) == 1 else [argument for argument in inner if _accepts(argument, value)]
    if not fitting:
        expected = " or ".join(dict.fromkeys(_expected(argument) for argument in inner))
        faults.add(path, "type", f"must be {expected}, not {_kind(value)}")
        return None if types.NoneType in arguments else _empty(inner[0])
    return _value(max(fitting, key=lambda argument: _known(argument, value)), value, path, faults)


def _known(annotation: Any, value: Json) -> int:
    """Return how many fields of a value a class has. The class with the most is chosen."""
    if not isinstance(value, dict) or not attrs.has(annotation):
        return 0
    return sum(name in hints(annotation) for name in value)


def _tagged(classes: Sequence[type], value: Json, path: Path, faults: _Faults) -> Any:
    """Return an object as one of several classes, chosen by its ``kind``."""
    if not isinstance(value, dict):
        faults.add(path, "type", f"must be an object, not {_kind(value)}")
        return _empty(classes[0])
    by_kind = {kind: cls for cls in classes for kind in get_args(hints(cls)["kind"])}
    kind, at = value.get("kind"), (*path, "kind")
    if "kind" not in value:
        faults.add(at, "required", f"is missing; it is one of {', '.join(by_kind)}")
    elif not isinstance(kind, str) or kind not in by_kind:
        faults.add(at, "value", f"must be one of {', '.join(by_kind)}")
    else:
        return _object(by_kind[kind], value, path, faults)
    return _shared(classes, value, path, faults)


def _shared(classes: Sequence[type], value: dict[str, Json], path: Path, faults: _Faults) -> Any:
    """Return an object of an unknown kind as the first class, with the fields that all classes have."""
    shared = set.intersection(*(set(hints(cls)) for cls in classes)) - {"kind"}
    found = _Faults()
    result = _object(classes[0], {name: value[name] for name in shared & set(value)}, path, found)
    places = tuple(f"{to_pointer((*path, name))}/" for name in shared)
    for fault in (fault for fault in found if f"{fault.path}/".startswith(places) and not faults.full):
        faults.append(fault)
    return result


def _empty(annotation: Any) -> Any:
    """Return an empty value of a type, to go on with in place of one that does not fit."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any or types.NoneType in arguments:
        return None
    if origin is Literal:
        return arguments[0]
    if origin in _JSON:
        return {} if _JSON[origin] is dict else ()
    if origin is not None:  # a union, or an annotated type
        return _empty(arguments[0])
    if not attrs.has(annotation):
        return annotation()
    required = (field.name for field in attrs.fields(annotation) if field.default is attrs.NOTHING)
    return annotation(**{name: _empty(hints(annotation)[name]) for name in required})


#: The JSON types of containers.
_JSON: Mapping[Any, type] = {dict: dict, Mapping: dict, tuple: list}


def _accepts(annotation: Any, value: Json) -> bool:
    """Tell whether a value has the JSON type of an annotation."""
    origin = get_origin(annotation)
    if origin is Literal:
        return value in get_args(annotation)
    if origin in _JSON or attrs.has(annotation):
        return isinstance(value, _JSON.get(origin, dict))
    if annotation is int and type(value) is float:  # 3.0 is an integer in JSON Schema
        return value.is_integer() and abs(value) < _EXACT
    return annotation is Any or type(value) in ((int, float) if annotation is float else (annotation,))


def _expected(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    return _NAMES.get(get_origin(annotation) or annotation, "an object")


def _time(value: Json, path: Path, faults: _Faults) -> Json:
    if not isinstance(value, str):
        faults.add(path, "type", f"must be a string, not {_kind(value)}")
        return ""
    try:
        read_time(value)
    except ValueError as error:
        faults.add(path, "format", str(error))
    return value


def _container(origin: Any, arguments: tuple[Any, ...], value: Json, path: Path, faults: _Faults) -> Any:
    if isinstance(value, dict) and _JSON[origin] is dict:
        return dict(zip(value, _items(arguments[1], value.items(), path, faults), strict=False))
    if not isinstance(value, list) or _JSON[origin] is not list:
        faults.add(path, "type", f"must be {_NAMES[origin]}, not {_kind(value)}")
        return _JSON[origin]() if _JSON[origin] is dict else ()
    return tuple(_items(arguments[0], enumerate(value), path, faults))


def _items(
    annotation: Any, items: Iterable[tuple[str | int, Json]], path: Path, faults: _Faults
) -> Iterator[Any]:
    """Yield the items of a container, until there are enough faults; bodies can be large."""
    for place, item in items:
        if faults.full:
            break
        fits = annotation is Any or (annotation is str and type(item) is str)
        yield item if fits else _value(annotation, item, (*path, place), faults)


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "an array"
    return _NAMES[type(value)]


def dump(value: Any) -> Json:
    """Return a schema object as JSON. Fields marked ``omit`` are left out while they are None."""
    if attrs.has(type(value)):
        pairs = ((field, getattr(value, field.name)) for field in attrs.fields(type(value)))
        return {
            field.name: dump(item)
            for field, item in pairs
            if item is not None or "omit" not in field.metadata
        }
    if isinstance(value, tuple) or (isinstance(value, list) and value and attrs.has(type(value[0]))):
        return [dump(item) for item in value]
    return value  # JSON: it can contain a million lists
