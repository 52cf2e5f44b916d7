"""Around runs: workflows, tokens, signs of life, metrics."""

from __future__ import annotations

import pytest

from infraweave.core.access import is_token
from infraweave.errors import StorageUnavailable
from tests.api.conftest import told

# --- workflows ---------------------------------------------------------------------------------------------


async def test_workflows_are_listed_with_their_versions(api):
    found = (await api.get("/v1/workflows")).json()["workflows"]
    assert [w["workflow_id"] for w in found] == ["asking", "failing", "flaky", "quick"]
    assert found[0] == {"workflow_id": "asking", "active_version": "v1", "versions": ["v1"], "open_runs": 0}


async def test_a_workflow_shows_its_versions_and_their_open_runs(api):
    await api.asked()
    await api.asked()
    shown = (await api.get("/v1/workflows/asking")).json()
    (version,) = shown["versions"]
    assert (shown["workflow_id"], shown["active_version"]) == ("asking", "v1")
    assert (version["version"], version["active"], version["open_runs"]) == ("v1", True, 2)


async def test_a_version_is_its_definition_document(api):
    document = (await api.get("/v1/workflows/asking/versions/v1")).json()
    assert (document["workflow_id"], document["version"]) == ("asking", "v1")
    assert [node["name"] for node in document["nodes"]] == ["prepare", "approval", "finish"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/workflows/none", "workflow_not_found"),
        ("/v1/workflows/none/versions/v1", "workflow_not_found"),
        ("/v1/workflows/quick/versions/v9", "version_not_found"),
    ],
)
async def test_what_does_not_exist_is_404(api, path, code):
    assert told(await api.get(path)) == (404, code)


async def test_activating_a_version_answers_with_the_workflow(api):
    answer = await api.http.put("/v1/workflows/quick/active", json={"version": "v1"})
    assert (answer.status_code, answer.json()["active_version"]) == (200, "v1")
    wrong = await api.http.put("/v1/workflows/quick/active", json={"version": "v9"})
    assert told(wrong) == (404, "version_not_found")
    none = await api.http.put("/v1/workflows/none/active", json={"version": "v1"})
    assert told(none) == (404, "workflow_not_found")


# --- tokens ------------------------------------------------------------------------------------------------


async def test_a_token_is_told_once_and_works(api):
    body = {"tenant": "acme", "principal": "bob", "grants": ["read:workflow:*"], "expires": "90d"}
    answer = await api.post("/v1/tokens", body)
    made = answer.json()
    assert answer.status_code == 201
    assert set(made) == {"token", "token_id", "tenant", "principal", "grants", "expires_at"}
    assert is_token(made["token"])
    assert (made["tenant"], made["grants"], made["expires_at"]) == (
        "acme",
        ["read:workflow:*"],
        "2026-04-01T00:00:00.000Z",
    )
    bob = await api.with_headers({"Authorization": f"Bearer {made['token']}"})
    assert (await bob.get("/v1/whoami")).json()["tenant"] == "acme"
    assert len((await bob.get("/v1/workflows")).json()["workflows"]) == 4
    assert made["token"] not in (await api.get("/v1/tokens")).text


async def test_a_token_without_expires_never_expires(api):
    made = (await api.post("/v1/tokens", {"tenant": "default", "principal": "p", "grants": []})).json()
    assert made["expires_at"] is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"grants": ["read:workflow:*", "fly:workflow:*"]}, "/grants/1"),
        ({"grants": ["admin:workflow:*"]}, "/grants/0"),
        ({"expires": "soon"}, "/expires"),
        ({"grants": "read"}, "/grants"),
    ],
)
async def test_a_token_that_does_not_fit_is_refused_and_not_made(api, body, path):
    answer = await api.post("/v1/tokens", {"tenant": "default", "principal": "p", **body})
    assert told(answer) == (400, "malformed_request")
    assert [detail["path"] for detail in answer.json()["error"]["details"]] == [path]
    assert len((await api.get("/v1/tokens")).json()["tokens"]) == 1


async def test_a_revoked_token_stays_listed_with_its_end(api):
    made = (await api.post("/v1/tokens", {"tenant": "default", "principal": "p", "grants": []})).json()
    for _ in range(2):
        answer = await api.http.delete(f"/v1/tokens/{made['token_id']}")
        assert (answer.status_code, answer.json()["revoked_at"]) == (200, "2026-01-01T00:00:00.000Z")
    assert told(await api.http.delete("/v1/tokens/tok_none")) == (404, "token_not_found")


# --- signs of life -----------------------------------------------------------------------------------------


async def test_the_open_routes_need_no_token_and_tell_nothing(api):
    nobody = await api.with_headers({})
    assert (await nobody.get("/healthz")).json() == {"status": "ok"}
    assert (await nobody.get("/readyz")).json() == {"status": "ready"}
    assert (await nobody.get("/openapi.json")).status_code == 200


async def test_while_draining_it_lives_is_not_ready_and_takes_nothing_new(api):
    run_id, _ = await api.asked()
    api.server.engine.begin_drain()
    assert (await api.get("/healthz")).status_code == 200
    assert told(await api.get("/readyz")) == (503, "draining")
    start = await api.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": 1}})
    assert told(start) == (503, "draining")
    assert told(await api.post(f"/v1/runs/{run_id}/cancel")) == (503, "draining")
    assert (await api.get(f"/v1/runs/{run_id}")).status_code == 200


async def test_a_database_that_cannot_be_written_is_not_ready(api, monkeypatch):
    async def fails(_):
        raise StorageUnavailable("/secret/path/of.db is full")

    monkeypatch.setattr(type(api.server.engine.db), "ping", fails)
    answer = await api.get("/readyz")
    assert told(answer) == (503, "storage_unavailable")
    assert "secret" not in answer.text


async def test_metrics_are_prometheus_text_and_count(api):
    await api.ended()
    await api.ended("failing")
    await api.get("/nothing")
    answer = await api.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'infraweave_runs{state="succeeded"} 1.0' in lines
    assert 'infraweave_runs{state="failed"} 1.0' in lines
    assert 'infraweave_http_requests_total{method="POST",route="/v1/runs",status="201"} 2.0' in lines
    assert 'infraweave_http_requests_total{method="-",route="(none)",status="404"} 1.0' in lines
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["infraweave_events_total"]) >= 10
    assert 1 <= float(values["infraweave_commits_total"]) <= float(values["infraweave_events_total"])
    for gauge in ("queue_depth", "slots_used", "event_streams"):
        assert float(values[f"infraweave_{gauge}"]) == 0


async def test_an_operator_of_one_tenant_is_told_the_totals_of_that_tenant_alone(api):
    for _ in range(3):
        await api.ended()
    other = await api.other("operate:workflow:*", "execute:workflow:*", tenant="elsewhere")
    await other.start("asking")
    text = (await other.get("/metrics")).text
    assert 'infraweave_runs{state="succeeded"} 0.0' in text
    assert 'infraweave_runs{state="running"} 1.0' in text
    assert "infraweave_http_requests" not in text
    assert "infraweave_commits" not in text
    assert 'infraweave_runs{state="succeeded"} 3.0' in (await api.get("/metrics")).text


async def test_labels_do_not_grow_with_what_callers_make_up(api):
    for number in range(20):
        await api.get(f"/v1/runs/run_{number}")
        await api.get(f"/made/up/{number}")
    text = (await api.get("/metrics")).text
    assert "run_1" not in text
    assert "made" not in text
