"""What such a somebody writes: tests with ``iw``, under whichever async plugin there is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
import shop

from infraweave import NonRetryable, Workflow
from infraweave.client import ClientError, RunFailed
from infraweave.testing import Stuck

ORDER = shop.Order("ord_1", 7.0)
YES = {"approved": True}


async def test_days_of_waiting_take_no_time(iw):
    run = await iw.start(shop.patient, {"what": "the milk"})
    await iw.advance(hours=71, minutes=59)
    assert await run.state() == "running"
    await iw.advance(minutes=1)
    assert await run.result() == "remember the milk"


async def test_time_skips_by_itself_while_the_test_waits_for_a_run(iw):
    before = iw.now
    run = await iw.start(shop.patient, {"what": "it"})
    assert await run.result() == "remember it"
    assert (iw.now - before).days == 3


async def test_a_body_fails_twice_with_backoff_and_then_works(iw):
    charge = iw.replace("charge", raises=[TimeoutError("slow"), ConnectionError()])
    run = await iw.start(shop.checkout, ORDER)
    assert await run.waits_for() == ["approval"]
    await iw.signal(run, "approval", YES)
    assert await run.state() == "retrying"
    began = iw.now
    assert await run.result() == {"paid": 7.0, "attempt": 3}
    assert (iw.now - began).total_seconds() == 4 + 8
    node = await run.node("charge")
    assert (node.attempts, node.state, node.output) == (3, "succeeded", {"paid": 7.0, "attempt": 3})
    assert node.errors == ["TimeoutError: slow", "ConnectionError"]
    assert [call.attempt for call in charge.calls] == [1, 2, 3]
    assert charge.calls[0]["input"] == ORDER  # structured, as the body's annotation says


async def test_what_every_attempt_returns_or_raises_can_be_written_down(iw):
    charge = iw.replace("checkout:charge", attempts=[OSError("reset"), {"paid": 1}])
    iw.replace("reserve", lambda **given: {"reserved": given["input"].order_id * 2})
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    assert await run.result() == {"paid": 1}
    assert charge.calls[-1]["reserve"] == {"reserved": "ord_1ord_1"}
    iw.restore(charge)
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    assert await run.result() == {"paid": 7.0, "attempt": 1}
    assert charge.count == 2


async def test_nobody_answers_for_two_days(iw):
    release = iw.replace("reserve", phase="compensation", returns=None)
    run = await iw.start(shop.checkout, ORDER)
    await iw.advance(days=1, hours=23)
    assert await run.state() == "running"
    await iw.advance(hours=1)
    assert await run.state() == "failed"
    error = await run.error()
    assert (error["code"], error["node"]) == ("input_timed_out", "approval")
    assert release.count == 1
    assert (await run.node("reserve")).compensated


async def test_a_body_that_takes_longer_than_its_timeout(iw):
    iw.replace("charge", takes="45s", returns={})
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    iw.replace("reserve", phase="compensation", returns=None)
    assert (await run.error())["code"] == "timeout"
    assert (await run.node("charge")).attempts == 5


async def test_a_crash_loses_nothing_and_repeats_only_what_was_in_flight(iw):
    reserve = iw.replace("reserve", returns={"reserved": "x"})
    charge = iw.replace("charge", takes="10s", returns={"paid": 7})
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    url = iw.url
    await iw.restart()
    assert iw.url == url
    assert await run.result() == {"paid": 7}
    assert (reserve.count, charge.count) == (1, 2)
    assert [row["error"]["code"] for row in await run.history() if row["error"]] == ["interrupted"]


async def test_a_stream_outlives_the_crash_of_its_server(iw):
    run = await iw.start(shop.checkout, ORDER)
    seen = []
    async for event in run.events():
        seen.append(event["seq"])
        if event["type"] == "input_requested":
            await iw.restart(down="36h")
            await run.signal("approval", YES, request_id=event["request_id"])
    assert seen == list(range(1, len(seen) + 1))
    assert (await run.show())["state"] == "succeeded"


async def test_a_new_release_serves_the_runs_of_the_old_one(iw):
    run = await iw.start(shop.patient, {"what": "me"})
    release = Workflow("patient", version="v2")

    @release.node
    async def remind(input: dict) -> str:
        return f"mended {input['what']}"

    await iw.restart(release)
    assert await run.result() == "mended me"
    assert await (await iw.start("patient", {"what": "you"})).result() == "mended you"


@pytest.mark.infraweave(shop.nightly, now="2026-03-27T00:00:00Z")
async def test_a_schedule_over_the_change_to_summer_time(iw):
    assert iw.now == datetime(2026, 3, 27, tzinfo=UTC)
    await iw.advance(days=4)
    runs = [await run.show() for run in await iw.runs("nightly", trigger="schedule")]
    # 02:30 does not exist on the 29th in Berlin: the run comes as soon as the hour has passed.
    days = ["2026-03-27T01:30", "2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]
    assert [run["started_at"][:16] for run in runs] == days
    assert {run["state"] for run in runs} == {"succeeded"}


async def test_a_schedule_makes_up_for_a_downtime(iw):
    await iw.serve(shop.nightly)
    await iw.advance(days=2)
    await iw.restart(down="72h")
    await iw.settle()
    assert len(await iw.runs(shop.nightly)) == 5


async def test_items_of_a_map_and_the_run_of_a_child(iw):
    pack = iw.replace("pack", lambda order, ctx: f"{order}{ctx.attempt}", raises=["jam"])
    run = await iw.start(shop.bundle, {"orders": ["a", "b"]})
    assert await run.result() == "inv-a2+b2"
    assert (await run.node("pack")).output == ["a2", "b2"]
    assert sorted((call.index, call.attempt) for call in pack.calls) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    (child,) = await iw.runs("invoice")
    assert (await child.show())["parent_run_id"] == run.run_id


async def test_the_body_of_a_child_is_replaced_too(iw):
    iw.replace("invoice:number", returns="inv-0")
    assert await (await iw.start(shop.bundle, {"orders": []})).result() == "inv-0"


async def test_turns_of_a_loop(iw):
    critique = iw.replace("critique", lambda draft: "good" if "shorter" in draft else "shorter")
    run = await iw.start(shop.essay)
    assert await run.result() == "draft (shorter)"
    assert [call.iteration for call in critique.calls] == [1, 2]
    assert (await run.node("draft")).outputs == ["draft ()", "draft (shorter)"]


async def test_the_same_server_answers_any_other_client(iw):
    run = await iw.start(shop.checkout, ORDER)
    headers = {"Authorization": f"Bearer {iw.token}"}
    async with httpx.AsyncClient(base_url=iw.url, headers=headers, trust_env=False) as http:
        shown = (await http.get(f"/v1/runs/{run.run_id}")).json()
        assert (shown["state"], shown["waiting_for"][0]["node"]) == ("running", "approval")
    own = await iw.client.start("checkout", {"order_id": "ord_2"}, tags={"from": "test"})
    await own.signal("approval", YES)
    assert await own.result() == {"paid": 10.0, "attempt": 1}
    with pytest.raises(ClientError, match="input_invalid"):
        await iw.start("checkout", {"order": 1})


async def test_many_runs_are_waited_for_at_once(iw):
    runs = [await iw.start(shop.patient, {"what": str(n)}) for n in range(5)]
    results = await asyncio.gather(*(run.result() for run in runs))
    assert results == [f"remember {n}" for n in range(5)]


async def test_what_failed_tells_its_story(iw):
    iw.replace("charge", raises=NonRetryable("no funds"))
    iw.replace("reserve", phase="compensation", returns=None)
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    with pytest.raises(RunFailed, match="no funds") as caught:
        await run.result()
    story = caught.value.__notes__[0]
    assert "node_failed charge: no funds" in story
    assert "+0s" in story
    with pytest.raises(AssertionError, match="did you mean charge"):
        await run.node("chrage")
    with pytest.raises(AssertionError, match="ended without"):
        await run.until("node_completed", node="charge")


async def test_who_waits_for_what_only_the_test_can_do_is_told(iw, monkeypatch):
    monkeypatch.setattr("infraweave.testing.time.STUCK", 0.05)
    flow = Workflow("asking", version="v1")
    flow.human_input("ask", prompt="Well?", schema={})
    run = await iw.start(flow)
    with pytest.raises(Stuck) as caught:
        await run.result()
    assert 'iw.signal(run, "ask"' in caught.value.__notes__[0]


async def test_a_slip_of_the_pen_is_told(iw):
    iw.replace("chrage", returns=1)
    with pytest.raises(LookupError, match="did you mean charge"):
        await iw.start(shop.checkout, ORDER)
    for wrong in ({}, {"returns": 1, "attempts": [2]}, {"attempts": []}):
        with pytest.raises(TypeError, match="replace"):
            iw.replace("charge", **wrong)
    with pytest.raises(ValueError, match="forwards"):
        await iw.advance(hours=-1)


@pytest.mark.infraweave(skip_time=False)
async def test_time_stands_still_where_the_test_wants_it(iw):
    run = await iw.start(shop.patient, {"what": "it"})
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await iw.advance(days=3)
    assert await waiting == "remember it"


async def test_who_waits_while_nobody_turns_the_clock_is_told_what_is_due(iw, monkeypatch):
    monkeypatch.setattr("infraweave.testing.time.STANDSTILL", 0.1)
    iw.skips = False
    run = await iw.start(shop.patient, {"what": "it"})
    with pytest.raises(Stuck, match=r"iw\.skips is False") as caught:
        await run.result()
    assert "due time is 2026-01-04T00:00:00.000Z, in 3d" in str(caught.value)
    assert 'await iw.advance(to="2026-01-04T00:00:00.000Z")' in str(caught.value)
    assert "sleeps, until 2026-01-04T00:00:00.000Z" in caught.value.__notes__[0]
    await iw.advance(to="2026-01-04T00:00:00.000Z")
    assert await run.result() == "remember it"


async def test_time_that_another_task_lets_pass_stands_not_still(iw, monkeypatch):
    monkeypatch.setattr("infraweave.testing.time.STANDSTILL", 1.0)
    iw.skips = False
    run = await iw.start(shop.patient, {"what": "it"})

    async def turn():
        for _ in range(9):
            await asyncio.sleep(0.2)
            await iw.advance(hours=8)

    turning = asyncio.create_task(turn())
    assert await run.result() == "remember it"
    await turning


async def test_time_need_not_pass_while_a_body_works(iw, monkeypatch):
    monkeypatch.setattr("infraweave.testing.time.STANDSTILL", 0.5)
    monkeypatch.setattr("infraweave.testing.time.PATIENCE", 0.05)
    iw.skips = False
    gate = asyncio.Event()

    async def works():
        await gate.wait()
        return "worked"

    iw.replace("number", works)
    await iw.serve(shop.invoice)
    waiting = asyncio.create_task((await iw.client.start("invoice", {"order": "a"})).result())
    await asyncio.sleep(0.8)
    gate.set()
    assert await waiting == "worked"


async def test_a_body_may_do_real_work_meanwhile(iw):
    async def works(input, approval):
        await asyncio.sleep(0.2)
        return "worked"

    iw.replace("charge", works)
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    assert await run.state() == "succeeded"


async def test_a_body_that_hangs_is_timed_out_by_hand(iw, monkeypatch):
    monkeypatch.setattr("infraweave.testing.time.PATIENCE", 0.05)
    iw.replace("charge", lambda: asyncio.Event().wait())
    run = await iw.start(shop.checkout, ORDER)
    await iw.signal(run, "approval", YES)
    await iw.advance(seconds=31)
    assert (await run.node("charge")).errors[0].startswith("No result within 30s")


class TestInAClass:
    @pytest.fixture
    def iw_workflows(self):
        return [shop.invoice]

    @pytest.mark.parametrize("order", ["a", "b"])
    async def test_workflows_come_by_a_fixture(self, iw, order):
        assert await (await iw.start("invoice", {"order": order})).result() == f"inv-{order}"


@pytest.fixture
def failing_once(iw):
    iw.replace("number", raises=["jam"])
    return iw


async def test_a_fixture_may_prepare_the_server_before_it_runs(failing_once):
    run = await failing_once.start(shop.invoice, {"order": "a"})
    assert await run.result() == "inv-a"
    assert (await run.node("number")).attempts == 2


async def test_files_are_served_as_they_are_by_the_command(iw, tmp_path):
    (tmp_path / "flows.py").write_text(
        "from infraweave import Workflow\nflow = Workflow('filed')\n"
        "@flow.node\ndef one(input: dict) -> int: return 1\n"
    )
    await iw.serve(tmp_path)
    assert await (await iw.client.start("filed")).result() == 1


async def test_a_changed_workflow_is_served_anew(iw):
    flow = Workflow("growing")

    @flow.node
    async def first(input: dict) -> int:
        return 1

    assert await (await iw.start(flow)).result() == 1

    @flow.node
    async def second(first: int) -> int:
        return first + 1

    assert await (await iw.start(flow)).result() == 2


async def test_nodes_of_a_published_document_are_replaced_even_without_code(iw):
    flow = Workflow("published", version="v1")

    @flow.node
    async def lookup(input: dict) -> str: ...

    document = await _document(iw, flow)
    await iw.restart(shop.invoice)
    await iw.client.publish({**document, "workflow_id": "other"}, activate=True)
    iw.replace("other:lookup", returns="found")
    assert await (await iw.start("other")).result() == "found"


async def _document(iw, flow):
    await iw.serve(flow)
    return await iw.client.document(flow.workflow_id, flow.version)


async def test_a_request_of_an_http_node_is_replaced_and_fails_once(iw):
    flow = Workflow("fetching", version="v1")
    flow.http("fetch", method="GET", url="https://shop.example/orders/{input.id}")

    @flow.node
    async def told(fetch: dict) -> str:
        return f"order {fetch['id']}"

    fetch = iw.replace("fetch", raises=[TimeoutError("slow")], returns={"id": 7})
    assert await (await iw.start(flow, {"id": 7})).result() == "order 7"
    assert fetch.count == 2
