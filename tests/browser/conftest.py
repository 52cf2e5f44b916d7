"""A browser, a server in a process of its own, and a page of the console that is signed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import EXAMPLES
from tests.crash.server import Process

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

#: CI says that there must be a browser; elsewhere these tests are left out where there is none.
REQUIRED = os.environ.get("INFRAWEAVE_BROWSER_TESTS") == "required"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += [
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]

expect.set_options(timeout=30_000)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A browser on a busy machine takes its time; and a module's server and browser serve one worker."""
    if Path(__file__).parent in item.path.parents:
        item.add_marker(pytest.mark.timeout(180))
        item.add_marker(pytest.mark.xdist_group(item.path.name))


class Served(Process):
    """The server of the examples and of the tests' own workflows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shutil.copy(Path(__file__).parent / "flows.py", folder / "flows.py")
        self.workflows.append(EXAMPLES)
        self.go = folder / "go"

    def api(self, method: str, path: str, body: object = None, token: str | None = None) -> dict:
        """Ask the server, as a program would."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        json = {} if body is None else {"json": body}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=20, **json)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    def start_run(self, workflow_id: str, input: object = None, **more: object) -> str:
        """Start a run; return its id."""
        body = {"workflow_id": workflow_id, "input": input or {}, **more}
        return self.api("POST", "/v1/runs", body)["run_id"]

    def state(self, run_id: str) -> dict:
        """A run as the API shows it."""
        return self.api("GET", f"/v1/runs/{run_id}")


@contextmanager
def one_cpu() -> Iterator[None]:
    """Let the processes that are started within the block have one CPU.

    Where the clocks of two CPUs disagree, as on some virtual machines, Chromium's network process takes the
    difference for a fault and dies, and with it every request in flight.
    """
    if not hasattr(os, "sched_setaffinity"):  # only Linux can
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(every)[os.getpid() % len(every)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        assert not REQUIRED, "there must be a Chromium here"
        pytest.skip("no Chromium is installed")
    # Ended with the module: as long as it runs, its event loop keeps other tests from having one.
    with ExitStack() as stack:
        with one_cpu():
            playwright = stack.enter_context(sync_playwright())
            chromium = stack.enter_context(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS))
        yield chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("console"))
    with shop_in(served.folder):
        served.begin()
    yield served
    served.kill()


@contextmanager
def shop_in(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHECKOUT_SHOP", str(folder / "shop.db"))
        yield


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    allowed = ["clipboard-read", "clipboard-write"]
    opened = browser.new_context(viewport={"width": 1400, "height": 900}, permissions=allowed)
    yield opened
    opened.close()


@pytest.fixture
def bare(context: BrowserContext) -> Iterator[Page]:
    """A page; an error of its scripts fails the test."""
    faults: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    yield page
    assert faults == []


@pytest.fixture
def sign_in(context: BrowserContext, server: Served) -> Callable[[str], None]:
    def remember(token: str) -> None:
        keep = f"sessionStorage.setItem('infraweave.token', '{token}')"
        context.add_init_script(f"if (location.protocol === 'http:') {keep}")

    return remember


@pytest.fixture
def console(bare: Page, server: Served, sign_in: Callable[[str], None]) -> Callable[[str], Page]:
    """Open a page of the console, as who may do everything."""
    sign_in(server.token)

    def opened(path: str) -> Page:
        bare.goto(f"{server.url}/console/{path}")
        return bare

    return opened
