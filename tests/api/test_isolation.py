"""Two tenants, every route of the description, every principal of one against every id of the other.

Whatever belongs to the other tenant is answered exactly like what never was, is listed nowhere, and stays as
it is. Nobody here is an admin: that grant is on all tenants.
"""

from __future__ import annotations

import json
import re

import httpx
import pytest

from infraweave.core.access import ACTIONS
from tests.api.test_auth import BODIES

#: Every grant but admin, on all workflows; then each by itself; then none.
PRINCIPALS = {
    "all": [f"{action}:workflow:*" for action in ACTIONS if action != "admin"],
    **{action: [f"{action}:workflow:*"] for action in ACTIONS if action != "admin"},
    "none": [],
}
NODES = [
    {"name": "nap", "kind": "timer", "delay": 86_400},
    {"name": "ask", "kind": "human_input", "prompt": "Well?", "schema": {}},
]
TABLES = (
    "runs",
    "run_tags",
    "events",
    "input_requests",
    "documents",
    "workflows",
    "schedules",
    "webhooks",
    "grants",
    "principals",
)
#: What is written about callers beside their requests, whenever a second is over.
LEDGER = ("Principals.record_use", "AuditLog.prune", "audit_row_beyond")
#: Parts of an answer that name what was asked for, or the request.
HEADERS = {"date", "content-length", "x-request-id"}


async def furnish(api, tenant):
    """Give a tenant one of everything; return the ids by the names of path parameters."""
    owner = await api.other(*PRINCIPALS["all"], tenant=tenant, name="owner")
    workflow = f"secret-{tenant}"
    await owner.post("/v1/workflows", {"workflow_id": workflow, "version": f"v-{tenant}", "nodes": NODES})
    started = await owner.post("/v1/runs", {"workflow_id": workflow, "tags": {"of": tenant}})
    await owner.post("/v1/schedules", {"workflow_id": workflow, "name": "s", "every": "1h"})
    await owner.post("/v1/webhooks", {"workflow_id": workflow, "name": f"hook-{tenant}"})
    tokens = await api.server.engine.principals.list_tokens(tenant)
    return {
        "run_id": started.json()["run_id"],
        "workflow_id": workflow,
        "version": f"v-{tenant}",
        "token_id": tokens[0].token_id,
        "schedule_id": f"{workflow}:s",
        "webhook": f"hook-{tenant}",
        "name": "go",
    }


#: What never was, of the same form.
NEVER = {
    "run_id": "run_01J9ZK3V7RC5D8E2F4G6H8J0KM",
    "workflow_id": "secret-never",
    "version": "v-never",
    "token_id": "tok_01J9ZK3V7RC5D8E2F4G6H8J0KM",
    "schedule_id": "secret-never:s",
    "webhook": "hook-never",
    "name": "go",
}


async def ask(someone, method, path, operation, ids):
    """Ask a route about some ids: in its path, its query and its body."""
    body = BODIES.get(operation["operationId"])
    if body is not None:
        # What is published is the caller's own.
        meant = "own" if operation["operationId"] == "publish_workflow" else ids["workflow_id"]
        body = json.loads(re.sub(r'"(quick|asking)"', f'"{meant}"', json.dumps(body)))
    wanted = {
        p["name"]: ids["version"] for p in operation["parameters"] if p["in"] == "query" and p["required"]
    }
    takes = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
    wanted |= {"workflow_id": ids["workflow_id"]} if "workflow_id" in takes else {}
    headers = {"Accept": "application/json"} if path.endswith("/events") else {}
    path = path.format(**ids)
    async with someone.http.stream(method, path, json=body, params=wanted, headers=headers) as answer:
        if path == "/v1/runs/changes":  # it never ends, and has nothing to tell yet
            return httpx.Response(answer.status_code, headers=answer.headers)
        await answer.aread()
    return answer


def plain(answer, ids):
    """Return an answer without what the caller said himself."""
    text = answer.text
    for value in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(value, "ID")
    text = text.replace(answer.headers["X-Request-Id"], "REQ")
    heads = {name: value for name, value in answer.headers.items() if name not in HEADERS}
    return answer.status_code, text, heads


def operations(spec):
    return [
        (method.upper(), path, operation)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        # Files that hold nothing of anybody, and what is about the caller's own token.
        if not path.startswith(("/console", "/v1/sign-"))
    ]


