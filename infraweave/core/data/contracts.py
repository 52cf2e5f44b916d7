"""Does a JSON value fit an author's annotation? Asked before the converter makes it that class.

The converter would take the text "false" for true, a text for a list of its letters, and 2.9 for 2, and the
author's code would go on with what nobody meant. The annotation's own JSON Schema says no to that. What JSON
has no word for (times, UUIDs, decimals, bytes, sets) is left to the converter, which takes more spellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from infraweave.core.data.class_fields import is_class
from infraweave.core.data.json_schema import Validator
from infraweave.core.data.model_libraries import library_of
from infraweave.core.data.python_types import conversion_faults, to_author, unfit
from infraweave.core.data.type_schema import is_decimal, schema_of
from infraweave.core.data.values import Json
from infraweave.errors import Fault

_TIMES_AND_IDS = ("date-time", "date", "uuid")


class Contract:
    """What an annotation demands of a value."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self._validator = _validator(annotation)
        self._asks_classes = _has_classes(annotation)

    def fault(self, value: Json) -> str | None:
        """Return what is wrong with a value, as the end of a sentence; None where it fits."""
        faults = self._validator.faults(value) if self._validator is not None else []
        return _told(faults)

    def made(self, value: Json) -> Any:
        """Return a value that fits as what the annotation names.

        Raises:
            ContractViolation: a validator of its class refuses it.
            Exception: whatever else the converter or the class raises.
        """
        library = library_of(self._annotation)
        try:
            if library is None:
                return to_author(value, self._annotation)
            return library.structure(value, self._annotation)
        except ExceptionGroup as error:
            raise ContractViolation(_told(list(conversion_faults(error))) or "it is refused") from error
        except ValueError as error:
            if library is None:
                raise
            # The libraries' own errors are ValueErrors, and repeat the value.
            raise ContractViolation(_told(library.faults(error, value)) or "it is refused") from error

    def output_fault(self, output: Json, returned: Any) -> str | None:
        """Return why what a function returned, as JSON ``output``, is not what its annotation promises.

        An instance of the annotation's own class was judged when it was made. Anything else is made one, so
        that validators of classes are asked. An annotation that has no schema promises nothing.

        Raises:
            Exception: as ``made``.
        """
        fault = self.fault(output)
        if self._validator is not None and fault is None and self._asks_classes:
            own = get_origin(self._annotation) or self._annotation
            # Not isinstance, which a TypedDict refuses.
            if own not in type(returned).__mro__ or get_args(self._annotation):
                self.made(output)
        return fault


class ContractViolation(ValueError):
    """A value that a class refuses; the message is the end of a sentence."""


def _told(faults: Sequence[Fault]) -> str | None:
    return f"{faults[0].path} {faults[0].message}".strip() if faults else None


def _has_classes(annotation: Any) -> bool:
    return (
        library_of(annotation) is not None
        or is_class(annotation)
        or any(map(_has_classes, get_args(annotation)))
    )


def _validator(annotation: Any) -> Validator | None:
    if annotation is Any or unfit(annotation) is not None:
        return None
    try:
        return Validator(_loosened(schema_of(annotation)))
    except (TypeError, ValueError):  # it has no schema, or no valid one: the converter alone decides
        return None


def _loosened(schema: Any) -> Any:
    """Return a schema without what the converter takes in other spellings too."""
    if isinstance(schema, list):
        return [_loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") in _TIMES_AND_IDS or "contentEncoding" in schema or is_decimal(schema):
        return {}
    return {key: _loosened(value) for key, value in schema.items() if key != "uniqueItems"}
