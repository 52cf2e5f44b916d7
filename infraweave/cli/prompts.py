"""Asks at the terminal for a payload that its schema describes.

Objects are asked field by field, lists item by item. Other values are typed as JSON, below a description of
their schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from attrs import evolve, field

from infraweave.cli.output import echo_err, paragraphs, plain
from infraweave.cli.schema_text import ANY, Schema, describe_schema, resolve
from infraweave.core.data import json_codec
from infraweave.core.lazy_records import frozen

#: Marks a value that was left out.
_OMITTED: Final = object()
_YES_OR_NO = {"y": True, "yes": True, "n": False, "no": False}
_SCALARS = ("string", "integer", "number", "boolean")


def ask_payload(prompt: str, schema: Any) -> Any:
    """Ask for a payload. The receiver checks it against the schema.

    Raises:
        click.Abort: stdin ended, or Ctrl-C was pressed.
    """
    echo_err(paragraphs(prompt))
    answer = _Value(schema, schema, "", required=True).ask()
    return None if answer is _OMITTED else answer


@frozen
class _Value:
    """A value to ask for. ``name`` is its path, empty for the payload itself."""

    _declared: Any
    root: Any
    name: str
    required: bool = field(kw_only=True)
    schema: Schema = field(init=False)

    @schema.default
    def _resolved(self) -> Schema:
        return resolve(self._declared, self.root)

    def ask(self) -> Any:
        """Ask until the input parses; return the value, or _OMITTED."""
        if "const" in self.schema:
            return self.schema["const"]
        if self._is_group() and not self._confirm_group():
            return self._empty_value()
        if "enum" in self.schema:
            return self._prompt_line(
                self._enum_value, " (" + ", ".join(map(_to_text, self.schema["enum"])) + ")"
            )
        match self.schema:
            case {"anyOf": _} | {"oneOf": _} | {"allOf": _}:
                return self._json()
            case {"type": "object", "properties": Mapping() as fields} if fields:
                return self._fields(fields)
            case {"type": "array", "items": Mapping()} if "prefixItems" not in self.schema:
                return self._items()
            case {"type": str(kind)} if kind in _SCALARS:
                return self._prompt_line(_READERS[kind], " (y/n)" if kind == "boolean" else "")
        return self._json()

    def _is_group(self) -> bool:
        return bool(self.name) and self.schema.get("type") in ("object", "array")

    def _confirm_group(self) -> bool:
        """Ask whether to fill in an optional object or list."""
        default = self.schema.get("default")
        if default is not None:
            return click.confirm(self._label(f" [{_to_text(default)}]: change it?"), err=True, default=False)
        if self.required and not self.schema.get("nullable"):
            return True
        return click.confirm(self._label(": fill it in?"), err=True, default=False)

    def _empty_value(self) -> Any:
        """Return the value of an empty input."""
        default = self.schema.get("default")
        if default is not None:
            return default
        return None if self.required and self.name else _OMITTED

    def _label(self, more: str = "") -> str:
        if not self.name:
            return plain(f"Answer{more}")
        optional = "" if self.required or "default" in self.schema else " (optional)"
        return plain(f"  {self.name}{optional}{more}")

    def _prompt_line(self, read: Callable[[Any, str], Any], more: str = "") -> Any:
        """Ask for one line. An empty line means the default, or leaves the value out."""
        if description := self.schema.get("description"):
            echo_err(paragraphs(f"  {description}", 2))
        default = self.schema.get("default")
        shown = "" if default in (None, "") else f" [{_to_text(default)}]"
        needed = self.required and default is None and not self.schema.get("nullable")
        return click.prompt(
            self._label(more + shown),
            err=True,
            default=None if needed else "",
            show_default=False,
            value_proc=lambda text: self._empty_value() if text == "" else read(self.schema, text),
        )

    def _enum_value(self, schema: Schema, text: str) -> Any:
        for value in schema["enum"]:
            if _to_text(value) == text.strip():
                return value
        raise click.BadParameter(f"{text} is not one of {', '.join(map(_to_text, schema['enum']))}")

    def _fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        needed = self.schema.get("required", ())
        prefix = f"{self.name}." if self.name else ""
        parts = {
            name: _Value(part, self.root, prefix + name, required=name in needed)
            for name, part in fields.items()
        }
        asked = {name: part.ask() for name, part in parts.items()}
        return {name: value for name, value in asked.items() if value is not _OMITTED}

    def _items(self) -> list[Any]:
        """Ask for items until an input is empty."""
        items: list[Any] = []
        schema = {**resolve(self.schema["items"], self.root), "default": None}
        while True:
            item = _Value(schema, self.root, f"{self.name}[{len(items)}]", required=True)
            answer = item.ask_for_more()
            if answer is _OMITTED:
                return items
            items.append(answer)

    def ask_for_more(self) -> Any:
        """Ask for one more item of a list; return _OMITTED at the end."""
        if "enum" in self.schema or self.schema.get("type") in _SCALARS:
            return evolve(self, required=False).ask()
        if click.confirm(self._label(": add one?"), err=True, default=False):
            return self.ask()
        return _OMITTED

    def _json(self) -> Any:
        shape = describe_schema(self.schema, self.root)
        if shape != ANY:
            echo_err(plain(f"  {self.name or 'The answer'} is JSON with this structure: {shape}"))
        needed = self.required and "default" not in self.schema
        return click.prompt(
            self._label(" as JSON") if self.name else "JSON",
            err=True,
            default=None if needed else "",
            show_default=False,
            value_proc=lambda text: self._empty_value() if text == "" else _parsed(text),
        )


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parsed(text: str) -> Any:
    try:
        return json_codec.parse(text.encode())
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not valid JSON: {error}") from error


def _number(_: Schema, text: str) -> int | float:
    """Return a number as JSON parses it: 1 is an int, 1.0 a float."""
    try:
        value = json_codec.parse(text.strip().encode())
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text} is not a number: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise click.BadParameter(f"{text} is not a number")
    return value


def _integer(schema: Schema, text: str) -> int:
    value = _number(schema, text)
    if not isinstance(value, int):
        raise click.BadParameter(f"{text} is not a whole number")
    return value


def _boolean(_: Schema, text: str) -> bool:
    try:
        return _YES_OR_NO[text.strip().lower()]
    except KeyError:
        raise click.BadParameter(f"{text} is neither y nor n") from None


_READERS: Mapping[str, Callable[[Schema, str], Any]] = {
    "string": lambda _, text: text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
