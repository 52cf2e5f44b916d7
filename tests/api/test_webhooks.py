"""Webhooks through the door: made with a secret, delivered to with a signature, and closed to all others."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter

import pytest

from infraweave import Workflow
from infraweave.core.workflow.webhooks import sign, sign_standard, signing_key
from infraweave.errors import WebhookNotFound
from infraweave.settings import Settings
from tests.api.conftest import told

SECRET = "a secret of many letters"
HOOK = {"workflow_id": "quick", "name": "order", "secret": SECRET}
BODY = b'{"amount": 21}'


@pytest.fixture
async def hook(api):
    return (await api.post("/v1/webhooks", HOOK)).json()


@pytest.fixture
async def sender(api):
    """Someone without a token."""
    return await api.with_headers({})


def signed(body=BODY, secret=SECRET, **headers):
    given = {"X-Signature": f"sha256={sign(secret.encode(), body)}", **headers}
    return {"content": body, "headers": {name.replace("_", "-"): value for name, value in given.items()}}


async def test_a_webhook_is_made_and_its_secret_is_told_once(api):
    answer = await api.post("/v1/webhooks", {"workflow_id": "quick", "name": "order"})
    made = answer.json()

    assert answer.status_code == 201
    assert made.pop("secret").startswith("whsec_")
    assert made == {
        "name": "order",
        "workflow_id": "quick",
        "path": "/hooks/order",
        "declared_in": None,
        "secret_env": None,
        "scheme": "hex",
        "signature_header": "X-Signature",
        "timestamp_header": None,
        "tolerance": "5m",
        "delivery": "X-Delivery-Id",
        "input": "{body}",
    }
    assert (await api.get("/v1/webhooks")).json() == {"webhooks": [made]}
    assert (await api.get("/v1/webhooks?workflow_id=asking")).json() == {"webhooks": []}


async def test_a_signed_delivery_starts_a_run_of_its_body(api, sender, hook):
    answer = await sender.http.post("/hooks/order", **signed(X_Delivery_Id="d1"))
    body = answer.json()

    assert answer.status_code == 201
    assert set(body) == {"run_id", "state", "workflow_id", "workflow_version", "started_at"}
    run = (await api.get(answer.headers["Location"])).json()
    assert (run["trigger"], run["input"]) == ("webhook", {"amount": 21, "note": ""})
    assert run["tags"] == {"webhook": "order", "delivery_id": "d1"}


async def test_a_generated_secret_signs(api, sender):
    made = (await api.post("/v1/webhooks", {"workflow_id": "quick", "name": "own"})).json()
    assert (await sender.http.post("/hooks/own", **signed(secret=made["secret"]))).status_code == 201


async def test_standard_webhooks_are_taken_as_their_senders_make_them(api, sender, clock):
    made = (await api.post("/v1/webhooks", {**HOOK, "secret": None, "scheme": "standard"})).json()
    assert (made["signature_header"], made["timestamp_header"]) == ("webhook-signature", "webhook-timestamp")
    assert made["delivery"] == "webhook-id"
    key, stamp = signing_key("standard", made["secret"].encode()), str(clock.now() // 1000)
    given = {"webhook-id": "msg_1", "webhook-timestamp": stamp}
    right = {**given, "webhook-signature": f"v1,{sign_standard(key, BODY, 'msg_1', stamp)}"}

    first = await sender.http.post("/hooks/order", content=BODY, headers=right)
    again = await sender.http.post("/hooks/order", content=BODY, headers=right)
    forged = await sender.http.post("/hooks/order", content=BODY, headers={**right, "webhook-id": "msg_2"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert told(forged) == (404, "webhook_not_found")
    run = (await api.get(first.headers["Location"])).json()
    assert (run["input"], run["tags"]["delivery_id"]) == ({"amount": 21, "note": ""}, "msg_1")
    await clock.advance(301)
    assert told(await sender.http.post("/hooks/order", content=BODY, headers=right)) == (
        404,
        "webhook_not_found",
    )


async def test_a_secret_that_is_none_of_standard_webhooks_is_refused(api):
    answer = await api.post("/v1/webhooks", {**HOOK, "scheme": "standard"})
    assert told(answer) == (422, "definition_invalid")
    (detail,) = answer.json()["error"]["details"]
    assert detail == {
        "path": "/secret",
        "message": "secret: expected whsec_ and at least 16 bytes in base64",
    }


async def test_a_delivery_that_comes_again_is_the_same_run(api, sender, hook):
    first = await sender.http.post("/hooks/order", **signed(X_Delivery_Id="d1"))
    other_body = await sender.http.post("/hooks/order", **signed(b'{"amount": 5}', X_Delivery_Id="d1"))
    other_id = await sender.http.post("/hooks/order", **signed(X_Delivery_Id="d2"))
    nameless = [await sender.http.post("/hooks/order", **signed()) for _ in range(2)]

    assert "Idempotent-Replayed" not in first.headers
    assert (other_body.status_code, other_body.headers["Idempotent-Replayed"]) == (200, "true")
    assert other_body.json()["run_id"] == first.json()["run_id"]
    assert [answer.status_code for answer in nameless] == [201, 200]
    assert len({a.json()["run_id"] for a in (first, other_id, *nameless)}) == 3


async def test_many_of_one_delivery_at_once_make_one_run(api, sender, hook):
    answers = await asyncio.gather(
        *(sender.http.post("/hooks/order", **signed(X_Delivery_Id="d1")) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len((await api.get("/v1/runs")).json()["runs"]) == 1


async def test_whatever_does_not_pass_gets_one_and_the_same_answer(api, sender, hook):
    """An unknown name, another tenant's, no signature, a wrong one, one of another body or another secret."""
    right = signed()
    attempts = [
        ("/hooks/none", right),
        ("/hooks/acme:order", right),
        ("/hooks/:order", right),
        ("/hooks/order", {"content": BODY}),
        ("/hooks/order", signed(secret="guessed")),
        ("/hooks/order", {**right, "content": b'{"amount": 22}'}),
        ("/hooks/order", {"content": b"not json", "headers": right["headers"]}),
        ("/hooks/order", {"content": b"", "headers": {"X-Signature": "sha256="}}),
        ("/hooks/order", {"content": BODY, "headers": [(b"X-Signature", b"sha256=\xc3\xa9\xff")]}),
        ("/hooks/order", signed(X_Signature="sha256=" + "f" * 8000)),
        ("/hooks/" + "x" * 2000, right),
    ]
    answers = [await sender.http.post(path, **given) for path, given in attempts]

    assert {told(answer) for answer in answers} == {(404, "webhook_not_found")}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_the_log_of_the_server_says_why_a_delivery_did_not_pass(api, sender, hook, caplog):
    await sender.http.post("/hooks/order", content=BODY)
    await sender.http.post("/hooks/order", **signed(secret="guessed"))
    await api.post("/v1/webhooks", {**HOOK, "name": "std", "secret": None, "scheme": "standard"})
    await sender.http.post("/hooks/std", content=BODY, headers={"webhook-signature": "v1,AAAA"})

    refused = "%s of tenant %s refused a delivery: %s"
    said = [f"{r.args[0]}: {r.args[2]}" for r in caplog.records if refused in r.msg]
    assert said == [
        "order: it has no header X-Signature",
        "order: its signature or its time of signing does not fit",
        "std: it has no header webhook-timestamp",
    ]


