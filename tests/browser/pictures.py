"""Makes the pictures of the README: ``python -m tests.browser.pictures``. Look before they are kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, Served, one_cpu, shop_in

HERE = Path(__file__).parent / "pictures"
ORDERS = [
    {"order_id": "ord_28841", "customer_tier": "standard"},
    {"order_id": "ord_28842", "customer_tier": "standard", "card": "card_flaky"},
    {"order_id": "ord_28843", "customer_tier": "enterprise"},
    {"order_id": "ord_28844", "customer_tier": "standard", "card": "card_declined"},
    {"order_id": "ord_28845", "customer_tier": "premium", "lines": [{"sku": "desk", "quantity": 4}]},
]


def live(server: Served) -> dict[str, str]:
    """Start some runs; return those that the pictures show."""
    for order in ORDERS[:2]:
        server.start_run("checkout-flow", order, tags={"team": "shop"})
    waiting = server.start_run("checkout-flow", ORDERS[2], tags={"team": "shop"})
    for order in ORDERS[3:]:
        server.start_run("checkout-flow", order, tags={"team": "shop"})
    server.start_run("digest-folder", {"folder": "infraweave", "pattern": "*.py"})
    examples = [{"args": [2], "result": 4}, {"args": [21], "result": 42}]
    server.start_run("coder-agent", {"task": "double a number", "name": "double", "examples": examples})
    question = "which lane does a zebra take, and what does the ledger say?"
    looping = server.start_run(
        "research", {"question": question, "folder": "infraweave/core", "pattern": "*.py"}
    )
    server.start_run("order", {"order_id": "o1", "lines": [{"sku": "pen", "count": 3, "cents": 120}]})
    while server.api("GET", "/v1/status")["slots"]["taken"]:
        pass  # until all that can go on has ended
    return {"waiting": waiting, "looping": looping}


def shoot(browser: Browser, server: Served, name: str, path: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 860}, color_scheme=scheme)
    context.add_init_script(f"sessionStorage.setItem('infraweave.token', '{server.token}')")
    page = context.new_page()
    page.goto(f"{server.url}/console/{path}")
    page.wait_for_timeout(2500)  # for the picture, not for a test
    page.screenshot(path=HERE / f"{name}.png")
    context.close()


def main() -> None:
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, shop_in(Path(folder)):
        server = Served(Path(folder))
        del server.workflows[0]
        server.begin()
        try:
            runs = live(server)
            with one_cpu(), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                shoot(browser, server, "runs", "runs", "light")
                shoot(browser, server, "run", f"runs/{runs['waiting']}", "light")
                shoot(browser, server, "loop", f"runs/{runs['looping']}?node=critic", "dark")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
