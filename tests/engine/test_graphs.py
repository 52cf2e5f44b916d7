"""Maps, loops, signals, deadlines and races, as authors declare them and the engine runs them."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from infraweave import Context, NonRetryable, Retry, Workflow

ONCE = Retry(max_attempts=1)
STEADY = Retry(max_attempts=3, initial=10, factor=1, jitter=False)


# --- map ---------------------------------------------------------------------------------------------------


def squares(**options) -> Workflow:
    flow = Workflow("squares", version="v1", input={"type": "array"})

    @flow.map(over="input", **options)
    async def square(n: int) -> int:
        await asyncio.sleep(0)
        return n * n

    return flow


async def test_a_map_gives_its_items_results_in_their_order(world):
    async with world(squares(max_concurrency=3)) as w:
        run = await w.start("squares", [3, 1, 2])
        assert (await w.end(run))["result"] == [9, 1, 4]
        events = [e for e in await w.events(run) if e["type"] == "node_started"]
        assert [(e.get("index"), e.get("items")) for e in events] == [
            (None, 3),
            (0, None),
            (1, None),
            (2, None),
        ]


async def test_an_empty_list_is_an_empty_result(world):
    async with world(squares()) as w:
        assert (await w.end(await w.start("squares", [])))["result"] == []


async def test_no_more_items_are_in_flight_than_may_be(world):
    flow, there, most = Workflow("busy", version="v1", input={"type": "array"}), set(), []
    full = asyncio.Event()

    @flow.map(over="input", max_concurrency=4)
    async def work(n: int) -> None:
        there.add(n)
        most.append(len(there))
        if len(there) == 4:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        there.discard(n)

    async with world(flow) as w:
        await w.end(await w.start("busy", list(range(50))))
        assert max(most) == 4


async def test_each_item_is_retried_on_its_own(world):
    flow, tries = Workflow("flaky", version="v1"), []

    @flow.node
    def numbers() -> list[int]:
        return [1, 2, 3]

    @flow.map(over="numbers", retry=STEADY)
    async def half(n: int, ctx: Context) -> float:
        tries.append((n, ctx.index, ctx.attempt))
        if n == 2 and ctx.attempt < 3:
            raise ValueError("odd day")
        return n / 2

    async with world(flow) as w:
        run = await w.start("flaky")
        for attempt in (1, 2):
            await w.until(run, "node_failed", index=1, attempt=attempt)
            await w.clock.advance(10)
        assert (await w.end(run))["result"] == [0.5, 1.0, 1.5]
        assert sorted(n for n, _, _ in tries) == [1, 2, 2, 2, 3]


async def test_the_first_item_that_fails_for_good_stops_the_others_and_fails_the_map(world):
    flow, stopped = Workflow("strict", version="v1", input={"type": "array"}), []

    @flow.map(over="input", retry=ONCE)
    async def work(n: int) -> int:
        if n == 1:
            raise ValueError("bad item")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(n)
            raise
        return n

    async with world(flow) as w:
        run = await w.start("strict", [0, 1, 2])
        error = (await w.end(run))["error"]
        assert (error["node"], error["index"], error["code"]) == ("work", 1, "error")
        assert stopped == [0, 2]
        last = [e for e in await w.events(run) if e["type"] == "node_failed"][-1]
        assert (last.get("index"), last["code"]) == (None, "item_failed")


@pytest.mark.parametrize(("allowed", "end"), [(2, "completed"), (1, "failed")])
async def test_a_map_may_tolerate_some_failures(world, allowed, end):
    flow = Workflow("lenient", version="v1", input={"type": "array"})

    @flow.map(over="input", retry=ONCE, max_failures=allowed)
    async def work(n: int) -> int:
        if n % 2:
            raise ValueError("odd")
        return n

    async with world(flow) as w:
        last = await w.end(await w.start("lenient", [0, 1, 2, 3]))
        assert last["type"] == end
        if end == "completed":
            assert last["result"] == [0, None, 2, None]


async def test_what_is_no_list_fails_the_map(world):
    flow = Workflow("odd", version="v1")

    @flow.map(over="input")
    async def work(n: int) -> int:
        return n

    async with world(flow) as w:
        error = (await w.end(await w.start("odd", {"a": 1})))["error"]
        assert (error["code"], error["node"]) == ("input_mismatch", "work")


async def test_finished_items_are_undone_one_by_one_with_what_they_were_given(world):
    flow, undone = Workflow("book", version="v1", input={"type": "array"}), []

    @flow.map(over="input", max_concurrency=1)
    async def seat(name: str) -> str:
        return f"seat of {name}"

    @seat.compensate
    async def free(seat: str, name: str) -> None:
        undone.append((seat, name))

    @flow.node(retry=ONCE)
    async def pay(seat: list[str]) -> None:
        raise NonRetryable("no money")

    async with world(flow) as w:
        end = await w.end(await w.start("book", ["ann", "bob"]))
        assert undone == [("seat of bob", "bob"), ("seat of ann", "ann")]
        assert end["compensated"] == ["seat[1]", "seat[0]"]


async def test_a_map_survives_a_restart_in_the_middle(world):
    flow, calls, gate = Workflow("long", version="v1", input={"type": "array"}), [], asyncio.Event()

    @flow.map(over="input", max_concurrency=2)
    async def work(n: int) -> int:
        calls.append(n)
        if n >= 3:
            await gate.wait()
        return n

    async with world(flow, grace=0.0) as w:
        run = await w.start("long", list(range(6)))
        await w.until(run, "node_started", index=4)
    gate.set()
    async with world(flow) as w:
        assert (await w.end(run))["result"] == list(range(6))
        assert [calls.count(n) for n in range(3)] == [1, 1, 1]


async def test_many_items_take_time_in_proportion(world):
    async with world(squares(max_concurrency=64)) as w:
        run = await w.start("squares", list(range(5_000)))
        assert (await w.end(run))["result"][-1] == 4_999**2
        assert len(w.engine.registry.live) == 0


async def test_what_all_items_are_given_is_kept_once(world):
    flow, calls = Workflow("shared", version="v1"), []

    @flow.map(over="input.lines", max_concurrency=1, retry=Retry(max_attempts=2, initial=0, jitter=False))
    async def line(line: int, input: dict, ctx: Context) -> int:
        calls.append((line, input["note"], ctx.attempt))
        input["note"] = "changed"  # its own copy
        if ctx.attempt == 1 and line == 2:
            raise ValueError("once more")
        return line

    @line.compensate
    async def undo(line: int, input: dict, ctx: Context) -> None:
        calls.append(("undo", line, input["note"]))

    @flow.node(retry=None)
    async def after(line: list[int]) -> None:
        raise NonRetryable("no")

    note = "n" * 1000
    async with world(flow) as w:
        run = await w.start("shared", {"lines": [1, 2, 3], "note": note})
        await w.end(run)
        started = [e for e in await w.events(run) if e["type"] == "node_started" and e["node"] == "line"]
    assert calls == [
        *((1, note, 1), (2, note, 1), (2, note, 2), (3, note, 1)),
        *(("undo", 3, note), ("undo", 2, note), ("undo", 1, note)),
    ]
    forward = [event["input"] for event in started if "phase" not in event]
    assert forward == [{"input": {"lines": [1, 2, 3], "note": note}}, *({"line": n} for n in (1, 2, 2, 3))]


async def test_what_items_share_is_there_after_a_crash(world):
    flow, calls, gate = Workflow("shared", version="v1"), [], asyncio.Event()

    @flow.map(over="input.lines")
    async def line(line: int, input: dict) -> str:
        calls.append(line)
        await gate.wait()
        return f"{line}{input['note']}"

    async with world(flow, grace=0.0) as w:
        run = await w.start("shared", {"lines": [1, 2], "note": "!"})
        while len(calls) < 2:
            await w.clock.advance(0)
    gate.set()
    async with world(flow) as w:
        assert (await w.end(run))["result"] == ["1!", "2!"]


async def test_a_map_may_go_over_a_part_of_the_input(world):
    flow = Workflow("parts", version="v1")

    @flow.map(over="input.order.lines")
    async def line(line: dict) -> str:
        return line["sku"]

    async with world(flow) as w:
        run = await w.start("parts", {"order": {"lines": [{"sku": "a"}, {"sku": "b"}]}})
        assert (await w.end(run))["result"] == ["a", "b"]


# --- loop --------------------------------------------------------------------------------------------------


def review(*, bound: int = 5, good_at: int = 3, on_exhausted: Literal["fail", "continue"] = "fail"):
    flow, seen = Workflow("review", version="v1"), []

    @flow.node
    async def plan(input: dict) -> str:
        seen.append(("plan", None))
        return "plan"

    @flow.node
    async def draft(plan: str, ctx: Context, critic: str | None = None) -> str:
        seen.append(("draft", critic))
        return f"draft {ctx.iteration}"

    @flow.node
    async def critic(draft: str) -> str:
        return f"no, {draft}"

    @flow.repeat(back_to=draft, max_iterations=bound, on_exhausted=on_exhausted)
    def again(critic: str, ctx: Context) -> bool:
        return (ctx.iteration or 0) < good_at

    @flow.node
    async def publish(draft: str) -> str:
        return f"published {draft}"

    return flow, seen


async def test_a_loop_repeats_its_region_and_carries_values_over(world):
    flow, seen = review()
    async with world(flow) as w:
        run = await w.start("review")
        assert (await w.end(run))["result"] == "published draft 3"
        assert seen == [("plan", None), ("draft", None), ("draft", "no, draft 1"), ("draft", "no, draft 2")]
        events = await w.events(run)
        asked = [(e["iteration"], e["again"]) for e in events if "again" in e]
        assert asked == [(1, True), (2, True), (3, False)]
        assert [e.get("iteration") for e in events if e.get("node") == "plan"] == [None, None]


async def test_reaching_the_bound_is_a_clear_failure(world):
    flow, _ = review(bound=2)
    async with world(flow) as w:
        error = (await w.end(await w.start("review")))["error"]
        assert (error["code"], error["node"], error["iteration"]) == ("loop_exhausted", "again", 2)
        assert error["message"] == "again would go on after 2 iterations, its max_iterations"


async def test_a_loop_may_go_on_when_its_bound_is_reached(world):
    flow, _ = review(bound=2, on_exhausted="continue")
    async with world(flow) as w:
        assert (await w.end(await w.start("review")))["result"] == "published draft 2"


async def test_a_condition_must_say_yes_or_no(world):
    flow = Workflow("odd", version="v1")

    @flow.node
    async def work() -> int:
        return 1

    @flow.repeat(back_to=work, max_iterations=2)
    def again(work: int) -> bool:
        return "yes"  # type: ignore[return-value]

    async with world(flow) as w:
        assert (await w.end(await w.start("odd")))["error"]["code"] == "output_invalid"


async def test_branches_maps_and_people_inside_a_loop(world):
    flow = Workflow("mixed", version="v1")

    @flow.node
    async def propose(ctx: Context, decide: dict | None = None) -> list[int]:
        return [ctx.iteration or 0] * 2

    @flow.map(over=propose)
    async def cost(n: int, ctx: Context) -> int:
        return n * 10 + (ctx.index or 0)

    @flow.router(routes=["cheap", "dear"])
    def sort(cost: list[int]) -> str:
        return "dear" if sum(cost) > 30 else "cheap"

    @flow.node
    async def cheap(cost: list[int]) -> str:
        return f"cheap {cost}"

    @flow.node
    async def dear(cost: list[int]) -> str:
        return f"dear {cost}"

    @flow.human_input(schema={"type": "object"})
    def decide(cheap: str | None = None, dear: str | None = None) -> str:
        return f"{cheap or dear}?"

    @flow.repeat(back_to=propose, max_iterations=5)
    def again(decide: dict) -> bool:
        return not decide["ok"]

    async with world(flow) as w:
        run = await w.start("mixed")
        first = await w.until(run, "input_requested", iteration=1)
        assert first["prompt"] == "cheap [10, 11]?"
        await w.engine.service.signal(run, "decide", first["request_id"], {"ok": False}, by="eve")
        second = await w.until(run, "input_requested", iteration=2)
        assert second["prompt"] == "dear [20, 21]?"
        assert second["request_id"] != first["request_id"]
        await w.engine.service.signal(run, "decide", second["request_id"], {"ok": True}, by="eve")
        assert (await w.end(run))["result"] == {"ok": True}
        ended = {node: s.state for node, s in (await w.engine.service.inspect(run)).state.nodes.items()}
        assert (ended["cheap"], ended["dear"]) == ("skipped", "succeeded")


async def test_a_loop_within_a_loop_begins_anew_each_time(world):
    flow, seen = Workflow("nested", version="v1"), []

    @flow.node
    async def outer(ctx: Context, tally: int | None = None) -> int:
        return ctx.iteration or 0

    @flow.node
    async def inner(outer: int, ctx: Context, inner: str | None = None) -> str:
        seen.append((outer, ctx.iteration, inner))
        return f"{outer}/{ctx.iteration}"

    @flow.repeat(back_to=inner, max_iterations=2, on_exhausted="continue")
    def more(inner: str) -> bool:
        return True

    @flow.node
    async def tally(inner: str) -> int:
        return 1

    @flow.repeat(back_to=outer, max_iterations=2, on_exhausted="continue")
    def again(tally: int) -> bool:
        return True

    async with world(flow) as w:
        assert (await w.end(await w.start("nested")))["type"] == "completed"
        # Iterations count over the whole run; what is carried begins anew with each entry.
        assert seen == [(1, 1, None), (1, 2, "1/1"), (2, 3, None), (2, 4, "2/3")]


async def test_each_iteration_is_undone_with_its_own_output(world):
    flow, undone = Workflow("undo", version="v1"), []

    @flow.node
    async def book(ctx: Context) -> str:
        return f"booking {ctx.iteration}"

    @book.compensate
    async def release(book: str) -> None:
        undone.append(book)

    @flow.repeat(back_to=book, max_iterations=2)
    def again(book: str) -> bool:
        return True

    async with world(flow) as w:
        end = await w.end(await w.start("undo"))
        assert undone == ["booking 2", "booking 1"]
        assert end["compensated"] == ["book#2", "book#1"]


# --- signals and deadlines ---------------------------------------------------------------------------------


def steered(**options) -> Workflow:
    flow = Workflow("steered", version="v1")
    flow.signal("course", schema={"enum": ["left", "right"]}, **options)

    @flow.router(routes=["left", "right"])
    def turn(course: str) -> str:
        return course

    @flow.node
    async def left(turn: str) -> str:
        return "went left"

    @flow.node
    async def right(turn: str) -> str:
        return "went right"

    return flow


async def test_a_signal_steers_a_router(world):
    async with world(steered()) as w:
        run = await w.start("steered")
        started = await w.until(run, "node_started", node="course")
        assert started["signal"] == "course"
        await w.engine.service.signal(run, "course", "s1", "right", by="eve")
        assert (await w.end(run))["result"] == {"right": "went right"}


async def test_early_signals_are_kept_and_delivered_in_order(world):
    flow, got = Workflow("chat", version="v1"), []
    flow.sleep("nap", "1h")
    flow.signal("line", schema={"type": "string"}, after=["nap"])

    @flow.node
    async def read(line: str) -> str:
        got.append(line)
        return line

    @flow.repeat(back_to="line", max_iterations=9)
    def again(read: str) -> bool:
        return read != "bye"

    async with world(flow) as w:
        run = await w.start("chat")
        await w.until(run, "node_started", node="nap")
        for place, text in enumerate(["hello", "how are you", "bye"]):
            await w.engine.service.signal(run, "line", f"s{place}", text, by="eve")
        await w.clock.advance(3600)
        assert (await w.end(run))["type"] == "completed"
        assert got == ["hello", "how are you", "bye"]


@pytest.mark.parametrize("kind", ["signal", "human_input"])
async def test_a_deadline_fails_the_run_unless_the_author_says_otherwise(world, kind):
    flow = Workflow("strict", version="v1")
    more = {"prompt": "Go?"} if kind == "human_input" else {}
    getattr(flow, kind)("go", schema={}, timeout="1h", **more)
    async with world(flow) as w:
        run = await w.start("strict")
        await w.until(run, "input_requested" if more else "node_started")
        await w.clock.advance(3600)
        code = "input_timed_out" if more else "signal_timed_out"
        assert (await w.end(run))["error"]["code"] == code


@pytest.mark.parametrize("kind", ["signal", "human_input"])
async def test_a_value_may_stand_in_for_an_answer_that_does_not_come(world, kind):
    flow = Workflow("lenient", version="v1")
    more = {"prompt": "Go?"} if kind == "human_input" else {}
    schema = {"type": "object", "required": ["approved"]}
    getattr(flow, kind)("go", schema=schema, timeout="1h", on_timeout={"approved": False}, **more)

    @flow.node
    async def act(go: dict) -> bool:
        return go["approved"]

    async with world(flow) as w:
        run = await w.start("lenient")
        await w.until(run, "input_requested" if more else "node_started")
        await w.clock.advance(3600)
        assert (await w.end(run))["result"] is False


def escalating(kind: str) -> Workflow:
    flow = Workflow("escalating", version="v1")
    more = {"prompt": "Go?"} if kind == "human_input" else {}
    getattr(flow, kind)("go", schema={}, timeout="1h", on_timeout="escalate", **more)

    @flow.node
    async def escalate() -> str:
        return "asked the boss"

    @flow.node
    async def act(go: dict) -> str:
        return "went"

    @flow.node
    async def report(act: str | None = None, escalate: str | None = None) -> str:
        return f"{act} {escalate}"

    return flow


@pytest.mark.parametrize("kind", ["signal", "human_input"])
async def test_a_deadline_may_lead_elsewhere_and_never_approves(world, kind):
    async with world(escalating(kind)) as w:
        run = await w.start("escalating")
        await w.until(run, "input_requested" if kind == "human_input" else "node_started")
        await w.clock.advance(3600)
        assert (await w.end(run))["result"] == "None asked the boss"
        states = {node: s.state for node, s in (await w.engine.service.inspect(run)).state.nodes.items()}
        assert states == {"go": "skipped", "act": "skipped", "escalate": "succeeded", "report": "succeeded"}


@pytest.mark.parametrize("kind", ["signal", "human_input"])
async def test_an_answer_in_time_does_not_lead_there(world, kind):
    async with world(escalating(kind)) as w:
        run = await w.start("escalating")
        await w.engine.service.signal(run, "go", "s1", {}, by="eve")
        assert (await w.end(run))["result"] == "went None"


# --- race --------------------------------------------------------------------------------------------------


async def test_the_first_upstream_wins_and_the_rest_is_stopped(world):
    flow, stopped = Workflow("race", version="v1"), []

    @flow.node
    async def quick() -> str:
        return "quick"

    @flow.node
    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("slow")
        return "slow"

    @flow.node
    async def after_slow(slow: str) -> str:
        return slow

    @flow.node(join="any")
    async def first(quick: str | None = None, after_slow: str | None = None) -> str:
        return quick or after_slow or ""

    async with world(flow) as w:
        run = await w.start("race")
        assert (await w.end(run))["result"] == "quick"
        assert stopped == ["slow"]
        failed = [e for e in await w.events(run) if e["type"] == "node_failed"]
        assert [(e["node"], e["code"]) for e in failed] == [("slow", "cancelled")]
        assert failed[0]["message"] == "Stopped, because it lost a race"
        states = {node: s.state for node, s in (await w.engine.service.inspect(run)).state.nodes.items()}
        assert (states["slow"], states["after_slow"]) == ("cancelled", "skipped")


async def test_an_approval_races_with_a_timer(world):
    flow = Workflow("patience", version="v1")
    flow.human_input("approval", prompt="Go?", schema={"type": "object"})
    flow.sleep("patience", "24h")

    @flow.node(join="any", after=["patience"])
    async def go(approval: dict | None = None) -> str:
        return "approved" if approval else "nobody came"

    async with world(flow) as w:
        late, soon = await w.start("patience"), await w.start("patience")
        await w.until(soon, "input_requested")
        await w.engine.service.signal(soon, "approval", None, {"ok": True}, by="eve")
        assert (await w.end(soon))["result"] == "approved"
        await w.clock.advance(24 * 3600)
        assert (await w.end(late))["result"] == "nobody came"
        assert "input_resolved" in [e["type"] for e in await w.events(late)]


async def test_a_loser_that_fails_does_not_fail_the_run(world):
    flow, gate = Workflow("race", version="v1"), asyncio.Event()

    @flow.node
    async def quick() -> str:
        return "quick"

    @flow.node(retry=ONCE)
    async def bad() -> str:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            raise ValueError("sulks") from None
        return "bad"

    @flow.node(join="any")
    async def first(quick: str | None = None, bad: str | None = None) -> str:
        return quick or bad or ""

    async with world(flow) as w:
        assert (await w.end(await w.start("race")))["result"] == "quick"


async def test_a_branch_that_serves_others_too_is_not_stopped(world):
    flow, gate = Workflow("race", version="v1"), asyncio.Event()

    @flow.node
    async def quick() -> str:
        gate.set()
        return "quick"

    @flow.node
    async def shared() -> str:
        await gate.wait()
        await asyncio.sleep(0)
        return "shared"

    @flow.node(join="any")
    async def first(quick: str | None = None, shared: str | None = None) -> str:
        return quick or shared or ""

    @flow.node
    async def audit(shared: str) -> str:
        return f"saw {shared}"

    async with world(flow) as w:
        assert (await w.end(await w.start("race")))["result"] == {"first": "quick", "audit": "saw shared"}


async def test_a_child_that_loses_is_cancelled(world):
    child = Workflow("slow", version="v1")
    child.signal("never")
    flow, gate = Workflow("race", version="v1"), asyncio.Event()

    @flow.node
    async def quick() -> str:
        await gate.wait()
        return "quick"

    @flow.subworkflow(child)
    def slow() -> dict:
        return {}

    @flow.node(join="any")
    async def first(quick: str | None = None, slow: dict | None = None) -> str:
        return quick or "slow"

    async with world(flow, child) as w:
        run = await w.start("race")
        started = await w.until(run, "node_started", node="slow")
        gate.set()
        assert (await w.end(run))["result"] == "quick"
        assert (await w.engine.runs.get(started["child_run_id"])).state == "cancelled"
