"""A run that retention removes is not found, in whatever way somebody was looking at it."""

from __future__ import annotations

import pytest

from infraweave import Workflow
from infraweave.store.retention import Retention, RetentionPolicy


@pytest.fixture
async def shop(serve):
    flow = Workflow("tea", version="v1", input={"type": "object"})

    @flow.node
    def boil(input: dict) -> dict:
        return input

    async with serve(flow) as server:
        yield server


WAYS = ("", "/result", "/history", "/events", "/events?wait=1", "/explain")


async def asked(server, run_id, way, accept="application/json"):
    headers = {"Authorization": f"Bearer {server.token}", "Accept": accept}
    answer = await server.client._http.get(f"/v1/runs/{run_id}{way}", headers=headers)
    return answer.status_code, answer.json() if answer.status_code != 200 else None


@pytest.mark.parametrize("way", WAYS)
async def test_a_run_that_is_gone_is_one_that_never_was(shop, way):
    run = await shop.client.start("tea", {})
    await run.result()
    await Retention(shop.engine.db).sweep(RetentionPolicy(age=0), shop.engine.clock.now())

    status, body = await asked(shop, run.run_id, way)
    assert (status, body["error"]["code"]) == (404, "run_not_found")
    assert body["error"]["message"] == f"No run {run.run_id}."


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("left", [0, 3])
async def test_so_is_one_of_which_a_part_is_left(shop, way, left):
    run = await shop.client.start("tea", {})
    await run.result()
    row = await shop.engine.runs.get(run.run_id)
    await shop.engine.db.transact(
        lambda connection: connection.execute(
            "DELETE FROM events WHERE run_key = ? AND seq > ?", (row.run_key, left)
        )
    )

    status, body = await asked(shop, run.run_id, way)
    assert (status, body["error"]["code"]) == (404, "run_not_found")
    status, body = await asked(shop, run.run_id, "/events", "text/event-stream")
    assert (status, body["error"]["code"]) == (404, "run_not_found")
