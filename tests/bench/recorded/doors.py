"""Requests about HTTP itself: heads, hosts, origins, bodies, paths, connections."""

from __future__ import annotations

from tests.bench.recorded.session import NOTHING, Session

_HOSTS = (
    "localhost",
    "localhost:1",
    "[::1]",
    "127.0.0.1.",
    "evil.example",
    "api.example",
    "a b",
    "a:99999",
    "",
)
_TRACES = (
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "nonsense",
)
_PATHS = (
    "/",
    "//",
    "/v1",
    "/v1/",
    "//v1/whoami",
    "/v1//whoami",
    "/v1/whoami/",
    "/v1/whoami?",
    "/v1/whoami#part",
    "/v1/%77hoami",
    "/v1/who%61mi",
    "/V1/whoami",
    "/v1/../v1/whoami",
    "/v1/./whoami",
    "/v1/%2e%2e/v1/whoami",
    "/v1/runs/%2F",
    "/v1/runs/run_%00",
    "/v1/runs/run_%ff%fe",
    "/v1/runs/run_%C3%BC%E2%82%AC",
    "/v1/runs/run_%zz",
    "/v1/runs/a%2Fb/events",
    "/v1/runs/a b",
    "/v1/runs/counts/",
    "/v1/workflows/chain%20",
    "/v1/workflows/chain/versions/v1%2F..",
    "/v1/workflows/chain/nothing",
    "/v1/nothing",
    "/static/app.js",
    "/metrics/",
    "/healthz/",
    "/healthz?x=1",
    "/readyz",
    "/favicon.ico",
    "/robots.txt",
    "/v1/runs?" + "&".join(f"tag=k{place}:v" for place in range(200)),
    "/v1/runs?workflow_id=" + "w" * 4000,
    "/v1/runs?limit=%31",
    "/v1/runs?limit=1+1",
    "/v1/runs?limit=1&limit=2",
    "/v1/runs?limit",
    "/v1/runs?limit=",
    "/v1/runs?&&limit=1&",
    "/v1/runs?limit=1;status=failed",
    "/v1/runs?workflow_id=%ff",
    "/v1/runs?workflow_id=a%00b",
    "/v1/runs?LIMIT=1",
)


def ask_about_http(session: Session) -> None:
    for host in _HOSTS:
        session.get("/v1/whoami", f"Host: {host} ")
    for path in _PATHS:
        session.get(path)
    _identify(session)
    _cross_origins(session)
    _headers(session)
    _bodies(session)
    _raw(session)
    _console(session)


def _identify(session: Session) -> None:
    for own in ("mine-1", "a" * 128, "a" * 129, "with space", "", "ü", session.tokens["admin"]):
        session.get("/v1/whoami", f"X-Request-Id: {own} ")
    session.get("/v1/whoami", "X-Request-Id: one", "X-Request-Id: two")
    session.get("/v1/nothing", "X-Request-Id: mine-2")
    token = session.tokens["admin"]
    for value in (
        token,
        f"bearer {token}",
        f"Bearer  {token} ",
        f"Basic {token}",
        "Bearer",
        f"Bearer {token}x",
    ):
        session.get("/v1/whoami", f"Authorization: {value}", by=None)
    session.get("/v1/whoami", f"Authorization: Bearer {token}", f"Authorization: Bearer {token}", by=None)
    session.get("/v1/whoami", by="iw_live_" + "0" * 36)
    for by in ("reader", "nobody", "boss", "narrow"):
        session.get("/v1/whoami", by=by)


def _cross_origins(session: Session) -> None:
    for origin in ("https://pages.example", "https://other.example", "null", "HTTPS://PAGES.EXAMPLE"):
        session.get("/v1/whoami", f"Origin: {origin}")
        session.get("/healthz", f"Origin: {origin}", by=None)
        session.get("/v1/nothing", f"Origin: {origin}", by=None)
        asks = (f"Origin: {origin}", "Access-Control-Request-Method: POST")
        session.ask(
            "OPTIONS", "/v1/runs", NOTHING, *asks, "Access-Control-Request-Headers: authorization", by=None
        )
        session.ask("OPTIONS", "/v1/nothing", NOTHING, *asks, by=None)
        session.ask("OPTIONS", "/v1/runs", NOTHING, asks[0], by=None)
        session.post("/v1/runs", {"workflow_id": "none"}, asks[0])
    session.get("/v1/whoami", "Origin: https://pages.example", "Origin: https://pages.example")
    for method in ("OPTIONS", "TRACE", "CONNECT", "BREW", "HEAD", "get"):
        session.ask(method, "/v1/whoami")
        session.ask(method, "/healthz", by=None)


