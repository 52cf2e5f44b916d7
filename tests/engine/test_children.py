"""Subworkflows: child runs, linked to their parent and committed with it."""

from __future__ import annotations

import asyncio
import gc

import pytest

from infraweave import Context, NonRetryable, Retry, Workflow
from infraweave.core.workflow.document import ITEM, Document, Map, Param
from infraweave.core.workflow.document_codec import document_from_json, document_to_json
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.wakeups import Wakeups
from infraweave.store.runs import Runs
from tests.engine.conftest import beat

ORDER = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


def invoice(*, body=None) -> Workflow:
    flow = Workflow("invoice", version="v1", input=ORDER)

    @flow.node
    async def number(input: dict) -> dict:
        return {"invoice": f"inv-{input['order']}"} if body is None else await body(input)

    return flow


def order(*, retry: Retry | None = None, schema=None) -> Workflow:
    flow = Workflow("order", version="v1")

    @flow.subworkflow("invoice", retry=retry, schema=schema)
    def bill(input: dict) -> dict:
        return {"order": input["id"]}

    @flow.node
    async def ship(bill: dict) -> str:
        return f"shipped with {bill['invoice']}"

    return flow


async def child_of(w, run):
    return next(row for row in await w.engine.runs.list("default") if row.parent_run_id == run.run_id)


async def test_a_child_is_a_run_of_its_own_whose_result_is_its_nodes_output(world):
    async with world(order(), invoice()) as w:
        run = await w.start("order", {"id": "o1"})
        assert (await w.end(run))["result"] == "shipped with inv-o1"
        child = await child_of(w, run)
        assert (child.trigger, child.state, child.workflow_version) == ("subworkflow", "succeeded", "v1")
        assert child.trace_id == run.trace_id
        events = await w.events(run)
        started = next(event for event in events if event.get("child_run_id"))
        assert started["child_run_id"] == child.run_id
        assert started["input"] == {"order": "o1"}
        done = next(e for e in events if e["type"] == "node_completed" and e["node"] == "bill")
        assert done["output"] == {"invoice": "inv-o1"}


async def test_a_parent_that_waits_for_its_child_holds_no_slot_however_deep_it_goes(world):
    flow = Workflow("deep", version="v1")

    @flow.router(routes=["down", "bottom"])
    def which(input: dict) -> str:
        return "down" if input["n"] else "bottom"

    @flow.subworkflow("deep")
    def down(input: dict) -> dict:
        return {"n": input["n"] - 1}

    @flow.node
    async def bottom(input: dict) -> str:
        return "reached"

    async with world(flow, max_running=1) as w:
        run = await w.start("deep", {"n": 8})
        assert await w.engine.service.wait_end(run.run_key)
        rows = await w.engine.runs.list("default")
        assert {row.state for row in rows} == {"succeeded"}
        assert len(rows) == 9


async def test_depth_is_bounded(world):
    flow = Workflow("endless", version="v1")

    @flow.subworkflow(flow)
    def again() -> dict:
        return {}

    async with world(flow) as w:
        run = await w.start("endless")
        error = (await w.end(run))["error"]
        assert error["code"] == "child_failed"
        rows = await w.engine.runs.list("default", limit=100)
        assert len(rows) == 33
        assert next(r for r in rows if r.error.code == "too_deep").error.node == "again"


async def test_a_failed_child_fails_its_node_and_is_tried_again_where_retry_says_so(world):
    tries = []

    async def body(input):
        tries.append(input)
        if len(tries) < 3:
            raise NonRetryable("no paper")
        return {"invoice": "inv-9"}

    async with world(order(), invoice(body=body)) as w:
        run = await w.start("order", {"id": "o1"})
        error = (await w.end(run))["error"]
        assert (error["code"], error["node"]) == ("child_failed", "bill")
        assert "no paper" in error["message"]
    steady = Retry(max_attempts=3, initial=10, jitter=False)
    patient = order(retry=steady)
    patient.workflow_id, patient.version = "patient", "v1"
    async with world(patient, invoice(body=body)) as w:
        run = await w.start("patient", {"id": "o1"})
        await w.until(run, "node_failed", will_retry=True)
        await w.clock.advance(10)
        assert (await w.end(run))["type"] == "completed"
        attempts = [e["child_run_id"] for e in await w.events(run) if e.get("child_run_id")]
        assert len(set(attempts)) == 2


