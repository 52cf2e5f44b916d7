"""``infraweave runs``: cancel, terminate and signal, with and without a person at a terminal."""

from __future__ import annotations

import json

import pytest

from infraweave import Workflow

DECISION = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "limit": {"type": "integer", "minimum": 10},
        "level": {"type": "integer"},
        "note": {"type": "string", "default": "none"},
    },
    "required": ["approved", "limit"],
}


def shop(undone: list[str]) -> Workflow:
    flow = Workflow("shop", version="v1")

    @flow.node
    def reserve() -> str:
        return "seat"

    @reserve.compensate
    def release(reserve: str) -> None:
        undone.append(reserve)

    @flow.human_input(schema=DECISION)
    def approval(reserve: str) -> dict:
        return {"prompt": f"Sell the {reserve}?", "data": {"price": 7}}

    return flow


@pytest.fixture
def undone() -> list[str]:
    return []


@pytest.fixture
async def run(serve, at, undone):
    """A run that waits for a person."""
    steer = Workflow("steer", version="v1")
    steer.signal("go", schema={"type": "array"})
    async with serve(shop(undone), steer) as server:
        at(server)
        started = await server.client.start("shop")
        async for event in started.events():
            if event["type"] == "input_requested":
                break
        yield started


# --- stopping ----------------------------------------------------------------------------------------------


async def test_cancel_lets_a_run_clean_up(run, infraweave, undone):
    code, out, _ = await infraweave("runs", "cancel", run.run_id, "--reason", "too dear")
    assert code == 0
    assert out in (
        f"{run.run_id} is being cancelled\n",
        f"{run.run_id} is cancelled\n",
    )  # it is quick
    assert "too dear" in (await run.outcome())["error"]["message"]
    assert undone == ["seat"]
    assert await infraweave("runs", "cancel", run.run_id) == (0, f"{run.run_id} is cancelled\n", "")


async def test_terminate_needs_a_yes_where_nobody_can_be_asked(run, infraweave, undone):
    code, out, err = await infraweave("runs", "terminate", run.run_id)
    assert (code, out) == (2, "")
    assert "runs no compensation; without a terminal, confirm it with --yes" in err
    shown = json.loads((await infraweave("runs", "terminate", run.run_id, "--yes", "--json"))[1])
    assert (shown["state"], shown["forced"]) == ("cancelled", True)
    assert undone == []


@pytest.mark.parametrize(("typed", "code", "state"), [("y\n", 0, "cancelled"), ("n\n", 1, "running")])
async def test_terminate_asks_the_person_at_the_terminal(run, infraweave, typed, code, state):
    left, _, err = await infraweave("runs", "terminate", run.run_id, typed=typed)
    assert left == code
    assert "no compensation runs" in err
    assert (await run.show())["state"] == state


# --- signals -----------------------------------------------------------------------------------------------


async def test_a_signal_is_delivered_once_under_its_request_id(run, infraweave):
    answer = ["runs", "signal", run.run_id, "approval", "--request-id", "apr_1", "--payload", "-"]
    payload = '{"approved": true, "limit": 10}'
    assert (await infraweave(*answer, stdin=payload))[1] == "approval is delivered, as apr_1\n"
    assert (await infraweave(*answer, stdin=payload))[1] == "approval was already delivered, as apr_1\n"
    assert (await run.result())["limit"] == 10


async def test_a_payload_that_does_not_fit_is_told_and_leaves_the_question_open(run, infraweave):
    code, out, err = await infraweave("runs", "signal", run.run_id, "approval", "--payload", "{}")
    assert (code, out) == (1, "")
    assert "payload_invalid" in err
    assert (await run.show())["waiting_for"]
    code, _, err = await infraweave("runs", "signal", run.run_id, "other", "--payload", "1")
    assert (code, "signal_not_found" in err) == (1, True)
    code, _, err = await infraweave("runs", "signal", run.run_id, "approval", "--payload", "{")
    assert (code, "--payload" in err) == (2, True)


async def test_a_person_is_asked_field_by_field_until_the_answer_fits(run, infraweave):
    typed = "y\n3\n\n\n" + "y\nmany\n30\n5\nfine\n"
    code, out, err = await infraweave("runs", "signal", run.run_id, "approval", typed=typed)
    assert (code, out.startswith("approval is delivered")) == (0, True), err
    assert '"price": 7' in err
    assert "Sell the seat?" in err
    assert "/limit" in err
    assert "many" in err
    assert await run.result() == {"approved": True, "limit": 30, "level": 5, "note": "fine"}


async def test_what_a_person_leaves_out_is_left_out(run, infraweave):
    await infraweave("runs", "signal", run.run_id, "approval", typed="y\n30\n\n\n")
    assert await run.result() == {"approved": True, "limit": 30, "note": "none"}


async def test_a_payload_that_is_no_plain_object_is_asked_for_as_json(run, infraweave):
    steered = await run.client.start("steer")
    code, _, err = await infraweave("runs", "signal", steered.run_id, "go", typed="nonsense\n[1]\n")
    assert (code, "not valid JSON" in err) == (0, True)
    assert await steered.result() == [1]


async def test_a_signal_that_nobody_asked_for_yet_carries_null_without_a_payload(run, infraweave):
    code, _, err = await infraweave("runs", "signal", run.run_id, "approval")
    assert (code, "payload_invalid" in err) == (1, True)
