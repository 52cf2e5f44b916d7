"""A short run is read at once on the loop; it answers as if it were read page by page."""

from __future__ import annotations

import pytest

from infraweave.store.journal import Journal

QUERIES = ("", "limit=1", "limit=2", "state=failed", "state=succeeded&limit=1", "node=tries", "node=no")


@pytest.fixture
def page_by_page(monkeypatch):
    """Have every run read as a long one is, from now on."""

    def begin():
        monkeypatch.setattr(Journal, "short_log", lambda *_, **__: None)

    return begin


async def seen(api, run_ids):
    answers = []
    for run_id in run_ids:
        answers.append((await api.get(f"/v1/runs/{run_id}")).content)
        answers.append((await api.get(f"/v1/runs/{run_id}/explain")).content)
        for query in QUERIES:
            path = f"/v1/runs/{run_id}/history?{query}"
            page = await api.get(path)
            answers.append(page.content)
            while (cursor := page.json()["next_cursor"]) is not None:
                page = await api.get(f"{path}&cursor={cursor}")
                answers.append(page.content)
    return answers


async def test_a_short_run_is_shown_alike_at_once_and_page_by_page(api, clock, page_by_page):
    asked, _ = await api.asked()
    stopped, _ = await api.asked()
    await api.post(f"/v1/runs/{stopped}/cancel", {"reason": "no need"})
    await api.until(stopped, "cancelled")
    retried = await api.start("flaky")
    await api.until(retried, "node_failed")
    await clock.advance(4)
    await api.until(retried, "failed")
    waits = await api.start("flaky")
    await api.until(waits, "node_failed")
    runs = [await api.ended(), await api.ended("failing"), waits, retried, asked, stopped]
    at_once = await seen(api, runs)
    page_by_page()
    assert await seen(api, runs) == at_once
    assert len(set(at_once)) > 20


async def test_a_run_with_large_values_is_shown_too(api):
    note = "n" * 100_000
    run_id = await api.ended(input={"amount": 1, "note": note})
    run = (await api.get(f"/v1/runs/{run_id}")).json()
    history = (await api.get(f"/v1/runs/{run_id}/history")).json()["history"]
    assert run["input"]["note"] == note
    assert history[0]["input"]["input"]["note"] == note


async def test_a_look_at_a_run_needs_no_other_thread(api, monkeypatch):
    """Only the lists are read by another thread, each in one hop."""
    hops = []
    read = type(api.server.engine.db).read

    async def counted(self, name, params=()):
        hops.append(name)
        return await read(self, name, params)

    run_id = await api.ended()
    await api.get("/v1/runs?limit=1")  # reads the key of cursors
    monkeypatch.setattr(type(api.server.engine.db), "read", counted)
    for path in (
        "/v1/whoami",
        f"/v1/runs/{run_id}",
        f"/v1/runs/{run_id}/result",
        f"/v1/runs/{run_id}/history",
    ):
        assert (await api.get(path)).status_code == 200
        assert hops == [], path
    await api.start()
    assert hops == []
    assert (await api.get("/v1/runs")).status_code == 200
    assert hops == ["list_runs"]
