"""Every refusal, from routing to crashes, is the one envelope; and nothing is stored when one is sent."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from infraweave.settings import Settings
from tests.api.conftest import told

RUN = {"workflow_id": "quick", "input": {"amount": 1}}


async def raw(api, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are and return the answer."""
    host, port = api.server.url.removeprefix("http://").split(":")
    await api.get("/healthz")  # the socket listens
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, body
    finally:
        writer.close()


def head(api, method: str, path: str, *headers: str) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {api.server.token}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nothing", "/v1/runs/", "/v1//runs", "/v1/runs/x/y/z", "/x"]
)
async def test_an_unknown_path_is_route_not_found_and_never_a_redirect(api, path):
    assert told(await api.get(path)) == (404, "route_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/runs", {"GET", "HEAD", "POST"}),
        ("OPTIONS", "/v1/runs", {"GET", "HEAD", "POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("GET", "/v1/runs/x/cancel", {"POST"}),
        ("HEAD", "/v1/runs/x/cancel", {"POST"}),
        ("PATCH", "/v1/tokens", {"GET", "HEAD", "POST"}),
    ],
)
async def test_another_method_is_refused_with_those_that_there_are(api, method, path, allow):
    answer = await api.http.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == allow
    if method != "HEAD":
        assert told(answer) == (405, "method_not_allowed")


async def test_head_works_where_get_does(api):
    run_id = await api.ended()
    for path in ("/healthz", "/v1/runs", f"/v1/runs/{run_id}", f"/v1/runs/{run_id}/events", "/openapi.json"):
        got, answer = await api.get(path), await api.http.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path
        assert answer.headers["Content-Type"] == got.headers["Content-Type"]
        assert answer.headers.get("Content-Length") == got.headers.get("Content-Length")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Body is not JSON: it is empty"),
        (b"{", "Body is not JSON: "),
        (b"nope", "Body is not JSON: "),
        (b'{"a": NaN}', "Body is not JSON: "),
        (b'{"a": Infinity}', "Body is not JSON: "),
        (b'{"a": "\\ud800"}', "Body is not JSON: "),
        (b'{"a": "\xff"}', "Body is not JSON: "),
        (b'{"a": 1} x', "Body is not JSON: "),
        (b'{"a": 9223372036854775808}', "outside 64 bits"),
        (b'{"a": -9223372036854775809}', "outside 64 bits"),
        (b'{"a": ' + b"1" * 4400 + b"}", "Body is not JSON: "),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "nested deeper than 64"),
        (b"[" * 1000 + b"1" * 20 + b"]" * 1000, "nested deeper than 64"),
        (b"[" * 100_000, ""),
        (b"null", "must be a JSON object"),
        (b"[]", "must be an object"),
    ],
)
async def test_a_body_that_cannot_be_taken_says_why(api, body, words):
    answer = await api.http.post("/v1/runs", content=body, headers={"Content-Type": "application/json"})
    assert told(answer) == (400, "malformed_request")
    assert words in answer.json()["error"]["message"]
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_the_deepest_and_the_largest_number_that_are_allowed_pass(api):
    deep = json.loads("[" * 62 + "9223372036854775807" + "]" * 62)
    run_id, request_id = await api.asked()
    answer = await api.post(
        f"/v1/runs/{run_id}/signals/approval", {"request_id": request_id, "payload": deep}
    )
    assert told(answer) == (422, "payload_invalid")


async def test_several_faults_are_told_with_their_paths_and_nothing_is_stored(api):
    answer = await api.post("/v1/runs", {"workflow_id": 7, "tags": {"a": 1}, "inputs": {}})
    assert told(answer) == (400, "malformed_request")
    assert {detail["path"] for detail in answer.json()["error"]["details"]} == {
        "/workflow_id",
        "/tags/a",
        "/inputs",
    }
    assert "the nearest known one is input" in answer.json()["error"]["message"]
    assert (await api.get("/v1/runs")).json()["runs"] == []


@pytest.mark.parametrize(
    "query", ["limt=1", "limit=1&limit=2", "status=done", "limit=0", "started_after=now"]
)
async def test_a_query_that_does_not_fit_is_refused(api, query):
    answer = await api.get(f"/v1/runs?{query}")
    assert told(answer) == (400, "malformed_request")
    assert answer.json()["error"]["details"]


async def test_a_query_where_none_is_taken_is_refused_too(api):
    for path in ("/healthz?x=1", "/v1/whoami?verbose", f"/v1/runs/{await api.ended()}?x=1"):
        assert told(await api.get(path)) == (400, "malformed_request")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/json; charset=latin-1"]
)
async def test_a_body_of_another_type_is_refused(api, content_type):
    answer = await api.http.post("/v1/runs", content=json.dumps(RUN), headers={"Content-Type": content_type})
    assert told(answer) == (415, "unsupported_media_type")


