"""What every route is asked in the same way: without a token, without a grant, in every wrong form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.bench.recorded.session import NOTHING, Session

#: Bodies that no route takes.
BAD_BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"nope": 1}',
    b'{"workflow_id": 7, "tenant": 7, "version": [], "code": {}, "name": null}',
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b'{"a": 123456789012345678901234567890}',
    b'{"a": "\\ud800"}',
    b'\xef\xbb\xbf{"a": 1}',
    b'{"a": "\xff"}',
    b"[" * 100 + b"]" * 100,
)


def _routes(session: Session) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    document = json.loads(session.get("/openapi.json", by=None).body)
    for path, acts in document["paths"].items():
        for method, operation in acts.items():
            if method in ("get", "post", "put", "delete"):
                yield method.upper(), path, operation


def ask_every_route(session: Session, values: Mapping[str, str]) -> None:
    """Ask every route. ``values``: a value for each parameter of a path."""
    for method, template, operation in _routes(session):
        path = template
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        _ask_without_right(session, method, path)
        _ask_in_other_ways(session, method, path)
        if "requestBody" in operation and not template.startswith("/hooks"):
            for body in BAD_BODIES:
                session.ask(method, path, body)
            session.ask(method, path, b"{}", "Content-Length-")
            session.ask(method, path, NOTHING, "Content-Type: application/json")


def _ask_without_right(session: Session, method: str, path: str) -> None:
    body = NOTHING if method == "GET" else {}
    session.ask(method, path, body, by=None)
    if path in ("/v1/sign-out", "/v1/runs/changes"):
        return  # it ends the session, or never ends
    session.ask(method, path, body, by="nobody")
    if path != "/v1/audit":  # the order of a page without a filter depends on when denials are written
        session.ask(method, path, body, by="boss")


def _ask_in_other_ways(session: Session, method: str, path: str) -> None:
    session.ask("PATCH", path)
    session.ask(method, f"{path}/")
    session.ask(
        "OPTIONS", path, NOTHING, "Origin: https://pages.example", "Access-Control-Request-Method: PUT"
    )
    if path == "/v1/sign-out":
        return
    session.ask(method, f"{path}?nope=1&limt=3")
    session.ask(method, path, NOTHING, "Accept: text/csv")
    if method == "GET":
        session.ask("HEAD", f"{path}?nope=1", NOTHING, "Origin: https://pages.example")
    else:
        session.ask(method, path, b"a=b", "Content-Type: text/plain")
        session.ask(method, path, b"{}", "Content-Type: application/json; charset=latin-1")
