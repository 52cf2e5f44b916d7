"""http nodes: what they send, what becomes of the answer, and when they try again."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time

import pytest

from infraweave import Retry, Workflow
from infraweave.core.data.values import rfc3339
from infraweave.core.workflow.document import (
    INPUT,
    ITEM,
    Document,
    Http,
    HumanInput,
    Loop,
    Map,
    Param,
    Request,
    Router,
)
from infraweave.core.workflow.http_request import render_request
from tests.engine.web import answer, serving

HERE = {"allow_outbound": ("127.0.0.1",)}
STEADY = Retry(max_attempts=3, initial=10, factor=2, jitter=False)


def calling(url: str, **options) -> Workflow:
    flow = Workflow("call", version="v1")
    flow.http("call", url=url, **options)
    return flow


async def outcome(world, url: str, value=None, **options) -> dict:
    async with world(calling(url, **options), **HERE) as w, asyncio.timeout(20):
        return await w.end(await w.start("call", value))


async def test_a_request_is_filled_signed_and_its_answer_becomes_the_output(world):
    async with serving(answer(201, {"id": "c9", "state": "paid"})) as web:
        flow = Workflow("pay", version="v1")

        @flow.node
        def price(input: dict) -> dict:
            return {"amount": 12, "note": 'a "b"'}

        flow.http(
            "charge",
            method="POST",
            url=web.url + "/orders/{input.id}/charges",
            query={"notify": ["a", "b"], "none": "{input.none}", "dry": False},
            headers={"Authorization": "Bearer {input.key}", "X-Note": "for {input.id}"},
            body={"amount": "{price.amount}", "text": "n: {price.note}", "list": [1, "{{x}}"]},
            output="/body/id",
        )

        @flow.node
        def receipt(charge: str) -> str:
            return f"receipt of {charge}"

        async with world(flow, **HERE) as w:
            run = await w.start(flow, {"id": "o/1 ?", "key": "s3cret", "none": None})
            assert (await w.end(run))["result"] == "receipt of c9"
            events = await w.events(run)
    [asked] = web.asked
    assert asked.method == "POST"
    assert asked.target == "/orders/o%2F1%20%3F/charges?notify=a&notify=b&dry=false"
    assert asked.json == {"amount": 12, "text": 'n: a "b"', "list": [1, "{x}"]}
    sent = asked.headers
    assert sent["authorization"] == "Bearer s3cret"
    assert sent["x-note"] == "for o/1 ?"
    assert sent["content-type"] == "application/json"
    assert sent["host"] == f"127.0.0.1:{web.port}"
    assert sent["idempotency-key"].startswith("iw-")
    assert sent["traceparent"].startswith("00-" + "a" * 32)
    assert sent["tracestate"] == "vendor=1"
    started = next(e for e in events if e["type"] == "node_started" and e["node"] == "charge")
    assert "authorization" not in str(started).lower()


async def test_the_author_may_set_the_key_and_the_type(world):
    async with serving(answer(200, "fine")) as web:
        options = {"method": "PUT", "body": "{input.text}"}
        headers = {"Idempotency-Key": "{input.key}", "Content-Type": "text/csv"}
        end = await outcome(world, web.url, {"key": "k1", "text": "a,b"}, headers=headers, **options)
    assert end["result"] == "fine"
    assert web.asked[0].headers["idempotency-key"] == "k1"
    assert web.asked[0].body == b"a,b"


async def test_a_form_is_sent_as_a_form(world):
    async with serving() as web:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = {"a": "{input.a}", "b": "1&2"}
        await outcome(world, web.url, {"a": "x y"}, method="POST", headers=headers, body=body)
    assert web.asked[0].body == b"a=x+y&b=1%262"


FOREIGN = (
    b'{"id": "c9", "id": "c10", "huge": 123456789012345678901234567890, "deep": '
    + b"[" * 300
    + b"]" * 300
    + b"}"
)


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ("/body/id", "c10"),
        ("/body/huge", "123456789012345678901234567890"),
        ({"n": "{body.huge}"}, {"n": "123456789012345678901234567890"}),
        ("/body/deep", None),
    ],
)
async def test_an_answer_is_read_as_it_comes_for_the_call_has_taken_effect(world, output, result):
    async with serving(answer(200, FOREIGN, content_type="application/json")) as web:
        end = await outcome(world, web.url, output=output)
    assert end["type"] == "completed"
    if result is not None:
        assert end["result"] == result


@pytest.mark.parametrize(
    ("given", "output", "result"),
    [
        (answer(200, {"a": [1, {"b/c": 2}]}), "/body/a/1/b~1c", 2),
        (answer(204), "/body", None),
        (answer(200, "héllo"), "/body", "héllo"),
        (answer(200, "{}"), "/body", "{}"),
        (answer(200, b"h\xe9", content_type="text/plain; charset=latin-1"), "/body", "hé"),
        (answer(200, b"h\xe9", content_type="text/plain; charset=nonsense"), "/body", "h�"),
        (answer(200, b'{"a":1}', content_type="application/problem+json"), "/body/a", 1),
        (answer(202, {}, x_job="j7"), "/headers/x-job", "j7"),
        (answer(202, {}), "/status", 202),
        (answer(200, gzip.compress(b"[1]", mtime=0), content_encoding="gzip"), "/body", [1]),
        (
            answer(201, {"a": [1]}, x_job="j7"),
            {"n": "{body.a.0}", "at": "{headers.x-job}!"},
            {"n": 1, "at": "j7!"},
        ),
        (answer(201, {"a": [1]}), "{status}: {body.a}", "201: [1]"),
        (answer(201, {"a": [1]}), ["{body}", "{status}"], [{"a": [1]}, 201]),
        (answer(201, {"a": [1]}), None, None),
    ],
)
async def test_the_answer_is_read_by_its_type_and_cut_by_the_pointer(world, given, output, result):
    async with serving(given) as web:
        end = await outcome(world, web.url, output=output)
    assert end["type"] == "completed"
    assert end.get("result") == result


async def test_the_whole_answer_has_no_cookies(world):
    async with serving(answer(200, {"a": 1}, set_cookie="session=s3cret")) as web:
        end = await outcome(world, web.url, output="")
    assert end["result"]["status"] == 200
    assert "s3cret" not in str(end)


@pytest.mark.parametrize(
    ("given", "options", "code", "words"),
    [
        (answer(404, {"why": "gone"}), {}, "http_404", 'GET 127.0.0.1 answered 404: {"why":"gone"}'),
        (answer(400, "x" * 5_000), {}, "http_400", "answered 400: " + "x" * 200),
        (answer(302, location="/there"), {}, "http_302", "follow_redirects"),
        (answer(201), {"accept": [200]}, "http_201", "answered 201"),
        (answer(200, b"{", content_type="application/json"), {}, "output_invalid", "not JSON"),
        (answer(200, b"[NaN]", content_type="application/json"), {}, "output_invalid", "not JSON"),
        (answer(200, {"a": 1}), {"output": "/body/b"}, "output_invalid", "there is no b"),
        (answer(200, {"a": 1}), {"output": "{body.b}"}, "output_invalid", "{body.b} leads nowhere"),
        (answer(200, b"?", content_encoding="br"), {}, "output_invalid", "encoded as br"),
        (answer(200, b"??", content_encoding="gzip"), {}, "output_invalid", "not valid gzip"),
        (
            answer(200, gzip.compress(b"[1]", mtime=0)[:-4], content_encoding="gzip"),
            {},
            "output_invalid",
            "is incomplete",
        ),
        (answer(200, "x" * 2_000), {"max_bytes": 1_000}, "response_too_large", "more than 1,000 bytes"),
        (
            answer(200, gzip.compress(b"0" * 50_000_000, mtime=0), content_encoding="gzip"),
            {},
            "response_too_large",
            "more than 1,048,576 bytes",
        ),
    ],
)
async def test_what_cannot_be_mended_by_trying_again_is_final(world, given, options, code, words):
    async with serving(given) as web:
        end = await outcome(world, web.url, retry=STEADY, **options)
    assert end["error"]["code"] == code
    assert words in end["error"]["message"]
    assert len(end["error"]["message"]) < 400
    assert len(web.asked) == 1


async def test_an_accepted_status_is_a_success(world):
    async with serving(answer(404, {"why": "gone"})) as web:
        end = await outcome(world, web.url, accept=[200, 404], output="/status")
    assert end["result"] == 404


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_passing_failure_is_tried_again_with_the_same_key(world, status):
    async with (
        asyncio.timeout(20),
        serving(answer(status, "busy"), answer(200, 1)) as web,
        world(calling(web.url, retry=STEADY), **HERE) as w,
    ):
        run = await w.start("call")
        failed = await w.until(run, "node_failed")
        assert failed["code"] == f"http_{status}"
        assert "answered" in failed["message"]
        assert "retrying in 10s" in failed["message"]
        await w.clock.advance(10)
        assert (await w.end(run))["result"] == 1
    first, second = (asked.headers for asked in web.asked)
    assert first["idempotency-key"] == second["idempotency-key"]
    assert first["traceparent"] != second["traceparent"]


@pytest.fixture
def new_york(monkeypatch):
    """A machine in another time zone than UTC: a date without a zone is not of its own."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("after", "wait"),
    [
        ("120", 120),
        ("3", 10),
        ("86400", 3600),
        ("date", 90),
        ("soon", 10),
        ("-5", 10),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 10),
        ("Thu, 01 Jan 2026 00:01:30", 90),
        ("9" * 400, 3600),
    ],
)
async def test_retry_after_is_the_least_wait_up_to_an_hour(world, clock, after, wait, new_york):
    if after == "date":
        after = "Thu, 01 Jan 2026 00:01:30 GMT"
    async with (
        asyncio.timeout(20),
        serving(answer(503, retry_after=after)) as web,
        world(calling(web.url, retry=STEADY), **HERE) as w,
    ):
        failed = await w.until(await w.start("call"), "node_failed")
    assert failed["retry_at"] == rfc3339(clock.now() + wait * 1000)


