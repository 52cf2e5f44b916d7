"""The lane in front of Quart: it finds what Quart finds, answers as Quart answers, and watches its caller."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

from infraweave.api.app import create_app
from infraweave.api.http.asgi_middleware import Middleware
from infraweave.api.http.browser_security import BrowserSecurity
from infraweave.api.http.exchange import Exchange
from infraweave.api.http.incoming_body import IncomingBody, UnauthenticatedBytes
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.request_head import RequestHead
from infraweave.api.http.stepping import begin
from infraweave.errors import PayloadTooLarge
from infraweave.settings import Settings

END = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}

#: Words of our paths, and parts that somebody may read differently.
WORDS = ("v1", "runs", "counts", "batch", "events", "whoami", "workflows", "schedules", "signals", "tokens")
ODD = ("", ".", "..", "a b", "a/b", "%2F", "%", "\n", "\udce9", "é", "?", "#", "{run_id}", "<run_id>", ":")
PARTS = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), st.sampled_from(ODD), st.text(max_size=5))
METHODS = st.sampled_from(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "head")
)
ROOTS = st.sampled_from(("", "", "", "/flows", "/flows/", "/", "/v1"))


def scope_of(path, method="GET", root="", query=b"", headers=()):
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query,
        "root_path": root,
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8470),
        "state": {},
    }


def head_of(scope):
    return RequestHead(scope, lambda: "req_1")


def quarts(app, scope):
    """Return the endpoint and the parameters that Quart finds, or None."""
    request = app.asgi_http_class(app, scope)._create_request_from_scope(None)
    try:
        return app.create_url_adapter(request).match()
    except HTTPException:
        return None


async def test_the_lane_finds_each_route_but_pages(api):
    app = create_app(api.server.engine)
    lane, found = app.asgi_app._app, set()
    rules = list(app.url_map.iter_rules())
    for rule in rules:
        path = re.sub("<[^>]*>", "x", rule.rule)
        for method in rule.methods:
            match = lane.find(head_of(scope_of(path, method)))
            found |= set() if match is None else {match[0].name}
    assert found == {rule.endpoint for rule in rules} - {"root", "console", "console_static", "console_page"}


async def test_the_lane_finds_the_endpoint_and_the_parameters_that_quart_finds(api):
    app = create_app(api.server.engine)
    lane = app.asgi_app._app
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.endpoint)

    @given(st.data())
    def agree(data):
        rule = data.draw(st.sampled_from(rules))
        words = (data.draw(PARTS) if "<" in part else part for part in rule.rule.split("/"))
        odd = "/".join(("", *data.draw(st.lists(PARTS, max_size=6))))
        usual = "/".join(words)
        path = data.draw(
            st.sampled_from((usual, usual, usual, f"{usual}/", f"/{usual}", f"http://x{usual}", odd))
        )
        root = data.draw(ROOTS)
        path = data.draw(st.sampled_from((root + path, root + path, path))) or "/"
        method = data.draw(st.one_of(st.sampled_from(sorted(rule.methods)), METHODS))
        scope = scope_of(path, method, root, data.draw(st.sampled_from((b"", b"a=1"))))
        head = head_of(scope)
        found, theirs = lane.find(head), quarts(app, scope)
        if found is not None:
            assert (found[0].name, dict(found[1])) == theirs
        elif head.is_plain:
            assert theirs is None or lane._routes.get(theirs[0]) is None

    agree()


async def respond(app, scope, body=b""):
    """Return the status, the headers and the body of the response of an app."""
    parts, sent = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive():
        return parts.pop() if parts else await asyncio.Future()

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    assert sent[-1].get("more_body", False) is False
    return sent[0]["status"], sent[0]["headers"], b"".join(part.get("body", b"") for part in sent[1:])


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/whoami", "/v1/runs", "/v1/runs/counts", "/v1/runs/{run}", "/v1/runs/{run}/events"),
        *("/v1/runs/{run}/result", "/v1/runs/nothing", "/v1/nothing", "/healthz", "/", "/console"),
        *("/openapi.json", "/v1/workflows/quick", "/v1/runs/{run}/cancel", "/v1/webhooks/nothing"),
    ],
)
async def test_the_lane_answers_as_quart_answers(api, path):
    engine = api.server.engine
    app = create_app(engine)
    behind = app.asgi_app._app._app
    security = BrowserSecurity(None, ())
    quart = Middleware(behind, engine.clock, engine.settings, Metrics(engine), security)
    path = path.format(run=await api.ended())
    for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
        for headers in variants(api.server.token, b"" if method != "POST" else BODY):
            for query in (b"", b"limit=1", b"limit=x&limit=2&no=1&limit=3", b"tag=%FF"):
                answers = []
                for one in (app, quart):
                    named = [*headers, (b"x-request-id", b"own"), (b"idempotency-key", b"k")]
                    scope = scope_of(path, method, query=query, headers=named)
                    answers.append(await respond(one, scope, BODY if method == "POST" else b""))
                assert answers[0] == answers[1], (method, headers, query)


BODY = json.dumps({"workflow_id": "quick", "input": {"amount": "x"}}).encode()


def variants(token, body):
    """Return the headers of callers of all kinds."""
    own = (b"authorization", f"Bearer {token}".encode())
    typed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return [
        [],
        [own],
        [own, (b"accept", b"text/html")],
        [own, (b"accept", b"application/json"), (b"content-type", b"text/plain")],
        [own, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [own, *typed],
        [(b"authorization", b"Basic x"), *typed],
        [own, (b"content-type", b"application/json"), (b"content-length", b"99999999")],
    ]


async def test_a_stream_of_the_lane_has_the_head_and_the_blocks_of_quarts(api):
    engine, run_id = api.server.engine, await api.ended()
    app = create_app(engine)
    quart = Middleware(
        app.asgi_app._app._app, engine.clock, engine.settings, Metrics(engine), BrowserSecurity(None, ())
    )
    headers = [(b"authorization", f"Bearer {api.server.token}".encode()), (b"x-request-id", b"own")]
    path = f"/v1/runs/{run_id}/events"
    ours, theirs = [await respond(one, scope_of(path, headers=headers)) for one in (app, quart)]
    assert ours == theirs
    assert ours[2].startswith(b"retry: 1000\n")


# --- a request and its caller ------------------------------------------------------------------------------


class Caller:
    """Someone who sends parts of a request. They are received one by one."""

    def __init__(self, api, *parts, headers=(), most=1_000):
        self.parts, self.received = asyncio.Queue(), 0
        for part in parts:
            self.parts.put_nowait(part)
        engine, head = api.server.engine, head_of(scope_of("/", headers=headers))
        body = IncomingBody(head, most, UnauthenticatedBytes(most), None)
        body.set_authenticated(authenticated=True)
        self.exchange = Exchange(
            scope_of("/"),
            self.receive,
            self.send,
            head,
            body,
            Settings().write_stall,
            Metrics(engine),
            BrowserSecurity(None, ()),
        )

    async def receive(self):
        self.received += 1
        return await self.parts.get()

    async def send(self, message):
        pass


CHUNKED = [(b"transfer-encoding", b"chunked")]


async def test_work_that_never_waits_is_done_without_another_task(api):
    caller, done = Caller(api, END, GONE), []

    async def work():
        done.append(asyncio.all_tasks())

    before = asyncio.all_tasks()
    await caller.exchange.run(work())
    assert done == [before]
    assert caller.received == 0


@pytest.mark.parametrize("headers", [[], CHUNKED], ids=["no body", "body"])
async def test_a_caller_who_leaves_ends_the_work(api, headers):
    caller, ends = Caller(api, END, headers=headers), []

    async def work():
        try:
            await asyncio.Future()
        finally:
            ends.append("ended")

    running = asyncio.create_task(caller.exchange.run(work()))
    while caller.received < 2:  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)
    assert not ends
    caller.parts.put_nowait(GONE)
    await running
    assert ends == ["ended"]


async def test_a_body_of_a_caller_who_leaves_is_never_taken_for_complete(api):
    part = {"type": "http.request", "body": b"{", "more_body": True}
    caller, contents = Caller(api, part, GONE, headers=CHUNKED), []

    async def work():
        contents.append(await caller.exchange.content())

    await caller.exchange.run(work())
    assert contents == []


async def test_a_body_in_parts_is_put_together(api):
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in (b"a", b"b", b"")]
    caller, contents = Caller(api, *parts, END, headers=CHUNKED), []

    async def work():
        contents.append(await caller.exchange.content())

    await caller.exchange.run(work())
    assert contents == [b"ab"]


async def test_a_part_that_is_not_accepted_ends_the_work_with_its_refusal(api):
    part = {"type": "http.request", "body": b"x" * 11, "more_body": True}
    caller = Caller(api, part, headers=CHUNKED, most=10)
    with pytest.raises(PayloadTooLarge):
        await caller.exchange.run(caller.exchange.content())


async def test_whoever_cancels_the_request_from_outside_sees_it_cancelled(api):
    caller = Caller(api)
    running = asyncio.create_task(caller.exchange.run(asyncio.Event().wait()))
    while not caller.received:  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()


async def test_whoever_cancels_while_the_caller_leaves_sees_it_cancelled_too(api):
    caller = Caller(api)
    running = asyncio.create_task(caller.exchange.run(asyncio.Event().wait()))
    while not caller.received:  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)
    caller.exchange._is_over = True
    running.cancel()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()


async def test_the_head_and_the_body_of_a_response_are_one_packet(api, monkeypatch):
    written, write = [], asyncio.StreamWriter.write

    def noticed(self, data):
        written.append(bytes(data))
        write(self, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", noticed)
    for method in ("GET", "HEAD"):
        answer = await api.http.request(method, "/healthz")
        assert answer.status_code == 200
    assert [data.partition(b" ")[0] for data in written] == [b"HTTP/1.1", b"HTTP/1.1"]
    assert written[0].endswith(b'\r\n\r\n{"status":"ok"}')
    assert written[1].endswith(b"\r\n\r\n")


# --- work up to its first wait -----------------------------------------------------------------------------


async def test_what_never_waits_has_no_rest():
    done = []

    async def work():
        done.append("done")

    assert begin(work()) is None
    assert done == ["done"]


async def test_an_error_before_the_first_wait_is_raised_at_once():
    async def work():
        raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        begin(work())


async def test_the_rest_goes_on_after_each_wait_to_the_end():
    done, gate = [], asyncio.Event()

    async def work():
        await gate.wait()
        done.append("gate")
        await asyncio.sleep(0)
        done.append("turn")
        async with asyncio.timeout(1):
            await asyncio.to_thread(done.append, "thread")

    rest = begin(work())
    assert done == []
    gate.set()
    await rest
    assert done == ["gate", "turn", "thread"]


async def test_the_rest_is_cancelled_and_timed_out_where_it_waits():
    ended = []

    async def work(name):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async def timed():
        rest = begin(work("timed out"))
        async with asyncio.timeout(0):
            await rest

    async def cancelled():
        await begin(work("cancelled"))

    with pytest.raises(TimeoutError):
        await timed()
    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert ended == ["timed out", "cancelled"]
