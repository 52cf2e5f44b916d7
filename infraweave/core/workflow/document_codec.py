"""Definition documents and their triggers as JSON, and the digest of a document's content."""

from __future__ import annotations

from typing import Any

from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from infraweave.core.data.json_codec import digest
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import KINDS, Document, Node
from infraweave.core.workflow.triggers import Schedule, Webhook

_converter = Converter(omit_if_default=True, forbid_extra_keys=True)
_converter.register_structure_hook_func(lambda kind: kind is Any, lambda value, _: value)
#: The classes of a document, with the field of each that is written even if it has its default.
_ALWAYS: dict[type, str] = {Document: "version", **dict.fromkeys(KINDS.values(), "kind")}


def _writer(cls: type) -> Any:
    """Return what writes a class. A converter asks for it when it first meets the class."""
    overrides: Any = {_ALWAYS[cls]: override(omit_if_default=False)}
    return make_dict_unstructure_fn(cls, _converter, _cattrs_omit_if_default=True, **overrides)


_converter.register_unstructure_hook_factory(_ALWAYS.__contains__, _writer)


def _structure_node(value: Any, _: object) -> Node:
    kind = value.get("kind")
    if kind not in KINDS:
        raise ValueError(f"node kind {kind!r} does not exist; there are {', '.join(KINDS)}")
    node: Node = _converter.structure(value, KINDS[kind])
    return node


_converter.register_structure_hook(Node, _structure_node)
_converter.register_unstructure_hook(Node, lambda node: _converter.unstructure(node, type(node)))


def document_to_json(document: Document) -> dict[str, Any]:
    """Return the document as a JSON object. Fields with their default values are left out."""
    value: dict[str, Any] = _converter.unstructure(document)
    return value


def document_from_json(value: Json) -> Document:
    """Return the document in a JSON object.

    Raises:
        cattrs.BaseValidationError: it is not a valid definition document.
    """
    return _converter.structure(value, Document)


def trigger_to_json(trigger: Schedule | Webhook) -> dict[str, Any]:
    """Return a schedule or a webhook as a JSON object, as in a document."""
    value: dict[str, Any] = _converter.unstructure(trigger)
    return value


def schedule_from_json(value: Json) -> Schedule:
    """Return the schedule that ``trigger_to_json`` wrote."""
    return _converter.structure(value, Schedule)


def webhook_from_json(value: Json) -> Webhook:
    """Return the webhook that ``trigger_to_json`` wrote."""
    return _converter.structure(value, Webhook)


def content_digest(document: Document) -> str:
    """Return a digest of a document that ignores its version and the order of its nodes."""
    value = document_to_json(document)
    value.pop("version", None)
    value["nodes"] = sorted(value["nodes"], key=lambda node: str(node["name"]))
    return digest(value)


def derived_version(document: Document) -> str:
    """Return the version of a document that declares none, derived from its content."""
    return f"v-{content_digest(document)[:12]}"
