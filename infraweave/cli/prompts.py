"""Asks the person at a terminal for a payload, by the schema that it must pass.

What has named fields is asked field by field, a list item by item. The rest is written as JSON, and its shape
is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from attrs import evolve, field, frozen

from infraweave.cli.output import echo_err, paragraphs, plain
from infraweave.cli.schema_text import ANY, Schema, describe_schema, resolve
from infraweave.core.data import json_codec

#: Stands for what is left out.
_LEFT_OUT: Final = object()
_YES_OR_NO = {"y": True, "yes": True, "n": False, "no": False}
_SCALARS = ("string", "integer", "number", "boolean")


def ask(prompt: str, schema: Any) -> Any:
    """Ask for a payload; whether it passes the schema is for who takes it to say.

    Raises:
        click.Abort: nobody answers.
    """
    echo_err(paragraphs(prompt))
    answer = _Value(schema, schema, "", required=True).ask()
    return None if answer is _LEFT_OUT else answer


@frozen
class _Value:
    """A value to ask for; ``name`` is a path to it, empty for the payload itself."""

    _declared: Any
    root: Any
    name: str
    required: bool = field(kw_only=True)
    schema: Schema = field(init=False)

    @schema.default
    def _resolved(self) -> Schema:
        return resolve(self._declared, self.root)

    def ask(self) -> Any:
        """Ask until it can be read; return it, or that it is left out."""
        if "const" in self.schema:
            return self.schema["const"]
        if self._is_group() and not self._is_wanted():
            return self._blank()
        if "enum" in self.schema:
            return self._line(self._chosen, " (" + ", ".join(map(_option, self.schema["enum"])) + ")")
        match self.schema:
            case {"anyOf": _} | {"oneOf": _} | {"allOf": _}:
                return self._json()
            case {"type": "object", "properties": Mapping() as fields} if fields:
                return self._fields(fields)
            case {"type": "array", "items": Mapping()} if "prefixItems" not in self.schema:
                return self._items()
            case {"type": str(kind)} if kind in _SCALARS:
                return self._line(_READERS[kind], " (y/n)" if kind == "boolean" else "")
        return self._json()

    def _is_group(self) -> bool:
        return bool(self.name) and self.schema.get("type") in ("object", "array")

    def _is_wanted(self) -> bool:
        """Ask whether to fill in what may stay as it is, or be left out."""
        default = self.schema.get("default")
        if default is not None:
            return click.confirm(self._label(f" [{_text(default)}]: change it?"), err=True, default=False)
        if self.required and not self.schema.get("nullable"):
            return True
        return click.confirm(self._label(": fill it in?"), err=True, default=False)

    def _blank(self) -> Any:
        """Return what stands for a value that nobody fills in."""
        default = self.schema.get("default")
        if default is not None:
            return default
        return None if self.required and self.name else _LEFT_OUT

    def _label(self, more: str = "") -> str:
        if not self.name:
            return plain(f"Answer{more}")
        optional = "" if self.required or "default" in self.schema else " (optional)"
        return plain(f"  {self.name}{optional}{more}")

    def _line(self, read: Callable[[Any, str], Any], more: str = "") -> Any:
        """Ask for what stands on one line; an empty one is the default, or leaves it out."""
        if told := self.schema.get("description"):
            echo_err(paragraphs(f"  {told}", 2))
        default = self.schema.get("default")
        shown = "" if default in (None, "") else f" [{_text(default)}]"
        needed = self.required and default is None and not self.schema.get("nullable")
        return click.prompt(
            self._label(more + shown),
            err=True,
            default=None if needed else "",
            show_default=False,
            value_proc=lambda text: self._blank() if text == "" else read(self.schema, text),
        )

    def _chosen(self, schema: Schema, text: str) -> Any:
        for value in schema["enum"]:
            if _option(value) == text.strip():
                return value
        raise click.BadParameter(f"{text} is none of {', '.join(map(_option, schema['enum']))}")

    def _fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        needed = self.schema.get("required", ())
        prefix = f"{self.name}." if self.name else ""
        parts = {
            name: _Value(part, self.root, prefix + name, required=name in needed)
            for name, part in fields.items()
        }
        asked = {name: part.ask() for name, part in parts.items()}
        return {name: value for name, value in asked.items() if value is not _LEFT_OUT}

    def _items(self) -> list[Any]:
        """Ask for items until one is left empty."""
        items: list[Any] = []
        schema = {**resolve(self.schema["items"], self.root), "default": None}
        while True:
            item = _Value(schema, self.root, f"{self.name}[{len(items)}]", required=True)
            answer = item.ask_for_more()
            if answer is _LEFT_OUT:
                return items
            items.append(answer)

    def ask_for_more(self) -> Any:
        """Ask for one more item of a list; it is left out where there is none."""
        if "enum" in self.schema or self.schema.get("type") in _SCALARS:
            return evolve(self, required=False).ask()
        if click.confirm(self._label(": add one?"), err=True, default=False):
            return self.ask()
        return _LEFT_OUT

    def _json(self) -> Any:
        shape = describe_schema(self.schema, self.root)
        if shape != ANY:
            echo_err(plain(f"  {self.name or 'The answer'} is JSON of this shape: {shape}"))
        needed = self.required and "default" not in self.schema
        return click.prompt(
            self._label(" as JSON") if self.name else "JSON",
            err=True,
            default=None if needed else "",
            show_default=False,
            value_proc=lambda text: self._blank() if text == "" else _parsed(text),
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _option(value: Any) -> str:
    """Return what one writes to choose a value of an enum."""
    return _text(value)


def _parsed(text: str) -> Any:
    try:
        return json_codec.parse(text.encode())
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"no JSON: {error}") from error


def _number(_: Schema, text: str) -> int | float:
    """Return the number that a text is, as JSON has them: 1 and 1.0 stay what they are."""
    try:
        value = json_codec.parse(text.strip().encode())
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text} is no number: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise click.BadParameter(f"{text} is no number")
    return value


def _integer(schema: Schema, text: str) -> int:
    value = _number(schema, text)
    if not isinstance(value, int):
        raise click.BadParameter(f"{text} is no whole number")
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
