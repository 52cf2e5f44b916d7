"""Versions of a workflow through the door: release, roll-back, and what belongs to which tenant."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Workflow
from infraweave.core.layout import layout
from tests.api.conftest import told


def flow(version: str, nodes: int = 1) -> Workflow:
    made = Workflow("ship", version=version)

    @made.human_input(schema={"type": "object"})
    def go() -> str:
        return "Go?"

    for number in range(nodes):

        async def step(go: dict) -> str:
            return version

        made.node(name=f"step{number}")(step)
    return made


@pytest.fixture
async def api(serve, api_of):
    async with serve(flow("v1"), flow("v2", 2)) as server, api_of(server) as admin:
        yield admin


async def activate(api, version):
    return await api.http.put("/v1/workflows/ship/active", json={"version": version})


async def start(api, **more):
    answer = await api.post("/v1/runs", {"workflow_id": "ship", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_start_without_a_version_runs_the_active_one_and_a_roll_back_is_an_activation(api):
    assert (await start(api))["workflow_version"] == "v2"
    rolled_back = await activate(api, "v1")
    assert (rolled_back.status_code, rolled_back.json()["active_version"]) == (200, "v1")
    assert (await start(api))["workflow_version"] == "v1"
    assert (await start(api, workflow_version="v2"))["workflow_version"] == "v2"
    await activate(api, "v2")
    assert (await start(api))["workflow_version"] == "v2"


async def test_a_run_keeps_the_version_that_it_started_with(api):
    run = await start(api)
    await activate(api, "v1")
    await api.until(run["run_id"], "input_requested")
    await api.post(f"/v1/runs/{run['run_id']}/signals/go", {"payload": {}})
    await api.until(run["run_id"], "completed")
    shown = (await api.get(f"/v1/runs/{run['run_id']}")).json()
    assert shown["workflow_version"] == "v2"
    assert [node["node"] for node in shown["nodes"]] == ["go", "step0", "step1"]


async def test_flipping_the_active_version_turns_no_retry_into_a_conflict(api):
    headers, body = {"Idempotency-Key": "k"}, {"workflow_id": "ship"}
    first = await api.post("/v1/runs", body, headers=headers)
    await activate(api, "v1")
    again = await api.post("/v1/runs", body, headers=headers)
    assert (again.status_code, again.json()["workflow_version"]) == (200, "v2")
    assert again.json()["run_id"] == first.json()["run_id"]


async def test_a_workflow_tells_its_versions_which_is_active_and_the_open_runs_of_each(api):
    for version in ("v1", "v2", "v2"):
        await start(api, workflow_version=version)
    done = await start(api)
    await api.post(f"/v1/runs/{done['run_id']}/terminate")
    shown = (await api.get("/v1/workflows/ship")).json()
    assert set(shown) == {"workflow_id", "active_version", "versions"}
    assert [(v["version"], v["active"], v["open_runs"]) for v in shown["versions"]] == [
        ("v1", False, 1),
        ("v2", True, 2),
    ]
    listed = (await api.get("/v1/workflows")).json()["workflows"]
    known = {"workflow_id": "ship", "active_version": "v2", "versions": ["v1", "v2"]}
    assert listed == [{**known, "open_runs": 3}]


async def test_each_version_has_its_document(api):
    for version, nodes in (("v1", 2), ("v2", 3)):
        document = (await api.get(f"/v1/workflows/ship/versions/{version}")).json()
        assert (document["workflow_id"], document["version"], len(document["nodes"])) == (
            "ship",
            version,
            nodes,
        )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"version": "v9"}, 404, "version_not_found"),
        ({"version": ""}, 404, "version_not_found"),
        ({"version": None}, 400, "malformed_request"),
        ({"version": 1}, 400, "malformed_request"),
        ({}, 400, "malformed_request"),
        ({"version": "v1", "force": True}, 400, "malformed_request"),
        ([], 400, "malformed_request"),
    ],
)
async def test_an_activation_that_does_not_fit_changes_nothing(api, body, status, code):
    assert told(await api.http.put("/v1/workflows/ship/active", json=body)) == (status, code)
    assert (await api.get("/v1/workflows/ship")).json()["active_version"] == "v2"


async def test_who_may_not_publish_does_not_activate(api):
    eve = await api.other("read:workflow:*", "execute:workflow:*", "publish:workflow:other")
    answer = await activate(eve, "v1")
    assert told(answer) == (403, "acl_denied")
    assert answer.json()["error"]["message"] == "Principal lacks publish on workflow:ship."
    assert (await api.get("/v1/workflows/ship")).json()["active_version"] == "v2"


async def test_an_empty_version_is_not_the_active_one(api):
    answer = await api.post("/v1/runs", {"workflow_id": "ship", "workflow_version": ""})
    assert told(answer) == (400, "malformed_request")
    assert (await api.get("/v1/runs")).json()["runs"] == []


async def test_a_roll_back_and_open_runs_are_the_tenants_own(api):
    bob = await api.other("read:workflow:*", "publish:workflow:*", "execute:workflow:*", tenant="elsewhere")
    await start(api)
    await activate(api, "v1")
    shown = (await bob.get("/v1/workflows/ship")).json()
    assert shown["active_version"] == "v2"
    assert [version["open_runs"] for version in shown["versions"]] == [0, 0]
    assert (await start(bob))["workflow_version"] == "v2"
    assert (await start(api))["workflow_version"] == "v1"


async def test_a_roll_back_survives_a_restart_with_the_same_files(serve, api_of):
    async with serve(flow("v1"), flow("v2", 2)) as server, api_of(server) as api:
        await activate(api, "v1")
        token = server.token
    async with serve(flow("v1"), flow("v2", 2), token=token) as server, api_of(server) as api:
        assert (await start(api))["workflow_version"] == "v1"


# --- drawings ----------------------------------------------------------------------------------------------


async def test_a_version_comes_with_its_drawing_where_that_is_asked_for(api):
    path = "/v1/workflows/ship/versions/v2"
    plain, drawn = (await api.get(path)).json(), (await api.get(f"{path}?include=layout")).json()
    assert "layout" not in plain
    layout = drawn.pop("layout")
    assert drawn == plain
    assert set(layout) == {"width", "height", "nodes", "edges", "regions"}
    assert set(layout["nodes"]) == {"go", "step0", "step1"}
    assert set(layout["nodes"]["go"]) == {"x", "y", "width", "height"}
    lines = [(edge["source"], edge["target"], edge["kind"]) for edge in layout["edges"]]
    assert lines == [("go", "step0", "data"), ("go", "step1", "data")]
    assert all(len(point) == 2 for edge in layout["edges"] for point in edge["points"])


async def test_a_drawing_is_made_once(api, monkeypatch):
    made = []
    monkeypatch.setattr(layout, "layout", lambda graph: made.append(graph))
    path = "/v1/workflows/ship/versions/v2?include=layout"
    for answer in await asyncio.gather(*[api.get(path) for _ in range(5)], api.get(path)):
        assert answer.json()["layout"] is None
    assert len(made) == 1


async def test_what_else_may_be_included_is_said(api):
    answer = await api.get("/v1/workflows/ship/versions/v2?include=picture")
    assert told(answer) == (400, "malformed_request")
    assert "expected layout" in answer.text


async def test_a_document_may_be_published_with_the_drawing_that_it_came_with(api):
    drawn = (await api.get("/v1/workflows/ship/versions/v2?include=layout")).json()
    answer = await api.post("/v1/workflows", drawn)
    assert (answer.status_code, answer.json()["created"]) == (200, False)