async def test_a_child_that_is_due_again_and_waits_for_a_slot_is_not_woken_again_and_again(
    world, monkeypatch
):
    tries, woken, release, wake = [], [], asyncio.Event(), Wakeups.wake

    async def counted(self, run_key):
        woken.append(run_key)
        await wake(self, run_key)

    async def body(input):
        tries.append(input)
        if len(tries) < 2:
            raise NonRetryable("no paper")
        return {"invoice": "inv-9"}

    hog = Workflow("hog", version="v1")

    @hog.node
    async def hold() -> None:
        await release.wait()

    monkeypatch.setattr(Wakeups, "wake", counted)
    patient = order(retry=Retry(max_attempts=3, initial=10, jitter=False))
    async with world(patient, invoice(body=body), hog, max_running=1) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_failed", will_retry=True)
        await w.until(await w.start("hog"), "node_started")
        await w.clock.advance(10)
        while not woken:
            await w.engine.runs.counts()
        await beat(w)
        told = list(woken)
        release.set()
        assert told == [run.run_key]
        assert (await w.end(run))["type"] == "completed"


@pytest.mark.parametrize(
    ("given", "code"),
    [({"order": 1}, "input_invalid"), ("text", "input_invalid")],
)
async def test_a_child_is_not_started_with_an_input_that_it_does_not_take(world, given, code):
    flow = Workflow("order", version="v1")

    @flow.subworkflow("invoice")
    def bill():
        return given

    async with world(flow, invoice()) as w:
        run = await w.start("order")
        assert (await w.end(run))["error"]["code"] == code
        assert len(await w.engine.runs.list("default")) == 1


async def test_a_child_of_a_workflow_that_is_not_there_fails_its_node(world):
    async with world(order()) as w:
        run = await w.start("order", {"id": "o1"})
        assert (await w.end(run))["error"]["code"] == "workflow_not_found"


async def test_a_childs_result_must_pass_the_schema(world):
    async with world(order(schema={"required": ["total"]}), invoice()) as w:
        run = await w.start("order", {"id": "o1"})
        error = (await w.end(run))["error"]
        assert error["code"] == "output_invalid"
        assert "total" in error["message"]


def waiting() -> Workflow:
    flow = Workflow("invoice", version="v1")

    @flow.node
    async def number(input: dict) -> dict:
        return {"invoice": "inv"}

    @number.compensate
    async def tear_up(number: dict) -> None: ...

    flow.human_input("sign", prompt="Sign?", schema={}, after=["number"])
    return flow


