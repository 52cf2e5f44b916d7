"""The JSON Schema (2020-12) of an author's annotation. It accepts only what ``to_author`` can convert.

Classes are defined under ``$defs``. The root is the object itself, and a root class that contains itself
refers to ``#``. Schemas are stricter than the converter on purpose. The converter would accept the text
``"5"`` as a number, and a time without an offset, but a client that sends those has made a mistake.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from operator import or_
from typing import Annotated, Any, ForwardRef, Literal, NewType, Union, cast, get_args, get_origin
from uuid import UUID

import attrs

from infraweave.core.data.class_fields import QUALIFIERS, Field, fields_of, has_attributes, is_class
from infraweave.core.data.model_libraries import DEFINITIONS, ModelLibrary, library_of
from infraweave.core.data.python_types import from_author, unfit

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    Any: {},
    object: {},
    None: {"type": "null"},
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {
        "type": "string",
        "contentEncoding": "base85",
        "pattern": "^[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]*$",
    },
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    UUID: {"type": "string", "format": "uuid"},
    Decimal: {"type": "string", "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"},
}
_JSON_TYPES = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (type(None), "null"))
#: Factories of empty defaults, which are the same for every object.
_EMPTY = (list, dict, set, frozenset, tuple)
#: Members of a union that the converter recognizes by their JSON type alone.
_TOLD_APART = frozenset({bool, int, float, str, type(None)})


def schema_of(annotation: Any, *, closed: bool = False) -> Schema:
    """Return the JSON Schema of a class, container, union or other annotation.

    ``closed``: objects of a class have no keys except its fields, unless its library accepts others.

    Raises:
        TypeError: the annotation, or a class in it, has no schema; the message names it.
    """
    return SchemaGenerator(closed=closed).root(annotation)


class SchemaGenerator:
    """Generates schemas and defines each class once. Subclasses may describe classes in their own way.

    References to classes begin with ``prefix``.
    """

    def __init__(self, *, closed: bool = False, prefix: str = DEFINITIONS) -> None:
        self._closed: Schema = {"additionalProperties": False} if closed else {}
        self._prefix = prefix
        self._references: dict[Any, str] = {}
        #: The schemas of classes, by name.
        self.definitions: dict[str, Schema] = {}
        #: By the library and its name for a definition: the definition, and its name in ``definitions``.
        self._foreign: dict[tuple[ModelLibrary, str], tuple[Schema, str]] = {}

    def root(self, annotation: Any) -> Schema:
        """Return the schema of an annotation with the definitions of its classes."""
        core, keywords = _peel(annotation)
        if (library := library_of(annotation)) is not None:
            schema = self._inlined(self._from_library(library, annotation))
        elif is_class(core):
            self._references[core] = "#"
            schema = self.class_schema(core)
        else:
            schema = self.of(core)
        definitions = {"$defs": self.definitions} if self.definitions else {}
        return {**schema, **keywords, **definitions}

    def of(self, annotation: Any) -> Schema:
        """Return the schema of an annotation, with references to classes."""
        core, keywords = _peel(annotation)
        if (library := library_of(annotation)) is not None:
            return {**self._from_library(library, annotation), **keywords}
        schema = self.reference(core) if is_class(core) else self._other(core)
        return {**schema, **keywords}

    def reference(self, cls: Any) -> Schema:
        """Return a reference to a class, and define the class if it is new."""
        if cls not in self._references:
            name = _unused(_name(cls), self.definitions)
            self._references[cls] = f"{self._prefix}{name}"
            self.definitions[name] = {}
            self.definitions[name] = self.class_schema(cls)
        return {"$ref": self._references[cls]}

    def _from_library(self, library: ModelLibrary, annotation: Any) -> Schema:
        """Return a library's schema of its models; its definitions are added under unused names."""
        try:
            schema = library.schema(annotation)
        except TypeError as error:
            raise TypeError(f"{_spell(annotation)} has no JSON schema: {error}") from None
        definitions = {name: self._class_of(cls) for name, cls in schema.pop("$defs", {}).items()}
        schema = self._class_of(schema)
        names = {name: self._named(library, name, definition) for name, definition in definitions.items()}
        for name, definition in definitions.items():
            self.definitions[names[name]] = _renamed(definition, names)
        return cast("Schema", _renamed(schema, names))

    def _class_of(self, schema: Schema) -> Schema:
        """Return a library's schema of a class, closed unless the library says otherwise."""
        return {**self._closed, **schema} if "properties" in schema else schema

    def _named(self, library: ModelLibrary, name: str, definition: Schema) -> str:
        """Return our name of a library's definition; the same definition keeps its name."""
        known, ours = self._foreign.get((library, name), (None, ""))
        if known != definition:
            ours = _unused(name, self.definitions)
            self._foreign[library, name] = definition, ours
            self.definitions[ours] = {}
        return ours

    def _inlined(self, schema: Schema) -> Schema:
        """Return a root schema; if it is only a reference, return the definition itself."""
        name = schema.get("$ref", "").removeprefix(DEFINITIONS)
        if name not in self.definitions:
            return schema
        whole = {**self.definitions[name], **{key: schema[key] for key in schema if key != "$ref"}}
        if not any(_refers([whole, *self.definitions.values()], f"{DEFINITIONS}{name}")):
            del self.definitions[name]
        return whole

    def _other(self, annotation: Any) -> Schema:
        if annotation in _PLAIN:
            return dict(_PLAIN[annotation])
        origin, args = get_origin(annotation) or annotation, get_args(annotation)
        if origin is Literal:
            return _values([arg.value if isinstance(arg, Enum) else arg for arg in args], annotation)
        if origin in (Union, types.UnionType):
            return self._union(annotation, args)
        if isinstance(origin, type):
            return self._container(origin, args, annotation)
        raise TypeError(_no_schema(annotation))

    def _union(self, annotation: Any, args: tuple[Any, ...]) -> Schema:
        self.check_union(annotation, args)
        return {"anyOf": [self.of(arg) for arg in args]}

    def check_union(self, annotation: Any, args: tuple[Any, ...]) -> None:
        """Check that the converter can distinguish the members of a union.

        Raises:
            TypeError: it cannot.
        """
        cores = [_peel(arg)[0] for arg in args]
        hard = [core for core in cores if core not in _TOLD_APART and get_origin(core) is not Literal]
        mixed = len(hard) > 1 and (not all(map(has_attributes, hard)) or unfit(functools.reduce(or_, hard)))
        if mixed or any(map(self._is_written_as(cores), hard)):
            raise TypeError(
                f"{_spell(annotation)} has no JSON schema: its members cannot be told apart in JSON; "
                "use classes with different fields, or one class"
            )

    def _is_written_as(self, plain: Sequence[Any]) -> Callable[[Any], bool]:
        """Return a check whether a member's JSON type is that of a plain member: a date is a text too."""
        taken = {name for kind, name in _JSON_TYPES if kind in plain}
        taken |= {"integer"} if "number" in taken else set()
        return lambda core: not taken.isdisjoint(_types(self.of(core), self.definitions))

    def _container(self, origin: type, args: tuple[Any, ...], annotation: Any) -> Schema:
        if hasattr(origin, "_fields"):
            raise TypeError(
                _no_schema(annotation)
            )  # a NamedTuple: the converter ignores the types of its fields
        if issubclass(origin, tuple):
            return self._tuple(args, annotation)
        if issubclass(origin, collections.abc.Mapping):
            return self._mapping(origin, args, annotation)
        if issubclass(origin, collections.abc.Set):
            return {**self._set(args, annotation), "uniqueItems": True}
        if issubclass(origin, collections.abc.Sequence) and not issubclass(origin, str | bytes | range):
            return self._array(args)
        raise TypeError(_no_schema(annotation))

    def _array(self, args: tuple[Any, ...]) -> Schema:
        return {"type": "array", "items": self.of(args[0])} if args else {"type": "array"}

    def _set(self, args: tuple[Any, ...], annotation: Any) -> Schema:
        if not args or _peel(args[0])[0] in (Any, object):
            return {"type": "array", "items": {"type": [name for _, name in _JSON_TYPES]}}
        if not _is_hashable(args[0]):
            raise TypeError(f"{_spell(annotation)} has no JSON schema: its items have no hash; use a list")
        return self._array(args)

    def _tuple(self, args: tuple[Any, ...], annotation: Any) -> Schema:
        if not args and get_origin(annotation) is tuple:
            return {"type": "array", "maxItems": 0}
        if not args or args[-1] is Ellipsis:
            return self._array(args)
        items = [self.of(arg) for arg in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def _mapping(self, origin: type, args: tuple[Any, ...], annotation: Any) -> Schema:
        if not args:
            return {"type": "object"}
        value = int if issubclass(origin, collections.Counter) else args[1]
        schema: Schema = {"type": "object", "additionalProperties": self.of(value)}
        key = _peel(args[0])[0]
        if key in (Any, str):
            return schema
        names = {"pattern": "^[+-]?[0-9]+$"} if key is int else self.of(args[0])
        if key is bytes or (key is not int and not _is_text(names, self.definitions)):
            raise TypeError(f"{_spell(annotation)} has no JSON schema: the keys of a JSON object are text")
        return {**schema, "propertyNames": names}

    def class_schema(self, cls: Any) -> Schema:
        """Return the schema of a class of fields or an enum."""
        origin = get_origin(cls) or cls
        doc = _docstring(origin)
        if issubclass(origin, Enum):
            return {**_values([member.value for member in origin], cls), **doc}
        fields = list(fields_of(cls))
        schema: Schema = {"type": "object", **doc, **self._closed}
        schema["properties"] = {item.name: self._property(origin, item) for item in fields}
        required = [item.name for item in fields if item.required]
        return {**schema, "required": required} if required else schema

    def _property(self, cls: type, item: Field) -> Schema:
        try:
            schema = self.of(item.annotation)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}.{item.name}: {error}") from None
        told = {key: item.metadata[key] for key in ("title", "description") if key in item.metadata}
        return {**schema, **told, **_default(item.default)}


