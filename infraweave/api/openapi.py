"""The OpenAPI 3.1 document, generated from the routes and their schemas."""

from __future__ import annotations

import re
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from infraweave import __version__, errors
from infraweave.api.http import errors as error_schemas
from infraweave.api.http.decoding import hints, parameter_name
from infraweave.api.http.header_specs import RETRY_AFTER
from infraweave.api.http.routing import JSON, HeaderSpec, ResponseSpec, Route
from infraweave.api.workflows import document_schema
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

#: The headers that come with errors.
_TELLING: dict[type[RequestError], HeaderSpec] = {
    Unauthenticated: HeaderSpec(name="WWW-Authenticate", doc="Bearer."),
    MethodNotAllowed: HeaderSpec(name="Allow", doc="The methods that the path takes."),
    **dict.fromkeys((RunNotFinished, Capacity, RateLimited, Draining, StorageUnavailable), RETRY_AFTER),
}
_SCHEMAS = "#/components/schemas/"
_PLAIN: dict[Any, Json] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
}
_DRAWING = (
    "Only with ?include=layout; null: too many edges to be drawn. Pixels, from the upper left corner. What is"
    " published may hold it; it is not kept."
)
_ABOUT = (
    "Start, inspect, cancel, signal and stream durable runs. Every error is the one envelope; unknown paths"
    " are 404 route_not_found, other methods 405 method_not_allowed."
)


def error_classes() -> list[type[RequestError]]:
    """Return every error of the wire."""
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, RequestError)]
    return [cls for cls in found if cls is not RequestError]


def describe(table: Sequence[Route]) -> Json:
    """Return the OpenAPI document of a table of routes."""
    known = _Shapes(sent(table))
    paths: dict[str, dict[str, Json]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
    known.reference(error_schemas.Error)
    known.made["ErrorInfo"]["properties"]["code"]["enum"] = sorted(cls.code for cls in error_classes())
    return {
        "openapi": "3.1.0",
        "info": {"title": "InfraWeave", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": known.made,
            "responses": {cls.code: _refusal([cls], known) for cls in error_classes()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "iw_live_…"}},
        },
    }


def _operation(route: Route, known: _Shapes) -> Json:
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
        said = field.metadata
        parameter = {"name": parameter_name(field), "in": "query", "description": said["doc"]}
        parameter |= {"required": field.default is attrs.NOTHING, "schema": said["schema"]}
        yield {**parameter, "explode": False} if said["schema"].get("type") == "array" else parameter


def _header_parameters(route: Route) -> Iterable[Json]:
    own = HeaderSpec(name="X-Request-Id", doc="Names the request; one of 1 to 128 of A-Za-z0-9._- is kept.")
    for header in (*route.headers, own):
        yield {"name": header.name, "in": "header", "description": header.doc, "schema": dict(header.schema)}


# --- answers -----------------------------------------------------------------------------------------------


def _responses(route: Route, known: _Shapes) -> Json:
    answers = {str(status): _reply(reply, known) for status, reply in route.responses.items()}
    by_status: dict[int, list[type[RequestError]]] = {}
    for error in _errors(route):
        by_status.setdefault(error.status, []).append(error)
    refusals = {str(status): _refusal(classes, known) for status, classes in sorted(by_status.items())}
    return answers | refusals


def _refusal(classes: Sequence[type[RequestError]], known: _Shapes) -> Json:
    content = {JSON: {"schema": known.reference(error_schemas.Error)}}
    told = f"{HTTPStatus(classes[0].status).phrase}: " + ", ".join(sorted(cls.code for cls in classes))
    telling = [_TELLING[cls] for cls in classes if cls in _TELLING]
    return {"description": told, "headers": _headers(telling), "content": content}


def _errors(route: Route) -> set[type[RequestError]]:
    found = {*route.errors, Internal, MalformedRequest, NotAcceptable, RouteNotFound, MethodNotAllowed}
    found |= {MisdirectedRequest}  # before anything else
    # What is too large or too slow is refused before the path is looked at.
    found |= {PayloadTooLarge, HeadTooLarge, RequestTimeout}
    if route.on != "public":
        found |= {
            Unauthenticated,
            RateLimited,
            StorageUnavailable,
        }  # whose token it is is asked of the database
    if route.page:
        found -= {NotAcceptable}
    if route.action is not None:
        found |= {AclDenied}
    if route.method != "GET":
        found |= {UnsupportedMediaType}
    return found


