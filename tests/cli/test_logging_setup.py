"""The server's log: no line is forged, no secret told, and of a run only its name."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import httpx
import pytest

from infraweave.cli.logging_setup import JsonFormatter, TextFormatter
from infraweave.core.access import make_token
from tests.crash.server import Process

CANARY = "c4n4ry-in-the-mine"
FLOW = """
from infraweave import Workflow
flow = Workflow("double", version="v1", input={"type": "object", "required": ["n"]})

@flow.node(retry=None)
def double(input: dict) -> dict:
    if input.get("fail"):
        raise ValueError(input["n"])
    return {"twice": input["n"] * 2}

asking = Workflow("asking", version="v1")
asking.human_input("ok", prompt="fine?", schema={"type": "object", "required": ["yes"]})
"""


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOW)
    server = Process(tmp_path)
    yield server
    server.kill()


async def test_inputs_outputs_payloads_and_tokens_are_never_in_the_log(process):
    async with process.start() as client:
        url = json.loads((process.folder / "ready.json").read_text())["url"]
        token = (process.folder / "runs.db.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        stranger = make_token("Z" * 30)
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
            tags = {"t": CANARY}
            for given in ({"n": CANARY}, {"n": CANARY, "fail": True}, {"m": CANARY}, CANARY):
                body = {"workflow_id": "double", "input": given, "tags": tags}
                await http.post("/v1/runs", json=body, headers={"Prefer": "wait=5"})
            asked = await http.post("/v1/runs", json={"workflow_id": "asking"})
            signal = f"/v1/runs/{asked.json()['run_id']}/signals/ok"
            for payload in ({"no": CANARY}, {"yes": CANARY}):
                await http.post(signal, json={"payload": payload})
            await http.post("/v1/runs", content=b'{"workflow_id": "' + CANARY.encode())
            await http.get("/v1/runs", params={"tag": f"t:{CANARY}"})
            await http.get("/v1/runs", headers={"Authorization": f"Bearer {stranger}"})
            await http.get(f"/v1/runs?token={token}")
            await http.get(
                f"/v1/nothing/{CANARY}%0aforged", headers={"User-Agent": CANARY, "Referer": CANARY}
            )
            await http.get("/healthz", headers={"X-Request-Id": "x\t" + CANARY})
        await client.request("GET", "/v1/whoami")
    written = (process.folder / "out").read_text()
    assert "infraweave.access" in written
    assert " double attempt 1 failed with ValueError at flows.py:8 in double; it is final" in written
    assert CANARY not in written
    assert stranger not in written
    assert written.count(token) == 1  # told once, on the first start


NOISY = """
import asyncio
import logging.config

async def settings():
    return "v1"

logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL"}})
VERSION = asyncio.run(settings())
"""


async def test_a_file_that_sets_up_logging_and_runs_a_loop_of_its_own_is_served_and_silences_nothing(process):
    file = process.folder / "flows.py"
    file.write_text(NOISY + FLOW)
    # In a process of its own: what the file does to logging would stay in this one.
    command = [sys.executable, "-m", "infraweave", "workflows", "check", str(file)]
    checking = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    assert await checking.wait() == 0
    async with process.start() as client:
        run = await client.start("double", {"n": 1, "fail": True})
        assert (await run.outcome())["state"] == "failed"
    written = (process.folder / "out").read_text()
    assert "infraweave.access" in written
    assert "double attempt 1 failed with ValueError" in written


def record(message, *args, exc_info=None):
    return logging.LogRecord("infraweave.x", logging.ERROR, "f.py", 1, message, args, exc_info)


def raised(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return type(error), error, error.__traceback__


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_message_forges_a_line_or_tells_a_secret(formatter):
    token = make_token("a" * 30)
    evil = f"x\n2026-01-01 00:00:00,000 ERROR infraweave.api: all is well {token}\x1b[2J"
    written = formatter.format(record("asked for %s", evil, exc_info=raised(evil)))
    _, *others = written.split("\n")
    assert all(line.startswith("    | ") for line in others)
    assert token not in written
    assert "\x1b" not in written


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_huge_message_is_cut(formatter):
    written = formatter.format(record("%s", "x" * 1_000_000, exc_info=raised("y" * 1_000_000)))
    assert len(written) < 40_000