async def test_cancelling_the_parent_cancels_the_child_which_is_undone_first(world):
    async with world(order(), waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")
        await w.engine.service.cancel(run, by="eve")
        assert (await w.end(run))["type"] == "cancelled"
        assert "node_completed number compensation" in await w.told(child)
        assert (await w.end(child))["type"] == "cancelled"
        assert "node_failed bill cancelled" in await w.told(run)


async def test_terminating_the_parent_ends_the_child_in_the_same_commit(world):
    async with world(order(), waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")
        await w.engine.service.terminate(run, by="op")
        ends = [await w.end(run), await w.end(child)]
        assert [(end["type"], end["forced"]) for end in ends] == [("cancelled", True)] * 2


async def test_a_cancelled_child_fails_its_node(world):
    async with world(order(), waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_started", node="bill")
        await w.engine.service.cancel(await child_of(w, run), by="eve")
        assert (await w.end(run))["error"]["code"] == "child_cancelled"


async def test_the_failure_of_another_node_cancels_the_child(world):
    flow = order()

    @flow.node(retry=None)
    async def check(input: dict, ctx: Context) -> None:
        await asyncio.wait_for(ready.wait(), None)
        raise NonRetryable("no")

    ready = asyncio.Event()
    async with world(flow, waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")
        ready.set()
        assert (await w.end(run))["error"]["node"] == "check"
        assert (await w.end(child))["type"] == "cancelled"


async def test_a_restart_finds_parent_and_child_again(world):
    async with world(order(), waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")
    async with world(order(), waiting()) as w:
        assert w.engine.registry.live == {}  # both wait, and cost nothing
        (await w.engine.service.signal(child, "sign", None, {"invoice": "signed"}, by="eve"))
        assert (await w.end(run))["result"] == "shipped with signed"


async def test_children_stopped_by_a_parent_that_died_meanwhile_are_asked_again(world, monkeypatch):
    async with world(order(), waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")

        monkeypatch.setattr(LiveRun, "cancel_child", lambda *_: None)
        await w.engine.service.cancel(run, by="eve")
    monkeypatch.undo()
    async with world(order(), waiting()) as w:
        assert (await w.end(run))["type"] == "cancelled"
        assert (await w.end(child))["type"] == "cancelled"


async def test_a_child_that_is_cancelled_while_it_is_taken_up_still_tells_its_parent(world, monkeypatch):
    async with world(order(), waiting()) as w:
        run = await w.start("order", {"id": "o1"})
        while not (children := [r for r in await w.engine.runs.list("default") if r.parent_run_id]):
            pass
        (child,) = children
        await w.until(child, "input_requested")
        while w.engine.registry.live:
            await w.engine.db.ping()
        looked_up, cancels = Runs.get, []

        async def slow(runs, run_id):
            if run_id == run.run_id and len(cancels) == 1:
                cancels.append(asyncio.create_task(w.engine.service.cancel(child, by="eve")))
                await w.engine.db.ping()
            return await looked_up(runs, run_id)

        monkeypatch.setattr(Runs, "get", slow)
        cancels.append(asyncio.create_task(w.engine.service.cancel(child, by="eve")))
        async with asyncio.timeout(5):
            assert (await w.end(run))["type"] == "failed"
        await asyncio.gather(*cancels)


async def test_a_map_of_children_gives_their_results_in_order(world):
    flow = Workflow("orders", version="v1")

    @flow.map(over="input", subworkflow="invoice", max_concurrency=2)
    def bills(order: str) -> dict:
        return {"order": order}

    flow.input = {"type": "array"}
    async with world(flow, invoice(), max_running=2) as w:
        run = await w.start("orders", [f"o{n}" for n in range(9)])
        assert (await w.end(run))["result"] == [{"invoice": f"inv-o{n}"} for n in range(9)]
        rows = await w.engine.runs.list("default")
        assert sum(row.parent_run_id == run.run_id for row in rows) == 9


async def test_a_finished_child_is_undone_by_a_compensation_of_its_node(world):
    flow, undone = Workflow("order", version="v1"), []

    @flow.subworkflow("invoice")
    def bill(input: dict) -> dict:
        return {"order": input["id"]}

    @bill.compensate
    async def credit(bill: dict, input: dict) -> None:
        undone.append((bill["invoice"], input["id"]))

    @flow.node(retry=None)
    async def ship(bill: dict) -> None:
        raise NonRetryable("no lorry")

    async with world(flow, invoice()) as w:
        run = await w.start("order", {"id": "o1"})
        end = await w.end(run)
        assert end["compensated"] == ["bill"]
        assert undone == [("inv-o1", "o1")]


async def test_items_that_are_children_are_tried_again_only_where_that_is_said(world):
    failing = Workflow("invoice", version="v1")

    @failing.node(retry=None)
    async def bill() -> None:
        raise NonRetryable("no paper")

    bills = Map(name="bills", over="input", params=(Param("n", ITEM),), workflow_id="invoice")
    schema = {"type": "array"}
    document = Document(workflow_id="order", version="v1", input_schema=schema, nodes=(bills,))
    assert document_from_json(document_to_json(document)) == document
    async with world(failing) as w:
        await w.engine.documents.publish("default", document, 0)
        end = await w.end(await w.start("order", [1]))
        assert end["error"]["code"] == "child_failed"
        assert end["error"]["attempt"] == 1


async def test_a_body_that_outlives_the_server_asks_a_closed_file_for_its_child_in_silence(world):
    flow, begun, over, lost = Workflow("order", version="v1"), asyncio.Event(), asyncio.Event(), []

    @flow.subworkflow("invoice")
    async def bill() -> dict:
        begun.set()
        try:
            await over.wait()
        except asyncio.CancelledError:
            await over.wait()
        return {}

    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    async with world(flow, invoice()) as w:
        await w.start(flow)
        await begun.wait()
        [attempt] = w.engine.registry.in_flight()
        w.engine.abandon()
    over.set()
    await asyncio.wait([attempt.task])
    del attempt
    gc.collect()
    assert lost == []
