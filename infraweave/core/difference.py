"""How two documents differ, for whoever tries to change a version that runs have used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from infraweave.core.codec import canonical
from infraweave.core.document import Document

_ABSENT = object()


def first_difference(old: Document, new: Document) -> str | None:
    """Return one sentence that names the first difference of two contents; None where they are the same.

    Versions and the order of nodes do not count; whatever ``codec.content_digest`` counts does.
    """
    return next(_differences("", _content(old), _content(new)), None)


def _content(document: Document) -> dict[str, Any]:
    value = attrs.asdict(document)
    del value["version"]
    nodes = {f"node {node['name']}": node for node in value.pop("nodes")}
    return {**value, **nodes}


def _differences(where: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(_place(where, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{where}[{place}]", before, after)
    elif new is _ABSENT:
        yield f"{where} is gone"
    elif old is _ABSENT:
        yield f"{where} is new"
    elif canonical(old) != canonical(new):
        yield f"{where} is {_spelled(new)}, was {_spelled(old)}"


def _spelled(value: Any) -> str:
    text = canonical(value).decode()
    return text if len(text) <= 100 else text[:99] + "…"


def _place(where: str, key: str) -> str:
    if not where:
        return key
    is_node = where.startswith("node ") and ":" not in where
    return f"{where}: {key}" if is_node else f"{where}.{key}"