async def test_json_without_a_content_type_or_with_utf8_is_taken(api):
    for headers in ({}, {"Content-Type": "application/json; charset=UTF-8"}):
        answer = await api.http.post("/v1/runs", content=json.dumps(RUN).encode(), headers=headers)
        assert answer.status_code == 201


async def test_what_cannot_be_served_as_asked_is_not_acceptable(api):
    for path in ("/v1/runs", "/healthz", f"/v1/runs/{await api.ended()}/events"):
        assert told(await api.get(path, headers={"Accept": "image/png"})) == (406, "not_acceptable")


async def test_a_large_body_is_refused_by_its_announced_length(open_api):
    async with open_api(settings=Settings(max_body=1000)) as api:
        body = {**RUN, "tags": {"x": "y" * 1000}}
        assert told(await api.post("/v1/runs", body)) == (413, "payload_too_large")
        assert (await api.post("/v1/runs", RUN)).status_code == 201


async def test_a_large_body_in_chunks_is_refused_before_it_has_all_come(open_api):
    async with open_api(settings=Settings(max_body=1000)) as api:
        start = head(api, "POST", "/v1/runs", "Content-Type: application/json", "Transfer-Encoding: chunked")
        status, headers, body = await raw(api, start + b"7d0\r\n" + b"x" * 2000 + b"\r\n")  # and no end
        assert (status, json.loads(body)["error"]["code"]) == (413, "payload_too_large")
        assert json.loads(body)["error"]["request_id"] == headers["x-request-id"]


async def test_a_caller_who_is_still_sending_can_read_the_refusal(open_api):
    async with open_api(settings=Settings(max_body=1000)) as api:
        answer = await api.http.post(
            "/v1/runs", content=b" " * 20_000_000, headers={"Content-Type": "application/json"}
        )
        assert told(answer) == (413, "payload_too_large")


async def test_a_length_and_a_transfer_encoding_together_are_refused_and_the_connection_ends(api):
    start = head(api, "POST", "/v1/runs", "Content-Length: 2", "Transfer-Encoding: chunked")
    status, headers, body = await raw(api, start + b"2\r\n{}\r\n0\r\n\r\n")
    assert (status, json.loads(body)["error"]["code"]) == (400, "malformed_request")
    assert headers["connection"] == "close"


async def test_every_answer_has_an_id_and_a_callers_own_is_kept(api):
    for path in ("/healthz", "/v1/runs", "/nothing", "/v1/runs/x"):
        own = await api.get(path, headers={"X-Request-Id": "mine-1.2_3"})
        assert own.headers["X-Request-Id"] == "mine-1.2_3"
        made = await api.get(path)
        assert made.headers["X-Request-Id"].startswith("req_")
        assert len(made.headers["X-Request-Id"]) == 30
    assert own.json()["error"]["request_id"] == "mine-1.2_3"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "a/b", "<script>"])
async def test_an_id_that_is_not_fit_to_be_repeated_is_replaced(api, bad):
    answer = await api.get("/healthz", headers={"X-Request-Id": bad})
    assert answer.headers["X-Request-Id"].startswith("req_")


async def test_a_crash_is_500_without_a_trace_and_the_log_has_it_under_the_id(api, monkeypatch, caplog):
    async def crash(*_, **__):
        raise RuntimeError("SELECT secret FROM tokens")

    monkeypatch.setattr(type(api.server.engine.runs), "page", crash)
    with caplog.at_level(logging.ERROR, "infraweave.api"):
        answer = await api.get("/v1/runs")
    assert told(answer) == (500, "internal")
    assert "SELECT" not in answer.text
    assert "Traceback" not in answer.text
    record = next(r for r in caplog.records if r.name == "infraweave.api")
    assert record.request_id == answer.headers["X-Request-Id"]
    assert "SELECT secret" in str(record.exc_info[1])


async def test_v1_is_never_cached(api):
    for path in ("/v1/runs", "/v1/runs/x", f"/v1/runs/{await api.ended()}/events"):
        assert (await api.get(path)).headers.get_list("Cache-Control") == ["no-store"]


