"""What people are being asked, across runs."""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.api.conftest import told, workflows

YES = {"payload": {"approved": True}}


async def inbox(someone, query=""):
    answer = await someone.get(f"/v1/input-requests{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def asked(someone, query=""):
    return [request["request_id"] for request in (await inbox(someone, query))["input_requests"]]


async def test_nobody_is_asked_anything_yet(api):
    await api.ended()
    assert await inbox(api) == {"input_requests": [], "next_cursor": None, "total": 0}


async def test_a_request_says_what_the_run_says_and_where_it_comes_from(api):
    run_id, request_id = await api.asked()
    (shown,) = (await inbox(api))["input_requests"]
    (waiting,) = (await api.get(f"/v1/runs/{run_id}")).json()["waiting_for"]

    assert {name: shown.pop(name) for name in waiting} == waiting
    assert waiting["request_id"] == request_id
    assert waiting["data"] == {"amount": 21}
    assert shown == {
        "run_id": run_id,
        "workflow_id": "asking",
        "workflow_version": "v1",
        "iteration": None,
        "index": None,
    }


async def test_what_is_answered_or_withdrawn_is_no_longer_asked(api):
    (first, one), (second, two), (third, three) = [await api.asked() for _ in range(3)]
    assert await asked(api) == [one, two, three]

    refused = await api.post(f"/v1/runs/{second}/signals/approval", {"payload": {}})
    assert told(refused) == (422, "payload_invalid")
    assert await asked(api) == [one, two, three]

    await api.post(f"/v1/runs/{second}/signals/approval", YES)
    assert await asked(api) == [one, three]
    await api.post(f"/v1/runs/{first}/cancel")
    assert await asked(api) == [three]
    await api.post(f"/v1/runs/{third}/terminate")
    assert await inbox(api) == {"input_requests": [], "next_cursor": None, "total": 0}


async def test_time_that_runs_out_ends_a_request(api, clock):
    run_id, request_id = await api.asked()
    assert await asked(api) == [request_id]

    await clock.advance(49 * 3600)
    await api.until(run_id, "failed")
    assert await asked(api) == []


async def test_each_turn_of_a_loop_asks_anew(serve, api_of):
    flow = Workflow("drafting", version="v1")
    flow.human_input("review", prompt="Good?", schema={"type": "boolean"})

    @flow.repeat(back_to="review", max_iterations=3)
    def again(review: bool) -> bool:
        return not review

    async with serve(flow) as server, api_of(server) as api:
        run_id = (await api.post("/v1/runs", {"workflow_id": "drafting"})).json()["run_id"]
        await api.until(run_id, "input_requested")
        (first,) = (await inbox(api))["input_requests"]
        answer = {"request_id": first["request_id"], "payload": False}
        await api.post(f"/v1/runs/{run_id}/signals/review", answer)
        seen = 0
        async for event in server.client.events(run_id):
            seen += event["type"] == "input_requested"
            if seen == 2:
                break
        (second,) = (await inbox(api))["input_requests"]
    assert (first["iteration"], second["iteration"]) == (1, 2)
    assert "data" not in first


async def test_a_walk_neither_repeats_nor_skips_while_requests_come_and_go(api):
    runs = [await api.asked() for _ in range(5)]
    page = await inbox(api, "?limit=2")
    seen = [request["request_id"] for request in page["input_requests"]]
    assert page["total"] == 5

    await api.post(f"/v1/runs/{runs[0][0]}/signals/approval", YES)  # behind the walk
    await api.post(f"/v1/runs/{runs[3][0]}/signals/approval", YES)  # before it
    runs.append(await api.asked())
    while page["next_cursor"]:
        page = await inbox(api, f"?limit=2&cursor={page['next_cursor']}")
        seen += [request["request_id"] for request in page["input_requests"]]
    assert seen == [runs[place][1] for place in (0, 1, 2, 4, 5)]
    assert page["total"] == 4


async def test_only_what_may_be_read_is_shown_and_counted(serve, api_of):
    other = Workflow("other", version="v1")
    other.human_input("approval", prompt="Well?", schema={})
    async with serve(*workflows(), other) as server, api_of(server) as api:
        _, here = await api.asked()
        run_id = (await api.post("/v1/runs", {"workflow_id": "other"})).json()["run_id"]
        there = (await api.until(run_id, "input_requested"))[-1]["request_id"]
        eve, nobody = await api.other("read:workflow:other"), await api.other(name="mallory")
        stranger = await api.other("read:workflow:*", tenant="elsewhere")

        assert await asked(api) == [here, there]
        assert await asked(api, "?workflow_id=asking") == [here]
        assert (await inbox(api, "?workflow_id=asking"))["total"] == 1
        assert await asked(api, "?workflow_id=none") == []
        assert (await asked(eve), (await inbox(eve))["total"]) == ([there], 1)
        for someone, query in ((eve, "?workflow_id=asking"), (nobody, ""), (stranger, "")):
            assert await inbox(someone, query) == {"input_requests": [], "next_cursor": None, "total": 0}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "malformed_request"),
        ("limit=201", "malformed_request"),
        ("state=open", "malformed_request"),
        ("cursor=x", "invalid_cursor"),
    ],
)
async def test_what_makes_no_sense_is_refused(api, query, code):
    assert told(await api.get(f"/v1/input-requests?{query}")) == (400, code)


async def test_it_is_still_asked_after_a_restart(open_api):
    async with open_api() as api:
        _, request_id = await api.asked()
    async with open_api() as api:
        assert await asked(api) == [request_id]