# --- helpers -----------------------------------------------------------------------------------------------


def _peel(annotation: Any) -> tuple[Any, Schema]:
    """Return an annotation without NewType, alias, Annotated and qualifiers, and its schema keywords."""
    keywords: Schema = {}
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *extras = get_args(annotation)
            found = [extra for extra in extras if isinstance(extra, dict)]
            keywords = {key: value for extra in found for key, value in extra.items()} | keywords
        elif origin in QUALIFIERS:
            (annotation,) = get_args(annotation)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, keywords


def _values(values: list[Any], annotation: Any) -> Schema:
    """Return the schema of a choice between constants."""
    kinds = [next((name for kind, name in _JSON_TYPES if isinstance(value, kind)), None) for value in values]
    if not kinds or None in kinds:
        raise TypeError(f"{_spell(annotation)} has no JSON schema: its values are not plain JSON values")
    names = list(dict.fromkeys(kinds))
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    """Return a library's schema with our names of its definitions."""
    if isinstance(schema, list):
        return [_renamed(item, names) for item in schema]
    if isinstance(schema, dict):
        return {key: _renamed(value, names) for key, value in schema.items()}
    if isinstance(schema, str) and schema.startswith(DEFINITIONS):
        return DEFINITIONS + names.get(schema.removeprefix(DEFINITIONS), schema.removeprefix(DEFINITIONS))
    return schema


