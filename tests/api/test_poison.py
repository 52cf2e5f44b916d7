"""Whatever the door takes, every way out can spell; the rest it refuses, and never by a fault of its own."""

from __future__ import annotations

import asyncio
from itertools import count
from urllib.parse import quote

import pytest

from infraweave import Workflow
from infraweave.settings import Settings
from tests.api.conftest import workflows

TIMES = (
    *(
        "9999-12-31T23:59:59-12:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.9999Z",
    ),
    *(
        "9999-12-31T23:59:59+14:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+12:00",
        "0001-01-01T12:00:00+12:00",
    ),
    *("0000-01-01T00:00:00Z", "0999-06-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2026-06-30T23:59:60Z"),
    *(
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01t00:00:00z",
        "2027-01-01T00:00:00.0001+23:59",
    ),
    *(
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "２０２６-01-01T00:00:00Z",
        "2026-01-01T00:00:00+99:99",
    ),
)
TEXTS = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\u2028",
        "\ufeff",
        "\U0010ffff",
        "\uffff",
        "e\u0301",
        "\r\n\t",
        "\x7f",
        "\x1b[31m",
    ),
    *(
        "x" * 1_000,
        "\u202eabc",
        "'\";--",
        "{input}",
        "{",
        "../..",
        "%00",
        "\\ud800",
        "a:b",
        ":",
        "none",
        "run_",
        "é" * 300,
    ),
)
NUMBERS = (2**63 - 1, -(2**63), 2**63, 2**64, 10**30, 1e308, 5e-324, -0.0, 1.0, 2**53 + 1, True)
DURATIONS = (
    "0s",
    "1ms",
    "36500d",
    "36501d",
    "1e9s",
    "9" * 400 + "d",
    "-1s",
    "nan",
    "inf",
    "",
    "\0",
    "٣s",
    "1s" * 500,
)


def nested(levels):
    value = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


VALUES = (
    *TEXTS,
    *NUMBERS,
    *TIMES,
    *map(nested, (57, 60, 61, 62, 63, 64, 300)),
    None,
    {"\0": {"": [TEXTS[5]]}},
)


def echo():
    """Gives what it was given, asks with it, and sleeps for it."""
    flow = Workflow("echo", version="v1")

    @flow.node
    async def says(input: dict) -> object:
        return input.get("value")

    @flow.human_input(schema={}, timeout="1h", after=[says])
    def ask(says: object = None) -> object:
        return {"prompt": str(says)[:100] or "?", "data": says}

    return flow


def sleeper():
    flow = Workflow("sleeper", version="v1")

    @flow.sleep
    def nap(input: dict) -> object:
        return input.get("value")

    return flow


@pytest.fixture
async def api(serve, api_of):
    settings = Settings(requests_per_second=100_000, request_burst=100_000)
    async with serve(*workflows(), echo(), sleeper(), settings=settings) as server, api_of(server) as admin:
        yield admin


VIEWS = ("", "/explain", "/history", "/history?limit=1", "/events?limit=1000", "/events?include=payloads")
LISTS = ("/v1/runs", "/v1/runs/counts", "/v1/input-requests", "/v1/audit", "/v1/statistics", "/v1/schedules")


async def look(api, run_id):
    """Look at a run, and at every list that holds it."""
    for path in (*(f"/v1/runs/{run_id}{view}" for view in VIEWS), *LISTS):
        answer = await api.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 200, (path, answer.text[:500])
    assert (await api.get(f"/v1/runs/{run_id}/result")).status_code in (200, 409)


async def act(api, run_id, value):
    """Do to a run what can be done, and look at it again."""
    text = value if isinstance(value, str) else "x"
    bodies = (
        ("signals/ask", {"payload": value, "request_id": text[:255] or None}),
        ("rerun", {"dry_run": True, "input": {"more": value}}),
        ("cancel", {"reason": text[:2000]}),
        ("rerun", {"dry_run": True, "from_node": text[:128] or None}),
    )
    for path, body in bodies:
        answer = await api.post(f"/v1/runs/{run_id}/{path}", body)
        assert answer.status_code < 500, (path, answer.text[:500])
    await look(api, run_id)


@pytest.mark.parametrize("time", TIMES)
async def test_a_start_at_any_time_is_refused_or_can_be_told_of(api, time):
    answer = await api.post("/v1/runs", {"workflow_id": "quick", "input": {"amount": 1}, "start_at": time})
    assert answer.status_code in (201, 400), answer.text
    if answer.status_code == 201:
        await look(api, answer.json()["run_id"])
        await act(api, answer.json()["run_id"], time)
    for path in (
        "runs?started_after",
        "runs?started_before",
        "statistics?since",
        "audit?after",
        "audit?before",
    ):
        answer = await api.get(f"/v1/{path}={quote(time)}")
        assert answer.status_code in (200, 400), (path, answer.text)


@pytest.mark.parametrize("place", range(len(VALUES)))
async def test_any_value_is_refused_or_goes_through_a_run_and_every_view(api, place):
    value = VALUES[place]
    answer = await api.post("/v1/runs", {"workflow_id": "echo", "input": {"value": value}})
    assert answer.status_code in (201, 400, 422), answer.text[:500]
    if answer.status_code == 201:
        run_id = answer.json()["run_id"]
        await api.until(run_id, "input_requested", "failed")
        await look(api, run_id)
        await act(api, run_id, value)


