"""Where in a document a fault that ``check`` found stands, as far as its sentence tells.

The sentences begin with the node, and then with the field: ``boil: retry.initial is -1; …``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs

from infraweave.core.document import INPUT, Document
from infraweave.core.triggers import Schedule, Webhook
from infraweave.core.values import pointer

_WORDS = re.compile(r"(?:[a-z_]+(?:\.|: ))*[a-z_]+")
#: What sentences call some fields.
_FIELDS = {"parameter": "params", "route": "routes", "header": "headers"}
#: Sentences name the fields of a request without naming it.
_UNNAMED = "request"
_HEADS = ("workflow_id", "version", "output")


def place_of(document: Document, fault: str) -> str:
    """Return the JSON Pointer to what a fault is about; empty where that is the whole document."""
    places = {node.name: place for place, node in enumerate(document.nodes)}
    head, colon, rest = fault.partition(": ")
    name = head.removesuffix(".compensate")
    if colon and name in places:
        undo = ["compensate"] if name != head else []
        fields = _fields(document.nodes[places[name]], [*undo, *_words(rest)])
        return pointer(["nodes", places[name], *fields])
    if colon and head == INPUT:
        return pointer(["input_schema"])
    if colon and (trigger := _trigger(document, head)):
        field, place, value = trigger
        return pointer([field, place, *_fields(value, _words(rest.removeprefix("its ")))])
    first = fault.partition(" ")[0]
    return pointer([first]) if first in _HEADS else _of_list(document, fault)


def _trigger(document: Document, head: str) -> tuple[str, int, Schedule | Webhook] | None:
    """Return the list, the place in it and the trigger that a sentence's head names, ``schedule nightly``."""
    lists: dict[str, Sequence[Schedule | Webhook]]
    lists = {"schedule": document.schedules, "webhook": document.webhooks}
    kind, _, name = head.partition(" ")
    # The last: of several with one name, the first is not too many.
    places = {f"{trigger.name:.128}": place for place, trigger in enumerate(lists.get(kind, ()))}
    return (f"{kind}s", places[name], lists[kind][places[name]]) if name in places else None


def _of_list(document: Document, fault: str) -> str:
    unfit = (i for i, node in enumerate(document.nodes) if fault.startswith(f"{node.name!r} is no node name"))
    place = next(unfit, None)
    return "/nodes" if place is None else pointer(["nodes", place, "name"])


def _words(sentence: str) -> list[str]:
    found = _WORDS.match(sentence)
    return re.split(r"\.|: ", found[0]) if found else []


def _fields(value: object, words: list[str]) -> list[str]:
    """Return the words as far as they name fields, each of what the one before holds."""
    found: list[str] = []
    for word in (_FIELDS.get(word, word) for word in words):
        for step in _steps(value, word):
            found.append(step)
            value = getattr(value, step)
        if found[-1:] != [word]:
            break
    return found


def _steps(value: object, word: str) -> list[str]:
    """Return the fields that lead from a value to the one that a word names; none where there is none."""
    if word in _names(value):
        return [word]
    return [_UNNAMED, word] if word in _names(getattr(value, _UNNAMED, None)) else []


def _names(value: object) -> Iterable[str]:
    cls: type = type(value)
    return attrs.fields_dict(cls) if attrs.has(cls) else ()