async def rows_of(api, tenant):
    """Return all that the file holds of a tenant."""
    engine = api.server.engine

    def read(db):
        found = {}
        for table in TABLES:
            columns = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
            if "tenant" in columns:
                found[table] = db.execute(f"SELECT * FROM {table} WHERE tenant = ?", (tenant,)).fetchall()
            else:
                keys = "SELECT run_key FROM runs WHERE tenant = ?"
                found[table] = db.execute(
                    f"SELECT * FROM {table} WHERE run_key IN ({keys})", (tenant,)
                ).fetchall()
        tokens = "SELECT token_id, revoked_at FROM tokens WHERE tenant = ?"
        return {**found, "tokens": db.execute(tokens, (tenant,)).fetchall()}

    return await engine.db.transact(read)


@pytest.mark.parametrize(("ours", "theirs"), [("default", "elsewhere"), ("elsewhere", "default")])
async def test_what_belongs_to_another_tenant_is_as_if_it_never_was(api, ours, theirs):
    spec = (await api.get("/openapi.json")).json()
    # Who only has the ids of the other tenant, and has everything of the same names himself.
    ids, _ = await furnish(api, theirs), await furnish(api, ours)
    callers = {name: await api.other(*grants, tenant=ours, name=name) for name, grants in PRINCIPALS.items()}
    before = await rows_of(api, theirs)
    asked = 0
    for name, someone in callers.items():
        for method, path, operation in operations(spec):
            found = await ask(someone, method, path, operation, ids)
            never = await ask(someone, method, path, operation, NEVER)
            where = (name, method, path)
            if operation["operationId"] not in ("metrics", "status", "openapi", "publish_workflow"):
                assert plain(found, ids) == plain(never, NEVER), where
            if "{" in path:
                assert found.status_code in (403, 404), where
            if operation["operationId"].startswith("list_"):
                assert not any(value in found.text for key, value in ids.items() if key != "name"), where
            asked += 1
    assert asked == len(PRINCIPALS) * len(operations(spec)) > 300
    assert await rows_of(api, theirs) == before


@pytest.mark.parametrize("part", ["workflow_id", "schedule_id", "run_id", "version", "token_id", "webhook"])
async def test_no_list_and_no_filter_shows_what_is_anothers(api, part):
    ids = await furnish(api, "elsewhere")
    stranger = await api.other(*PRINCIPALS["all"], name="stranger")
    for path in (
        *("/v1/runs", "/v1/runs?tag=of:elsewhere", "/v1/workflows", "/v1/schedules", "/v1/webhooks"),
        *("/v1/input-requests", "/v1/input-requests?workflow_id=secret-elsewhere"),
    ):
        answer = await stranger.get(path)
        assert answer.status_code == 200
        assert ids[part] not in answer.text
    owner = await api.other(*PRINCIPALS["all"], tenant="elsewhere", name="owner")
    assert (await owner.get("/v1/input-requests")).json()["total"] == 1


async def test_who_may_not_publish_all_learns_of_no_webhook_that_it_exists(api):
    await api.post("/v1/webhooks", {"workflow_id": "quick", "name": "there"})
    for grants in ([], ["publish:workflow:asking"]):
        eve = await api.other(*grants)
        there, none = [await eve.http.delete(f"/v1/webhooks/{name}") for name in ("there", "none")]
        assert there.status_code == none.status_code == 403
        assert there.json()["error"]["message"] == none.json()["error"]["message"].replace("none", "there")
    assert len((await api.get("/v1/webhooks")).json()["webhooks"]) == 1


async def test_a_stranger_costs_the_same_look_at_the_file_whatever_it_asks_for(api, monkeypatch):
    """The time of an answer follows from the statements it takes: they are the same ones."""
    ids = await furnish(api, "elsewhere")
    stranger = await api.other(*PRINCIPALS["all"], name="stranger")
    spec = (await api.get("/openapi.json")).json()
    database, looks = type(api.server.engine.db), []
    read, peek, transact = database.read, database.try_peek, database.transact

    async def reading(self, name, params=()):
        looks.append(name)
        return await read(self, name, params)

    def peeking(self, name, params=()):
        looks.append(name)
        return peek(self, name, params)

    async def writing(self, work, record=None):
        looks.append(work.__qualname__)
        return await transact(self, work, record)

    monkeypatch.setattr(database, "read", reading)
    monkeypatch.setattr(database, "try_peek", peeking)
    monkeypatch.setattr(database, "transact", writing)
    for method, path, operation in operations(spec):
        if "{" not in path:
            continue
        seen = []
        for asked in (ids, NEVER, ids, NEVER):
            looks.clear()
            await ask(stranger, method, path, operation, asked)
            assert looks, (method, path)
            seen.append([look for look in looks if not look.startswith(LEDGER)])
        assert seen[2] == seen[3], (method, path)
