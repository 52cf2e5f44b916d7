"""Asks the person at a terminal for a payload, by the schema that it must pass."""

from __future__ import annotations

from typing import Any

import click

from infraweave.cli.output import remark
from infraweave.core import codec

_ASKED: dict[str, Any] = {"boolean": bool, "string": str, "integer": int, "number": float}


def ask(prompt: str, schema: dict[str, Any]) -> Any:
    """Ask for a payload: field by field where the schema is a plain object, else as JSON."""
    remark(prompt)
    fields = schema.get("properties") if schema.get("type") == "object" else None
    if not fields or not all(part.get("type") in _ASKED for part in fields.values()):
        return click.prompt("JSON", err=True, value_proc=lambda text: codec.parse(text.encode()))
    required = schema.get("required", ())
    asked = {name: _ask_field(name, part, name in required) for name, part in fields.items()}
    return {name: value for name, value in asked.items() if value is not None}


def _ask_field(name: str, schema: dict[str, Any], required: bool) -> Any:
    label = f"  {schema.get('title', name)}"
    if schema["type"] == "boolean":
        return click.confirm(label, err=True, default=schema.get("default"))
    default = schema.get("default", None if required else "")
    value = click.prompt(
        label, err=True, default=default, type=_ASKED[schema["type"]], show_default=bool(default)
    )
    return value if value != "" or required or schema["type"] == "string" else None
