"""Parts of a run's history: one node, one item, one state."""

from __future__ import annotations

import re

from infraweave import NonRetryable, Workflow
from infraweave.settings import Settings
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


def large(items=20, size=600_000):
    flow = Workflow("large", version="v1")

    @flow.map(over="input.items", max_concurrency=4, max_failures=100)
    async def each(item: int) -> str:
        if item < 0:
            raise NonRetryable("no")
        return "x" * size

    @flow.node
    async def last(each: list) -> int:
        return len(each)

    return flow


async def test_a_page_of_the_history_holds_at_most_4_mb_and_all_pages_hold_all(serve, api_of):
    async with serve(large()) as server, api_of(server) as api:
        run_id = await api.start("large", input={"items": list(range(20))})
        await api.until(run_id, "completed", "failed")
        found, sizes, cursor = [], [], None
        while True:
            answer = await api.get(f"/v1/runs/{run_id}/history", params={"cursor": cursor} if cursor else {})
            sizes.append(len(answer.content))
            page = answer.json()
            found += page["history"]
            if (cursor := page["next_cursor"]) is None:
                break
        assert [row["first_seq"] for row in found] == sorted({row["first_seq"] for row in found})
        assert [row["node"] for row in found] == ["each", *["each"] * 20, "last"]
        assert {len(row["output"]) for row in found if row["index"] is not None} == {600_000}
        whole = [size for size in sizes if size > 4 << 20]
        assert len(whole) <= 2  # one attempt alone may be larger: the map's output, and what is given that
        assert len(sizes) <= 6


async def test_a_page_of_one_state_is_bounded_too(serve, api_of):
    async with serve(large()) as server, api_of(server) as api:
        run_id = await api.start("large", input={"items": [1, -1, 2, -2, *range(3, 15)]})
        await api.until(run_id, "completed", "failed")
        first = await rows(api, run_id, "?state=succeeded&node=each&limit=100")
        assert sum(len(row["output"] or "") for row in first["history"][1:]) <= 4 << 20
        failed = await rows(api, run_id, "?state=failed")
        assert [row["index"] for row in failed["history"]] == [1, 3]
        assert "test_history.py" in failed["history"][0]["error"]["traceback"]


async def test_a_page_of_runs_with_long_tags_is_bounded(serve, api_of):
    settings = Settings(max_tag_value=100_000)
    async with serve(many(), settings=settings) as server, api_of(server) as api:
        start = {"workflow_id": "many", "start_at": "2027-01-01T00:00:00Z"}
        tags = {f"t{n}": "x" * 100_000 for n in range(10)}
        for _ in range(10):
            await api.post("/v1/runs", {**start, "tags": tags})
        found, cursor = [], None
        while True:
            answer = await api.get("/v1/runs", params={"cursor": cursor} if cursor else {})
            assert len(answer.content) < 4.5 * 2**20
            found += [run["run_id"] for run in answer.json()["runs"]]
            if (cursor := answer.json()["next_cursor"]) is None:
                break
        assert len(set(found)) == len(found) == 10