def _reply(reply: ResponseSpec, known: _Shapes) -> Json:
    answer: dict[str, Json] = {"description": reply.doc, "headers": _headers(reply.headers)}
    media = reply.media or ([(JSON, reply.schema)] if reply.schema is not None else [])
    content: dict[str, list[Json]] = {}
    for name, shape in media:
        content.setdefault(name, []).append({"type": "string"} if shape is None else known.of(shape))
    if content:
        answer["content"] = {name: {"schema": _one_of(schemas)} for name, schemas in content.items()}
    return answer


def _one_of(schemas: list[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _headers(headers: Sequence[HeaderSpec]) -> Json:
    own = HeaderSpec(name="X-Request-Id", doc="Names the request.")
    return {h.name: {"description": h.doc, "schema": dict(h.schema)} for h in (*headers, own)}


# --- shapes ------------------------------------------------------------------------------------------------


def sent(table: Iterable[Route]) -> set[type]:
    """Return the shapes that callers send: the bodies of a table of routes, and what these are made of."""
    found: set[type] = set()
    work = [route.body for route in table]
    while work:
        cls = work.pop()
        if cls is not None and cls is not Document and cls not in found:
            found.add(cls)
            work += [part for field in attrs.fields(cls) for part in _parts(hints(cls)[field.name])]
            work += [field.metadata["each"] for field in attrs.fields(cls) if "each" in field.metadata]
    return found


def _parts(annotation: Any) -> Iterable[type]:
    """Yield the shapes that an annotation names."""
    if isinstance(annotation, type) and attrs.has(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


class _Shapes:
    """Schemas of the shapes, each made once and named for its class."""

    def __init__(self, sent: Collection[type]) -> None:
        self.made: dict[str, dict[str, Json]] = {}
        self._sent = sent

    def reference(self, cls: type) -> Json:
        if cls is Document:
            self.made |= document_schema.definitions(_SCHEMAS)
            drawing = {"anyOf": [self.reference(Layout), {"type": "null"}], "description": _DRAWING}
            self.made[cls.__name__]["properties"][document_schema.LAYOUT] = drawing
        elif cls.__name__ not in self.made:
            self.made[cls.__name__] = {}
            self.made[cls.__name__] = self._event(cls) if issubclass(cls, EventBase) else self._object(cls)
        return {"$ref": f"{_SCHEMAS}{cls.__name__}"}

    def _object(self, cls: type) -> dict[str, Json]:
        annotations = hints(cls)
        fields = attrs.fields(cls)
        properties = {field.name: self._field(annotations[field.name], field.metadata) for field in fields}
        required = [field.name for field in fields if self._is_always_there(cls, field)]
        return {
            "type": "object",
            "description": (cls.__doc__ or "").strip(),
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _is_always_there(self, cls: type, field: attrs.Attribute[Any]) -> bool:
        """Tell whether a field may be relied on: what callers send has defaults, what we answer is whole."""
        return field.default is attrs.NOTHING if cls in self._sent else "omit" not in field.metadata

    def _event(self, cls: Any) -> dict[str, Json]:
        """Describe an event as ``event_codec.encode_event`` writes it: what has its default is left out."""
        shown = [field for field in attrs.fields(cls) if field.name not in ("origin", "input_seq")]
        properties: dict[str, Json] = {"run_id": {"type": "string"}, "type": {"const": cls.type}}
        properties |= {field.name: self._of_event(cls, field.name) for field in shown}
        always = [f.name for f in shown if f.default is attrs.NOTHING or f.name in ALWAYS]
        return {
            "type": "object",
            "description": (cls.__doc__ or "").strip(),
            "properties": properties,
            "required": ["run_id", "type", *always],
            "additionalProperties": False,
        }

    def _of_event(self, cls: Any, name: str) -> Json:
        if name in TIMES:
            return {"type": "string", "format": "date-time"}
        if name in cls.BESIDE:
            return {"description": "Only with ?include=payloads."}
        return self.of(hints(cls)[name])

    def _field(self, annotation: Any, metadata: Mapping[str, Any]) -> Json:
        schema = {**self.of(annotation), **metadata.get("schema", {})}
        if "each" in metadata:  # read one by one, so not by the annotation
            schema["items"] = self.reference(metadata["each"])
        return {**schema, "description": metadata["doc"]} if "doc" in metadata else schema

    def of(self, annotation: Any) -> Json:
        if annotation in _PLAIN:
            return dict(_PLAIN[annotation])
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return {**self.of(arguments[0]), "format": arguments[1]}
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin is tuple:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        return self.reference(annotation)
