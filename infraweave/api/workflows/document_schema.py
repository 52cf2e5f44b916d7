"""The JSON Schema (2020-12) of definition documents, generated from its classes in core.

Editors use it to complete and check documents, and the OpenAPI document contains it. The description of a
field is the ``#:`` comment above it. A program without its source code has no descriptions.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs

from infraweave.core.data.type_schema import Schema, SchemaGenerator
from infraweave.core.workflow import document
from infraweave.core.workflow.document import KINDS, Document

#: The field in which editors store the address of a file's schema.
EDITORS_OWN = "$schema"
#: The field of a version's document with its drawing, on request. Published documents may contain it.
LAYOUT = "layout"


@cache
def workflow_schema() -> Schema:
    """Return the self-contained schema for editors. Callers must not change it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "InfraWeave workflow"}
    return {**head, **DocumentSchemas().root(Document)}


def is_part_of_document(cls: type) -> bool:
    """Tell whether documents contain objects of a class."""
    return getattr(document, cls.__name__, None) is cls


class DocumentSchemas(SchemaGenerator):
    """Describes classes as documents are decoded: no other fields, and every node names its kind."""

    def class_schema(self, cls: Any) -> Schema:
        """Return the schema of a class in a document."""
        schema, comments = super().class_schema(cls), _comments().get(cls.__name__, {})
        properties = dict(schema["properties"])
        for field in attrs.fields(cls):
            comment = {"description": comments[field.name]} if field.name in comments else {}
            described = {**properties[field.name], **field.metadata.get("schema", {}), **comment}
            if described.get("default") == "":  # means that the field was left out; it cannot be written
                del described["default"]
            properties[field.name] = described
        required = list(schema.get("required", ()))
        if cls in KINDS.values():
            required.append("kind")
            properties["kind"] = {key: value for key, value in properties["kind"].items() if key != "default"}
        if cls is Document:
            properties[EDITORS_OWN] = {"description": "For editors. It is not stored."}
            properties[LAYOUT] = {"description": "A drawing, as it comes with a version. It is not stored."}
        closed = {**schema, "properties": properties, "additionalProperties": False}
        closed["description"] = _for_json(schema["description"])
        return {**closed, "required": required} if required else closed


@cache
def _comments() -> dict[str, dict[str, str]]:
    """Return the ``#:`` comments of each class, inherited ones included, by field."""
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
    """Return a text about Python values in the words of JSON."""
    for python, json in (("``", "`"), ("None", "null"), ("False", "false"), ("True", "true")):
        text = text.replace(python, json)
    return text


def _of_fields(node: ast.ClassDef, lines: list[str]) -> Iterator[tuple[str, str]]:
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            first = field.lineno - 1
            while lines[first - 1].lstrip().startswith("#:"):
                first -= 1
            comment = [line.strip().removeprefix("#:").strip() for line in lines[first : field.lineno - 1]]
            if comment:
                yield field.target.id, _for_json(" ".join(comment))