async def test_names_that_there_are_not_are_refused_by_the_very_same_steps(api, sender, hook, caplog):
    hooks, headers = api.server.engine.webhooks, {"x-signature": "sha256=" + "0" * 64}

    async def steps(name):
        seen = []

        def watch(frame, event, _):
            if event == "call" and "/infraweave/" in frame.f_code.co_filename:
                seen.append(frame.f_code.co_name)

        with pytest.raises(WebhookNotFound):
            await hooks.authenticate(name, headers, BODY)  # once before: what is read first is kept
        sys.setprofile(watch)
        try:
            with pytest.raises(WebhookNotFound):
                await hooks.authenticate(name, headers, BODY)
        finally:
            sys.setprofile(None)
        work = {"genuine", "_key", "is_authentic", "rejection_reason", "webhook_from_json", "_claim", "_mac"}
        work |= {"sanitize"}
        return Counter(name for name in seen if name in work)

    assert await steps("order") == await steps("none")
    refused = [record.args[2] for record in caplog.records if "refused a delivery" in record.msg]
    assert refused[1:3] == ["its signature or its time of signing does not fit", "there is none of that name"]


TIMED = {**HOOK, "timestamp_header": "X-Timestamp"}


def timed(clock, delivery=None, body=BODY, later=0):
    """A delivery whose time is signed; its id is not."""
    stamp = str(clock.now() // 1000 + later)
    given = {"X-Signature": f"sha256={sign(SECRET.encode(), body, stamp)}", "X-Timestamp": stamp}
    return {"content": body, "headers": given | ({} if delivery is None else {"X-Delivery-Id": delivery})}


async def test_one_signed_delivery_makes_one_run_whatever_id_is_written_beside_it(api, sender, clock):
    await api.post("/v1/webhooks", TIMED)
    sent = [timed(clock, delivery) for delivery in ("a", "b", None)]
    answers = await asyncio.gather(*(sender.http.post("/hooks/order", **one) for one in sent))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert len({answer.json()["run_id"] for answer in answers}) == 1


async def test_a_sender_that_tries_again_signs_anew_and_gets_its_run(api, sender, clock):
    await api.post("/v1/webhooks", TIMED)
    first = await sender.http.post("/hooks/order", **timed(clock, "a"))
    again = await sender.http.post("/hooks/order", **timed(clock, "a", later=30))
    other = await sender.http.post("/hooks/order", **timed(clock, "b", later=31))
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201]
    assert first.json()["run_id"] == again.json()["run_id"] != other.json()["run_id"]
    replayed = await sender.http.post("/hooks/order", **timed(clock, "c", later=30))
    assert (replayed.status_code, replayed.json()["run_id"]) == (200, first.json()["run_id"])


