"""The JSON Schema (2020-12) of definition documents, read off the classes of ``core/document``.

Editors complete and check documents by it, and the description of the API refers to it. What people read
about a field is the ``#:`` comment above it; where the program comes without its source, there is none.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import attrs

from infraweave.core.data.type_schema import schema_of
from infraweave.core.workflow import document
from infraweave.core.workflow.document import KINDS, Document

Schema = dict[str, Any]

#: Where editors put the address of the schema that a file follows.
EDITORS_OWN = "$schema"
#: Where a version's document has its drawing, if asked for; what is read and sent back may hold it still.
LAYOUT = "layout"
_DEFINITIONS = "#/$defs/"


@cache
def workflow_schema() -> Schema:
    """Return the schema that stands for itself, as editors want it. Not to be changed."""
    known = definitions(_DEFINITIONS)
    root = known.pop(Document.__name__)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "InfraWeave workflow"}
    return {**head, **root, "$defs": known}


def definitions(prefix: str) -> dict[str, Schema]:
    """Return the schemas of a document and of all in it, by name; references begin with ``prefix``."""
    root = schema_of(Document)
    known = {**root.pop("$defs"), Document.__name__: root}
    comments = _comments()
    found = {name: _of_class(name, schema, comments.get(name, {})) for name, schema in known.items()}
    found[Document.__name__]["properties"] |= {
        EDITORS_OWN: {"description": "For editors; it is not kept."},
        LAYOUT: {"description": "A drawing, as it comes with a version; it is not kept."},
    }
    moved: dict[str, Schema] = _moved(found, prefix)
    return moved


def _of_class(name: str, schema: Schema, comments: Mapping[str, str]) -> Schema:
    """Return the schema of a class as documents are read: no other field, and each node says its kind."""
    cls = getattr(document, name, None)
    if cls is None or not attrs.has(cls):
        return schema
    properties = dict(schema["properties"])
    for field in attrs.fields(cls):
        said = {"description": comments[field.name]} if field.name in comments else {}
        told = {**properties[field.name], **field.metadata.get("schema", {}), **said}
        if told.get("default") == "":  # stands for a field that was left out; nobody may write it
            del told["default"]
        properties[field.name] = told
    required = list(schema.get("required", ()))
    if cls in KINDS.values():
        required.append("kind")
        properties["kind"] = {key: value for key, value in properties["kind"].items() if key != "default"}
    closed = {**schema, "properties": properties, "additionalProperties": False}
    closed["description"] = _for_json(schema["description"])
    return {**closed, "required": required} if required else closed


def _moved(value: Any, prefix: str) -> Any:
    """Return a schema whose references begin with another prefix."""
    if isinstance(value, list):
        return [_moved(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: prefix + item.removeprefix(_DEFINITIONS) if key == "$ref" else _moved(item, prefix)
        for key, item in value.items()
    }


def _comments() -> dict[str, dict[str, str]]:
    """Return the ``#:`` comments of each class, by field; those of a base are its classes' too."""
    try:
        source = inspect.getsource(document)
    except OSError:
        return {}
    lines = source.splitlines()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    own = {node.name: dict(_of_fields(node, lines)) for node in classes}
    for node in classes:
        for base in (base.id for base in node.bases if isinstance(base, ast.Name)):
            own[node.name] = own.get(base, {}) | own[node.name]
    return own


def _for_json(text: str) -> str:
    """Return what was written about Python values for readers of JSON."""
    for python, json in (("``", "`"), ("None", "null"), ("False", "false"), ("True", "true")):
        text = text.replace(python, json)
    return text


def _of_fields(node: ast.ClassDef, lines: list[str]) -> Iterator[tuple[str, str]]:
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            first = field.lineno - 1
            while lines[first - 1].lstrip().startswith("#:"):
                first -= 1
            said = [line.strip().removeprefix("#:").strip() for line in lines[first : field.lineno - 1]]
            if said:
                yield field.target.id, _for_json(" ".join(said))
