"""Secrets of http nodes: sent where they may go, and found nowhere else."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from infraweave import Retry, Workflow
from infraweave.core.workflow.document import (
    Compensation,
    Concurrency,
    Document,
    Http,
    HumanInput,
    Param,
    Request,
)
from infraweave.core.workflow.document_codec import document_to_json
from infraweave.core.workflow.secret_refs import SecretRedactor, format_origin
from infraweave.engine.execution.secrets import SecretPermission, parse_permission
from tests.core.faults import faults
from tests.engine.web import answer, serving

VALUE = 's3cret/"wört" &+key'
PLAIN = "s3cret-plain-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("INFRAWEAVE_SECRET_KEY", PLAIN)
    monkeypatch.setenv("INFRAWEAVE_SECRET_ODD", VALUE)


def bound(web, *names: str) -> dict:
    there = [f"{name}@{web.url}" for name in names or ("KEY", "ODD")]
    return {"allow_outbound": ("127.0.0.1", "localhost"), "secrets": tuple(there)}


def calling(url: str, **options) -> Workflow:
    flow = Workflow("call", version="v1")
    flow.http("call", url=url, **{"retry": None, **options})
    return flow


async def outcome(world, web, url: str = "", value=None, *, settings=None, **options) -> dict:
    flow = calling(url or web.url, **options)
    async with world(flow, **(settings or bound(web))) as w, asyncio.timeout(20):
        return await w.end(await w.start("call", value))


def failed(end: dict, code: str, words: str) -> None:
    assert end["error"]["code"] == code
    assert words in end["error"]["message"]
    assert "s3cret" not in str(end)


# --- sent, and nowhere else --------------------------------------------------------------------------------


async def test_a_secret_is_sent_and_stands_neither_in_the_file_nor_in_the_log(world, db, caplog):
    caplog.set_level(logging.DEBUG, "infraweave")
    echo = answer(200, {"you": [PLAIN, {PLAIN: VALUE}]}, x_echo=PLAIN)
    async with serving(answer(500, {"key": PLAIN}), echo) as web:
        flow = calling(
            web.url + "/{secret.KEY}",
            method="POST",
            headers={"Authorization": "Bearer {secret.KEY}"},
            query={"key": "{secret.ODD}"},
            body={"key": "{secret.ODD}"},
            output="",
            retry=Retry(max_attempts=2, initial=0),
        )
        async with world(flow, **bound(web)) as w, asyncio.timeout(20):
            run = await w.start("call")
            result = (await w.end(run))["result"]
            events = await w.events(run)
    asked = web.asked[1]
    assert asked.target == f"/{PLAIN}?key=s3cret%2F%22w%C3%B6rt%22+%26%2Bkey"
    assert asked.headers["authorization"] == f"Bearer {PLAIN}"
    assert asked.json == {"key": VALUE}
    assert result["body"] == {"you": ["[redacted]", {"[redacted]": "[redacted]"}]}
    assert result["headers"]["x-echo"] == "[redacted]"
    assert 'answered 500: {"key":"[redacted]"}' in str(events)
    for text in (str(events), caplog.text):
        assert "s3cret" not in text
    kept = b"".join(file.read_bytes() for file in db.parent.iterdir() if file.is_file())
    assert b"{secret.KEY}" in kept
    assert b"s3cret" not in kept


@pytest.mark.parametrize(
    "spell",
    [
        lambda secret: json.dumps({"a": secret}),
        lambda secret: json.dumps({"a": secret}, ensure_ascii=False),
        lambda secret: json.dumps({"a": secret}).replace("/", "\\/"),
        lambda secret: "x" * 185 + secret,
        lambda secret: "key=s3cret%2f%22w%c3%b6rt%22%20%26%2bkey",
        lambda secret: "s3cret/&quot;wört&quot; &amp;+key",
    ],
)
@pytest.mark.parametrize("status", [200, 400])
async def test_no_spelling_of_a_secret_comes_back(world, spell, status):
    kind = "application/json" if spell("").startswith("{") else "text/plain"
    async with serving(answer(status, spell(VALUE).encode(), content_type=kind)) as web:
        end = await outcome(world, web, headers={"X-Key": "{secret.KEY}"}, query={"k": "{secret.ODD}"})
    assert "s3cr" not in str(end)
    assert "[reda" in str(end)


def test_what_is_hidden_leaves_the_rest_alone():
    hidden = SecretRedactor(["longer-secret-one", "longer-secret"])
    assert hidden.text("a longer-secret-one b longer-secret c") == "a [redacted] b [redacted] c"
    assert hidden.value([1, None, {"a": True}]) == [1, None, {"a": True}]


async def test_the_whole_url_may_be_a_secret(world, monkeypatch):
    async with serving(answer(500, "no")) as web:
        monkeypatch.setenv("INFRAWEAVE_SECRET_HOOK", f"{web.url}/hooks/s3cret")
        settings = bound(web, "HOOK")
        end = await outcome(world, web, "{secret.HOOK}", settings=settings, query={"a": 1})
        assert web.asked[0].target == "/hooks/s3cret?a=1"
        failed(end, "http_500", "GET 127.0.0.1 answered 500")


@pytest.mark.parametrize("value", ["s3cret:rest/of/it", "http://[s3cret]/", "http://s3cret:1/", "s3cret//x"])
async def test_a_secret_that_is_no_url_is_not_told_in_parts(world, monkeypatch, value):
    async with serving() as web:
        monkeypatch.setenv("INFRAWEAVE_SECRET_HOOK", value)
        end = await outcome(world, web, "{secret.HOOK}", settings=bound(web, "HOOK"))
    assert end["error"]["code"] in ("input_mismatch", "outbound_refused")
    assert "s3cret" not in str(end)


async def test_values_from_outside_name_no_secrets(world):
    async with serving(answer(200, "ok")) as web:
        text = "{secret.KEY}"
        await outcome(
            world, web, value={"a": text}, method="POST", body={"a": "{input.a}", "b": "{secret.KEY}"}
        )
    assert web.asked[0].json == {"a": text, "b": PLAIN}


async def test_a_compensation_may_use_a_secret(world):
    async with serving(answer(201, 7), answer(400), answer(204)) as web:
        delete = Request(method="DELETE", url=web.url, headers={"X-Key": "{secret.KEY}"})
        book = Http(name="book", request=Request(url=web.url), compensate=Compensation(request=delete))
        pay = Http(name="pay", request=Request(url=web.url), after=("book",))
        document = Document(workflow_id="made", version="v1", nodes=(book, pay))
        async with world(**bound(web)) as w, asyncio.timeout(20):
            await w.engine.documents.publish("default", document, 0)
            assert (await w.end(await w.start("made")))["compensated"] == ["book"]
    assert web.asked[2].headers["x-key"] == PLAIN


# --- who may use which, and where --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OTHER", "There is no secret OTHER for workflows of tenant default; `--secret OTHER@HOST`"),
        ("EMPTY", "has no value: set INFRAWEAVE_SECRET_EMPTY"),
        ("SHORT", "has fewer than 8 characters"),
        ("BYTES", "is not UTF-8 text"),
    ],
)
async def test_a_secret_that_is_not_there_is_a_final_failure(world, monkeypatch, name, words):
    monkeypatch.setenv("INFRAWEAVE_SECRET_SHORT", "s3cret ")
    monkeypatch.setenv("INFRAWEAVE_SECRET_BYTES", "s3cret-\udcff")
    async with serving() as web:
        settings = bound(web, "EMPTY", "SHORT", "BYTES")
        end = await outcome(world, web, settings=settings, headers={"X": f"{{secret.{name}}}"})
    failed(end, "secret_missing", words)
    assert web.asked == []


@pytest.mark.parametrize(
    "place", ["http://localhost:{port}", "http://127.0.0.1:1", "https://127.0.0.1:{port}"]
)
async def test_a_secret_goes_to_no_other_host_port_or_scheme(world, place):
    async with serving() as web:
        url = place.format(port=web.port)
        end = await outcome(world, web, "{input.to}", {"to": url}, headers={"X": "{secret.KEY}"})
        failed(end, "outbound_refused", f"a secret of this request may not be sent to {url}")
        assert web.asked == []


async def test_two_secrets_go_only_where_both_may(world):
    async with serving() as web:
        settings = {**bound(web, "KEY"), "secrets": (f"KEY@{web.url}", "ODD@api.test")}
        end = await outcome(
            world, web, settings=settings, headers={"X": "{secret.KEY}"}, query={"k": "{secret.ODD}"}
        )
    failed(end, "outbound_refused", "may not be sent to")


async def test_a_secret_is_of_one_tenant_unless_it_is_said_to_be_of_another(world):
    async with serving(answer(200, "fine")) as web:
        flow = calling(web.url, headers={"X": "{secret.KEY}"})
        async with world(flow, **bound(web, "KEY", "acme:ODD")) as w, asyncio.timeout(20):
            await w.engine.catalog.publish_loaded("acme")
            failed(
                await w.end(await w.start("call", tenant="acme")),
                "secret_missing",
                "There is no secret KEY for workflows of tenant acme; `--secret acme:KEY@HOST` lets",
            )
            assert (await w.end(await w.start("call")))["result"] == "fine"


async def test_a_redirect_elsewhere_leaves_every_secret_behind(world):
    async with serving(answer(302, location="http://localhost:0/two")) as web:
        web.answers[:] = [
            answer(307, location="/one"),
            answer(302, location=f"http://localhost:{web.port}/two"),
            answer(200, "hi"),
        ]
        headers = {"Authorization": "Bearer {secret.KEY}", "Accept": "{secret.KEY}", "User-Agent": "me"}
        end = await outcome(world, web, headers=headers, follow_redirects=2)
    assert end["result"] == "hi"
    assert web.asked[1].headers["accept"] == PLAIN
    assert "s3cret" not in str(web.asked[2])
    assert web.asked[2].headers["user-agent"] == "me"


async def test_a_body_with_a_secret_is_not_redirected_elsewhere(world):
    async with serving(answer(200)) as web:
        web.answers[:] = [answer(308, location=f"http://localhost:{web.port}/"), answer(200)]
        options = {"method": "POST", "body": ["{secret.KEY}"], "follow_redirects": 1}
        end = await outcome(world, web, **options)
        failed(end, "outbound_refused", f"may not be sent to http://localhost:{web.port}")
        assert len(web.asked) == 1


async def test_a_file_gives_a_secret_and_another_one_from_the_next_request_on(world, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    async with serving(answer(200)) as web:
        flow = calling(web.url, headers={"X": "{secret.FILED}"})
        settings = {**bound(web, "FILED"), "secret_files": str(folder)}
        async with world(flow, **settings) as w, asyncio.timeout(20):
            for value in ("first-value", "second-value"):
                (folder / "FILED").write_text(value + "\n")
                await w.end(await w.start("call"))
    assert [asked.headers["x"] for asked in web.asked] == ["first-value", "second-value"]


@pytest.mark.parametrize(
    ("text", "tenant", "where"),
    [
        ("KEY@api.test", "default", "https://api.test:443"),
        ("KEY@API.test:8443", "default", "https://api.test:8443"),
        ("acme:KEY@http://[::1]:8080/", "acme", "http://[::1]:8080"),
    ],
)
def test_a_permission_is_spelled_as_a_name_and_an_origin(text, tenant, where):
    assert parse_permission(text) == SecretPermission("KEY", tenant, where)


def test_an_origin_has_one_spelling():
    assert format_origin("http", "API.test", None) == "http://api.test:80"


@pytest.mark.parametrize(
    "text",
    ["", "KEY", "key@x.test", "KEY@", "KEY@ftp://x.test", "KEY@x.test/path", "KEY@*.x.test", "KEY@me@x.test"],
)
def test_what_is_no_permission_is_refused(text):
    with pytest.raises(ValueError, match="expected NAME@HOST"):
        parse_permission(text)


# --- in documents ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{secret}", "{secret.key}", "{secret.KEY.x}", "{secret.0}"])
def test_a_place_names_one_secret(text):
    call = Http(name="call", request=Request(url="http://x.test", body={"a": [text]}, method="POST"))
    [fault] = faults(Document(workflow_id="w", version="v1", nodes=(call,)))
    assert fault == f"call: {text} is not a secret; expected {{secret.NAME}}, the name in capital letters"


def test_secrets_stand_in_requests_alone():
    ask = HumanInput(name="ask", prompt="{secret.KEY}", schema={}, params=(Param("n", "input"),))
    one = Concurrency(1, key="{secret.KEY}")
    found = faults(Document(workflow_id="w", version="v1", nodes=(ask,), concurrency=(one,)))
    assert len(found) == 2
    assert all("{secret.KEY} names no value" in fault for fault in found)


async def test_a_parameter_cannot_take_the_word_and_one_that_has_it_keeps_it(world):
    call = Http(
        name="call",
        params=(Param("secret", "input"),),
        request=Request(url="http://x.test/{secret.KEY}", output="/body"),
    )
    document = Document(workflow_id="old", version="v1", nodes=(call,))
    assert faults(document) == [
        "call: parameter secret: in a request this name stands for the secrets of the server"
    ]
    async with world(secrets=("KEY@http://x.test",)) as w, asyncio.timeout(20):
        await w.engine.documents.publish("default", document, 0)
        end = await w.end(await w.start("old"))
    failed(end, "input_mismatch", "{secret.KEY} leads nowhere")


def test_in_python_a_secret_makes_no_edge():
    document = calling("http://x.test/{input.id}", headers={"X": "{secret.KEY}"}).compile()
    assert [param.name for param in document.nodes[0].params] == ["input"]
    assert "{secret.KEY}" in str(document_to_json(document))