async def test_a_websocket_is_refused(api):
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    status, _, _ = await raw(
        api, head(api, "GET", "/v1/runs", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    )
    assert status in (403, 404)


async def test_a_body_with_a_host_of_faults_is_answered_briefly_and_soon(api):
    body = {"workflow_id": "quick", **{f"unknown_{number}": 1 for number in range(100_000)}}
    answer = await asyncio.wait_for(api.post("/v1/runs", body), 5)
    assert told(answer) == (400, "malformed_request")
    assert len(answer.json()["error"]["details"]) == 100
    assert len(answer.content) < 20_000


async def test_a_name_of_great_length_is_not_repeated_at_length(api):
    for answer in (
        await api.post("/v1/runs", {"workflow_id": "quick", "x" * 1_000_000: 1}),
        await api.get(f"/v1/runs?{'y' * 10_000}=1"),
    ):
        assert told(answer) == (400, "malformed_request")
        assert len(answer.json()["error"]["message"]) < 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 18446744073709551616}', "outside 64 bits"),
        (b'{"a": 123456789012345678901234567890}', "outside 64 bits"),
        (b'{"a": [[1, {"b": -18446744073709551616}]]}', "outside 64 bits"),
        (b'{"a": 1e400}', "Body is not JSON: "),
        (b'{"\\ud800": 1}', "Body is not JSON: "),
        (b'{"a": "\\udc00\\ud800"}', "Body is not JSON: "),
        (b'\xef\xbb\xbf{"workflow_id": "quick"}', "Body is not JSON: "),
        (b'{"a": 1,}', "Body is not JSON: "),
        (b"{'a': 1}", "Body is not JSON: "),
        (b'{"a": 01}', "Body is not JSON: "),
        (b'{"a": -Infinity}', "Body is not JSON: "),
        (b'{"a": "\n"}', "Body is not JSON: "),
    ],
)
async def test_what_is_nearly_json_is_refused_in_every_route_that_takes_a_body(api, content, words):
    run_id, _ = await api.asked()
    before = (await api.get(f"/v1/runs/{run_id}")).json()
    for method, path in [
        ("POST", "/v1/runs"),
        ("POST", f"/v1/runs/{run_id}/cancel"),
        ("POST", f"/v1/runs/{run_id}/terminate"),
        ("POST", f"/v1/runs/{run_id}/signals/approval"),
        ("PUT", "/v1/workflows/quick/active"),
        ("POST", "/v1/tokens"),
    ]:
        answer = await api.http.request(method, path, content=content)
        assert told(answer) == (400, "malformed_request"), path
        assert words in answer.json()["error"]["message"], path
    assert (await api.get(f"/v1/runs/{run_id}")).json() == before
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_the_limits_themselves_are_still_allowed(open_api):
    async with open_api(settings=Settings(max_body=1000, max_depth=8)) as api:
        deep = json.loads("[" * 7 + "]" * 7)
        answer = await api.post("/v1/runs", {"workflow_id": "failing", "input": {"a": deep[0]}})
        assert answer.status_code == 201
        answer = await api.post("/v1/runs", {"workflow_id": "failing", "input": {"a": deep}})
        assert told(answer) == (400, "malformed_request")
        assert "nested deeper than 8" in answer.json()["error"]["message"]
        full = json.dumps({"workflow_id": "failing", "input": {}}).encode().ljust(1000)
        assert (await api.http.post("/v1/runs", content=full)).status_code == 201
        assert told(await api.http.post("/v1/runs", content=full + b" ")) == (413, "payload_too_large")


async def test_a_body_that_comes_in_small_chunks_is_taken_whole(api):
    async def pieces():
        for byte in json.dumps(RUN).encode():
            yield bytes([byte])

    answer = await api.http.post("/v1/runs", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "path", ["/v1/runs", "/v1/workflows", "/v1/whoami", "/v1/tokens", "/metrics", "/readyz"]
)
async def test_head_tells_what_get_would_and_sends_nothing(api, path):
    got, answer = await api.get(path), await api.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == got.headers["Content-Type"]
    refused = await api.http.head(f"{path}?nonsense=1")
    assert (refused.status_code, refused.content) == (400, b"")


async def test_head_of_a_live_stream_ends_at_once(api):
    run_id, _ = await api.asked()
    answer = await api.http.head(f"/v1/runs/{run_id}/events")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert "infraweave_event_streams 0.0" in (await api.get("/metrics")).text


async def test_every_refusal_carries_the_callers_own_id(open_api):
    async with open_api(settings=Settings(max_body=100)) as api:
        own = {"X-Request-Id": "mine"}
        nobody = await api.with_headers({})
        answers = [
            await api.http.post("/v1/runs", content=b"{", headers=own),
            await nobody.get("/v1/runs", headers=own),
            await api.get("/v1/nothing", headers=own),
            await api.http.delete("/v1/runs", headers=own),
            await api.get("/v1/runs", headers={**own, "Accept": "image/png"}),
            await api.http.post("/v1/runs", content=b" " * 101, headers=own),
            await api.http.post("/v1/runs", content=b"{}", headers={**own, "Content-Type": "text/html"}),
            await api.get("/v1/runs?cursor=x", headers=own),
        ]
        statuses = [told(answer)[0] for answer in answers]
        assert statuses == [400, 401, 404, 405, 406, 413, 415, 400]
        assert {answer.json()["error"]["request_id"] for answer in answers} == {"mine"}
