"""A client generated from ``/openapi.json`` by openapi-python-client does the main job, without patches."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen

from infraweave import Workflow

pytest.importorskip("openapi_python_client")
PACKAGE = "generated_client"


@frozen
class Order:
    amount: int = 2


@frozen
class Decision:
    approved: bool


def asking() -> Workflow:
    flow = Workflow("asking", version="v1", input=Order)

    @flow.human_input(schema=Decision)
    def approval(input: Order) -> str:
        return f"Approve {input.amount}?"

    @flow.node
    async def act(approval: Decision, input: Order) -> int:
        return input.amount if approval.approved else 0

    return flow


def generate(description: bytes, folder: Path) -> None:
    """Generate the package; a warning of the generator is a failure."""
    (folder / "openapi.json").write_bytes(description)
    command = ["generate", "--path", "openapi.json", "--output-path", PACKAGE, "--meta", "none"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command, "--fail-on-warning"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def part(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def operation(name: str) -> Any:
    return part(f"api.default.{name}").asyncio_detailed


async def test_it_starts_signals_follows_and_reruns(serve, tmp_path, monkeypatch):
    async with serve(asking()) as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            generate((await http.get("/openapi.json")).content, tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        models = part("models")
        async with part("client").AuthenticatedClient(server.url, token=server.token) as client:
            order = models.StartRun(workflow_id="asking", input_={"amount": 7})
            started = await operation("start_run")(client=client, body=order, idempotency_key="once")
            assert started.status_code == 201
            run_id = started.parsed.run_id
            async for event in server.client.events(run_id):
                if event["type"] == "input_requested":
                    break

            answer = models.SendSignal(payload={"approved": True}, request_id="apr_1")
            sent = await operation("send_signal")(run_id, "approval", client=client, body=answer)
            assert (sent.status_code, sent.parsed.duplicate) == (202, False)

            feed = (await operation("run_events")(run_id, client=client)).parsed
            assert "event: completed" in feed
            result = (await operation("run_result")(run_id, client=client)).parsed
            assert (result.state.value, result.result) == ("succeeded", 7)

            plan = models.RerunRun(from_node="act", dry_run=True)
            planned = await operation("rerun_run")(run_id, client=client, body=plan)
            assert planned.status_code == 200
            again = await operation("rerun_run")(run_id, client=client, body=models.RerunRun(from_node="act"))
            assert again.status_code == 201
            assert again.parsed.run_id != run_id

            refused = await operation("start_run")(
                client=client, body=models.StartRun(workflow_id="asking", input_={"amount": "x"})
            )
            assert refused.parsed.error.code.value == "input_invalid"
            assert refused.parsed.error.details[0].path == "/amount"
