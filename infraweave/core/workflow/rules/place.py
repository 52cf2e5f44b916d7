"""Where in a document a fault that ``check`` found stands, as far as its sentence tells.

The sentences begin with the node or trigger, and then with the field: ``boil: retry.initial is -1; …``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

import attrs

from infraweave.core.data.values import resolve_pointer, to_pointer
from infraweave.core.workflow.concurrency import limit_faults
from infraweave.core.workflow.document import INPUT, Document

_WORDS = re.compile(r"(?:[a-z_]+(?:\.|: ))*[a-z_]+")
#: What sentences call some fields.
_FIELDS = {"parameter": "params", "route": "routes", "header": "headers"}
#: Sentences name the fields of a request without naming it.
_UNNAMED = "request"
_HEADS = ("workflow_id", "version", "output")


def place_of(document: Document, fault: str) -> str:
    """Return the JSON Pointer to what a fault is about; empty where that is the whole document."""
    head, colon, rest = fault.partition(": ")
    if colon and head == INPUT:
        return to_pointer(["input_schema"]) + _path(rest, document.input_schema)
    if fault in limit_faults(document.concurrency):
        return to_pointer(["concurrency"]) + _limit(document, fault, rest)
    name = head.removesuffix(".compensate")
    if colon and (named := _named(document).get(name)):
        part, place, value = named
        if name == head:
            return to_pointer([part, place]) + _inside(value, rest)
        return to_pointer([part, place, "compensate"]) + _inside(getattr(value, "compensate", None), rest)
    first = fault.partition(" ")[0]
    return to_pointer([first]) if first in _HEADS else _of_list(document, fault)


def _named(document: Document) -> dict[str, tuple[str, int, object]]:
    """Return what sentences begin with: the list that it is in, its place there, and the thing itself.

    Of several with one name it is the last: the first is not too many.
    """
    named: dict[str, tuple[str, int, object]]
    named = {node.name: ("nodes", place, node) for place, node in enumerate(document.nodes)}
    for place, schedule in enumerate(document.schedules):
        named[f"schedule {schedule.name:.128}"] = "schedules", place, schedule
    for place, webhook in enumerate(document.webhooks):
        named[f"webhook {webhook.name:.128}"] = "webhooks", place, webhook
    return named


def _of_list(document: Document, fault: str) -> str:
    unfit = (i for i, node in enumerate(document.nodes) if fault.startswith(f"{node.name!r} is no node name"))
    place = next(unfit, None)
    return "/nodes" if place is None else to_pointer(["nodes", place, "name"])


def _limit(document: Document, fault: str, rest: str) -> str:
    """Return which limit a fault is about; empty where it is about several."""
    for place, limit in enumerate(document.concurrency):
        if fault in limit_faults([limit]):
            return to_pointer([place]) + _inside(limit, rest)
    return ""


def _inside(value: object, sentence: str) -> str:
    """Return what leads from a value to what a sentence is about, as far as that tells."""
    if (parameter := _parameter(value, sentence)) is not None:
        return parameter
    if getattr(value, "expression", None) is not None and " in the expression " in sentence:
        return to_pointer(["expression"])
    sentence = sentence.removeprefix("its ")
    found = _WORDS.match(sentence)
    if found is None:
        return ""
    rest = sentence[found.end() :]
    fields = to_pointer(_fields(value, re.split(r"\.|: ", found[0])))
    if not rest.startswith(": /"):
        return fields
    return fields + _path(rest.removeprefix(": "), getattr(value, fields.removeprefix("/"), None))


def _parameter(value: object, sentence: str) -> str | None:
    """Return the place of the parameter that a sentence begins with; None where it begins with none."""
    found: dict[str, str] = {}
    for number, param in enumerate(getattr(value, "params", ())):
        begins, _, rest = sentence.partition(f"parameter {param.name[:128]}")
        if not begins and rest[:1] in (" ", ":"):
            field = next((word for word in ("source", "pointer") if rest.startswith(f": {word} ")), None)
            found[param.name] = to_pointer(["params", number, *([field] if field else [])])
    return found[max(found, key=len)] if found else None


def _path(sentence: str, schema: object) -> str:
    """Return the pointer into a schema that a sentence begins with, as far as that leads to something."""
    words = sentence.split(" ") if sentence.startswith("/") else []
    for count in range(len(words), 0, -1):
        with suppress(LookupError):
            resolve_pointer(schema, path := " ".join(words[:count]))
            return path
    return ""


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
