"""Runs that are being stopped: what they still take, what they say, and that asking again changes nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from infraweave import NonRetryable, Workflow
from infraweave.settings import Settings
from tests.api.conftest import Decision, told

YES = {"approved": True}


class Stage:
    """A workflow with an answer, a body in flight and a compensation, which go on when the test says so."""

    def __init__(self) -> None:
        self.go_on, self.undo_may_go_on = asyncio.Event(), asyncio.Event()
        self.at_work, self.cleaned_up = asyncio.Event(), False
        self.flow = flow = Workflow("staged", version="v1")

        @flow.human_input(schema=Decision)
        def approval() -> str:
            return "Go?"

        @flow.node
        async def book(approval: Decision) -> str:
            return "booked"

        @book.compensate
        async def unbook(book: str) -> None:
            await self.undo_may_go_on.wait()

        @flow.node
        async def work(book: str) -> str:
            self.at_work.set()
            try:
                await self.go_on.wait()
            finally:
                self.cleaned_up = True
            raise NonRetryable("it is broken")

        @flow.human_input(schema=Decision)
        def second(work: str) -> str:
            return "And now?"


@pytest.fixture
def staged(serve, api_of):
    @asynccontextmanager
    async def opening(**options):
        stage = Stage()
        async with serve(stage.flow, **options) as server, api_of(server) as api:
            try:
                yield stage, api
            finally:
                stage.go_on.set()
                stage.undo_may_go_on.set()

    return opening


async def send(api, run_id, name="approval", payload=YES, request_id=None):
    body = {"payload": payload, **({} if request_id is None else {"request_id": request_id})}
    return await api.post(f"/v1/runs/{run_id}/signals/{name}", body)


async def working(stage, api):
    """Start a run and bring it to where its body is in flight."""
    run_id = await api.start("staged", input={})
    await api.until(run_id, "input_requested")
    assert (await send(api, run_id, request_id="first")).status_code == 202
    await stage.at_work.wait()
    return run_id


async def show(api, run_id):
    return (await api.get(f"/v1/runs/{run_id}")).json()


# --- cancel ------------------------------------------------------------------------------------------------


async def test_a_cancel_is_told_at_once_and_the_state_stays_until_all_is_undone(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        answer = await api.post(f"/v1/runs/{run_id}/cancel", {"reason": "changed my mind"})
        assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
        assert answer.json()["state"] == "running"
        assert set(answer.json()) == set(await show(api, run_id))
        events = await until_node(api, run_id, "book", "compensation")
        asked = next(event for event in events if event.get("cancel_requested"))
        assert (asked["by"], asked["reason"]) == ("admin", "changed my mind")
        assert stage.cleaned_up
        assert (await show(api, run_id))["state"] == "running"
        stage.undo_may_go_on.set()
        await api.until(run_id, "cancelled")
        run = await show(api, run_id)
        assert (run["state"], run["forced"], run["cancel_requested"]) == ("cancelled", False, True)
        nodes = {node["node"]: node["state"] for node in run["nodes"]}
        assert nodes == {
            "approval": "succeeded",
            "book": "compensated",
            "work": "cancelled",
            "second": "pending",
        }


async def until_node(api, run_id, node, phase="forward"):
    seen = []
    async for event in api.server.client.events(run_id):
        seen.append(event)
        if event.get("node") == node and event.get("phase", "forward") == phase:
            return seen
    raise AssertionError(seen)


async def test_asking_again_is_202_and_makes_no_event(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        await api.post(f"/v1/runs/{run_id}/cancel")
        await until_node(api, run_id, "book", "compensation")
        before = await show(api, run_id)
        for _ in range(3):
            again = await api.post(f"/v1/runs/{run_id}/cancel", {"reason": "again"})
            assert (again.status_code, again.json()) == (202, before)


async def test_of_many_cancels_at_once_one_counts(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        answers = await asyncio.gather(*(api.post(f"/v1/runs/{run_id}/cancel") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {202}
        stage.undo_may_go_on.set()
        events = await api.until(run_id, "cancelled")
        assert sum(bool(event.get("cancel_requested")) for event in events) == 1


async def test_a_run_that_waits_in_the_queue_is_cancelled_at_once(open_api):
    async with open_api(settings=Settings(max_running=0)) as api:
        run_id = await api.start()
        answer = await api.post(f"/v1/runs/{run_id}/cancel")
        assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
        events = await api.until(run_id, "cancelled")
        assert not [event for event in events if event["type"].startswith("node_")]
        run = await show(api, run_id)
        assert (run["state"], run["started_at"]) == ("cancelled", None)
        assert "infraweave_queue_depth 0.0" in (await api.get("/metrics")).text


async def test_a_run_that_fails_is_undone_and_a_cancel_meanwhile_does_not_change_how_it_ends(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        stage.go_on.set()
        await until_node(api, run_id, "book", "compensation")
        answer = await api.post(f"/v1/runs/{run_id}/cancel")
        assert answer.status_code == 202
        stage.undo_may_go_on.set()
        events = await api.until(run_id, "failed", "cancelled")
        assert (events[-2]["type"], events[-2]["state"], events[-1]["type"]) == (
            "status_changed",
            "failed",
            "failed",
        )
        assert (await show(api, run_id))["error"]["node"] == "work"


# --- terminate ---------------------------------------------------------------------------------------------


async def test_a_terminate_goes_through_while_a_run_is_being_undone(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        await api.post(f"/v1/runs/{run_id}/cancel")
        await until_node(api, run_id, "book", "compensation")
        answer = await api.post(f"/v1/runs/{run_id}/terminate", {"reason": "enough"})
        run = answer.json()
        assert (answer.status_code, run["state"], run["forced"]) == (200, "cancelled", True)
        assert run["finished_at"] is not None
        events = await api.until(run_id, "cancelled")
        assert (events[-1]["type"], events[-1]["forced"]) == ("cancelled", True)
        assert events[-2]["state"] == "cancelled"


async def test_what_the_nodes_of_a_terminated_run_still_do_is_ignored(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        run = (await api.post(f"/v1/runs/{run_id}/terminate")).json()
        stage.go_on.set()
        stage.undo_may_go_on.set()
        await api.get("/healthz")
        assert await show(api, run_id) == run


async def test_who_may_cancel_may_not_terminate(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        eve = await api.other("cancel:workflow:staged", "read:workflow:staged", "execute:workflow:staged")
        answer = await eve.post(f"/v1/runs/{run_id}/terminate")
        assert told(answer) == (403, "acl_denied")
        assert answer.json()["error"]["message"] == "Principal lacks operate on workflow:staged."
        operator = await api.other("operate:workflow:*", name="olga")
        assert (await operator.post(f"/v1/runs/{run_id}/terminate")).status_code == 200
        assert (await api.until(run_id, "cancelled"))[-2]["by"] == "olga"


# --- signals -----------------------------------------------------------------------------------------------


async def test_a_stopping_run_takes_no_signal_but_knows_its_duplicates(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        await api.post(f"/v1/runs/{run_id}/cancel")
        await until_node(api, run_id, "book", "compensation")
        assert told(await send(api, run_id, "second")) == (409, "run_stopping")
        assert told(await send(api, run_id, "second", {"nonsense": 1})) == (409, "run_stopping")
        again = await send(api, run_id, request_id="first")
        assert (again.status_code, again.json()["duplicate"]) == (200, True)
        stage.undo_may_go_on.set()
        await api.until(run_id, "cancelled")
        assert told(await send(api, run_id, "second")) == (409, "run_finished")
        again = await send(api, run_id, request_id="first")
        assert (again.status_code, again.json()["duplicate"]) == (200, True)
        assert told(await send(api, run_id, payload={"approved": False}, request_id="first")) == (
            409,
            "signal_conflict",
        )


async def test_a_failing_run_that_is_being_undone_takes_no_signal_either(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        stage.go_on.set()
        await until_node(api, run_id, "book", "compensation")
        assert told(await send(api, run_id, "second")) == (409, "run_stopping")


# --- results -----------------------------------------------------------------------------------------------


async def test_the_result_is_409_until_all_is_undone_and_then_the_error(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        await api.post(f"/v1/runs/{run_id}/cancel", {"reason": "no need"})
        await until_node(api, run_id, "book", "compensation")
        assert told(await api.get(f"/v1/runs/{run_id}/result")) == (409, "run_not_finished")
        stage.undo_may_go_on.set()
        await api.until(run_id, "cancelled")
        result = (await api.get(f"/v1/runs/{run_id}/result")).json()
        assert set(result) == {"run_id", "state", "error"}
        assert result["state"] == "cancelled"
        assert set(result["error"]) == {"code", "message", "node", "iteration", "index", "attempt"}
        assert (result["error"]["code"], "no need" in result["error"]["message"]) == ("cancelled", True)


async def test_a_history_tells_forward_and_backward_in_order(staged):
    async with staged() as (stage, api):
        run_id = await working(stage, api)
        stage.go_on.set()
        stage.undo_may_go_on.set()
        await api.until(run_id, "failed")
        rows = (await api.get(f"/v1/runs/{run_id}/history")).json()["history"]
        assert [(row["node"], row["phase"], row["state"]) for row in rows] == [
            ("approval", "forward", "succeeded"),
            ("book", "forward", "succeeded"),
            ("work", "forward", "failed"),
            ("book", "compensation", "succeeded"),
        ]
        assert [row["first_seq"] for row in rows] == sorted(row["first_seq"] for row in rows)
        assert rows[1]["output"] == "booked"
        assert rows[2]["input"] == {"book": "booked"}
        assert "in work" in rows[2]["error"].pop("traceback")
        assert rows[2]["error"] == {"code": "non_retryable", "message": "it is broken"}
        assert len({row["span_id"] for row in rows}) == 4
