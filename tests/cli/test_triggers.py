"""``infraweave schedules`` and ``infraweave webhooks``, as scripts call them against a server."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx
import pytest

from infraweave import Workflow
from infraweave.cli.main import main
from infraweave.core.workflow.document_codec import document_to_json
from infraweave.core.workflow.webhooks import sign


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command line beside the running server; give its exit code, stdout and stderr."""

    def outbound_options(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["infraweave", *arguments])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        return code, *capsys.readouterr()

    async def call(*arguments: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(outbound_options, *arguments)

    return call


@pytest.fixture
async def server(serve, monkeypatch):
    flow = Workflow("backup", version="v1")
    flow.sleep("nap", 1)
    flow.schedule("nightly", cron="30 2 * * *", timezone="Europe/Zurich")
    async with serve(flow) as running:
        monkeypatch.setenv("INFRAWEAVE_URL", running.url)
        monkeypatch.setenv("INFRAWEAVE_TOKEN", running.token)
        yield running


async def test_schedules_are_listed_as_a_table_and_as_json(server, call):
    code, out, err = await call("schedules", "list")
    assert (code, err) == (0, "")
    assert [line.split("  ")[0] for line in out.splitlines()] == ["SCHEDULE_ID", "backup:nightly"]
    assert out.splitlines()[1:] == [
        "backup:nightly  30 2 * * * Europe/Zurich  2026-01-01T01:30:00.000Z  -            active  v1",
    ]
    (shown,) = json.loads((await call("schedules", "list", "--json", "--workflow", "backup"))[1])["schedules"]
    assert shown == json.loads((await call("schedules", "show", "backup:nightly", "--json"))[1])


async def test_a_schedule_is_made_paused_resumed_triggered_and_deleted(server, call):
    code, out, _ = await call("schedules", "create", "backup", "often", "--every", "15m")
    assert code == 0
    assert "every 15m  2026-01-01T00:15:00.000Z" in out
    assert "then 2026-01-01T00:30:00.000Z" in out
    assert "paused" in (await call("schedules", "pause", "backup:often"))[1]
    assert "active" in (await call("schedules", "resume", "backup:often"))[1]
    run_id = (await call("schedules", "trigger", "backup:often"))[1].strip()
    assert (await server.client.run(run_id).show())["trigger"] == "schedule"
    assert await call("schedules", "delete", "backup:often") == (0, "backup:often deleted\n", "")
    assert [s["name"] for s in await server.client.schedules()] == ["nightly"]
    assert (await (await server.client.trigger("backup:nightly")).show())["tags"]["schedule"] == "nightly"


async def test_a_schedule_is_changed_and_what_is_not_named_stays(server, call):
    made = ["--every", "15m", "--anchor", "2026-01-01T00:05:00Z", "--input", '{"a": 1}', "--paused"]
    await call("schedules", "create", "backup", "often", *made)

    by_cron = ["--cron", "0 3 * * *", "--timezone", "Europe/Zurich", "--overlap", "queue"]
    shown = json.loads((await call("schedules", "change", "backup:often", *by_cron, "--json"))[1])
    assert (shown["cron"], shown["timezone"]) == ("0 3 * * *", "Europe/Zurich")
    assert (shown["every"], shown["anchor"], shown["overlap"]) == (None, None, "queue")
    assert (shown["input"], shown["paused"], shown["catch_up"]) == ({"a": 1}, True, "last")

    shown = json.loads((await call("schedules", "change", "backup:often", "--every", "1h", "--json"))[1])
    assert (shown["cron"], shown["timezone"], shown["every"]) == (None, "UTC", "1h")
    assert (shown["overlap"], shown["paused"]) == ("queue", True)


async def test_a_schedule_whose_newest_time_made_no_run_says_why(server, call, clock):
    await call("schedules", "create", "backup", "often", "--every", "15m")
    stricter = Workflow("backup", version="v2", input={"type": "object", "required": ["host"]})
    stricter.sleep("nap", 1)
    await server.client.publish(document_to_json(stricter.compile()), activate=True)
    await clock.advance(900)
    await server.engine.scheduler.settled()

    why = "the last time started no run: The input does not match the schema of backup: /host is required"
    assert why in (await call("schedules", "show", "backup:often"))[1].splitlines()
    assert f"backup:often: {why}" in (await call("schedules", "list"))[1].splitlines()


async def test_a_webhook_is_made_used_and_deleted(server, call, tmp_path):
    made = json.loads((await call("webhooks", "create", "backup", "pushed", "--json"))[1])
    body = b"{}"
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as sender:
        headers = {"X-Signature": sign(made["secret"].encode(), body)}
        assert (await sender.post(made["path"], content=body, headers=headers)).status_code == 201
    assert "/hooks/pushed" in (await call("webhooks", "list"))[1]
    assert await call("webhooks", "delete", "pushed") == (0, "pushed deleted\n", "")

    (tmp_path / "secret").write_text("a secret of many letters\n")
    arguments = ["webhooks", "create", "backup", "given", "--secret-file", str(tmp_path / "secret")]
    out = (await call(*arguments))[1]
    assert out.splitlines() == [f"deliver to {server.url}/hooks/given", "secret     (as given)"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["schedules", "show", "backup:none"], 1, "schedule_not_found: No schedule backup:none."),
        (
            ["schedules", "create", "backup", "x"],
            1,
            "definition_invalid: The schedule is not valid: it needs",
        ),
        (["schedules", "change", "backup:x"], 2, "nothing to change; give an option such as --cron"),
        (["schedules", "change", "backup:nightly", "--every", "1h"], 1, "schedule_declared: The workflow"),
        (["schedules", "create", "backup", "x", "--overlap", "all"], 2, "'all' is not one of"),
        (["schedules", "delete", "backup:nightly"], 1, "schedule_declared: The workflow backup declares"),
        (["schedules", "create", "backup", "x", "--input", "{"], 2, "--input"),
        (["webhooks", "delete", "none"], 1, "webhook_not_found: No webhook none."),
        (["webhooks", "list", "--token", "wrong"], 4, "unauthenticated"),
    ],
)
async def test_a_mistake_gets_words_and_an_exit_code(server, call, arguments, code, said):
    left, out, err = await call(*arguments)
    assert (left, out) == (code, "")
    assert said in err
