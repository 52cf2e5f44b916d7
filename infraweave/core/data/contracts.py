"""Checks a JSON value against an author's annotation before the converter makes an object of it.

The converter would turn the string "false" into true, a string into a list of its letters, and 2.9 into 2.
The JSON Schema of the annotation rejects such values. Types that JSON lacks (times, UUIDs, decimals, bytes,
sets) are left to the converter, which accepts more spellings.
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
    """The contract of one annotation."""

    def __init__(self, annotation: Any) -> None:
        self._annotation, self._library = annotation, library_of(annotation)
        self._validator = _validator(annotation)
        self._asks_classes = _has_classes(annotation)

    def fault(self, value: Json) -> str | None:
        """Return what is wrong with a value, as the end of a sentence; None where nothing is."""
        check = self._validator
        if check is None or check.accepts(value):  # nearly always
            return None
        return _told(check.faults(value))

    def made(self, value: Json) -> Any:
        """Return a valid value as an object of the annotated type.

        Raises:
            ContractViolation: a validator of its class rejects it.
            Exception: whatever else the converter or the class raises.
        """
        library = self._library
        try:
            if library is None:
                return to_author(value, self._annotation)
            return library.structure(value, self._annotation)
        except ExceptionGroup as error:
            raise ContractViolation(_told(list(conversion_faults(error))) or "it is not valid") from error
        except ValueError as error:
            if library is None:
                raise
            # The errors of the libraries are ValueErrors that repeat the value.
            raise ContractViolation(_told(library.faults(error, value)) or "it is not valid") from error

    def output_fault(self, output: Json, returned: Any) -> str | None:
        """Return why an output breaks the return annotation; ``output`` is ``returned`` as JSON.

        An instance of the annotated class was validated when it was created. Any other value is converted, so
        that the validators of classes run. An annotation without a schema is not checked.

        Raises:
            Exception: as ``made``.
        """
        fault = self.fault(output)
        if self._validator is not None and fault is None and self._asks_classes:
            own = get_origin(self._annotation) or self._annotation
            # TypedDict does not support isinstance.
            if own not in type(returned).__mro__ or get_args(self._annotation):
                self.made(output)
        return fault


class ContractViolation(ValueError):
    """A class rejects a value; the message is the end of a sentence."""


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
    except (TypeError, ValueError):  # without a valid schema the converter alone decides
        return None


def _loosened(schema: Any) -> Any:
    """Return a schema without the types for which the converter accepts other spellings."""
    if isinstance(schema, list):
        return [_loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") in _TIMES_AND_IDS or "contentEncoding" in schema or is_decimal(schema):
        return {}
    return {key: _loosened(value) for key, value in schema.items() if key != "uniqueItems"}
