"""Who is let in at all: names of hosts, origins of pages, kinds of bodies, and how often."""

from __future__ import annotations

import pytest

from infraweave.api.http.browser_security import check_origin, host_name
from infraweave.settings import Settings
from tests.api.conftest import told

RUN = {"workflow_id": "quick", "input": {"amount": 1}}


# --- the Host header ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "localhost.:80",
        "127.0.0.1:1",
        "[::1]:8470",
        "127.1.2.3",
        "wf.example.",
        "WF.example",
    ],
)
async def test_the_server_answers_to_loopback_and_to_what_is_allowed(open_api, host):
    async with open_api(settings=Settings(allow_hosts=("wf.example",))) as api:
        assert (await api.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "2130706433", ""),
        *("localhost@evil", "evil.example:8470", "0.0.0.0", "[::ffff:8.8.8.8]", "xn--localhst-9za"),
        *(
            "localhost..",
            "127.0.0.1:80@evil.example",
            "[::1]evil.example",
            "[::1]:80:80",
            "::1",
            "localhost:x",
        ),
        *(
            "localhost:99999",
            ".localhost",
            "local host",
            "localhost/",
            "localhost#",
            "-localhost",
            "[::1",
            "[]",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/runs", "/nothing"])
async def test_any_other_name_is_refused_before_anything_else(api, host, path):
    nobody = await api.with_headers({})
    answer = await nobody.get(path, headers={"Host": host})
    assert told(answer) == (421, "misdirected_request")
    assert "--allow-host" in answer.json()["error"]["message"]


def test_a_host_is_read_without_its_port():
    assert [host_name(text) for text in ("A:1", "[::1]:2", "::1", "a.b.", " x ")] == [
        "a",
        "::1",
        "::1",
        "a.b",
        "x",
    ]


# --- origins -----------------------------------------------------------------------------------------------


async def test_no_page_may_read_an_answer_unless_its_origin_is_allowed(api):
    answer = await api.get("/v1/whoami", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert told(await api.http.request("OPTIONS", "/v1/runs", headers=asks)) == (405, "method_not_allowed")


async def test_an_allowed_origin_is_answered_exactly(open_api):
    good = "https://console.example"
    async with open_api(settings=Settings(allow_origins=(good,))) as api:
        asks = {"Origin": good, "Access-Control-Request-Method": "POST"}
        nobody = await api.with_headers({})
        preflight = await nobody.http.request("OPTIONS", "/v1/runs", headers=asks)
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, good)
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        read = await api.get("/v1/whoami", headers={"Origin": good})
        assert read.headers["Access-Control-Allow-Origin"] == good
        assert "Access-Control-Allow-Credentials" not in read.headers
        for origin in ("https://console.example.evil", "http://console.example", "null", good + ":444"):
            other = await api.get("/v1/whoami", headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in other.headers
            assert other.headers["Vary"] == "Origin"


@pytest.mark.parametrize("text", ["*", "console.example", "https://a/", "https://a b", "null", "https://*.a"])
def test_an_origin_is_an_origin(text):
    with pytest.raises(ValueError, match="is not a valid origin"):
        check_origin(text)


# --- every answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/whoami", "/healthz", "/nothing", "/v1/runs/none", "/openapi.json"])
async def test_every_answer_carries_the_security_headers(api, path):
    headers = (await api.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (headers.get("Cache-Control") == "no-store") == path.startswith("/v1/")


# --- kinds of bodies ---------------------------------------------------------------------------------------

FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"]


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize("content", [b"", b'{"workflow_id":"quick","input":{"amount":1}}'])
async def test_what_a_form_can_send_writes_nothing(api, media, content):
    run_id, _ = await api.asked()
    schedule = {"workflow_id": "quick", "name": "s", "every": "1h", "input": {"amount": 1}}
    assert (await api.post("/v1/schedules", schedule)).status_code == 201
    before = (await api.get(f"/v1/runs/{run_id}")).json()
    paths = ("/v1/runs", f"/v1/runs/{run_id}/cancel", f"/v1/runs/{run_id}/terminate", "/v1/tokens")
    for path in (*paths, "/v1/schedules/quick:s/pause", "/hooks/x", f"/v1/runs/{run_id}/signals/approval"):
        answer = await api.http.post(path, content=content, headers={"Content-Type": media})
        assert told(answer) == (415, "unsupported_media_type"), path
    assert (await api.get(f"/v1/runs/{run_id}")).json() == before
    assert not (await api.get("/v1/schedules/quick:s")).json()["paused"]


# --- how often ---------------------------------------------------------------------------------------------


async def test_a_token_that_asks_too_often_is_told_when_to_come_back(open_api, clock):
    async with open_api(settings=Settings(requests_per_second=0.5, request_burst=3)) as api:
        assert [(await api.get("/v1/whoami")).status_code for _ in range(3)] == [200] * 3
        answer = await api.get("/v1/whoami")
        assert told(answer) == (429, "rate_limited")
        assert answer.headers["Retry-After"] == "2"
        assert (await api.get("/healthz")).status_code == 200
        eve = await api.other()
        assert (await eve.get("/v1/whoami")).status_code == 200
        await clock.advance(2)
        assert [(await api.get("/v1/whoami")).status_code for _ in range(2)] == [200, 429]


async def test_one_principal_cannot_take_all_streams(open_api):
    async with open_api(settings=Settings(max_streams_per_principal=1)) as api:
        run_id = await api.start("asking")  # `asked` reads a stream, whose end the server may see late
        path = f"/v1/runs/{run_id}/events"
        async with api.http.stream("GET", path) as answer:
            chunks = answer.aiter_bytes()
            await anext(chunks)
            refused = await api.get(path)
            assert told(refused) == (429, "rate_limited")
            eve = await api.other("read:workflow:*")
            async with eve.http.stream("GET", path) as other:
                assert other.status_code == 200


# --- how much ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("x" * 101, "/input/note: has 101 characters, more than 100"),
        ([1] * 11, "/input/note: has 11 items, more than 10"),
        ({"k" * 101: 1}, "/input/note: has a key of more than 100 characters"),
        ({"deep": [{"er": ["x" * 101]}]}, "/input/note/deep/0/er/0: has 101 characters"),
    ],
)
async def test_a_text_or_a_list_that_is_too_long_is_named(open_api, note, words):
    async with open_api(settings=Settings(max_string=100, max_list=10)) as api:
        answer = await api.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": 1, "note": note}})
        assert told(answer) == (400, "malformed_request")
        assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({str(n): "" for n in range(65)}, "there are 65 tags; 64 are allowed"),
        ({"k" * 129: ""}, "the key must have 1 to 128 characters"),
        ({"": "x"}, "the key must have 1 to 128 characters"),
        ({"k": "v" * 1025}, "the value has more than 1,024 characters"),
    ],
)
async def test_tags_are_few_and_short(api, tags, words):
    answer = await api.post("/v1/runs", {**RUN, "tags": tags})
    assert told(answer) == (400, "malformed_request")
    assert words in answer.json()["error"]["message"]
    batch = await api.post("/v1/runs/batch", {"runs": [{**RUN, "tags": tags}, RUN]})
    assert [result["status"] for result in batch.json()["results"]] == [400, 201]
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_tags_at_the_limit_pass(api):
    tags = {f"{n:0128}": "v" * 1024 for n in range(64)}
    assert (await api.post("/v1/runs", {**RUN, "tags": tags})).status_code == 201
