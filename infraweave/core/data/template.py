"""Text with places for values: ``"order {input.order_id}"``. Doubled braces stand for themselves.

A place names a value and, after dots, the way into it: keys of objects and positions of lists. Nothing is
called and no attribute is read, so a template from outside can do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from infraweave.core.data.json_codec import dumps
from infraweave.core.data.sizes import MAX_TEXT, TooLarge
from infraweave.core.data.values import Json, list_names

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[^.{}\s]+)*")


class TemplateError(ValueError):
    """A place names nothing that is there, or something that cannot stand there."""


class TemplateTooLarge(TemplateError, TooLarge):
    """What a template would make has more characters than are allowed."""


def faults(text: str, names: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with a template whose places may name ``names``."""
    for piece in _PIECE.finditer(text):
        path = piece[1]
        if path is None:
            if piece[0] in "{}":
                yield f"there is a single {piece[0]} in {text!r:.100}; double it, or name a value: {{input}}"
        elif not _PATH.fullmatch(path):
            yield f"{{{path[:100]}}} names no value; expected a name and a way into it, such as {{input.id}}"
        elif path.partition(".")[0] not in names:
            yield f"{{{path[:100]}}} names no value; there are {list_names(names) or 'none'}"


def placeholders(text: str) -> Iterator[str]:
    """Yield what stands in each place."""
    for piece in _PIECE.finditer(text):
        if piece[1] and _PATH.fullmatch(piece[1]):
            yield piece[1]


def to_text(value: Json) -> str:
    """Return a value as it stands within a text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else dumps(value).decode()


def render(
    text: str, values: Mapping[str, Json], spell: Callable[[Json], str] = to_text, most: int = MAX_TEXT
) -> str:
    """Return the text with each place filled; ``spell`` says how a value stands in it.

    Raises:
        TemplateError: a place names nothing that is there, or the text would have more than ``most``
            characters.
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
    """Return what a template stands for: where it is one place and nothing else, the value itself.

    Raises:
        TemplateError: see ``render``.
    """
    path = single_placeholder(text)
    return look_up(path, values) if path else render(text, values)


def single_placeholder(text: str) -> str | None:
    """Return what stands in the place of a template that is one place and nothing else; None for others."""
    only = _PIECE.fullmatch(text)
    return only[1] if only is not None else None


def look_up(path: str, values: Mapping[str, Json]) -> Json:
    """Return the value at a dotted path.

    Raises:
        TemplateError: it leads nowhere.
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
