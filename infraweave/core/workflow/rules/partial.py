"""Checks a document with unreadable parts, and reports only the faults that its readable parts prove.

An empty value stands in for each part that could not be read. A rule that looks at it can find a fault that
the document does not have. Such faults are left out; their code and path tell what they are about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet

from attrs import evolve

from infraweave.core.workflow.document import Document
from infraweave.core.workflow.rules import check
from infraweave.errors import Fault

#: Codes of faults that come from several fields of one node or trigger.
_SEVERAL_FIELDS = frozenset({"conflict", "default", "required", "unknown_name"})
#: Codes of faults that come from the edges of the whole graph.
_WHOLE_GRAPH = frozenset({"loop", "order", "unreachable"})
#: Fields of a node that make edges.
_EDGES = frozenset(
    "after back_to compensate join kind many name over params routes timeout_route".split()  # noqa: SIM905
)


def faults_beside(document: Document, known: Iterable[Fault]) -> list[Fault]:
    """Return the faults of a document that the decoder did not find."""
    known = list(known)
    unread = {fault.path for fault in known if fault.code != "unknown_field"}
    touched = {fault.path for fault in known}
    found = check.faults(_with_names(document, unread)) if "" not in unread else []
    return [fault for fault in found if _stands(fault, unread, touched)]


def _with_names(document: Document, unread: AbstractSet[str]) -> Document:
    """Return the document with a unique name for each node whose name could not be read."""
    nodes = [
        evolve(node, name=f"unread{place}") if unread & {f"/nodes/{place}", f"/nodes/{place}/name"} else node
        for place, node in enumerate(document.nodes)
    ]
    return evolve(document, nodes=tuple(nodes), version=document.version or "v1")


def _stands(fault: Fault, unread: Collection[str], touched: Collection[str]) -> bool:
    """Tell whether a fault exists whatever the unreadable parts contain."""
    if any(_holds(path, fault.path) for path in unread):
        return False
    if fault.code in _SEVERAL_FIELDS or fault.path == "/concurrency":
        whole = "/".join(fault.path.split("/")[:3])
        return not any(_holds(whole, path) for path in touched)
    if fault.code == "unknown_node":
        return not any(_names_a_node(path) for path in unread)
    return fault.code not in _WHOLE_GRAPH or not any(map(_makes_edges, unread))


def _holds(outer: str, inner: str) -> bool:
    """Tell whether the second path is the first or lies below it."""
    return f"{inner}/".startswith(f"{outer}/")


def _names_a_node(path: str) -> bool:
    """Tell whether a path is that of a node's name, or of a value that contains names."""
    head, *rest = path.split("/")[1:]
    return head == "nodes" and (len(rest) < 2 or rest[1] == "name")


def _makes_edges(path: str) -> bool:
    head, *rest = path.split("/")[1:]
    return head == "nodes" and (len(rest) < 2 or rest[1] in _EDGES)
