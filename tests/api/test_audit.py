"""The audit log tells of every act and every denial, and nothing changes it."""

from __future__ import annotations

import logging
import sqlite3

import pytest
from attrs import evolve

from infraweave.engine.access.denials import Denials
from infraweave.errors import StorageUnavailable
from infraweave.settings import Settings
from infraweave.store.audit import AuditFilters
from tests.api.conftest import told

READ = {"tenant": "default", "principal": "bob", "grants": ["read:workflow:*"]}


async def audit(api, **params):
    answer = await api.get("/v1/audit", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["audit"]


async def test_an_act_is_told_with_who_what_when_and_by_which_request(api):
    answer = await api.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": 1}})
    (row,) = await audit(api, action="start_run")
    tokens = (await api.get("/v1/tokens")).json()["tokens"]
    assert row == {
        "at": "2026-01-01T00:00:00.000Z",
        "tenant": "default",
        "principal": "admin",
        "token_id": tokens[0]["token_id"],
        "action": "start_run",
        "resource": "workflow:quick",
        "outcome": "allowed",
        "reason": None,
        "detail": f"run:{answer.json()['run_id']}",
        "request_id": answer.headers["X-Request-Id"],
        "source": "http",
    }


async def test_the_row_of_an_act_on_a_run_is_in_the_transaction_of_its_events(api):
    commits = []
    api.server.engine.db.listen(lambda written: commits.append(written))
    run_id, _ = await api.asked()
    await api.post(f"/v1/runs/{run_id}/signals/approval", {"payload": {"approved": True}})
    stopped, _ = await api.asked()
    await api.post(f"/v1/runs/{stopped}/cancel")
    ended, _ = await api.asked()
    await api.post(f"/v1/runs/{ended}/terminate")
    noted = [written for written in commits if any(rows.audit for rows in written)]
    assert len(noted) == 6
    assert all(any(rows.events for rows in written) for written in noted)


async def test_every_kind_of_write_is_told_and_no_look_is(api):
    run_id, _ = await api.asked()
    await api.post(f"/v1/runs/{run_id}/signals/approval", {"payload": {"approved": True}})
    await api.post(f"/v1/runs/{run_id}/cancel")
    await api.post(f"/v1/runs/{run_id}/terminate")
    await api.post("/v1/runs/batch", {"runs": [{"workflow_id": "quick", "input": {"amount": 1}}]})
    await api.http.put("/v1/workflows/quick/active", json={"version": "v1"})
    nap = {"name": "nap", "kind": "timer", "delay": 1}
    await api.post("/v1/workflows", {"workflow_id": "napping", "version": "v1", "nodes": [nap]})
    schedule = {"workflow_id": "quick", "name": "s", "every": "1h", "input": {"amount": 1}}
    await api.post("/v1/schedules", schedule)
    for act in ("pause", "resume", "trigger"):
        await api.post(f"/v1/schedules/quick:s/{act}")
    await api.http.delete("/v1/schedules/quick:s")
    await api.post("/v1/webhooks", {"workflow_id": "quick", "name": "h"})
    await api.http.delete("/v1/webhooks/h")
    made = await api.post("/v1/tokens", READ)
    await api.http.delete(f"/v1/admin/tokens/{made.json()['token_id']}")
    await api.get("/v1/runs")
    rows = await audit(api)
    assert {row["outcome"] for row in rows} == {"allowed"}
    assert [row["action"] for row in reversed(rows)] == [
        *("start_run", "send_signal", "cancel_run", "terminate_run", "start_run", "start_runs"),
        *("activate_version", "publish_workflow", "create_schedule", "pause_schedule", "resume_schedule"),
        *("trigger_schedule", "delete_schedule", "create_webhook"),
        *("delete_webhook", "create_token", "revoke_token"),
    ]


async def test_a_repeated_act_is_told_each_time_though_it_changes_nothing(api):
    for _ in range(2):
        body = {"workflow_id": "quick", "input": {"amount": 1}}
        await api.post("/v1/runs", body, headers={"Idempotency-Key": "k"})
    assert len(await audit(api, action="start_run")) == 2


async def test_denials_are_told_with_their_reason_whoever_asked(api):
    run_id = await api.ended()
    eve, nobody = await api.other(), await api.with_headers({})
    await eve.post(f"/v1/runs/{run_id}/cancel")
    await eve.post("/v1/runs", {"workflow_id": "quick"})
    await eve.post("/v1/runs/batch", {"runs": [{"workflow_id": "quick"}]})
    await nobody.get("/v1/runs")
    await nobody.post("/hooks/none", {})
    rows = await audit(api, outcome="denied")
    assert [(row["principal"], row["action"], row["resource"], row["reason"]) for row in reversed(rows)] == [
        ("eve", "cancel_run", f"run:{run_id}", "acl_denied"),
        ("eve", "start_run", "workflow:quick", "acl_denied"),
        ("eve", "start_run", "workflow:quick", "acl_denied"),
        (None, "list_runs", "runs", "unauthenticated"),
        (None, "deliver", "webhook:none", "webhook_not_found"),
    ]
    assert rows[-1]["detail"] == "Principal lacks cancel on workflow:quick."


async def test_a_token_that_was_pasted_as_a_name_stands_nowhere(api, caplog):
    token, nobody = await api.token(), await api.with_headers({})
    caplog.set_level(logging.INFO)
    before = len(caplog.records)
    for someone in (api, nobody):
        await someone.get(f"/v1/runs/{token}", headers={"X-Request-Id": token})
        await someone.post(f"/v1/runs/{token}/cancel")
        await someone.post(f"/hooks/{token}", {})
        await someone.get(f"/v1/runs?{token}=1&workflow_id={token}")
    await api.post("/v1/runs", {"workflow_id": token})
    await api.post("/v1/admin/tenants", {"tenant": token})
    eve = await api.other(name="eve")
    await eve.post("/v1/runs", {"workflow_id": token, "tags": {token: token}})
    await api.http.delete(f"/v1/tokens/{token}")
    rows = await audit(api)
    assert len(rows) >= 6
    assert token not in repr(rows)
    assert "iw_live_[redacted]" in repr(rows)
    assert not [r for r in caplog.records[before:] if token in r.getMessage() and r.name.startswith("infra")]


async def test_a_request_that_is_merely_wrong_is_neither_act_nor_denial(api):
    await api.post("/v1/runs", {"workflow_id": "quick", "input": {}})
    await api.post("/v1/runs", {"workflow_id": "none"})
    await api.http.delete("/v1/tokens/none")
    assert await audit(api) == []


async def test_pages_and_filters_find_what_was_asked_for(api, clock):
    for _ in range(5):
        await api.start()
        await clock.advance(1)
    first = (await api.get("/v1/audit?limit=3")).json()
    second = (await api.get("/v1/audit", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [len(first["audit"]), len(second["audit"]), second["next_cursor"]] == [3, 2, None]
    times = {"after": "2026-01-01T00:00:01Z", "before": "2026-01-01T00:00:03Z"}
    assert [row["at"][17:19] for row in await audit(api, **times)] == ["02", "01"]
    assert await audit(api, principal="eve") == []
    assert told(await api.get("/v1/audit?cursor=x")) == (400, "invalid_cursor")
    assert told(await api.get("/v1/audit?outcome=maybe")) == (400, "malformed_request")


async def test_an_act_that_cannot_be_stored_is_not_told_as_done(api):
    db = api.server.engine.db

    def broken(_):
        raise sqlite3.IntegrityError("no")

    with pytest.raises(sqlite3.IntegrityError):
        await db.transact(broken, api_note())
    assert await audit(api) == []


def api_note():
    from infraweave.store.sqlite.audit_record import AuditRecord

    return AuditRecord(at=1, action="x", resource="y")


async def flood(api, someone, times):
    """Ask so often for what is denied; the clock stands, so all of it is in one minute."""
    for _ in range(times):
        await someone.get("/v1/runs/none/result")


async def test_a_flood_of_strangers_is_a_few_rows_and_their_number(api, clock):
    await flood(api, await api.with_headers({}), 25)
    *listed, more = reversed(await audit(api, outcome="denied"))
    assert len(listed) == 10
    assert (more["principal"], more["action"], more["reason"]) == (None, "run_result", "unauthenticated")
    assert more["detail"] == "15 more in the minute from 2026-01-01T00:00:00.000Z are not listed"
    await clock.advance(60)
    await flood(api, await api.with_headers({}), 1)
    assert len(await audit(api)) == 12


async def test_what_one_principal_is_denied_over_and_over_is_summed_up_for_that_principal(api):
    denials = api.server.engine.audit_buffer._denials
    record = evolve(api_note(), tenant="default", principal="eve").denied("acl_denied", "no")
    for _ in range(150):
        denials.add(record)
    denials.add(evolve(record, principal="bob"))
    taken = denials.drain(record.at, whole=True)
    assert [(one.principal, one.resource) for one in taken[99:]] == [
        *(("eve", "y"), ("bob", "y"), ("eve", "many")),
    ]
    assert taken[-1].detail.startswith("50 more")


def test_what_is_gathered_is_bounded_and_strangers_crowd_out_nobody():
    denials = Denials()
    for place in range(5_000):
        denials.add(evolve(api_note(), action=f"act-{place}").denied("unauthenticated", "no"))
    for place in range(3_000):
        record = evolve(api_note(), tenant="default", principal=f"p{place % 2}", action=f"act-{place % 1500}")
        denials.add(record.denied("acl_denied", "no"))
    known = [record for record in denials.drain(1, whole=False) if record.principal is not None]
    assert (len(known), denials.is_counting) == (1_000, True)
    rest = denials.drain(60_001, whole=False)
    assert len(rest) <= 2_001
    assert not denials.is_counting


async def test_the_number_of_a_minute_is_written_once_when_the_minute_is_over(api, clock):
    buffer = api.server.engine.audit_buffer
    await flood(api, await api.with_headers({}), 25)
    await buffer._write()
    rows = await api.server.engine.audit.list(AuditFilters(), limit=50)
    assert len(rows) == 10
    await clock.advance(60)
    await buffer._write()
    rows = await api.server.engine.audit.list(AuditFilters(), limit=50)
    assert [row.detail[:7] for row in rows[:1]] == ["15 more"]
    assert len(rows) == 11


async def test_rows_of_strangers_make_no_other_row_go(api, clock):
    log, now = api.server.engine.audit, clock.now()
    await api.start()
    for place in range(30):
        log.write(evolve(api_note(), at=now + place, resource=f"r{place}").denied("unauthenticated", "no"))
    await api.start()
    assert await log.prune(0, 20, strangers=True) == 10
    assert await log.prune(0, 20) == 0
    rows = await log.list(AuditFilters(), limit=50)
    assert [row.action for row in rows if row.principal] == ["start_run", "start_run"]
    assert [row.resource for row in rows if not row.principal] == [f"r{place}" for place in range(29, 9, -1)]
    assert await log.prune(0, 1) == 1
    assert len(await log.list(AuditFilters(), limit=50)) == 21


async def test_only_the_oldest_of_its_kind_can_be_removed(api):
    log = api.server.engine.audit
    log.write(api_note().denied("unauthenticated", "no"))
    log.write(api_note().denied("unauthenticated", "no"))
    await api.start()
    await api.start()

    def removed(audit_id):
        return lambda db: db.execute("DELETE FROM audit WHERE audit_id = ?", (audit_id,))

    for newer in (2, 4):
        with pytest.raises(sqlite3.IntegrityError, match="only the oldest"):
            await api.server.engine.db.transact(removed(newer))
    await api.server.engine.db.transact(removed(3))
    assert {row.audit_id for row in await log.list(AuditFilters(), limit=9)} == {1, 2, 4}


async def test_nothing_changes_a_row_and_only_the_oldest_goes(api):
    for _ in range(3):
        await api.start()

    def at(statement):
        return lambda db: db.execute(statement)

    for statement in ("UPDATE audit SET principal = 'x'", "DELETE FROM audit WHERE audit_id = 2"):
        with pytest.raises(sqlite3.IntegrityError):
            await api.server.engine.db.transact(at(statement))
    assert len(await audit(api)) == 3


async def test_what_is_too_old_or_too_much_goes_from_the_far_end(api, clock):
    log, now = api.server.engine.audit, clock.now()
    for _ in range(6):
        await api.start()
        await clock.advance(10)
    assert await log.prune(now + 15_000, 1_000) == 2
    assert await log.prune(0, 3) == 1
    assert [row["at"][17:19] for row in await audit(api)] == ["50", "40", "30"]


async def test_the_log_is_pruned_by_the_settings_as_it_grows(open_api, clock):
    async with open_api(settings=Settings(audit_keep=60)) as api:
        await api.start()
        await clock.advance(3_700)
        await api.start()
        await api.server.engine.audit_buffer._write()
        assert len(await audit(api)) == 1


async def test_a_log_that_cannot_be_written_says_so_and_holds_nobody_up(api, monkeypatch, caplog):
    class Broken:
        async def write_all(self, records):
            raise StorageUnavailable

        async def prune(self, before, most, strangers=False):
            return 0

    buffer = api.server.engine.audit_buffer
    monkeypatch.setattr(buffer, "_audit", Broken())
    buffer.deny(api_note().denied("acl_denied", "no"))
    await buffer._write()
    assert "could not be written" in caplog.text


async def test_a_tokens_last_use_is_noted_at_most_once_a_minute(api, clock):
    async def last_used():
        (row,) = (await api.get("/v1/tokens")).json()["tokens"]
        return row["last_used_at"]

    assert await last_used() == "2026-01-01T00:00:00.000Z"
    await clock.advance(59)
    assert await last_used() == "2026-01-01T00:00:00.000Z"
    await clock.advance(1)
    assert await last_used() == "2026-01-01T00:01:00.000Z"
