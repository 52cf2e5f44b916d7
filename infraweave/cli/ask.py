"""Asks the person at a terminal for a payload, by the schema that it must pass."""

from __future__ import annotations

from typing import Any

import click

from infraweave.cli.output import plain, remark
from infraweave.core import codec

_ASKED: dict[str, Any] = {"boolean": bool, "string": str, "integer": int, "number": float}


def ask(prompt: str, schema: dict[str, Any]) -> Any:
    """Ask for a payload: field by field where the schema is a plain object, else as JSON."""
    remark(plain(prompt))
    fields = schema.get("properties") if schema.get("type") == "object" else None
    if not fields or not all(map(_is_plain, fields.values())):
        return click.prompt("JSON", err=True, value_proc=_json)
    required = schema.get("required", ())
    asked = {name: _ask_field(name, part, name in required) for name, part in fields.items()}
    return {name: value for name, value in asked.items() if value is not None}


def _is_plain(schema: Any) -> bool:
    """Tell whether a field is asked for by itself; ``type`` may be a list, and a schema true or false."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    return isinstance(kind, str) and kind in _ASKED


def _json(text: str) -> Any:
    try:
        return codec.parse(text.encode())
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"no JSON: {error}") from error


def _ask_field(name: str, schema: dict[str, Any], required: bool) -> Any:
    """Ask for a field; None leaves it out."""
    label = f"  {plain(str(schema.get('title', name)))}"
    default = schema.get("default")
    if schema["type"] == "boolean":
        return click.confirm(label, err=True, default=default)
    kind = click.types.convert_type(_ASKED[schema["type"]])
    if required and default is None:
        return click.prompt(label, err=True, type=kind)

    def read(text: Any) -> Any:
        return None if text == "" else kind.convert(text, None, None)

    shown = "" if default is None else default
    return click.prompt(label, err=True, default=shown, show_default=shown != "", value_proc=read)
