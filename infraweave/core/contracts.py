"""Does a JSON value fit an author's annotation? Asked before the converter makes it that class.

The converter would take the text "false" for true, a text for a list of its letters, and 2.9 for 2, and the
author's code would go on with what nobody meant. The annotation's own JSON Schema says no to that. What JSON
has no word for (times, UUIDs, decimals, bytes, sets) is left to the converter, which takes more spellings.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from infraweave.core.schema import Validator
from infraweave.core.shape import Schema, schema_of
from infraweave.core.values import Json

_TIMES_AND_IDS = ("date-time", "date", "uuid")
_DECIMAL = schema_of(Decimal)


class Contract:
    """What an annotation demands of a value."""

    def __init__(self, annotation: Any) -> None:
        self._validator = _validator(annotation)

    def fault(self, value: Json) -> str | None:
        """Return what is wrong with a value, as the end of a sentence; None where it fits."""
        faults = self._validator.faults(value) if self._validator is not None else []
        return f"{faults[0].path} {faults[0].message}".strip() if faults else None


def _validator(annotation: Any) -> Validator | None:
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
    if schema.get("format") in _TIMES_AND_IDS or "contentEncoding" in schema or _is_decimal(schema):
        return {}
    return {key: _loosened(value) for key, value in schema.items() if key != "uniqueItems"}


def _is_decimal(schema: Schema) -> bool:
    return schema.items() >= _DECIMAL.items()
