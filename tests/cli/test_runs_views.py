"""``infraweave runs``: list, show, result, history and explain, as people and scripts see them."""

from __future__ import annotations

import json

import pytest

from infraweave import NonRetryable, Retry, Workflow
from infraweave.cli.event_text import event_text


def flows() -> list[Workflow]:
    greet = Workflow("greet", version="v1", input={"type": "object"})

    @greet.node(name="greet", retry=Retry(initial=0))
    def body(input: dict) -> str:
        if "fault" in input:
            raise NonRetryable(input["fault"])
        return f"hello {input.get('name', 'you')}"

    ask = Workflow("ask", version="v2")
    ask.human_input("approval", schema={"type": "object", "required": ["ok"]}, prompt="Go on?", timeout="1h")
    return [greet, ask]


@pytest.fixture
async def client(serve, at):
    async with serve(*flows()) as server:
        at(server)
        yield server.client


async def ended(client, workflow_id: str, value: dict | None = None, **options):
    run = await client.start(workflow_id, value, **options)
    await run.outcome()
    return run


async def waiting(client):
    run = await client.start("ask")
    async for event in run.events():
        if event["type"] == "input_requested":
            break
    return run


async def listed(infraweave, *arguments: str) -> list[str]:
    code, out, _ = await infraweave("runs", "list", *arguments, "--json")
    assert code == 0
    return [run["run_id"] for run in json.loads(out)["runs"]]


# --- list --------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first_with_how_long_they_took(client, infraweave):
    first = await ended(client, "greet", tags={"team": "ops"})
    second = await waiting(client)
    code, out, err = await infraweave("runs", "list")
    header, *rows = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert header == ["RUN_ID", "STATE", "WORKFLOW", "TRIGGER", "CREATED_AT", "TOOK", "TAGS"]
    created = "2026-01-01T00:00:00.000Z"
    assert rows == [
        [second.run_id, "running", "ask", "v2", "api", created, "-", "-"],
        [first.run_id, "succeeded", "greet", "v1", "api", created, "0ms", "team=ops"],
    ]


async def test_every_filter_of_the_api_is_an_option(client, infraweave):
    ops = await ended(client, "greet", tags={"team": "ops", "a:b": "c"})
    asked = await waiting(client)
    broken = await ended(client, "greet", {"fault": "x"})
    assert await listed(infraweave, "--status", "failed,running") == [broken.run_id, asked.run_id]
    assert await listed(infraweave, "--workflow", "ask") == [asked.run_id]
    assert await listed(infraweave, "--workflow-id", "greet", "--version", "v1") == [
        broken.run_id,
        ops.run_id,
    ]
    assert await listed(infraweave, "--version", "v9") == []
    assert await listed(infraweave, "--tag", "team=ops") == [ops.run_id]
    assert await listed(infraweave, "--trigger", "cli") == []
    assert len(await listed(infraweave, "--started-after", "2025-01-01T00:00:00Z")) == 3
    assert await listed(infraweave, "--started-before", "2025-01-01T00:00:00Z") == []


async def test_lists_follow_pages_up_to_their_limit_and_say_that_there_are_more(client, infraweave):
    made = await client.start_many([{"workflow_id": "greet"}] * 450)
    ids = [result["run"]["run_id"] for result in reversed(made)]
    assert await listed(infraweave, "--all") == ids
    assert await listed(infraweave) == ids[:50]
    page = json.loads((await infraweave("runs", "list", "--limit", "250", "--json"))[1])
    assert [run["run_id"] for run in page["runs"]] == ids[:250]
    assert await listed(infraweave, "--limit", "400", "--cursor", page["next_cursor"]) == ids[250:]
    assert "--all lists all" in (await infraweave("runs", "list"))[2]
    assert [run["run_id"] async for run in client.runs(workflow_id="greet")] == ids


# --- one run -----------------------------------------------------------------------------------------------


async def test_show_tells_how_far_a_run_is_and_what_would_let_it_go_on(client, infraweave):
    run = await waiting(client)
    code, out, _ = await infraweave("runs", "show", run.run_id)
    assert code == 0
    assert "workflow  ask v2, started by api" in out
    assert "waits for approval (Go on?) since 2026-01-01T00:00:00.000Z, until 2026-01-01T01:00:00.000Z" in out
    assert f"infraweave runs signal {run.run_id} approval" in out
    assert out.splitlines()[-1].split()[:4] == ["approval", "human_input", "waiting", "1"]
    assert json.loads((await infraweave("runs", "show", run.run_id, "--json"))[1]) == await run.show()


async def test_show_tells_why_a_run_failed(client, infraweave):
    run = await ended(client, "greet", {"fault": "no\nluck \x1b[31m"})
    out = (await infraweave("runs", "show", run.run_id))[1]
    assert "error     failed in greet: no luck �[31m\n" in out, "what a run says is no command to a terminal"


