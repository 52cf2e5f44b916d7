"""The OpenAPI 3.1 document, generated from the routes and their schemas."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

import attrs

from infraweave import __version__, errors
from infraweave.api.http import errors as error_schemas
from infraweave.api.http.decoding import hints, parameter_name
from infraweave.api.http.fields import Time
from infraweave.api.http.header_specs import RETRY_AFTER
from infraweave.api.http.routing import JSON, HeaderSpec, ResponseSpec, Route
from infraweave.api.workflows.document_schema import LAYOUT, DocumentSchemas, is_part_of_document
from infraweave.core.data.type_schema import Schema
from infraweave.core.data.values import Json
from infraweave.core.layout.boxes import Layout
from infraweave.core.run.event_codec import ALWAYS, TIMES
from infraweave.core.run.events import EventBase
from infraweave.core.workflow.document import Document
from infraweave.errors import (
    AclDenied,
    Capacity,
    Draining,
    HeadTooLarge,
    Internal,
    MalformedRequest,
    MethodNotAllowed,
    MisdirectedRequest,
    NotAcceptable,
    PayloadTooLarge,
    RateLimited,
    RequestError,
    RequestTimeout,
    RouteNotFound,
    RunNotFinished,
    StorageUnavailable,
    Unauthenticated,
    UnsupportedMediaType,
)

#: The headers of errors.
_ERROR_HEADERS: dict[type[RequestError], HeaderSpec] = {
    Unauthenticated: HeaderSpec(name="WWW-Authenticate", doc="Bearer."),
    MethodNotAllowed: HeaderSpec(name="Allow", doc="The methods that the path takes."),
    **dict.fromkeys((RunNotFinished, Capacity, RateLimited, Draining, StorageUnavailable), RETRY_AFTER),
}
_TIME: Schema = {"type": "string", "format": "date-time"}
_DRAWING = (
    "Only with ?include=layout. Null: there are too many edges. Pixels from the upper left corner. Published"
    " documents may contain it; it is not stored."
)
_ABOUT = (
    "Start, inspect, cancel, signal and stream durable runs. Every error has the one envelope; unknown paths"
    " are 404 route_not_found, other methods 405 method_not_allowed."
)


def error_classes() -> list[type[RequestError]]:
    """Return every error of the wire."""
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, RequestError)]
    return [cls for cls in found if cls is not RequestError]


def describe(routes: Sequence[Route]) -> Json:
    """Return the OpenAPI document of some routes."""
    known = _Components(request_classes(routes))
    paths: dict[str, dict[str, Json]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
    known.reference(error_schemas.Error)
    known.definitions["ErrorInfo"]["properties"]["code"]["enum"] = sorted(cls.code for cls in error_classes())
    return {
        "openapi": "3.1.0",
        "info": {"title": "InfraWeave", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": known.definitions,
            "responses": {cls.code: _error_response([cls], known) for cls in error_classes()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "iw_live_…"}},
        },
    }


def _operation(route: Route, known: _Components) -> Json:
    operation = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, known),
        "security": [] if route.on == "public" else [{"token": []}],
    }
    if route.body is not None:
        content = {JSON: {"schema": known.reference(route.body)}}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    elif route.raw:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": {}}}}
    return operation


def _path_parameters(route: Route) -> Iterable[Json]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(route: Route) -> Iterable[Json]:
    for field in attrs.fields(route.query):
        metadata = field.metadata
        parameter = {"name": parameter_name(field), "in": "query", "description": metadata["doc"]}
        parameter |= {"required": field.default is attrs.NOTHING, "schema": metadata["schema"]}
        yield {**parameter, "explode": False} if metadata["schema"].get("type") == "array" else parameter


def _header_parameters(route: Route) -> Iterable[Json]:
    own = HeaderSpec(
        name="X-Request-Id", doc="The id of the request. 1 to 128 characters of A-Za-z0-9._- are kept."
    )
    for header in (*route.headers, own):
        yield {"name": header.name, "in": "header", "description": header.doc, "schema": dict(header.schema)}


# --- responses -------------------------------------------------------------------------------------------


def _responses(route: Route, known: _Components) -> Json:
    responses = {str(status): _reply(reply, known) for status, reply in route.responses.items()}
    by_status: dict[int, list[type[RequestError]]] = {}
    for error in _errors(route):
        by_status.setdefault(error.status, []).append(error)
    errors = {str(status): _error_response(classes, known) for status, classes in sorted(by_status.items())}
    return responses | errors


def _error_response(classes: Sequence[type[RequestError]], known: _Components) -> Json:
    content = {JSON: {"schema": known.reference(error_schemas.Error)}}
    doc = f"{HTTPStatus(classes[0].status).phrase}: " + ", ".join(sorted(cls.code for cls in classes))
    headers = [_ERROR_HEADERS[cls] for cls in classes if cls in _ERROR_HEADERS]
    return {"description": doc, "headers": _headers(headers), "content": content}


def _errors(route: Route) -> set[type[RequestError]]:
    found = {*route.errors, Internal, MalformedRequest, NotAcceptable, RouteNotFound, MethodNotAllowed}
    found |= {MisdirectedRequest}  # checked first
    # Requests that are too large or too slow are refused before they are routed.
    found |= {PayloadTooLarge, HeadTooLarge, RequestTimeout}
    if route.on != "public":
        found |= {
            Unauthenticated,
            RateLimited,
            StorageUnavailable,
        }
    if route.page:
        found -= {NotAcceptable}
    if route.action is not None:
        found |= {AclDenied}
    if route.method != "GET":
        found |= {UnsupportedMediaType}
    return found


def _reply(reply: ResponseSpec, known: _Components) -> Json:
    response: dict[str, Json] = {"description": reply.doc, "headers": _headers(reply.headers)}
    media = reply.media or ([(JSON, reply.schema)] if reply.schema is not None else [])
    content: dict[str, list[Json]] = {}
    for name, shape in media:
        content.setdefault(name, []).append({"type": "string"} if shape is None else known.of(shape))
    if content:
        response["content"] = {name: {"schema": _one_of(schemas)} for name, schemas in content.items()}
    return response


def _one_of(schemas: list[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _headers(headers: Sequence[HeaderSpec]) -> Json:
    own = HeaderSpec(name="X-Request-Id", doc="The id of the request.")
    return {h.name: {"description": h.doc, "schema": dict(h.schema)} for h in (*headers, own)}


# --- schemas -----------------------------------------------------------------------------------------------


def request_classes(routes: Iterable[Route]) -> set[type]:
    """Return the classes that callers send: the bodies of routes, and the classes within them."""
    found: set[type] = set()
    work = [route.body for route in routes]
    while work:
        cls = work.pop()
        if cls is not None and cls is not Document and cls not in found:
            found.add(cls)
            work += [part for field in attrs.fields(cls) for part in _classes_in(hints(cls)[field.name])]
            work += [field.metadata["each"] for field in attrs.fields(cls) if "each" in field.metadata]
    return found


def _classes_in(annotation: Any) -> Iterable[type]:
    if isinstance(annotation, type) and attrs.has(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes_in(argument)


class _Components(DocumentSchemas):
    """The schemas of requests, responses, events and documents, by the names of their classes."""

    def __init__(self, requests: Collection[type]) -> None:
        super().__init__(prefix="#/components/schemas/")
        self._requests = requests

    def of(self, annotation: Any) -> Schema:
        """Return the schema of an annotation."""
        return dict(_TIME) if annotation == Time else super().of(annotation)

    def check_union(self, annotation: Any, args: tuple[Any, ...]) -> None:
        """Accept every union: responses are not decoded, and requests are decoded by ``kind``."""

    def class_schema(self, cls: Any) -> Schema:
        """Return the schema of a class."""
        if is_part_of_document(cls):
            return self._document(cls)
        is_event = issubclass(cls, EventBase)
        properties, required = self._event(cls) if is_event else self._object(cls)
        return {
            "type": "object",
            "description": (cls.__doc__ or "").strip(),
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _document(self, cls: Any) -> Schema:
        schema = super().class_schema(cls)
        if cls is Document:
            drawing = {"anyOf": [self.reference(Layout), {"type": "null"}], "description": _DRAWING}
            schema["properties"][LAYOUT] = drawing
        return schema

    def _object(self, cls: Any) -> tuple[Schema, list[str]]:
        fields = attrs.fields(cls)
        properties = {field.name: self._field(hints(cls)[field.name], field.metadata) for field in fields}
        return properties, [field.name for field in fields if self._is_required(cls, field)]

    def _is_required(self, cls: type, field: attrs.Attribute[Any]) -> bool:
        """Tell whether a field is always present: requests have defaults, responses are complete."""
        return field.default is attrs.NOTHING if cls in self._requests else "omit" not in field.metadata

    def _field(self, annotation: Any, metadata: Mapping[str, Any]) -> Schema:
        schema = {**self.of(annotation), **metadata.get("schema", {})}
        if "each" in metadata:  # the items are decoded one by one
            schema["items"] = self.reference(metadata["each"])
        return {**schema, "description": metadata["doc"]} if "doc" in metadata else schema

    def _event(self, cls: Any) -> tuple[Schema, list[str]]:
        """Describe an event as ``event_codec.encode_event`` writes it: without fields at their default."""
        fields = [field for field in attrs.fields(cls) if field.name not in ("origin", "input_seq")]
        properties: Schema = {"run_id": {"type": "string"}, "type": {"const": cls.type}}
        properties |= {field.name: self._event_field(cls, field.name) for field in fields}
        always = [f.name for f in fields if f.default is attrs.NOTHING or f.name in ALWAYS]
        return properties, ["run_id", "type", *always]

    def _event_field(self, cls: Any, name: str) -> Schema:
        if name in TIMES:
            return dict(_TIME)
        if name in cls.BESIDE:
            return {"description": "Only with ?include=payloads."}
        return self.of(hints(cls)[name])
