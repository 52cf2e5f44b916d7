"""Who may pass: fails closed, and says the same words for every cause."""

from __future__ import annotations

import pytest

from infraweave.api.http.metrics import Metrics
from infraweave.api.routes import routes
from infraweave.core.access import make_token
from infraweave.engine.clock import token_secret
from tests.api.conftest import told

BODIES = {
    "start_run": {"workflow_id": "quick", "input": {"amount": 1}},
    "start_runs": {"runs": [{"workflow_id": "quick", "input": {"amount": 1}}]},
    "send_signal": {},
    "activate_version": {"version": "v1"},
    "publish_workflow": {"workflow_id": "asking", "nodes": [{"name": "nap", "kind": "timer", "delay": 1}]},
    "create_token": {"tenant": "default", "principal": "p", "grants": []},
    "admin_create_token": {"tenant": "default", "principal": "p", "grants": []},
    "create_tenant": {"tenant": "acme"},
    "create_principal": {"tenant": "acme", "principal": "p"},
    "add_grants": {"tenant": "acme", "principal": "p", "grants": ["read:workflow:*"]},
    "create_schedule": {"workflow_id": "quick", "name": "s", "every": "1h"},
    "change_schedule": {"every": "1h"},
    "create_webhook": {"workflow_id": "quick", "name": "h"},
    "deliver": {},
    "sign_in": {"code": "none"},
}


def table(api):
    engine = api.server.engine
    return routes(engine, engine.settings, Metrics(engine))


def path_of(route, run_id):
    values = {
        "run_id": run_id,
        "name": "approval",
        "workflow_id": "asking",
        "version": "v1",
        "token_id": "tok_x",
        "schedule_id": "asking:s",
        "webhook": "h",
        "path": "runs",
        "file": "app.js",
    }
    return route.path.format(**values)


async def ask(api, route, run_id, **more):
    return await api.http.request(route.method, path_of(route, run_id), json=BODIES.get(route.name), **more)


async def test_every_route_of_v1_wants_a_token(api):
    run_id, _ = await api.asked()
    nobody = await api.with_headers({})
    for route in table(api):
        if route.name == "sign_in" or (not route.path.startswith("/v1/") and route.name != "metrics"):
            assert route.on == "public", route.name
            continue
        answer = await ask(nobody, route, run_id)
        assert told(answer) == (401, "unauthenticated"), route.name
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_every_route_that_needs_a_grant_refuses_whoever_lacks_it(api):
    run_id, _ = await api.asked()
    before = (await api.get(f"/v1/runs/{run_id}")).json()
    eve = await api.other()
    for route in table(api):
        if route.on in ("public", "own"):
            assert route.action is None, route.name
            continue
        assert route.action is not None, route.name
        answer = await ask(eve, route, run_id)
        assert told(answer) == (403, "acl_denied"), route.name
        assert answer.json()["error"]["message"].startswith(f"Principal lacks {route.action} on "), route.name
    assert (await api.get(f"/v1/runs/{run_id}")).json() == before


async def test_without_grants_the_own_routes_answer_with_nothing(api):
    await api.ended()
    eve = await api.other()
    assert (await eve.get("/v1/runs")).json() == {"runs": [], "next_cursor": None}
    assert (await eve.get("/v1/workflows")).json() == {"workflows": []}
    assert (await eve.get("/v1/whoami")).json() == {"tenant": "default", "principal": "eve", "grants": []}


async def test_a_denial_is_worded_as_the_contract_says(api):
    eve = await api.other("execute:workflow:other")
    answer = await eve.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": 1}})
    assert told(answer) == (403, "acl_denied")
    assert answer.json()["error"]["message"] == "Principal lacks execute on workflow:quick."


async def test_who_may_not_execute_does_not_learn_whether_a_workflow_exists(api):
    eve = await api.other()
    for workflow_id in ("quick", "no-such"):
        answer = await eve.post("/v1/runs", {"workflow_id": workflow_id})
        assert told(answer) == (403, "acl_denied")
    admin = await api.post("/v1/runs", {"workflow_id": "no-such"})
    assert told(admin) == (404, "workflow_not_found")