async def test_a_server_that_is_not_there_is_tried_again(world):
    async with serving() as web:
        url = web.url
    async with world(calling(url, retry=STEADY), **HERE) as w:
        failed = await w.until(await w.start("call"), "node_failed")
    assert failed["code"] == "http_unreachable"
    assert failed["will_retry"] is True
    assert failed["message"].startswith("GET 127.0.0.1: ")


async def test_an_answer_that_breaks_off_is_tried_again(world):
    async with serving(answer(200, "abc", content_length="100")) as web:
        end = await outcome(world, web.url, retry=None)
    assert end["error"]["code"] == "http_unreachable"


async def test_an_answer_that_never_ends_is_ended_by_the_timeout(world):
    begun = asyncio.Event()

    async def trickle(writer: asyncio.StreamWriter) -> None:
        begun.set()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        for _ in range(1_000_000):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.001)

    async with (
        asyncio.timeout(20),
        serving(trickle) as web,
        world(calling(web.url, retry=None), **HERE) as w,
    ):
        run = await w.start("call")
        await begun.wait()
        await w.clock.advance(30)
        assert (await w.end(run))["error"]["code"] == "timeout"


async def test_an_answer_without_end_is_cut_at_the_limit(world):
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(b"." * 65_536)
            await writer.drain()

    async with serving(pour) as web:
        assert (await outcome(world, web.url))["error"]["code"] == "response_too_large"


