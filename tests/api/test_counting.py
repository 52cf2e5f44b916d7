"""Runs by their parents, and counts of runs by state."""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.api.conftest import told, workflows

NONE = dict.fromkeys(("queued", "running", "retrying", "succeeded", "failed", "cancelled"), 0)


@pytest.fixture
async def family(serve, api_of):
    """The admin at a server where a run has started another; and the ids of both."""
    calling = Workflow("calling", version="v1")

    @calling.subworkflow("quick")
    def call() -> dict:
        return {"amount": 1}

    async with serve(*workflows(), calling) as server, api_of(server) as api:
        run_id = (await api.post("/v1/runs", {"workflow_id": "calling", "tags": {"a": "b"}})).json()["run_id"]
        await api.until(run_id, "completed")
        (child,) = [run for run in await listed(api, "") if run["workflow_id"] == "quick"]
        yield api, run_id, child["run_id"]


async def listed(api, query):
    return (await api.get(f"/v1/runs{query}")).json()["runs"]


async def counted(api, query=""):
    return (await api.get(f"/v1/runs/counts{query}")).json()["counts"]


async def ids(api, query):
    return [run["run_id"] for run in await listed(api, query)]


async def test_runs_are_found_by_their_parent(family):
    api, parent, child = family
    assert await ids(api, f"?parent_run_id={parent}") == [child]
    assert await ids(api, f"?parent_run_id={child}") == []
    for more in (
        "",
        "&workflow_id=calling",
        "&status=succeeded,failed",
        "&status=running,succeeded",
        "&tag=a:b",
    ):
        assert await ids(api, f"?parent_run_id=none{more}") == [parent], more
    assert await ids(api, f"?parent_run_id={parent}&status=failed") == []
    assert await ids(api, f"?parent_run_id={parent}&tag=a:b") == []
    assert told(await api.get("/v1/runs?parent_run_id=x")) == (400, "malformed_request")


async def test_counts_are_those_of_the_list(family):
    api, parent, _ = family
    await api.ended("failing")
    await api.asked()
    assert await counted(api) == {**NONE, "running": 1, "succeeded": 2, "failed": 1}
    for query, found in {
        f"?parent_run_id={parent}": {"succeeded": 1},
        "?parent_run_id=none": {"running": 1, "succeeded": 1, "failed": 1},
        "?workflow_id=quick": {"succeeded": 1},
        "?workflow_id=quick&parent_run_id=none": {},
        "?tag=a:b": {"succeeded": 1},
        "?trigger=subworkflow": {"succeeded": 1},
        "?started_after=2100-01-01T00:00:00Z": {},
    }.items():
        assert await counted(api, query) == {**NONE, **found}, query
    assert told(await api.get("/v1/runs/counts?status=failed")) == (400, "malformed_request")


async def test_only_readable_runs_of_ones_own_tenant_are_counted(family):
    api, parent, _ = family
    eve = await api.other("read:workflow:quick")
    assert await counted(eve) == {**NONE, "succeeded": 1}
    assert await ids(eve, f"?parent_run_id={parent}") != []
    stranger = await api.other("read:workflow:*", tenant="elsewhere")
    assert await counted(stranger) == await counted(stranger, f"?parent_run_id={parent}") == NONE
    assert await ids(stranger, f"?parent_run_id={parent}") == []