async def test_a_tag_that_a_caller_gives_stands_in_for_no_delivery(api, sender, clock):
    await api.post("/v1/webhooks", TIMED)
    one = timed(clock, "a")
    mark = hashlib.sha256(one["headers"]["X-Timestamp"].encode() + b"." + BODY).hexdigest()
    await api.start(tags={"delivery_signature": mark})
    assert (await sender.http.post("/hooks/order", **one)).status_code == 201


async def test_a_genuine_delivery_that_cannot_be_taken_is_told_why(api, sender, hook):
    deep = b'{"amount": ' + b"[" * 100 + b"]" * 100 + b"}"
    for body, refusal in [
        (b"{", (400, "malformed_request")),
        (b"", (400, "malformed_request")),
        (b'{"amount": 1e400}', (400, "malformed_request")),
        (b'{"amount": 99999999999999999999}', (400, "malformed_request")),
        (b'{"amount": "\\ud800"}', (400, "malformed_request")),
        (deep, (400, "malformed_request")),
        (b"null", (422, "input_invalid")),
        (b"[]", (422, "input_invalid")),
        (b'{"amount": "many"}', (422, "input_invalid")),
    ]:
        assert told(await sender.http.post("/hooks/order", **signed(body))) == refusal, body
    form = signed(b"payload=1", Content_Type="application/x-www-form-urlencoded")
    assert told(await sender.http.post("/hooks/order", **form)) == (415, "unsupported_media_type")
    assert told(await sender.http.get("/hooks/order")) == (405, "method_not_allowed")
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_a_large_delivery_is_refused_before_it_is_read(open_api):
    async with open_api(settings=Settings(max_body=100)) as api:
        answer = await api.http.post("/hooks/order", **signed(b" " * 101))
        assert told(answer) == (413, "payload_too_large")


async def test_the_time_of_signing_keeps_replays_out(api, sender, clock):
    body = {**HOOK, "timestamp_header": "X-Timestamp", "tolerance": "1m"}
    await api.post("/v1/webhooks", body)
    stamp = str(clock.now() // 1000)
    signature = f"sha256={sign(SECRET.encode(), BODY, stamp)}"
    given = {"content": BODY, "headers": {"X-Signature": signature, "X-Timestamp": stamp}}

    assert (await sender.http.post("/hooks/order", **given)).status_code == 201
    assert told(await sender.http.post("/hooks/order", **signed())) == (404, "webhook_not_found")
    await clock.advance(61)
    assert told(await sender.http.post("/hooks/order", **given)) == (404, "webhook_not_found")


async def test_an_input_is_mapped_as_the_webhook_says(api, sender):
    mapping = {"amount": "{body.order.amount}", "note": "{headers.x-github-event} {delivery_id}"}
    github = {
        "signature_header": "X-Hub-Signature-256",
        "delivery": "X-GitHub-Delivery",
        "input": mapping,
    }
    await api.post("/v1/webhooks", {**HOOK, **github})
    body = json.dumps({"order": {"amount": 7}}).encode()
    headers = {
        "X-Hub-Signature-256": f"sha256={sign(SECRET.encode(), body)}",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "d-1",
    }
    answer = await sender.http.post("/hooks/order", content=body, headers=headers)
    run = (await api.get(answer.headers["Location"])).json()

    assert run["input"] == {"amount": 7, "note": "push d-1"}
    lacking = b"{}"
    headers |= {"X-Hub-Signature-256": sign(SECRET.encode(), lacking), "X-GitHub-Delivery": "d-2"}
    answer = await sender.http.post("/hooks/order", content=lacking, headers=headers)
    assert told(answer) == (422, "input_invalid")
    assert "{body.order.amount} leads nowhere: there is no order" in answer.json()["error"]["message"]


async def test_a_declared_webhook_takes_its_secret_from_the_environment(serve, api_of, monkeypatch):
    flow = Workflow("declared", version="v1")
    flow.sleep("nap", 1)
    flow.webhook("pushed", secret_env="HOOK_SECRET")
    async with serve(flow) as server, api_of(server) as api:
        assert told(await api.http.post("/hooks/pushed", **signed(b"{}"))) == (404, "webhook_not_found")
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        assert (await api.http.post("/hooks/pushed", **signed(b"{}"))).status_code == 201
        (shown,) = (await api.get("/v1/webhooks")).json()["webhooks"]
        assert (shown["declared_in"], shown["secret_env"]) == ("v1", "HOOK_SECRET")
        document = (await api.get("/v1/workflows/declared/versions/v1")).json()
        assert document["webhooks"] == [{"name": "pushed", "secret_env": "HOOK_SECRET"}]
        assert told(await api.http.delete("/v1/webhooks/pushed")) == (409, "webhook_declared")


async def test_a_declared_webhook_may_be_signed_as_standard_webhooks(
    serve, api_of, monkeypatch, clock, caplog
):
    flow = Workflow("declared", version="v1")
    flow.sleep("nap", 1)
    flow.webhook("pushed", secret_env="HOOK_SECRET", scheme="standard")
    secret, stamp = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", str(clock.now() // 1000)
    signature = f"v1,{sign_standard(signing_key('standard', secret.encode()), b'{}', 'msg_1', stamp)}"
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signature}
    async with serve(flow) as server, api_of(server) as api:
        monkeypatch.setenv("HOOK_SECRET", "not in base64")
        refused = await api.http.post("/hooks/pushed", content=b"{}", headers=headers)
        assert told(refused) == (404, "webhook_not_found")
        assert "webhook pushed of tenant default refused a delivery: its secret is not valid" in caplog.text
        monkeypatch.setenv("HOOK_SECRET", secret)
        assert (await api.http.post("/hooks/pushed", content=b"{}", headers=headers)).status_code == 201
        document = (await api.get("/v1/workflows/declared/versions/v1")).json()
        pushed = {"name": "pushed", "secret_env": "HOOK_SECRET", "scheme": "standard"}
        assert document["webhooks"] == [pushed]