@pytest.mark.parametrize(
    ("url", "value", "words"),
    [
        ("http://x.test/{input.id}", {}, "{input.id} leads nowhere"),
        ("http://x.test/{input.id}/y", {"id": ".."}, "may not be . or .."),
        ("{input.url}", {"url": "ftp://x.test/"}, "its scheme is ftp"),
        ("{input.url}", {"url": "http://me:secret@x.test/"}, "credentials"),
        ("{input.url}", {"url": "http://x.test/\r\nX: y"}, "control characters"),
        ("http://{input.id}.x.test/", {"id": "evil.test/"}, "names no host"),
        ("http://x.test/{input.id}", {"id": None}, "a placeholder of the url is null"),
    ],
)
async def test_values_that_make_no_request_are_final(world, url, value, words):
    end = await outcome(world, url, value)
    assert end["error"]["code"] == "input_mismatch"
    assert words in end["error"]["message"]
    assert "secret" not in end["error"]["message"]


async def test_a_header_takes_no_line_break_from_a_value(world):
    end = await outcome(world, "http://x.test/", {"a": "b\r\nX: y"}, headers={"X-A": "{input.a}"})
    assert "the header x-a" in end["error"]["message"]


@pytest.mark.parametrize("word", ["v ", "\tv", " v "])
async def test_what_surrounds_a_header_s_value_is_no_part_of_it(world, word):
    async with serving() as web:
        end = await outcome(world, web.url, {"a": word}, headers={"X-A": "{input.a}"})
    assert end["type"] == "completed"
    assert web.asked[0].headers["x-a"] == "v"


