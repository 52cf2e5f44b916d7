"""Administration over HTTP, and that what is taken away ends what is open."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.conftest import told

WHO = {"tenant": "acme", "principal": "ci"}


async def test_tenants_principals_and_grants_are_made_listed_and_taken_away(api):
    assert (await api.post("/v1/admin/tenants", {"tenant": "acme"})).status_code == 201
    made = await api.post("/v1/admin/principals", {**WHO, "grants": ["read:workflow:*"]})
    assert (made.status_code, made.json()["grants"]) == (201, ["read:workflow:*"])
    more = await api.post("/v1/admin/grants", {**WHO, "grants": ["execute:workflow:quick"]})
    assert more.json()["grants"] == ["execute:workflow:quick", "read:workflow:*"]
    tenants = (await api.get("/v1/admin/tenants")).json()["tenants"]
    assert [(row["tenant"], row["principals"]) for row in tenants] == [("acme", 1), ("default", 1)]
    grants = (await api.get("/v1/admin/grants?tenant=acme")).json()["grants"]
    assert grants == [{**WHO, "grant": grant} for grant in ("execute:workflow:quick", "read:workflow:*")]
    gone = {"params": {**WHO, "grant": "read:workflow:*"}}
    assert (await api.http.delete("/v1/admin/grants", **gone)).json()["grants"] == ["execute:workflow:quick"]
    assert told(await api.http.delete("/v1/admin/grants", **gone)) == (404, "grant_not_found")
    assert (await api.http.delete("/v1/admin/principals", params=WHO)).status_code == 204
    assert (await api.get("/v1/admin/principals?tenant=acme")).json() == {"principals": []}


async def test_what_is_not_there_is_named(api):
    assert told(await api.post("/v1/admin/grants", {**WHO, "grants": []})) == (404, "tenant_not_found")
    await api.post("/v1/admin/tenants", {"tenant": "acme"})
    assert told(await api.http.delete("/v1/admin/principals", params=WHO)) == (404, "principal_not_found")
    assert told(await api.http.delete("/v1/admin/principals")) == (400, "malformed_request")
    wrong = await api.post("/v1/admin/principals", {**WHO, "grants": ["fly:workflow:*"]})
    assert told(wrong) == (400, "malformed_request")
    assert (await api.get("/v1/admin/principals?tenant=acme")).json() == {"principals": []}


async def test_a_new_tenant_can_run_what_is_loaded(api):
    await api.post("/v1/admin/tenants", {"tenant": "acme"})
    assert "quick" in [w.workflow_id for w in await api.server.engine.documents.list("acme")]


async def test_a_deleted_principal_is_a_stranger_from_its_next_request_on(api):
    eve = await api.other("read:workflow:*")
    assert (await eve.get("/v1/whoami")).status_code == 200
    await api.http.delete("/v1/admin/principals", params={"tenant": "default", "principal": "eve"})
    assert told(await eve.get("/v1/whoami")) == (401, "unauthenticated")


# --- open streams ------------------------------------------------------------------------------------------


async def _token_id(api):
    tokens = (await api.get("/v1/tokens")).json()["tokens"]
    return next(token["token_id"] for token in tokens if token["principal"] == "eve")


async def revoke(api, clock):
    await api.http.delete(f"/v1/tokens/{await _token_id(api)}")


async def take_the_grant(api, clock):
    gone = {"tenant": "default", "principal": "eve", "grant": "read:workflow:*"}
    await api.http.delete("/v1/admin/grants", params=gone)


async def delete_the_principal(api, clock):
    await api.http.delete("/v1/admin/principals", params={"tenant": "default", "principal": "eve"})


async def let_it_expire(api, clock):
    await clock.advance(3600)


@pytest.mark.parametrize("end", [revoke, take_the_grant, delete_the_principal, let_it_expire])
async def test_what_is_taken_away_ends_open_streams_cleanly(api, clock, end):
    run_id, _ = await api.asked()
    token = await api.token("read:workflow:*", life=3_600_000)
    eve = await api.with_headers({"Authorization": f"Bearer {token}"})
    async with eve.http.stream("GET", f"/v1/runs/{run_id}/events") as answer:
        lines = answer.aiter_lines()
        while "event: input_requested" not in await anext(lines):
            pass
        await end(api, clock)
        async with asyncio.timeout(5):
            left = [line async for line in lines]
    assert [line for line in left if line.startswith("event:")] == []


async def test_a_change_that_concerns_others_ends_no_stream(api):
    run_id, _ = await api.asked()
    eve = await api.other("read:workflow:*")
    await api.other("read:workflow:*", name="bob")
    async with eve.http.stream("GET", f"/v1/runs/{run_id}/events") as answer:
        lines = answer.aiter_lines()
        while "event: input_requested" not in await anext(lines):
            pass
        await api.http.delete("/v1/admin/principals", params={"tenant": "default", "principal": "bob"})
        await api.post(f"/v1/runs/{run_id}/signals/approval", {"payload": {"approved": True}})
        rest = [line async for line in lines]
    assert "event: completed" in rest


async def test_a_long_poll_is_answered_with_nothing_once_its_token_is_revoked(api, clock):
    run_id, _ = await api.asked()
    eve = await api.other("read:workflow:*")
    head = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
    params = {"after": head, "wait": 60}
    path, accept = f"/v1/runs/{run_id}/events", {"Accept": "application/json"}
    poll = asyncio.create_task(eve.get(path, params=params, headers=accept))
    while not api.server.engine.revocation._rechecks:  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)
    await revoke(api, clock)
    assert (await poll).json()["events"] == []
