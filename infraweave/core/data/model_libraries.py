"""Models of libraries that convert their own values: pydantic and msgspec.

Neither is a dependency. A model's author must have imported its library, so the library is looked up among
the imported modules and never imported here. Each library is one ``ModelLibrary``: it recognizes its
annotations, gives their JSON Schema, converts from JSON (strictly) and to JSON, and translates its errors to
faults. The converter in ``python_types`` handles all other annotations.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Protocol, Union, cast, get_args, get_origin

from infraweave.core.data.json_codec import dumps
from infraweave.core.data.schema_cost import subschemas
from infraweave.core.data.values import Json, to_pointer
from infraweave.errors import Fault

#: The place of classes in a library's schema; ``type_schema`` renames classes with the same name.
DEFINITIONS = "#/$defs/"


class ModelLibrary(Protocol):
    """What InfraWeave needs from a library of models."""

    #: The name of its package.
    package: str

    def is_model(self, cls: type) -> bool:
        """Tell whether a class is one of its models."""

    def is_constraint(self, extra: Any) -> bool:
        """Tell whether the ``extra`` in ``Annotated[…, extra]`` is meant for the library."""

    def schema(self, annotation: Any) -> dict[str, Any]:
        """Return the JSON Schema of the values that it accepts, with its classes under ``$defs``.

        Raises:
            TypeError: there is no schema, or its values would change on the way to JSON and back.
        """

    def structure(self, value: Json, annotation: Any) -> Any:
        """Return JSON as a model, strictly: a text is not accepted as a number.

        Raises:
            Exception: the library's own error, which ``faults`` reads.
        """

    def unstructure(self, value: Any) -> Json:
        """Return a model as JSON that ``structure`` accepts."""

    def faults(self, error: Exception, value: Json) -> list[Fault]:
        """Return the faults of a value from an error of ``structure``."""


class _Pydantic:
    package = "pydantic"

    def is_model(self, cls: type) -> bool:
        return issubclass(cls, sys.modules["pydantic"].BaseModel) or "__pydantic_validator__" in vars(cls)

    def is_constraint(self, extra: Any) -> bool:
        return (type(extra) if not isinstance(extra, type) else extra).__module__.startswith("pydantic")

    def schema(self, annotation: Any) -> dict[str, Any]:
        adapter = _type_adapter(annotation)
        generator = _schema_generator()
        try:
            taken = adapter.json_schema(schema_generator=generator)
            given = adapter.json_schema(schema_generator=generator, mode="serialization")
        except sys.modules["pydantic"].errors.PydanticUserError as error:
            raise TypeError(
                f"pydantic cannot describe it in JSON Schema: {error.message.splitlines()[0]}"
            ) from None
        _check_there_and_back(taken, given)
        return cast("dict[str, Any]", taken)

    def structure(self, value: Json, annotation: Any) -> Any:
        return _type_adapter(annotation).validate_json(dumps(value), strict=True)

    def unstructure(self, value: Any) -> Json:
        adapter = _type_adapter(cast("Any", type(value)))
        return adapter.dump_python(value, mode="json", by_alias=True, round_trip=True, warnings="error")

    def faults(self, error: Exception, value: Json) -> list[Fault]:
        if not isinstance(error, sys.modules["pydantic"].ValidationError):
            return [Fault("", "model", str(error))]
        told = error.errors(include_url=False, include_context=False, include_input=False)
        return [Fault(_pydantic_path(one, value), one["type"], one["msg"]) for one in told]


class _Msgspec:
    package = "msgspec"

    def is_model(self, cls: type) -> bool:
        return issubclass(cls, sys.modules["msgspec"].Struct)

    def is_constraint(self, extra: Any) -> bool:
        return isinstance(extra, sys.modules["msgspec"].Meta)

    def schema(self, annotation: Any) -> dict[str, Any]:
        schema: dict[str, Any] = sys.modules["msgspec"].json.schema(annotation)
        return schema

    def structure(self, value: Json, annotation: Any) -> Any:
        return sys.modules["msgspec"].convert(value, annotation, strict=True, str_keys=True)

    def unstructure(self, value: Any) -> Json:
        return sys.modules["msgspec"].to_builtins(value, str_keys=True)

    def faults(self, error: Exception, value: Json) -> list[Fault]:  # noqa: ARG002 - its errors have no path
        return [Fault("", "model", str(error))]


_LIBRARIES: tuple[ModelLibrary, ...] = (_Pydantic(), _Msgspec())


def library_of(annotation: Any) -> ModelLibrary | None:
    """Return the library that an annotation belongs to, or None if the converter handles it.

    A model belongs to its library. So do a union with a model in it, and an annotation with a constraint of
    the library (``Annotated[int, Field(gt=0)]``).
    """
    imported = [library for library in _LIBRARIES if library.package in sys.modules]
    return next((library for library in imported if _belongs(annotation, library)), None)


def faults_of(value: Json, annotation: Any) -> list[Fault]:
    """Return the faults that the library of an annotation finds in a value; empty without a library."""
    library = library_of(annotation)
    if library is None:
        return []
    try:
        library.structure(value, annotation)
    except Exception as error:  # noqa: BLE001 - validators are authors' code
        return library.faults(error, value)
    return []


def _belongs(annotation: Any, library: ModelLibrary) -> bool:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return any(map(library.is_constraint, args[1:])) or _belongs(args[0], library)
    if origin in (Union, types.UnionType):
        return any(_belongs(arg, library) for arg in args)
    if type(annotation).__name__ == "TypeAliasType":
        return _belongs(annotation.__value__, library)
    cls = origin or annotation
    return isinstance(cls, type) and library.is_model(cls)


def _type_adapter(annotation: Any) -> Any:
    """Return the converter of an annotation without its schema keywords: dicts, which cannot be hashed."""
    if get_origin(annotation) is Annotated:
        core, *extras = get_args(annotation)
        meant = tuple(extra for extra in extras if not isinstance(extra, dict))
        return _adapter(Annotated[(core, *meant)] if meant else core)
    return _adapter(annotation)


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> Any:
    pydantic = sys.modules["pydantic"]
    try:
        return pydantic.TypeAdapter(annotation)
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(_first_line("pydantic cannot convert it", error)) from None


@lru_cache(maxsize=1)
def _schema_generator() -> Any:
    from_library: Any = sys.modules["pydantic"].json_schema.GenerateJsonSchema

    class Generator(from_library):  # type: ignore[misc]  # known only at run time
        def decimal_schema(self, schema: Any) -> Any:
            """Leave out the pattern with look-ahead, which a linear-time engine cannot run."""
            made = super().decimal_schema(schema)
            texts = [kind for kind in made.get("anyOf", [made]) if kind.get("type") == "string"]
            for text in texts:
                text.pop("pattern", None)
            return made

    return Generator


def _check_there_and_back(taken: dict[str, Any], given: dict[str, Any]) -> None:
    """Check that a model reads back the JSON that it writes.

    Raises:
        TypeError: a field is written under a different name than it is read, or is not written, or is written
            masked, or consists of bytes that must be UTF-8 to be written.
    """
    if any(item.get("format") == "binary" for item in subschemas(given)):
        raise TypeError(
            "its bytes are written as text, which requires UTF-8; set ser_json_bytes='base64' and "
            "val_json_bytes='base64' in its model_config"
        )
    out = dict(_classes(given))
    for name, cls in _classes(taken):
        for field, schema in cls.get("properties", {}).items():
            if field not in out.get(name, {}).get("properties", {field: None}):
                raise TypeError(f"{field} is read under a name that is not written; give it one alias")
            if schema.get("writeOnly") and schema.get("format") == "password":
                raise TypeError(f"{field} is written masked, as a secret, and cannot be read back; use str")


def _classes(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the classes of a schema by name; the root's name is empty."""
    yield "", schema
    yield from schema.get("$defs", {}).items()


def _pydantic_path(error: Any, value: Json) -> str:
    """Return the path of a fault without parts that are not keys or indexes (the member of a union)."""
    way: list[str | int] = []
    *around, last = error["loc"] or ("",)
    for part in (*around, last):
        if isinstance(value, list | dict) and _leads_on(value, part):
            value = value[part]
            way.append(part)
    if error["type"] == "missing":
        way.append(last)
    return to_pointer(way)


def _leads_on(value: list[Json] | dict[str, Json], part: str | int) -> bool:
    return part in value if isinstance(value, dict) else isinstance(part, int) and part < len(value)


def _first_line(what: str, error: Any) -> str:
    """Return a short reason; the library's message has several paragraphs."""
    return f"{what}: {error.message.splitlines()[0]}"