def test_what_was_skipped_is_null_in_a_request():
    request = Request(
        method="POST",
        url="http://x.test/",
        headers={"X-Key": "{key}", "X-Text": "a {key}"},
        query={"a": "{left}", "key": "{key}"},
        body={"left": "{left}", "key": "{key}"},
    )
    filled_in = render_request(request, {"left": 1, "key": None})
    assert filled_in.url == "http://x.test/?a=1"
    assert filled_in.headers == {"x-text": "a null", "content-type": "application/json"}
    assert filled_in.body == b'{"left":1,"key":null}'


async def test_branches_join_in_a_request_and_a_loop_carries_into_one(world):
    async with serving(answer(200, 1), answer(200, 2), answer(200, 3)) as web:
        params = (Param("a", "a", required=False), Param("b", "b", required=False), Param("n", "input"))
        choose = Router(name="choose", expression="'a'", routes=("a", "b"))
        branches = [Http(name=name, request=Request(url=web.url)) for name in ("a", "b")]
        body = {"a": "{a}", "b": "{b}", "before": "{again}"}
        carried = Param("again", "join", required=False, carried=True)
        join = Http(
            name="join", params=(*params, carried), request=Request(method="POST", url=web.url, body=body)
        )
        more = Loop(
            name="more", back_to="join", max_iterations=2, params=(Param("n", "join"),), expression="n < 3"
        )
        document = Document(workflow_id="join", version="v1", nodes=(choose, *branches, join, more))
        async with world(**HERE) as w, asyncio.timeout(20):
            await w.engine.documents.publish("default", document, 0)
            assert (await w.end(await w.start("join")))["type"] == "completed"
    assert [asked.json for asked in web.asked[1:]] == [
        {"a": 1, "b": None, "before": None},
        {"a": 1, "b": None, "before": 2},
    ]


async def test_a_question_may_name_what_was_skipped(world):
    params = (Param("note", "input", pointer="/note", required=False),)
    ask = HumanInput(name="ask", prompt="Note: {note}", schema={}, params=params)
    document = Document(workflow_id="ask", version="v1", nodes=(ask,))
    async with world() as w:
        await w.engine.documents.publish("default", document, 0)
        asked = await w.until(await w.start("ask"), "input_requested")
    assert asked["prompt"] == "Note: null"


async def test_secrets_stay_out_of_logs_and_events(world, caplog):
    caplog.set_level(logging.DEBUG)
    async with serving(answer(500, "no")) as web:
        headers, query = {"X-Api-Key": "s3cret"}, {"token": "s3cret"}
        async with world(calling(web.url, headers=headers, query=query, retry=None), **HERE) as w:
            run = await w.start("call")
            await w.end(run)
            events = await w.events(run)
    assert web.asked[0].headers["x-api-key"] == "s3cret"
    assert "s3cret" not in caplog.text
    assert "s3cret" not in str(events)


