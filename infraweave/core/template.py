"""Text with places for values: ``"order {input.order_id}"``. Doubled braces stand for themselves.

A place names a value and, after dots, the way into it: keys of objects and positions of lists. Nothing is
called and no attribute is read, so a template from outside can do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from infraweave.core.codec import dumps
from infraweave.core.values import Json, listed

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[^.{}\s]+)*")


class TemplateError(ValueError):
    """A place names nothing that is there."""


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
            yield f"{{{path[:100]}}} names no value; there are {listed(names) or 'none'}"


def paths(text: str) -> Iterator[str]:
    """Yield what stands in each place."""
    for piece in _PIECE.finditer(text):
        if piece[1] and _PATH.fullmatch(piece[1]):
            yield piece[1]


def spelled(value: Json) -> str:
    """Return a value as it stands within a text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else dumps(value).decode()


def render(text: str, values: Mapping[str, Json], spell: Callable[[Json], str] = spelled) -> str:
    """Return the text with each place filled.

    Raises:
        TemplateError: a place names nothing that is there.
    """
    return _PIECE.sub(
        lambda piece: piece[0][0] if piece[1] is None else spell(look_up(piece[1], values)), text
    )


def value_of(text: str, values: Mapping[str, Json]) -> Json:
    """Return what a template stands for: where it is one place and nothing else, the value itself.

    Raises:
        TemplateError: a place names nothing that is there.
    """
    whole = _PIECE.fullmatch(text)
    return look_up(whole[1], values) if whole is not None and whole[1] else render(text, values)


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
