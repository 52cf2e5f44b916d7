"""From the code that the server printed to a token, and out again."""

from __future__ import annotations

import pytest

from infraweave.engine.access.sign_in_codes import CODE_LIFE, MAX_WRONG
from tests.api.conftest import told


@pytest.fixture
async def nobody(api):
    """Someone without a token."""
    return await api.with_headers({})


async def sign_in(someone, code):
    return await someone.post("/v1/sign-in", {"code": code})


async def test_a_code_becomes_a_token_of_twelve_hours(api, nobody, clock):
    answer = await sign_in(nobody, api.server.sign_in_code)
    assert answer.status_code == 200
    signed_in = answer.json()
    assert (signed_in["tenant"], signed_in["principal"]) == ("default", "admin")
    assert "operate:workflow:*" in signed_in["grants"]
    person = await api.with_headers({"Authorization": f"Bearer {signed_in['token']}"})
    assert (await person.get("/v1/whoami")).json()["principal"] == "admin"
    await clock.advance(12 * 3600)
    assert told(await person.get("/v1/whoami")) == (401, "unauthenticated")


async def test_wrong_used_and_expired_codes_are_refused_in_the_same_words(api, nobody, clock):
    code = api.server.sign_in_code
    await sign_in(nobody, code)
    late = api.server.engine.sign_in.new_code()
    await clock.advance(CODE_LIFE)
    refused = [await sign_in(nobody, text) for text in ("wrong", code, late)]
    assert {told(answer) for answer in refused} == {(401, "unauthenticated")}
    assert len({answer.json()["error"]["message"] for answer in refused}) == 1
    assert all(answer.headers["WWW-Authenticate"] == "Bearer" for answer in refused)


async def test_guessing_is_limited_and_keeps_nobody_out(api, nobody, clock):
    for _ in range(MAX_WRONG):
        assert told(await sign_in(nobody, "wrong")) == (401, "unauthenticated")
    answer = await sign_in(nobody, "wrong")
    assert told(answer) == (429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert (await sign_in(nobody, api.server.sign_in_code)).status_code == 200
    await clock.advance(61)
    assert told(await sign_in(nobody, "wrong")) == (401, "unauthenticated")


async def test_a_code_of_a_principal_that_lost_its_grants_is_good_for_nothing(api, nobody):
    other = await api.other("admin:tenant:*", name="boss")
    who = {"tenant": "default", "principal": "admin"}
    assert (await other.http.delete("/v1/admin/principals", params=who)).status_code in (200, 204)
    assert told(await sign_in(nobody, api.server.sign_in_code)) == (401, "unauthenticated")


async def test_signing_in_and_out_is_in_the_audit_log(api, nobody):
    token = (await sign_in(nobody, api.server.sign_in_code)).json()["token"]
    person = await api.with_headers({"Authorization": f"Bearer {token}"})
    assert (await person.post("/v1/sign-out")).status_code == 204
    assert told(await person.get("/v1/whoami")) == (401, "unauthenticated")
    rows = (await api.get("/v1/audit")).json()["audit"]
    found = {row["action"]: row for row in rows if row["action"].startswith("sign_")}
    assert set(found) == {"sign_in", "sign_out"}
    assert {row["principal"] for row in found.values()} == {"admin"}
    assert found["sign_in"]["resource"] == found["sign_out"]["resource"]


async def test_signing_out_ends_that_tokens_streams(api, nobody):
    token = (await sign_in(nobody, api.server.sign_in_code)).json()["token"]
    person = await api.with_headers({"Authorization": f"Bearer {token}"})
    run_id, _ = await api.asked()
    async with person.http.stream("GET", f"/v1/runs/{run_id}/events") as answer:
        assert answer.status_code == 200
        await person.post("/v1/sign-out")
        assert b"input_requested" in await answer.aread()
