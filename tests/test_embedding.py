"""InfraWeave inside another program: served, embedded without HTTP, and mounted."""

from __future__ import annotations

import asyncio
import stat

import pytest

import infraweave
from infraweave import Workflow
from infraweave.client import ClientError, RunFailed
from infraweave.errors import StartupError
from infraweave.settings import Settings
from tests.api.test_mounted import mounted

HOW = [infraweave.serve, infraweave.embed]


def asking() -> Workflow:
    flow = Workflow("asking", version="v1")

    @flow.node
    async def double(input: dict) -> int:
        return 2 * input["n"]

    @flow.human_input(schema={"type": "object"})
    def approval(double: int) -> str:
        return f"Is it {double}?"

    @flow.node
    async def told(double: int, approval: dict) -> dict:
        if not approval["yes"]:
            raise infraweave.NonRetryable("no")
        return {"n": double}

    return flow


async def answered(client, n: int, yes: bool = True):
    """Start a run, answer its question from within its event stream, and return its result."""
    run = await client.start("asking", {"n": n})
    seen = []
    async for event in run.events():
        seen.append(event["type"])
        if event["type"] == "input_requested":
            await run.signal("approval", {"yes": yes}, request_id=event["request_id"])
    assert seen[-1] in ("completed", "failed")
    return await run.result()


@pytest.mark.parametrize("how", HOW)
async def test_a_run_is_started_followed_and_answered_with_and_without_http(how):
    async with how(asking()) as one:
        assert await answered(one.client, 21) == {"n": 42}
        with pytest.raises(RunFailed, match="no"):
            await answered(one.client, 1, yes=False)
        with pytest.raises(ClientError, match="workflow_not_found"):
            await one.client.start("nothing")


@pytest.mark.parametrize("how", HOW)
async def test_a_file_may_be_opened_again_without_knowing_a_token(how, db):
    async with how(asking(), db=db) as one:
        run = await one.client.start("asking", {"n": 1})
    async with how(asking(), db=str(db)) as one:
        again = one.client.run(run.run_id)
        await again.signal("approval", {"yes": True})
        assert await again.result() == {"n": 2}
        tokens = await one.engine.principals.list_tokens()
    async with how(asking(), db=db) as one:
        passed = await one.engine.principals.list_tokens()
        assert [token.revoked_at is None for token in passed[: len(tokens)]].count(True) <= 1


async def test_several_live_side_by_side_in_one_process(tmp_path):
    async with (
        infraweave.serve(asking(), db=tmp_path / "a.db") as a,
        infraweave.serve(asking()) as b,
        infraweave.embed(asking(), db=tmp_path / "c.db", settings=Settings(max_running=1)) as c,
    ):
        assert a.url != b.url
        results = await asyncio.gather(*(answered(one.client, n) for n in range(5) for one in (a, b, c)))
        assert results == [{"n": 2 * n} for n in range(5) for _ in range(3)]
        assert len((await a.client.request("GET", "/v1/runs"))["runs"]) == 5


async def test_a_file_that_is_served_already_is_refused(db):
    async with infraweave.serve(asking(), db=db):
        with pytest.raises(StartupError, match="already served by pid"):
            async with infraweave.embed(asking(), db=db):
                pass


async def test_who_leaves_an_embedded_stream_early_leaves_nothing_behind():
    async with infraweave.embed(asking()) as engine:
        run = await engine.start("asking", {"n": 1})
        events = run.events()
        assert (await anext(events))["seq"] == 1
        await events.aclose()
        left = [task for task in asyncio.all_tasks() if task.get_name() == "in-process request"]
        assert left == []
        assert (await run.show())["state"] == "running"


async def test_a_mounted_app_with_a_new_file_keeps_its_token_beside_it(db):
    async with mounted(db, "/flows") as http:
        file = db.with_name("test.db.token")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        http.headers["Authorization"] = f"Bearer {file.read_text().strip()}"
        assert (await http.get("/flows/v1/whoami")).json()["principal"] == "admin"


def test_importing_the_package_loads_no_server(run_python):
    loaded = run_python("import infraweave, sys; print(*sys.modules)").split()
    assert not {"quart", "hypercorn", "attrs", "cattrs", "asyncio"} & set(loaded)
    assert run_python("from infraweave import *; print(Workflow('a'), serve.__name__)").split() == [
        "Workflow('a',",
        "version=None)",
        "serve",
    ]
    same = "import infraweave; print(infraweave.errors.NonRetryable is infraweave.NonRetryable)"
    assert run_python(same) == "True\n"


@pytest.fixture
def run_python():
    import subprocess
    import sys

    def run(code: str) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    return run