def _headers(session: Session) -> None:
    for accept in (
        "*/*",
        "application/*",
        "application/json",
        "application/json;q=0",
        "text/html, application/json;q=0.1",
        "text/*",
        "application/json; charset=utf-8",
        "nonsense",
        ",",
        "",
    ):
        session.get("/v1/whoami", f"Accept: {accept} ")
        session.get("/healthz", f"Accept: {accept} ", by=None)
    session.get("/v1/whoami", "Accept: text/html", "Accept: application/json")
    for encoding in ("gzip", "gzip;q=0", "br, gzip", "identity"):
        session.get("/v1/whoami", f"Accept-Encoding: {encoding}")
    for line in (
        "Cookie: a=b",
        "Expect: nothing",
        "Range: bytes=0-3",
        "If-None-Match: *",
        "Upgrade: h2c",
        "X-Forwarded-For: 1.2.3.4",
    ):
        session.get("/v1/whoami", line)
    session.get(
        "/v1/whoami",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: abc",
        "Sec-WebSocket-Version: 13",
    )
    session.get("/v1/whoami", "Connection: close")


def _bodies(session: Session) -> None:
    session.get("/v1/whoami", "Content-Length: 0")
    session.ask("GET", "/v1/whoami", {"a": 1})
    for media in (
        "",
        "application/JSON",
        "application/json;charset=UTF-8",
        "application/problem+json",
        "json",
        "*/*",
    ):
        session.post("/v1/runs", {"workflow_id": "none"}, f"Content-Type: {media} ")
    session.post("/v1/runs", b"x", "Content-Length: 9000000")
    session.post("/v1/sign-in", {"code": "c" * 5000}, by=None)
    session.post("/v1/sign-in", {"code": "wrong"}, by=None)
    session.post("/v1/tokens", {"tenant": "t" * 70_000, "principal": "p"})
    session.post("/v1/runs", {"workflow_id": "chain", "input": _nested(70)})
    session.post("/v1/runs", {"workflow_id": "none"}, "Content-Encoding: gzip")
    head = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {session.tokens['admin']}\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n"
    session.raw(f'{chunked}\r\n5\r\n{{"wor\r\n13\r\nkflow_id": "none" }}\r\n0\r\n\r\n'.encode())
    session.raw(f"{chunked}Trailer: X\r\n\r\n2;ext=1\r\n{{}}\r\n0\r\nX: y\r\n\r\n".encode())
    session.raw(f"{chunked}\r\nzz\r\n{{}}\r\n0\r\n\r\n".encode())
    session.raw(f"{chunked}Content-Length: 2\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode())
    session.raw(f"{head}Transfer-Encoding: gzip\r\n\r\n".encode())
    session.raw(f"{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}".encode())
    session.raw(f"{head}Content-Length: +2\r\n\r\n{{}}".encode())
    session.raw(f"{head}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{{}}".encode(), answers=2)
    session.raw(f"{head}Content-Length: 20\r\n\r\n{{".encode(), half_close=True)


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return {"amount": value}


def _raw(session: Session) -> None:
    for head in (
        b"GET / HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        b"GET /healthz HTTP/1.1\nHost: localhost\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX : a\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\xff: a\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n",
        b"GET /healthz HTTP/1.0\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n",
        b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n",
        b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"nonsense\r\n",
        b"GET /\xc3\xbc HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 101,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n",
        b"GET /" + b"p" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n",
    ):
        session.raw(head + b"\r\n", half_close=True)
    both = f"Host: localhost\r\nAuthorization: Bearer {session.tokens['admin']}\r\n\r\n"
    session.raw(
        f"\r\n\r\nGET /healthz HTTP/1.1\r\n{both}GET /v1/whoami HTTP/1.1\r\n{both}".encode(), answers=2
    )
    session.raw(
        "".join(
            f"GET {path} HTTP/1.1\r\n{both}" for path in ("/v1/nothing", "/v1/runs?limit=0", "/readyz")
        ).encode(),
        answers=3,
    )


def _console(session: Session) -> None:
    for path in (
        "/console",
        "/console/",
        "/console/runs/run_1",
        "/console/static/app.js",
        "/console/static/lib/dom.js",
        "/console/static",
        "/console/static/../app.js",
        "/console/static/none.js",
        "/console/static/index.html",
    ):
        session.get(path, by=None)
        session.ask("HEAD", path, NOTHING, by=None)
        tag = session.get(path, "Accept-Encoding: gzip;q=0", by=None).header("etag")
        if tag is not None:
            session.get(path, f"If-None-Match: {tag}", by=None)
    session.get("/", "Accept: text/html", by=None)
    session.post("/console", {}, by=None)
    session.get("/console?x=1", "Accept: text/csv", by=None)