async def test_every_cause_of_401_has_the_same_words(api, clock):
    expired = await api.token("read:workflow:*", life=1000)
    await clock.advance(2)
    typo = api.server.token[:-1] + ("A" if api.server.token[-1] != "A" else "B")
    headers = [
        None,
        "",
        "Bearer",
        f"Basic {api.server.token}",
        f"Bearer {make_token(token_secret())}",
        f"Bearer {expired}",
        f"Bearer {typo}",
        f"Bearer {api.server.token} more",
        api.server.token,
    ]
    answers = set()
    for value in headers:
        someone = await api.with_headers({} if value is None else {"Authorization": value})
        answer = await someone.get("/v1/whoami")
        assert told(answer) == (401, "unauthenticated"), value
        answers.add((answer.json()["error"]["message"], answer.headers["WWW-Authenticate"]))
    assert len(answers) == 1


async def test_two_authorization_headers_are_refused(api):
    pair = [("Authorization", f"Bearer {api.server.token}")] * 2
    nobody = await api.with_headers({})
    assert told(await nobody.get("/v1/whoami", headers=pair)) == (401, "unauthenticated")


async def test_the_scheme_is_read_in_any_case(api):
    someone = await api.with_headers({"Authorization": f"bearer {api.server.token}"})
    assert (await someone.get("/v1/whoami")).status_code == 200


async def test_a_revoked_token_stops_working_on_the_next_request(api):
    made = await api.post(
        "/v1/tokens", {"tenant": "default", "principal": "bob", "grants": ["read:workflow:*"]}
    )
    bob = await api.with_headers({"Authorization": f"Bearer {made.json()['token']}"})
    assert (await bob.get("/v1/whoami")).status_code == 200
    await api.http.delete(f"/v1/tokens/{made.json()['token_id']}")
    assert told(await bob.get("/v1/whoami")) == (401, "unauthenticated")


async def test_a_new_grant_works_on_the_next_request(api):
    eve = await api.other()
    assert (await eve.get("/v1/workflows")).json() == {"workflows": []}
    await api.post("/v1/tokens", {"tenant": "default", "principal": "eve", "grants": ["read:workflow:quick"]})
    assert [w["workflow_id"] for w in (await eve.get("/v1/workflows")).json()["workflows"]] == ["quick"]


@pytest.mark.parametrize("grant", ["read", "signal", "cancel", "operate"])
async def test_one_grant_opens_its_routes_and_no_others(api, grant):
    run_id, _ = await api.asked()
    eve = await api.other(f"{grant}:workflow:asking")
    for route in table(api):
        if route.on != "run" or route.name == "run_events":
            continue
        answer = await ask(eve, route, run_id)
        assert (answer.status_code == 403) == (route.action != grant), (route.name, answer.text)


async def test_another_tenants_run_is_answered_exactly_like_one_that_never_was(api):
    run_id, _ = await api.asked()
    stranger = await api.other(
        *(f"{action}:workflow:*" for action in ("read", "signal", "cancel", "operate")), tenant="elsewhere"
    )
    never = run_id[:-4] + "ZZZZ"
    for route in table(api):
        if route.on != "run":
            continue
        theirs, none = await ask(stranger, route, run_id), await ask(stranger, route, never)
        assert told(theirs) == told(none) == (404, "run_not_found"), route.name
        same = theirs.text.replace(run_id, "RUN"), none.text.replace(never, "RUN")
        ids = theirs.headers["X-Request-Id"], none.headers["X-Request-Id"]
        assert same[0].replace(ids[0], "ID") == same[1].replace(ids[1], "ID"), route.name
        ignored = {"x-request-id", "date", "content-length"}
        heads = [{k: v for k, v in a.headers.items() if k not in ignored} for a in (theirs, none)]
        assert heads[0] == heads[1]
    assert (await stranger.get("/v1/runs")).json()["runs"] == []


@pytest.mark.parametrize(
    "run_id", ["x", "run_", "run_%00", "%E2%98%83", "run_" + "A" * 500, "'; DROP TABLE runs; --"]
)
async def test_a_malformed_run_id_is_a_run_that_never_was(api, run_id):
    assert told(await api.get(f"/v1/runs/{run_id}")) == (404, "run_not_found")


