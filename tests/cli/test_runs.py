"""``infraweave runs start`` and ``start-batch``: starting one and many at a server, as scripts do."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from infraweave import NonRetryable, Workflow
from infraweave.cli.main import main
from infraweave.core.data.values import from_rfc3339


def double() -> Workflow:
    flow = Workflow("double", version="v1", input={"type": "object", "required": ["n"]})

    @flow.node(name="double")
    def body(input: dict) -> int:
        if input["n"] == 13:
            raise NonRetryable("unlucky")
        return 2 * input["n"]

    return flow


@pytest.fixture
async def cli(serve, monkeypatch, capsys, tmp_path):
    """Call ``infraweave runs`` against a server; give its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["infraweave", "runs", *arguments])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
        return (code, *capsys.readouterr())

    async with serve(double()) as server:
        monkeypatch.setenv("INFRAWEAVE_URL", server.url)
        monkeypatch.setenv("INFRAWEAVE_TOKEN", server.token)

        async def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
            (tmp_path / "stdin").write_text(stdin)
            with (tmp_path / "stdin").open() as file:
                monkeypatch.setattr(sys, "stdin", file)
                return await asyncio.to_thread(call, *arguments)

        run.client = server.client  # type: ignore[attr-defined]
        yield run


async def test_start_prints_the_id_and_the_run_says_who_started_it(cli):
    code, out, err = await cli(
        *["start", "double", "--input", '{"n": 4}', "--tag", "a=b=c", "--version", "v1"]
    )
    assert code == 0
    assert "double v1 is running" in err
    run = cli.client.run(out.strip())
    assert await run.result() == 8
    shown = await run.show()
    assert (shown["trigger"], shown["tags"]) == ("cli", {"a": "b=c"})


async def test_start_waits_for_the_result_and_exits_with_the_outcome(cli):
    code, out, err = await cli("start", "double", "--input", "-", "--watch", stdin='{"n": 5}')
    assert (code, json.loads(out)) == (0, 10)
    assert "double completed in" in err
    code, out, err = await cli("start", "double", "--input", '{"n": 13}', "--wait")
    assert (code, out) == (1, "")
    assert "infraweave: failed in double: unlucky" in err


async def test_start_with_wait_and_json_prints_how_the_run_ended(cli):
    code, out, _ = await cli("start", "double", "--input", '{"n": 5}', "--wait", "--json")
    end = json.loads(out)
    assert (code, end["state"], end["result"]) == (0, "succeeded", 10)
    code, out, _ = await cli("start", "double", "--input", '{"n": 13}', "--wait", "--json")
    assert (code, json.loads(out)["error"]["message"]) == (1, "unlucky")


async def test_start_with_a_key_is_idempotent(cli):
    arguments = ["start", "double", "--input", '{"n": 1}', "--idempotency-key", "k", "--json"]
    first, second = [json.loads((await cli(*arguments))[1]) for _ in range(2)]
    assert first["run_id"] == second["run_id"]


async def test_start_later_by_a_time_or_a_duration(cli):
    code, out, _ = await cli("start", "double", "--input", '{"n": 1}', "--at", "2099-01-01T00:00:00Z")
    assert code == 0
    assert (await cli.client.run(out.strip()).show())["start_at"] == "2099-01-01T00:00:00.000Z"
    _, out, err = await cli("start", "double", "--input", '{"n": 1}', "--in", "2h")
    assert "is queued" in err
    start_at = from_rfc3339((await cli.client.run(out.strip()).show())["start_at"])
    expected = datetime.now(UTC) + timedelta(hours=2)
    assert abs(start_at / 1000 - expected.timestamp()) < 60


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["start", "double", "--in", "soon"], 2, "--in: 'soon' is not a duration"),
        (["start", "double", "--in", "1h", "--at", "2099-01-01T00:00:00Z"], 2, "give one of them"),
        (["start", "double", "--at", "tomorrow"], 2, "expected an RFC 3339 time"),
        (["start", "double", "--tag", "x"], 2, "expected KEY=VALUE"),
        (["start", "double", "--tag", "a=1", "--tag", "a=2"], 2, "each key may be given only once"),
        (["start", "double"], 1, "n is required"),
        (["start", "none"], 1, "workflow_not_found"),
        (["start", "double", "--token", "x"], 4, "unauthenticated"),
        (["start-batch", "none.jsonl"], 2, "none.jsonl"),
    ],
)
async def test_a_mistake_is_told_in_one_line(cli, arguments, code, words):
    done, out, err = await cli(*arguments)
    assert (done, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


async def test_start_batch_starts_a_run_per_line_and_tells_of_each(cli, tmp_path):
    lines = [{"workflow_id": "double", "input": {"n": n}} for n in range(3)]
    (tmp_path / "runs.jsonl").write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    code, out, _ = await cli("start-batch", "runs.jsonl")
    assert code == 0
    header, *rows = out.splitlines()
    assert header.split() == ["LINE", "STATUS", "RUN_ID", "STATE", "ERROR"]
    assert [row.split()[0] for row in rows] == ["1", "3", "5"]
    assert await cli.client.run(rows[2].split()[2]).result() == 4


async def test_start_batch_takes_inputs_of_one_workflow_and_more_than_one_request(cli):
    inputs = "\n".join(json.dumps({"n": n}) for n in range(2500))
    code, out, err = await cli("start-batch", "-", "--workflow", "double", "--json", stdin=inputs)
    results = json.loads(out)["results"]
    assert (code, len(results)) == (0, 2500)
    assert "2,000 of 2,500 sent" in err
    assert await cli.client.run(results[2001]["run"]["run_id"]).result() == 4002


async def test_start_batch_with_a_refused_line_exits_with_1_and_starts_the_others(cli):
    code, out, err = await cli("start-batch", "-", "--workflow", "double", stdin='{"n": 1}\n{}\n')
    assert code == 1
    assert "input_invalid" in out
    assert "1 of 2 were refused" in err
    assert len((await cli.client.request("GET", "/v1/runs"))["runs"]) == 1


async def test_start_batch_sends_nothing_where_a_line_is_no_json(cli):
    code, _, err = await cli("start-batch", "-", "--workflow", "double", stdin='{"n": 1}\n{\n')
    assert code == 2
    assert "line 2 is not valid JSON; nothing was sent" in err
    assert (await cli.client.request("GET", "/v1/runs"))["runs"] == []