def _refers(schema: Any, reference: str) -> Iterator[bool]:
    """Yield for each text in a schema whether it is this reference."""
    if isinstance(schema, str):
        yield schema == reference
    elif isinstance(schema, dict | list):
        for item in schema.values() if isinstance(schema, dict) else schema:
            yield from _refers(item, reference)


def _is_text(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    return _types(schema, definitions) == ["string"]


def _types(schema: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    target = definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
    named = target.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def _is_hashable(annotation: Any, around: tuple[Any, ...] = ()) -> bool:
    """Tell whether values of an annotation can be in a set; ``around`` are the classes that contain it."""
    core = _peel(annotation)[0]
    origin = get_origin(core) or core
    if not isinstance(origin, type) or issubclass(origin, tuple) or origin is types.UnionType:
        return all(_is_hashable(arg, around) for arg in get_args(core) if origin is not Literal)
    if origin.__hash__ is None or issubclass(origin, collections.abc.MutableSequence):
        return False
    if not has_attributes(core) or core in around or origin.__hash__ is object.__hash__:
        return True
    return all(_is_hashable(item.annotation, (core, *around)) for item in fields_of(core))


def _default(default: Any) -> Schema:
    if default is attrs.NOTHING:
        return {}
    if isinstance(default, attrs.Factory) and default.factory in _EMPTY:  # type: ignore[arg-type]  # attrs
        default = default.factory()
    try:
        return {"default": from_author(default)}
    except (TypeError, ValueError):
        return {}


def is_decimal(schema: Schema) -> bool:
    """Tell whether a schema is that of a decimal; the converter also accepts numbers for decimals."""
    return schema.items() >= _PLAIN[Decimal].items()


def _docstring(cls: type) -> Schema:
    """Return the author's docstring. Dataclasses without one have their signature there instead."""
    doc = cls.__dict__.get("__doc__")
    if not doc or doc.startswith(f"{cls.__name__}(") or doc == "An enumeration.":
        return {}
    return {"description": inspect.cleandoc(doc)}


def _name(cls: Any) -> str:
    arguments = [_spell(arg) for arg in get_args(cls)]
    return re.sub(r"\W+", "_", "_".join([_spell(get_origin(cls) or cls), *arguments])).strip("_")


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    candidates = (name if n == 1 else f"{name}_{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def _spell(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return repr(annotation).replace("typing.", "")


def _no_schema(annotation: Any) -> str:
    if isinstance(annotation, str | ForwardRef):
        return f"{annotation!r} has no JSON schema: give the class itself, not its name"
    return (
        f"{_spell(annotation)} has no JSON schema; use attrs classes, dataclasses, pydantic models, msgspec "
        "structs, TypedDicts, enums, builtin containers and plain values, or give the schema as a dict"
    )