async def test_tenants_do_not_share_idempotency_keys(api):
    bob = await api.other("execute:workflow:*", tenant="elsewhere")
    body, headers = {"workflow_id": "quick", "input": {"amount": 1}}, {"Idempotency-Key": "k"}
    mine, theirs = (
        await api.post("/v1/runs", body, headers=headers),
        await bob.post("/v1/runs", body, headers=headers),
    )
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["run_id"] != theirs.json()["run_id"]


# --- tenants -----------------------------------------------------------------------------------------------


def all_grants():
    return [
        f"{action}:workflow:*" for action in ("read", "execute", "signal", "cancel", "operate", "publish")
    ]


async def test_for_every_route_a_stranger_sees_what_he_would_see_without_the_others(api):
    """The same requests of the same principal, before and after another tenant has filled the house."""
    stranger = await api.other(*all_grants(), tenant="elsewhere")
    never = "run_" + "0" * 26

    async def asked_of(run_id):
        seen = {}
        for route in table(api):
            acts = (
                "metrics",
                "status",
                "sign_out",
                "sign_in",
                "start_run",
                "start_runs",
                "activate_version",
                "publish_workflow",
                "run_changes",
            )
            if route.name in acts or "create_" in route.name:
                continue  # counts of the whole house; and acts; and what never ends
            answer = await ask(stranger, route, run_id, headers={"X-Request-Id": "same"})
            heads = {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
            seen[route.name] = (answer.status_code, answer.text.replace(run_id, "RUN"), heads)
        return seen

    before = await asked_of(never)
    run_id, _ = await api.asked()
    await api.ended(tags={"a": "b"})
    await api.post("/v1/tokens", {"tenant": "default", "principal": "p", "grants": []})
    assert await asked_of(run_id) == before
    assert before["show_run"][0] == 404
    assert before["list_tokens"][0] == 403


@pytest.mark.parametrize("query", ["", "?status=running", "?workflow_id=asking", "?tag=a:b", "?trigger=api"])
async def test_no_filter_reaches_into_another_tenant(api, query):
    await api.start("asking", tags={"a": "b"})
    stranger = await api.other(*all_grants(), tenant="elsewhere")
    assert (await stranger.get(f"/v1/runs{query}")).json() == {"runs": [], "next_cursor": None}
    assert len((await api.get(f"/v1/runs{query}")).json()["runs"]) == 1


async def test_a_cursor_is_good_for_the_list_that_gave_it_alone(api):
    stranger = await api.other(*all_grants(), tenant="elsewhere")
    for someone in (stranger, api, stranger, api):
        await someone.start()
    cursor = (await api.get("/v1/runs?limit=1")).json()["next_cursor"]
    again = (await api.get("/v1/runs?limit=1")).json()["next_cursor"]
    assert (cursor, len(cursor)) == (again, 32)
    assert (await api.get("/v1/runs", params={"cursor": cursor, "limit": 9})).status_code == 200
    others = [
        (stranger, "/v1/runs", {}),
        (api, "/v1/runs", {"workflow_id": "quick"}),
        (api, "/v1/input-requests", {}),
        (api, "/v1/audit", {}),
    ]
    for someone, path, query in others:
        answer = await someone.get(path, params={**query, "cursor": cursor})
        assert told(answer) == (400, "invalid_cursor"), path


async def test_a_cursor_of_one_history_is_none_of_another(api):
    (run, _), (second, _) = await api.asked(), await api.asked()
    cursor = (await api.get(f"/v1/runs/{run}/history?limit=1")).json()["next_cursor"]
    assert cursor is not None
    assert (await api.get(f"/v1/runs/{run}/history?cursor={cursor}")).status_code == 200
    assert told(await api.get(f"/v1/runs/{second}/history?cursor={cursor}")) == (400, "invalid_cursor")


async def test_a_changed_cursor_is_none(api):
    for _ in range(2):
        await api.start()
    cursor = (await api.get("/v1/runs?limit=1")).json()["next_cursor"]
    for place in range(len(cursor)):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        assert told(await api.get(f"/v1/runs?cursor={changed}")) == (400, "invalid_cursor")
    for text in (cursor + "A", cursor + "=", cursor[:-1] + "=", cursor[:-1], "é" * 32):
        assert told(await api.get("/v1/runs", params={"cursor": text})) == (400, "invalid_cursor")


async def test_a_signals_id_of_another_tenant_is_unknown(api):
    stranger = await api.other(*all_grants(), tenant="elsewhere")
    mine, _ = await api.asked()
    theirs = await stranger.start("asking")
    for someone, run_id in ((api, mine), (stranger, theirs)):
        body = {"request_id": "apr_1", "payload": {"approved": True}}
        answer = await someone.post(f"/v1/runs/{run_id}/signals/approval", body)
        assert answer.status_code == 202


# --- order of refusals -------------------------------------------------------------------------------------


async def test_a_grant_is_checked_before_whatever_else_is_wrong(api):
    run_id, _ = await api.asked()
    eve = await api.other()
    wrong = {"headers": {"Accept": "image/png"}}
    for path in ("", "/result", "/history?limit=0", "/events?after=x", "?nonsense=1"):
        assert told(await eve.get(f"/v1/runs/{run_id}{path}", **wrong)) == (403, "acl_denied")
    for path in ("/cancel", "/terminate", "/signals/none"):
        answer = await eve.http.post(
            f"/v1/runs/{run_id}{path}", content=b"{", headers={"Content-Type": "x/y"}
        )
        assert told(answer) == (403, "acl_denied")
    for path in ("/v1/workflows/none", "/v1/workflows/none/versions/v1"):
        assert told(await eve.get(path)) == (403, "acl_denied")
    put = await eve.http.put("/v1/workflows/none/active", content=b"{")
    assert told(put) == (403, "acl_denied")


async def test_a_token_is_asked_for_before_anything_is_told(api):
    run_id, _ = await api.asked()
    nobody = await api.with_headers({"Authorization": "Bearer iw_live_nonsense"})
    for path in (f"/v1/runs/{run_id}", "/v1/runs/none", "/v1/runs?nonsense=1", "/v1/workflows/none"):
        assert told(await nobody.get(path)) == (401, "unauthenticated")
    answer = await nobody.http.post("/v1/runs", content=b"{", headers={"Content-Type": "text/plain"})
    assert told(answer) == (401, "unauthenticated")


@pytest.mark.parametrize(("action", "path"), [("admin", "/v1/tokens"), ("operate", "/metrics")])
async def test_the_grants_around_runs_are_named_when_they_lack(api, action, path):
    eve = await api.other("read:workflow:*")
    answer = await eve.get(path)
    assert told(answer) == (403, "acl_denied")
    resource = "tenant:*" if action == "admin" else "workflow:*"
    assert answer.json()["error"]["message"] == f"Principal lacks {action} on {resource}."


# --- tokens on the clock -----------------------------------------------------------------------------------


async def test_a_token_works_until_the_very_moment_at_which_it_expires(api, clock):
    body = {"tenant": "default", "principal": "bob", "grants": ["read:workflow:*"], "expires": "1h"}
    made = (await api.post("/v1/tokens", body)).json()
    assert made["expires_at"] == "2026-01-01T01:00:00.000Z"
    bob = await api.with_headers({"Authorization": f"Bearer {made['token']}"})
    await clock.advance(3599.999)
    assert (await bob.get("/v1/whoami")).status_code == 200
    await clock.advance(0.001)
    assert told(await bob.get("/v1/whoami")) == (401, "unauthenticated")


async def test_revoking_one_token_of_a_principal_leaves_the_others(api):
    body = {"tenant": "default", "principal": "bob", "grants": ["read:workflow:*"]}
    first, second = [(await api.post("/v1/tokens", body)).json() for _ in range(2)]
    await api.http.delete(f"/v1/tokens/{first['token_id']}")
    old, new = [await api.with_headers({"Authorization": f"Bearer {t['token']}"}) for t in (first, second)]
    assert told(await old.get("/v1/runs")) == (401, "unauthenticated")
    assert (await new.get("/v1/runs")).status_code == 200
