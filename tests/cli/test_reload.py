"""``serve --reload``: saves that load restart the server, saves that do not leave it alone."""

from __future__ import annotations

import httpx
import pytest

from infraweave.client import Client
from tests.crash.server import Process

FLOW = """
from infraweave import Workflow
flow = Workflow("double", version="v1", input={"type": "object"})

@flow.node
def double(input: dict) -> dict:
    return {"twice": 2 * input["n"]}
"""
TYPO = FLOW.replace("-> dict:", "-> dict")
MISSPELT = FLOW.replace("(input:", "(inputt:")
STRICTER = FLOW.replace('"object"}', '"object", "required": ["n"]}')
GOES_ON = "The server keeps the old version; it waits for the next save."
WAITS = "The server has not started; it waits for the next save."
RESTARTS = "It loads; restarting."


@pytest.fixture
def process(tmp_path):
    server = Process(tmp_path)
    server.options = ["--reload"]
    save(server, FLOW)
    yield server
    server.kill()


def save(process: Process, text: str, file: str = "flows.py") -> None:
    """Save a file as editors do, in one step."""
    (process.folder / "new").write_text(text)
    (process.folder / "new").replace(process.folder / file)


def save_and_restart(process: Process, text: str, file: str = "flows.py") -> None:
    """Save files that load; return once the server has restarted with them."""
    (process.folder / "ready.json").unlink(missing_ok=True)
    save(process, text, file)
    process.await_ready()


async def twice(process: Process, version: str = "v1") -> int:
    """Return what the served workflow makes of 4."""
    async with Client(process.url, process.token) as client:
        run = await client.start("double", {"n": 4}, version=version)
        return (await run.result())["twice"]


async def test_the_server_goes_on_while_its_files_do_not_load_and_restarts_once_they_do(process):
    process.begin()
    save(process, TYPO)
    process.await_words(GOES_ON)
    assert f"{process.workflows[0]}:6: expected ':'\n{GOES_ON}" in process.said()
    save(
        process,
        MISSPELT + MISSPELT.replace("double", "other").replace("flow =", "more =").replace("@flow", "@more"),
    )
    process.await_words(GOES_ON, times=2)
    for name in ("double", "other"):
        assert f"workflow {name}: {name}: parameter inputt names no node" in process.said()
    assert await twice(process) == 8
    assert RESTARTS not in process.said()
    save_and_restart(process, FLOW.replace("2 *", "3 *"))
    assert await twice(process) == 12


async def test_a_file_that_a_workflow_file_imports_is_looked_at_too(process):
    save(process, FLOW.replace("2 *", "factor *") + "\nfrom maths import factor\n")
    save(process, "factor == 2", "maths.py")
    process.launch()
    process.await_words(WAITS)
    assert "flows.py:9: NameError: name 'factor' is not defined" in process.said()
    save_and_restart(process, "factor = 5", "maths.py")
    assert await twice(process) == 20


async def test_a_version_that_runs_have_used_keeps_its_content(process):
    process.begin()
    assert await twice(process) == 8
    save(process, STRICTER)
    process.await_words(GOES_ON)
    assert "Workflow double v1 exists with different content" in process.said()
    assert await twice(process) == 8
    save_and_restart(process, STRICTER.replace('"v1"', '"v2"'))
    assert await twice(process) == 8


async def test_a_start_on_files_that_do_not_load_waits_for_a_save(process):
    save(process, TYPO)
    process.launch()
    process.await_words(WAITS)
    assert f"{process.workflows[0]}:6: expected ':'\n{WAITS}" in process.said()
    save(process, MISSPELT)
    process.await_words(WAITS, times=2)
    save_and_restart(process, FLOW)
    assert await twice(process) == 8


async def test_a_start_with_other_content_of_a_used_version_waits_for_a_save(process):
    process.begin()
    assert await twice(process) == 8
    process.kill()
    save(process, STRICTER)
    process.launch()
    process.await_words(WAITS)
    assert "Workflow double v1 exists with different content" in process.said()
    save_and_restart(process, FLOW)


def test_a_wait_for_a_save_ends_at_a_signal(process):
    save(process, TYPO)
    process.launch()
    process.await_words(WAITS)
    process.terminate()
    assert process.wait() == 0


def test_without_reload_files_that_do_not_load_end_the_start(process):
    process.options = []
    save(process, TYPO)
    process.launch()
    assert process.wait() == 1


def test_looking_ends_when_a_file_changes_meanwhile(process):
    process.begin()
    save(process, "import threading\nthreading.Event().wait()\n")
    process.await_words("checking whether it loads")
    save(process, "import os\nprint('as a file prints')\nos._exit(3)\n")
    process.await_words("the process that loads the files exited with code 3")
    save_and_restart(process, "print('{as a file prints')\n" + FLOW)
    assert httpx.get(f"{process.url}/readyz", trust_env=False).status_code == 200