@pytest.mark.parametrize("place", range(len(TEXTS)))
async def test_any_text_is_refused_or_found_again_wherever_callers_name_something(api, place):
    text = TEXTS[place]
    start = {"workflow_id": "echo", "input": {"value": text, text: text}}
    for more in (
        {"tags": {text: "x"}},
        {"tags": {"k": text}},
        {"workflow_version": text},
        {"workflow_id": text},
    ):
        answer = await api.post("/v1/runs", {**start, **more})
        assert answer.status_code in (201, 400, 404), answer.text[:500]
        if answer.status_code == 201:
            run_id = answer.json()["run_id"]
            await api.until(run_id, "input_requested", "failed")
            await look(api, run_id)
            ((key, tag),) = (await api.get(f"/v1/runs/{run_id}")).json()["tags"].items()
            if ":" not in key:
                found = (await api.get("/v1/runs", params={"tag": f"{key}:{tag}"})).json()["runs"]
                assert [run["run_id"] for run in found] == [run_id]
    for path in (
        "runs/{}",
        "runs/{}/events",
        "workflows/{}",
        "schedules/{}",
        "runs?workflow_id={}",
        "runs?tag=k:{}",
    ):
        answer = await api.get(f"/v1/{path}".format(quote(text, safe="")))
        assert answer.status_code < 500, (path, answer.text[:500])
    for path in ("runs?parent_run_id={}", "runs?cursor={}", "audit?principal={}", "runs?workflow_version={}"):
        answer = await api.get(f"/v1/{path}".format(quote(text, safe="")))
        assert answer.status_code < 500, (path, answer.text[:500])
    assert (await api.get("/v1/audit")).status_code == 200


@pytest.mark.parametrize("raw", ["%00", "%ff", "%ed%a0%80", "%f4%90%80%80", "%0a", "%2f", "%", "%zz"])
async def test_any_bytes_in_a_path_are_a_name_that_is_not_there(api, raw):
    for path in ("runs", "workflows", "tokens", "schedules", "webhooks"):
        for method in ("GET", "POST", "DELETE"):
            answer = await api.http.request(method, f"/v1/{path}/{raw}")
            assert answer.status_code in (400, 404, 405), (method, path, answer.text)
    assert (await api.get("/v1/audit")).status_code == 200


@pytest.mark.parametrize("value", [*TIMES, *DURATIONS, *NUMBERS, -1, 0, 3e9, 4e9, [], {}])
async def test_any_time_that_a_timers_code_chooses_is_kept_or_fails_the_run(api, value):
    answer = await api.post("/v1/runs", {"workflow_id": "sleeper", "input": {"value": value}})
    if answer.status_code == 201:
        run_id = answer.json()["run_id"]
        await api.until(run_id, "node_started", "failed")
        await look(api, run_id)
        await act(api, run_id, value)
    else:
        assert answer.status_code == 400


async def test_any_schedule_is_refused_or_can_be_told_of(api):
    names = count()
    schedules = [
        *({"every": 60, "anchor": time} for time in TIMES),
        *({"every": number} for number in (*NUMBERS, 0, 1, 3_153_600_000, 3_153_600_001)),
        *({"cron": cron} for cron in ("0 0 29 2 *", "0 0 31 12 *", "59 23 31 12 7", "0 0 30 2 *", *TEXTS)),
        *({"cron": "@daily", "timezone": text} for text in TEXTS),
        *({"cron": "@daily", "input": {"value": value}} for value in VALUES),
    ]
    for schedule in schedules:
        body = {"workflow_id": "echo", "name": f"s{next(names)}", "input": {}, **schedule}
        answer = await api.post("/v1/schedules", body)
        assert answer.status_code in (201, 400, 422), (schedule, answer.text[:300])
        if answer.status_code == 201:
            path = f"/v1/schedules/{answer.json()['schedule_id']}"
            for looked in (path, "/v1/schedules"):
                shown = await api.get(looked)
                assert shown.status_code == 200, (schedule, shown.text[:300])
            triggered = await api.post(f"{path}/trigger")
            assert triggered.status_code < 500, (schedule, triggered.text[:300])
            assert (await api.http.delete(path)).status_code == 204


async def test_any_life_of_a_token_and_any_tolerance_of_a_webhook_is_refused_or_can_be_told_of(api):
    for text in (*DURATIONS, *TEXTS):
        body = {"tenant": "default", "principal": "bob", "grants": ["read:workflow:*"], "expires": text}
        answer = await api.post("/v1/tokens", body)
        assert answer.status_code in (201, 400), (text, answer.text)
        hook = {"workflow_id": "echo", "name": "hook", "tolerance": text, "timestamp_header": "X-Time"}
        answer = await api.post("/v1/webhooks", hook)
        assert answer.status_code in (201, 400, 422), (text, answer.text)
        for path in ("/v1/tokens", "/v1/webhooks", "/v1/audit"):
            assert (await api.get(path)).status_code == 200, text
        await api.http.delete("/v1/webhooks/hook")


async def test_many_odd_values_at_once_hold_up_no_list(api):
    bodies = [{"workflow_id": "echo", "input": {"value": value}} for value in VALUES]
    answers = await asyncio.gather(*(api.post("/v1/runs", body) for body in bodies))
    batch = (await api.post("/v1/runs/batch", {"runs": bodies[:20]})).json()["results"]
    assert {result["status"] for result in batch} <= {201, 422}
    last = [answer.json()["run_id"] for answer in answers if answer.status_code == 201][-1]
    await look(api, last)
