"""Text with placeholders for values: ``"order {input.order_id}"``. A doubled brace stands for one brace.

A placeholder names a value and, after dots, the path into it: keys of objects and positions of lists. Nothing
is called and no attribute is read, so templates from outside are harmless. A JSON template is any JSON value
that has templates for its strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from infraweave.core.data.json_codec import dumps
from infraweave.core.data.sizes import MAX_TEXT, SizeBudget, TooLarge
from infraweave.core.data.values import Json, list_names
from infraweave.errors import Fault

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[^.{}\s]+)*")


class TemplateError(ValueError):
    """A placeholder has no value, or its value is not allowed there."""


class TemplateTooLarge(TemplateError, TooLarge):
    """The value that a template makes would be larger than allowed."""


def faults(text: str, names: Collection[str]) -> Iterator[Fault]:
    """Yield what is wrong with a template that may use ``names``."""
    for piece in _PIECE.finditer(text):
        path = piece[1]
        if path is None:
            if piece[0] in "{}":
                yield Fault(
                    "",
                    "template",
                    f"there is a single {piece[0]} in {text!r:.100}; double it, or name a value: {{input}}",
                )
        elif not _PATH.fullmatch(path):
            message = "names no value; expected a name and a path into it, such as {input.id}"
            yield Fault("", "template", f"{{{path[:100]}}} {message}")
        elif path.partition(".")[0] not in names:
            known = list_names(names) or "none"
            yield Fault("", "unknown_name", f"{{{path[:100]}}} names no value; there are {known}")


def json_faults(value: Json, names: Collection[str]) -> Iterator[Fault]:
    """Yield what is wrong with a JSON template that may use ``names``."""
    if isinstance(value, str):
        yield from faults(value, names)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from json_faults(item, names)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from json_faults(item, names)


def placeholders(text: str) -> Iterator[str]:
    """Yield the path in each placeholder."""
    for piece in _PIECE.finditer(text):
        if piece[1] and _PATH.fullmatch(piece[1]):
            yield piece[1]


def to_text(value: Json) -> str:
    """Return a value as it stands within a text: a string as it is, everything else as JSON."""
    return value if isinstance(value, str) else dumps(value).decode()


def render(
    text: str, values: Mapping[str, Json], spell: Callable[[Json], str] = to_text, most: int = MAX_TEXT
) -> str:
    """Return the text with each placeholder replaced; ``spell`` turns a value into text.

    Raises:
        TemplateError: a placeholder has no value.
        TemplateTooLarge: the text would have more than ``most`` characters.
    """
    parts, size, end, known = [], 0, 0, dict[str, str]()
    for piece in _PIECE.finditer(text):
        path = piece[1]
        if path is not None and path not in known:
            known[path] = spell(look_up(path, values))
        parts += [text[end : piece.start()], piece[0][0] if path is None else known[path]]
        end, size = piece.end(), size + len(parts[-1]) + len(parts[-2])
        if size > most:
            raise TemplateTooLarge(f"its text would have more than {most:,} characters")
    return "".join([*parts, text[end:]])


def render_value(text: str, values: Mapping[str, Json]) -> Json:
    """Return the value of a template: a single placeholder gives the value itself, any other template a text.

    Raises:
        TemplateError, TemplateTooLarge: see ``render``.
    """
    path = single_placeholder(text)
    return look_up(path, values) if path else render(text, values)


def render_json(value: Json, values: Mapping[str, Json]) -> Json:
    """Return a JSON template with every placeholder replaced.

    Raises:
        TemplateError: a placeholder has no value.
        TemplateTooLarge: the value would be too large.
    """
    try:
        return _rendered(value, values, SizeBudget())
    except TooLarge as error:
        raise TemplateTooLarge(str(error)) from None


def _rendered(value: Json, values: Mapping[str, Json], budget: SizeBudget) -> Json:
    if isinstance(value, str):
        made = render_value(value, values)
        budget.take_value(made)
        return made
    if isinstance(value, Mapping):
        return {key: _rendered(item, values, budget) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(item, values, budget) for item in value]
    return value


def single_placeholder(text: str) -> str | None:
    """Return the path in a template that is one placeholder and nothing else; None for other templates."""
    only = _PIECE.fullmatch(text)
    return only[1] if only is not None else None


def look_up(path: str, values: Mapping[str, Json]) -> Json:
    """Return the value at a dotted path.

    Raises:
        TemplateError: there is no such value.
    """
    found: Json = values
    for key in path.split("."):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise TemplateError(f"{{{path[:200]}}} leads nowhere: there is no {key[:100]}")
    return found
