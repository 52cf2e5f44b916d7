"""Parts of a run's history: one node, one item, one state."""

from __future__ import annotations

import re

from infraweave import NonRetryable, Workflow
from tests.api.test_counting import family  # noqa: F401 - a fixture


def many():
    flow = Workflow("many", version="v1")

    @flow.node
    async def chunks() -> list[int]:
        return list(range(300))

    @flow.map(over="chunks", max_concurrency=50, max_failures=300)
    async def work(chunk: int) -> int:
        if chunk % 100 == 7:
            raise NonRetryable("no")
        return chunk

    return flow


async def rows(api, run_id, query):
    return (await api.get(f"/v1/runs/{run_id}/history{query}")).json()


async def test_one_item_or_the_failures_of_a_large_map_can_be_looked_at(serve, api_of):
    async with serve(many()) as server, api_of(server) as api:
        run_id = (await api.post("/v1/runs", {"workflow_id": "many"})).json()["run_id"]
        await api.until(run_id, "completed", "failed")
        failed = await rows(api, run_id, "?node=work&state=failed")
        assert [row["index"] for row in failed["history"]] == [7, 107, 207]
        first = await rows(api, run_id, "?state=failed&limit=2")
        rest = await rows(api, run_id, f"?state=failed&limit=2&cursor={first['next_cursor']}")
        assert first["history"] + rest["history"] == failed["history"]
        assert rest["next_cursor"] is None
        (item,) = (await rows(api, run_id, "?node=work&index=107"))["history"]
        assert (item["state"], item["index"]) == ("failed", 107)
        assert (await rows(api, run_id, "?node=none"))["history"] == []
        (chunks,) = (await rows(api, run_id, "?node=chunks"))["history"]
        assert "child_run_id" not in chunks


async def test_an_attempt_tells_of_its_child_and_of_the_next_attempt(family, serve, clock):  # noqa: F811
    api, parent, child = family
    (row,) = (await rows(api, parent, ""))["history"]
    assert row["child_run_id"] == child
    run_id = await api.start("flaky")
    await api.until(run_id, "node_failed")
    (row,) = (await rows(api, run_id, ""))["history"]
    assert row["retry_at"] > row["finished_at"]
    await clock.advance(4)
    await api.until(run_id, "failed")
    first, second = (await rows(api, run_id, ""))["history"]
    assert "retry_at" not in first
    assert "retry_at" not in second


async def test_a_failed_attempt_says_where_in_the_authors_code_it_was(serve, api_of):
    flow = Workflow("bad", version="v1")

    @flow.node(retry=None)
    def z(input: dict) -> int:
        return input["nope"]["x"]

    async with serve(flow) as server, api_of(server) as api:
        run_id = (await api.post("/v1/runs", {"workflow_id": "bad"})).json()["run_id"]
        await api.until(run_id, "failed")
        (row,) = (await rows(api, run_id, ""))["history"]
        *_, frame, source, text = row["error"].pop("traceback").split("\n")
        assert row["error"] == {"code": "error", "message": "KeyError: 'nope'"}
        assert re.search(r'test_history\.py", line \d+, in z$', frame)
        assert (source, text) == ('    return input["nope"]["x"]', "KeyError: 'nope'")

        def read(path):
            return api.get(f"/v1/runs/{run_id}{path}", headers={"Accept": "application/json"})

        assert "Traceback" in (await read("/events?include=payloads")).text
        for path in ("", "/result", "/events", "/explain"):
            assert "raceback" not in (await read(path)).text


async def test_a_failure_that_was_nowhere_in_the_code_says_null(serve, api_of, clock):
    flow = Workflow("slow", version="v1")
    flow.signal("word", schema={}, timeout="1h")
    async with serve(flow) as server, api_of(server) as api:
        run_id = (await api.post("/v1/runs", {"workflow_id": "slow"})).json()["run_id"]
        await api.until(run_id, "node_started")
        await clock.advance(3600)
        await api.until(run_id, "failed")
        (row,) = (await rows(api, run_id, ""))["history"]
        assert (row["error"]["code"], row["error"]["traceback"]) == ("signal_timed_out", None)
