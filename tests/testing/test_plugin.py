"""The pytest plugin, as somebody meets it whose project has InfraWeave installed: pytest within pytest."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import infraweave

pytest_plugins = "pytester"

PROJECT = Path(__file__).parent / "project"
#: A checkout that was installed before the plugin was there does not name it.
PLUGIN = (
    [] if list(entry_points(group="pytest11", name="infraweave")) else ["-p", "infraweave.testing.plugin"]
)
AUTO = ["-o", "asyncio_mode=auto"]
#: However else async tests are run: by pytest-asyncio's other mode, by anyio's plugin, by neither.
RUNNERS = {
    "strict": ["-o", "asyncio_mode=strict"],
    "anyio": ["-p", "no:asyncio", "-o", "anyio_mode=auto"],
    "none": ["-p", "no:asyncio", "-p", "no:anyio"],
    "xdist": [*AUTO, "-n", "2"],
}


@pytest.fixture
def project(pytester, monkeypatch):
    """Run pytest on a project; ``stories`` are its tests, by default those of the folder ``project``."""
    monkeypatch.setenv("PYTHONPATH", str(Path(infraweave.__file__).parent.parent))
    for name in ("PYTEST_XDIST_WORKER", "CI", "BUILD_NUMBER"):  # with CI, pytest says more
        monkeypatch.delenv(name, raising=False)
    (pytester.path / "shop.py").write_text((PROJECT / "shop.py").read_text())

    def run(*options: str, stories: str | None = None):
        text = (PROJECT / "stories.py").read_text() if stories is None else stories
        (pytester.path / "test_stories.py").write_text(text)
        quiet = ["-p", "no:cacheprovider", "-W", "error", "-W", "ignore::pytest.PytestDeprecationWarning"]
        return pytester.runpytest_subprocess(*PLUGIN, *quiet, *options)

    return run


def passed(found) -> int:
    """Return how many tests passed, none having done anything else."""
    outcomes = {**found.parseoutcomes(), "deselected": 0}
    assert not outcomes.keys() & {"failed", "errors", "skipped", "warnings"}, outcomes
    return outcomes["passed"]


def test_the_stories_of_a_project_pass(project):
    assert passed(project(*AUTO)) > 20


@pytest.mark.parametrize("runner", RUNNERS)
def test_they_pass_however_async_tests_are_run(project, runner):
    assert passed(project(*RUNNERS[runner], "-k", "days or twice or crash or Class")) >= 6


def test_fixtures_of_the_project_may_use_the_server(project):
    found = project(
        *AUTO,
        stories="""
import pytest, shop

@pytest.fixture
async def waiting(iw):
    return await iw.start(shop.checkout, shop.Order("ord_1"))

async def test_it_is_the_same_server(iw, waiting):
    assert await waiting.waits_for() == ["approval"]

def test_a_sync_test_may_look_at_what_a_fixture_did(waiting):
    assert waiting.run_id.startswith("run_")
""",
    )
    found.assert_outcomes(passed=2)


def test_a_failed_assertion_shows_what_became_of_the_node(project):
    found = project(
        stories="""
import shop

async def test_wrong(iw):
    iw.replace("number", raises=["jam"])
    run = await iw.start(shop.invoice, {"order": "a"})
    await run.result()
    assert (await run.node("number")).attempts == 1

async def test_fails(iw):
    iw.replace("number", raises="jam")
    await (await iw.start(shop.invoice, {"order": "a"})).result()
"""
    )
    found.assert_outcomes(failed=2)
    found.stdout.fnmatch_lines(
        ["*where 2 = <number: succeeded, 2 attempt(s); RuntimeError: jam>.attempts*", "*The story of run_*"]
    )


def test_what_an_item_was_given_is_whole(project):
    found = project(
        stories="""
from infraweave import Workflow

flow = Workflow("sums", version="v1")

@flow.map(over="input.numbers")
async def add(number: int, input: dict) -> int:
    return number + input["more"]

async def test_inputs(iw):
    given = {"numbers": [1, 2], "more": 5}
    run = await iw.start(flow, given)
    assert await run.result() == [6, 7]
    assert (await run.node("add")).inputs == [{"number": n, "input": given} for n in (1, 2)]
"""
    )
    found.assert_outcomes(passed=1)


def test_the_story_of_a_failure_says_where_it_was(project):
    found = project(
        stories="""
from infraweave import Workflow

flow = Workflow("bad", version="v1")

@flow.node
def z(input: dict) -> int:
    return input["nope"]["x"]

async def test_fails(iw):
    await (await iw.start(flow)).result()
"""
    )
    found.stdout.fnmatch_lines(
        [
            "*+0s *node_failed z: KeyError: 'nope' — retrying*",
            '*  File "test_stories.py", line 8, in z',
            '*    return input?"nope"??"x"?',
            "*  KeyError: 'nope'",
        ]
    )
    assert found.stdout.str().count("Traceback (most") == 1


def test_what_the_marker_does_not_know_is_refused(project):
    found = project(
        stories="""
import pytest

@pytest.mark.infraweave(skip=True)
async def test_wrong(iw): ...
"""
    )
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(
        ["*the marker infraweave has no argument skip; it takes now, settings, skip_time*"]
    )


def test_a_project_that_does_not_use_it_loads_next_to_nothing(project):
    found = project(
        "-p",
        "no:asyncio",
        "-p",
        "no:anyio",
        stories="""
import sys

def test_nothing_of_the_server_is_loaded():
    own = {name for name in sys.modules if name.startswith("infraweave")}
    assert own == {"infraweave", "infraweave.testing", "infraweave.testing.plugin"}
    assert not {"quart", "hypercorn", "attrs", "cattrs", "httpx"} & set(sys.modules)
""",
    )
    found.assert_outcomes(passed=1)


def test_importing_the_plugin_costs_a_few_milliseconds_at_most():
    code = (
        "import pytest, time; t = time.perf_counter(); "
        "import infraweave.testing.plugin; print(time.perf_counter() - t)"
    )
    took = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    )
    assert took < 0.025  # 2 ms alone on the machine
