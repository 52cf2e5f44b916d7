"""The differences between two documents: for publishing, and for refused changes to a used version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import attrs

from infraweave.core.data.json_codec import canonical
from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.workflow.document import Document, Node, Router

Change: TypeAlias = Literal["added", "removed", "changed"]

_ABSENT = object()
#: Keywords of a schema under which authors give the names.
_NAMES = frozenset({"properties", "patternProperties", "$defs"})


@frozen
class Difference:
    """One difference of two documents."""

    change: Change
    #: The node that it is in; None: in the workflow itself.
    node: str | None
    #: What differs, such as ``retry.max_attempts``; empty: the whole node.
    field: str
    #: What was there and what is; None also where there was or is nothing.
    before: Json
    after: Json

    @property
    def text(self) -> str:
        """The sentence for people: ``node boil: timeout is 3.0, was null``."""
        match self.change:
            case "added":
                return f"{self._where} is new"
            case "removed":
                return f"{self._where} is gone"
            case "changed":
                return f"{self._where} is {_spelled(self.after)}, was {_spelled(self.before)}"

    @property
    def _where(self) -> str:
        if self.node is None:
            return self.field
        return f"node {self.node}: {self.field}" if self.field else f"node {self.node}"


def differences(old: Document, new: Document) -> Iterator[Difference]:
    """Yield how the content of ``new`` differs from ``old``'s: the workflow first, then its nodes in order.

    Versions and the order of nodes do not count; whatever ``document_codec.content_digest`` counts does.
    """
    before, after = attrs.asdict(old), attrs.asdict(new)
    nodes, new_nodes = _by_name(before), _by_name(after)
    yield from _differences(None, "", before, after)
    for name in dict.fromkeys((*nodes, *new_nodes)):
        yield from _differences(name, "", nodes.get(name, _ABSENT), new_nodes.get(name, _ABSENT))


def first_difference(old: Document, new: Document) -> str | None:
    """Return one sentence that names the first difference of two contents; None where they are the same."""
    first = next(differences(old, new), None)
    return None if first is None else first.text


def is_recompilation(old: Document, new: Document, *, derived: bool = False) -> bool:
    """Tell whether one file, unchanged, may have been compiled to both: to ``old`` by an earlier release.

    Those left the defaults of containers out of schemas, and kept sets of names in no order. They left the
    classes of an input open: ``derived`` says that its schema comes from a class.
    """
    return all(
        _is_default(one) or (derived and _is_closing(one)) for one in differences(_sorted(old), _sorted(new))
    )


def _is_closing(difference: Difference) -> bool:
    *way, last = difference.field.split(".")
    is_keyword = way[:1] == ["input_schema"] and way[-1] not in _NAMES and last == "additionalProperties"
    return difference.change == "added" and is_keyword and difference.after is False


def _is_default(difference: Difference) -> bool:
    *way, last = difference.field.split(".")
    is_keyword = len(way) > 1 and way[0] in ("input_schema", "schema") and way[-1] not in _NAMES
    return difference.change == "added" and last == "default" and is_keyword


def _sorted(document: Document) -> Document:
    """Return a document with the names that are sets to it in order."""
    return attrs.evolve(document, nodes=tuple(map(_sorted_node, document.nodes)))


def _sorted_node(node: Node) -> Node:
    if isinstance(node, Router):
        node = attrs.evolve(node, routes=tuple(sorted(node.routes)))
    return attrs.evolve(node, after=tuple(sorted(node.after)))


def _by_name(document: dict[str, Any]) -> dict[str, Any]:
    """Return the nodes of a document, which is left without them and without its version."""
    del document["version"]
    return {node["name"]: node for node in document.pop("nodes")}


def _differences(node: str | None, where: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            at = f"{where}.{key}" if where else str(key)
            yield from _differences(node, at, old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif (names := _names(old)) is not None and (new_names := _names(new)) is not None:
        yield from _differences(node, where, names, new_names)
        if [name for name in names if name in new_names] != [name for name in new_names if name in names]:
            yield Difference("changed", node, where, list(names), list(new_names))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(node, f"{where}[{place}]", before, after)
    elif new is _ABSENT:
        yield Difference("removed", node, where, old, None)
    elif old is _ABSENT:
        yield Difference("added", node, where, None, new)
    elif canonical(old) != canonical(new):
        yield Difference("changed", node, where, old, new)


def _names(values: Any) -> dict[str, Any] | None:
    """Return the things of a list by name; None where they have none of their own."""
    if not isinstance(values, list | tuple):
        return None
    named = [value for value in values if isinstance(value, dict) and isinstance(value.get("name"), str)]
    names = {value["name"]: value for value in named}
    return names if len(names) == len(values) else None


def _spelled(value: Any) -> str:
    text = canonical(value).decode()
    return text if len(text) <= 100 else text[:99] + "…"