async def test_a_skipped_upstream_skips_the_call(world):
    flow = Workflow("skip", version="v1")

    @flow.router(routes=["call", "other"])
    def choose() -> str:
        return "other"

    flow.http("call", url="http://never.test/")

    @flow.node
    def other() -> int:
        return 1

    flow.http("after_call", url="http://never.test/{call.id}")
    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert end["result"] == {"other": 1}


async def test_a_call_that_is_under_way_is_made_again_after_a_restart(world):
    begun = asyncio.Event()

    async def silence(writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(20), serving(silence, answer(200, "at last")) as web:
        flow = calling(web.url)
        async with world(flow, **HERE, grace=0.0) as w:
            run = await w.start("call")
            await begun.wait()
        async with world(flow, **HERE) as w:
            assert (await w.end(run))["result"] == "at last"
    first, second = web.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_cancelled_run_drops_its_call(world):
    begun = asyncio.Event()

    async def silence(writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with (
        asyncio.timeout(20),
        serving(silence) as web,
        world(calling(web.url), **HERE) as w,
    ):
        run = await w.start("call")
        await begun.wait()
        await w.engine.service.cancel(run, by="eve")
        assert (await w.end(run))["type"] == "cancelled"
        assert await web.readers[0].read() == b""


async def test_the_time_of_a_request_counts_once_there_is_room_for_it(world):
    begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def slowly(writer: asyncio.StreamWriter) -> None:
        go_on = asyncio.Event()
        begun.put_nowait(go_on)
        await go_on.wait()
        writer.write(answer(200, 1))

    async with serving(slowly) as web, asyncio.timeout(20):
        flow = Workflow("call", version="v1")
        for name in ("one", "two", "three"):
            flow.http(name, url=web.url, timeout=30, retry=None)
        async with world(flow, **HERE, max_calls=1) as w:
            run = await w.start("call")
            for _ in range(3):
                go_on = await begun.get()
                assert begun.empty()
                await w.clock.advance(20)
                go_on.set()
            assert (await w.end(run))["result"] == {"one": 1, "two": 1, "three": 1}


async def test_a_request_that_waits_for_room_is_cancelled_at_once(world):
    begun = asyncio.Event()

    async def silence(writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with (
        asyncio.timeout(20),
        serving(silence, answer(200, 1)) as web,
        world(calling(web.url), **HERE, max_calls=1) as w,
    ):
        first = await w.start("call")
        await begun.wait()
        second, third = await w.start("call"), await w.start("call")
        for run in (second, first):
            await w.engine.service.cancel(run, by="eve")
            assert (await w.end(run))["type"] == "cancelled"
        assert (await w.end(third))["result"] == 1
    assert len(web.asked) == 2


async def test_a_map_may_be_of_requests(world):
    request = Request(url="{input.site}/birds/{bird.name}", output="/body/eggs")
    nodes = Map(
        name="eggs",
        over="input",
        pointer="/birds",
        params=(Param("bird", ITEM), Param("input", INPUT)),
        request=request,
        timeout=30.0,
        max_concurrency=1,
    )
    document = Document(workflow_id="nests", version="v1", nodes=(nodes,))
    async with serving(answer(200, {"eggs": 3}), answer(200, {"eggs": 5})) as web, world(**HERE) as w:
        await w.engine.documents.publish("default", document, 0)
        run = await w.start("nests", {"site": web.url, "birds": [{"name": "stork"}, {"name": "rail"}]})
        assert (await w.end(run))["result"] == [3, 5]
        assert [asked.target for asked in web.asked] == ["/birds/stork", "/birds/rail"]
        keys = {asked.headers["idempotency-key"] for asked in web.asked}
        assert len(keys) == 2