async def test_each_tenant_has_a_door_of_its_own(api, sender, hook):
    other = await api.other("publish:workflow:*", "read:workflow:*", tenant="acme & co/x:y")
    made = (await other.post("/v1/webhooks", {**HOOK, "secret": "another secret of acme"})).json()
    delivery = signed(secret="another secret of acme")

    assert made["path"].endswith(":order")
    assert (await sender.http.post(made["path"], **delivery)).status_code == 201
    assert told(await sender.http.post("/hooks/order", **delivery)) == (404, "webhook_not_found")
    assert (await api.get("/v1/runs")).json()["runs"] == []
    assert len((await other.get("/v1/runs")).json()["runs"]) == 1


async def test_a_deleted_webhook_is_closed(api, sender, hook):
    assert (await api.http.delete("/v1/webhooks/order")).status_code == 204
    assert told(await sender.http.post("/hooks/order", **signed())) == (404, "webhook_not_found")
    assert told(await api.http.delete("/v1/webhooks/order")) == (404, "webhook_not_found")


async def test_making_and_deleting_need_publish_on_the_workflow(api, hook):
    eve = await api.other("publish:workflow:asking", "read:workflow:asking")

    assert told(await eve.post("/v1/webhooks", {**HOOK, "name": "x"})) == (403, "acl_denied")
    assert told(await eve.http.delete("/v1/webhooks/order")) == (403, "acl_denied")
    assert (await eve.get("/v1/webhooks")).json() == {"webhooks": []}
    assert told(await api.post("/v1/webhooks", HOOK)) == (409, "webhook_conflict")
    stranger = await api.other("publish:workflow:*", tenant="acme")
    assert told(await stranger.http.delete("/v1/webhooks/order")) == (404, "webhook_not_found")


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"name": "a:b"}, 422, "definition_invalid"),
        ({"secret": "short"}, 400, "malformed_request"),
        ({"signature_header": "a b"}, 422, "definition_invalid"),
        ({"tolerance": "soon"}, 400, "malformed_request"),
        ({"tolerance": "2d"}, 422, "definition_invalid"),
        ({"input": "{input}"}, 422, "definition_invalid"),
        ({"secret_env": "PATH"}, 400, "malformed_request"),
        ({"workflow_id": "none"}, 404, "workflow_not_found"),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_is_made(api, changed, status, code):
    assert told(await api.post("/v1/webhooks", {**HOOK, **changed})) == (status, code)
    assert (await api.get("/v1/webhooks")).json() == {"webhooks": []}


async def test_a_webhook_that_another_workflow_has_is_refused_at_the_load(serve, api):
    from infraweave.errors import WebhookConflict

    await api.post("/v1/webhooks", HOOK)
    flow = Workflow("declared", version="v1")
    flow.sleep("nap", 1)
    flow.webhook("order", secret_env="HOOK_SECRET")
    documents, now = api.server.engine.documents, 0
    with pytest.raises(WebhookConflict, match="webhook order, but tenant default already has it"):
        await documents.load("default", flow.compile(), now)
    assert await documents.active_version("default", "declared") is None
