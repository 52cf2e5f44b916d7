"""``infraweave workflows`` against a server: what is published, how it differs, and who still runs what."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from infraweave import Workflow
from infraweave.api.workflows.document_schema import workflow_schema
from infraweave.cli.main import cli
from infraweave.cli.output import paint

NAP = {"name": "nap", "kind": "timer", "delay": 5.0}
LABEL = {"workflow_id": "label", "version": "v1", "nodes": [NAP]}
LATER = {"workflow_id": "label", "version": "v2", "nodes": [{**NAP, "delay": 6}, {**NAP, "name": "more"}]}
FLOW = """
from infraweave import Workflow
one = Workflow("one", version="v1")
one.sleep("nap", 1)
two = Workflow("two", version="v1")

@two.node
def count() -> int: ...
"""


@pytest.fixture
async def infraweave(serve, tmp_path):
    """Call the command line beside a server; files are in the folder it is called in."""
    ship = Workflow("ship", version="v1")
    ship.human_input("go", schema={"type": "object"}, prompt="Go?")
    async with serve(ship) as server:
        environment = {"INFRAWEAVE_URL": server.url, "INFRAWEAVE_TOKEN": server.token}

        async def call(*arguments: str, stdin: str | None = None, **more: str):
            runner = CliRunner(env={**environment, **more})
            arguments = [str(tmp_path / a) if a.endswith((".json", ".py")) else a for a in arguments]
            done = await asyncio.to_thread(runner.invoke, cli, ["workflows", *arguments], input=stdin)
            return done.exit_code, done.stdout, done.stderr

        call.server = server
        yield call


@pytest.fixture
def write(tmp_path):
    def writing(name, document):
        (tmp_path / name).write_text(document if isinstance(document, str) else json.dumps(document))

    return writing


async def test_publishing_tells_the_version_the_differences_and_the_open_runs(infraweave, write, clock):
    write("label.json", {"$schema": "workflow.schema.json", **LABEL})
    write("later.json", LATER)
    code, out, err = await infraweave("publish", "label.json")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "label v1 published, active",
        "VERSION  ACTIVE  OPEN_RUNS  CREATED_AT",
        "v1       yes     0          2026-01-01T00:00:00.000Z",
    ]
    await infraweave.server.client.start("label")
    code, out, _ = await infraweave("publish", "later.json")
    assert code == 0
    assert out.splitlines() == [
        "label v2 published, not active (v1 is)",
        "Differences from v1, which is active:",
        "  ~ node nap: delay is 6, was 5",
        "  + node more is new",
        "VERSION  ACTIVE  OPEN_RUNS  CREATED_AT",
        "v1       yes     1          2026-01-01T00:00:00.000Z",
        "v2       -       0          2026-01-01T00:00:00.000Z",
    ]
    _, out, _ = await infraweave("publish", "later.json", "--activate")
    assert out.startswith(
        "label v2 already existed with the same content, active\nDifferences from v1, which was"
    )


async def test_publishing_tells_the_same_as_json(infraweave):
    code, out, err = await infraweave("publish", "-", "--json", stdin=json.dumps(LABEL))
    assert (code, err) == (0, "")
    (done,) = json.loads(out)["published"]
    assert (done["created"], done["active_version"], done["unresolved"]) == (True, "v1", [])
    assert done["differences"] == []
    assert [version["open_runs"] for version in done["versions"]] == [0]


async def test_a_python_file_publishes_all_its_workflows_and_names_code_that_is_not_loaded(infraweave, write):
    write("flow.py", FLOW)
    code, out, _ = await infraweave("publish", "flow.py")
    assert code == 0
    assert "one v1 published, active\n" in out
    assert "No code is loaded for two:count. Nodes that use it wait until it is loaded.\n" in out


async def test_every_fault_is_told_at_its_place(infraweave, write):
    write("wrong.json", {**LABEL, "nodes": [{**NAP, "dealy": 1, "after": "x"}]})
    code, out, err = await infraweave("publish", "wrong.json")
    assert (code, out) == (2, "")
    assert "/nodes/0/dealy: unknown field dealy; the nearest known one is delay\n" in err
    assert "/nodes/0/after: must be an array, not a string\n" in err
    write("wrong.json", {**LABEL, "nodes": [{**NAP, "delay": -1}]})
    code, _, err = await infraweave("publish", "wrong.json")
    assert code == 1
    assert "  /nodes/0/delay: nap: delay is -1.0; expected 0 or more\n" in err


@pytest.mark.parametrize(
    ("text", "words"), [("{", "unexpected end"), ("[]", "must be a JSON object"), (None, "No such file")]
)
async def test_what_is_no_document_is_refused_before_a_server_is_asked(infraweave, write, text, words):
    if text is not None:
        write("it.json", text)
    code, out, err = await infraweave("publish", "it.json", INFRAWEAVE_URL="http://127.0.0.1:9")
    assert (code, out) == (2, "")
    assert words in err


async def test_other_content_under_a_version_is_a_conflict(infraweave):
    await infraweave("publish", "-", stdin=json.dumps(LABEL))
    code, _, err = await infraweave("publish", "-", stdin=json.dumps({**LATER, "version": "v1"}))
    assert code == 1
    assert "version_conflict" in err
    assert "node nap: delay is 6, was 5" in err


async def test_two_versions_are_compared(infraweave):
    for document in (LABEL, LATER):
        await infraweave("publish", "-", stdin=json.dumps(document))
    assert await infraweave("diff", "label", "v2", "v1") == (
        0,
        "~ node nap: delay is 5, was 6\n- node more is gone\n",
        "",
    )
    code, out, _ = await infraweave("diff", "label", "v1", "v2", "--json")
    assert [found["change"] for found in json.loads(out)["differences"]] == ["changed", "added"]
    assert (await infraweave("diff", "label", "v1", "v1"))[1] == "v1 and v1 have the same content.\n"
    code, _, err = await infraweave("diff", "label", "v1", "v3")
    assert (code, err) == (1, "infraweave: version_not_found: Workflow label has no version v3.\n")


async def test_workflows_are_listed_shown_and_activated(infraweave):
    for document in (LABEL, LATER):
        await infraweave("publish", "-", stdin=json.dumps(document))
    assert (await infraweave("list"))[1].splitlines() == [
        "WORKFLOW_ID  ACTIVE_VERSION  VERSIONS",
        "label        v1              v1, v2",
        "ship         v1              v1",
    ]
    assert json.loads((await infraweave("list", "--json"))[1])["workflows"][0]["workflow_id"] == "label"
    assert (await infraweave("activate", "label", "v2"))[1].startswith("label v2 is active.\nVERSION")
    assert json.loads((await infraweave("show", "label", "--json"))[1])["active_version"] == "v2"
    assert "v2       yes" in (await infraweave("show", "label"))[1]
    assert json.loads((await infraweave("show", "label", "--version", "v1"))[1]) == LABEL
    assert (await infraweave("activate", "label", "v3"))[0] == 1


async def test_the_schema_needs_no_server(infraweave):
    code, out, _ = await infraweave("schema", INFRAWEAVE_URL="http://127.0.0.1:9")
    assert (code, json.loads(out)) == (0, workflow_schema())


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert paint("+ node", "green") == "\x1b[32m+ node\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("+ node", "green") == "+ node"


@pytest.mark.parametrize("command", ["publish", "diff", "list", "show", "activate", "schema"])
async def test_help_has_an_example(infraweave, command):
    code, out, _ = await infraweave(command, "--help")
    assert code == 0
    assert f"Example: infraweave workflows {command}" in out