async def test_result_prints_the_result_and_exits_with_the_outcome(client, infraweave):
    good, bad = await ended(client, "greet"), await ended(client, "greet", {"fault": "no luck"})
    assert await infraweave("runs", "result", good.run_id) == (0, '"hello you"\n', "")
    assert await infraweave("runs", "result", bad.run_id) == (1, "", "infraweave: failed in greet: no luck\n")
    code, out, _ = await infraweave("runs", "result", bad.run_id, "--json")
    assert (code, json.loads(out)["error"]["message"]) == (1, "no luck")
    code, out, err = await infraweave("runs", "result", (await waiting(client)).run_id)
    assert (code, out) == (1, "")
    assert "run_not_finished" in err


async def test_result_can_wait(client, infraweave):
    run = await waiting(client)
    await run.signal("approval", {"ok": True})
    code, out, _ = await infraweave("runs", "result", run.run_id, "--wait", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"run_id": run.run_id, "state": "succeeded", "result": {"ok": True}},
    )


CUT = {
    "node": "work",
    "kind": "node",
    "phase": "forward",
    "iteration": None,
    "index": None,
    "attempt": 1,
    "state": "failed",
    "started_at": "2026-01-01T00:00:00.000Z",
    "finished_at": "2026-01-01T01:00:00.000Z",
    "error": {"code": "interrupted", "message": "The process ended"},
    "tokens": 0,
}


@pytest.mark.parametrize(
    ("latency_ms", "took"), [(0, "at most 1h"), (None, "at most 1h"), (90_000, "1m 30s")]
)
async def test_an_attempt_that_was_cut_off_is_an_interruption(infraweave, monkeypatch, latency_ms, took):
    from infraweave.cli import runs

    monkeypatch.setattr(runs, "call_server", lambda *_: [{**CUT, "latency_ms": latency_ms}])
    _, out, _ = await infraweave("runs", "history", "run_1")
    (row,) = out.splitlines()[1:]
    assert row.split(None, 4)[:4] == ["work", "node", "1", "interrupted"]
    assert took in row
    event = {"type": "node_failed", "code": "interrupted", "message": "The process ended", "node": "work"}
    assert event_text(event) == "work was interrupted: The process ended"


async def test_history_has_a_row_for_each_attempt(client, infraweave):
    run = await ended(client, "greet", {"fault": "no luck"})
    _, out, _ = await infraweave("runs", "history", run.run_id)
    (row,) = out.splitlines()[1:]
    assert row.split()[:4] == ["greet", "node", "1", "failed"]
    assert "no luck (" in row
    assert row.endswith(" in body)")
    shown = json.loads((await infraweave("runs", "history", run.run_id, "--json"))[1])
    assert shown == {"history": await run.history()}
    assert "raise NonRetryable" in shown["history"][0]["error"]["traceback"]


# --- mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["list", "--status", "odd"], 2, "expected one of queued, running"),
        (["list", "--tag", "odd"], 2, "--tag: expected KEY=VALUE"),
        (["list", "--started-after", "noon"], 2, "expected an RFC 3339 time"),
        (["list", "--limit", "0"], 2, "(see `"),
        (["list", "--cursor", "odd"], 2, "invalid_cursor"),
        (["show", "run_none"], 1, "run_not_found"),
        (["show", "../workflows"], 1, "not_found"),
        (["show", "\udcff"], 2, "text that JSON cannot encode"),
        (["show"], 2, "Missing argument 'RUN'"),
        (["result", "run_none", "--wait"], 1, "run_not_found"),
        (["history", "run_none"], 1, "run_not_found"),
        (["list", "--token", "ü"], 4, "the token contains invalid characters"),
        (["list", "--url", "http://127.0.0.1:9"], 3, "cannot be reached"),
        (["list", "--url", "nowhere"], 3, "cannot be reached"),
        (["list", "--url", "http://127.0.0.1:99999"], 3, "expected http://HOST:PORT"),
        (["list", "--url", "http://xn--a.com"], 3, "the host is not valid"),
    ],
)
async def test_a_mistake_gets_one_line_and_an_exit_code(client, infraweave, arguments, code, words):
    left, out, err = await infraweave("runs", *arguments)
    assert (left, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1


async def test_options_come_from_the_environment_by_the_names_that_are_typed(client, infraweave, monkeypatch):
    await ended(client, "greet")
    monkeypatch.setenv("INFRAWEAVE_RUNS_LIST_JSON", "1")
    monkeypatch.setenv("INFRAWEAVE_RUNS_LIST_WORKFLOW", "ask")
    assert json.loads((await infraweave("runs", "list"))[1])["runs"] == []
    monkeypatch.setenv("INFRAWEAVE_RUNS_START_INPUT", '{"name": "Ada"}')
    monkeypatch.setenv("INFRAWEAVE_RUNS_START_WAIT", "1")
    assert (await infraweave("runs", "start", "greet"))[1] == '"hello Ada"\n'
