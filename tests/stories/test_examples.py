"""The examples do what they say, on real files, a real database and a real web server."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

import infraweave
from infraweave.authoring.loader import load
from infraweave.core.data import json_codec
from infraweave.settings import Settings
from tests.conftest import EXAMPLES
from tests.engine.web import answer, serving

ROOT = EXAMPLES.parent


@pytest.fixture
def example(clock, tmp_path):
    """Serve the workflows of a file of the examples."""

    @asynccontextmanager
    async def opened(name: str, **settings):
        flows = load([EXAMPLES / name])
        chosen = Settings(**settings)
        async with infraweave.serve(*flows, db=tmp_path / "x.db", clock=clock, settings=chosen) as server:
            yield server

    return opened


async def test_research_goes_on_until_the_critic_misses_nothing(example, tmp_path):
    (tmp_path / "a.md").write_text("\n\n".join(["Storks nest on chimneys.", *["So do other storks."] * 3]))
    (tmp_path / "b.md").write_text("Nothing here.\n\nThey return in spring.\n")
    async with example("research.py") as server:
        inquiry = {"question": "When do storks return?", "folder": str(tmp_path)}
        run = await server.client.start("research", inquiry)
        text = await run.result()
        assert "a.md:1: Storks nest on chimneys." in text
        assert "b.md:3: They return in spring." in text  # only the second search looked for that
        lost = await server.client.start("research", {**inquiry, "question": "Do penguins fly?"})
        assert "Nothing found about: penguins, fly" in await lost.result()


async def test_digest_counts_what_is_in_a_folder(example, tmp_path):
    for name, text in (("a.txt", "castle castle\n"), ("b.txt", "castle castle\n"), ("c.txt", "bridge\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "d.txt").write_bytes(b"\xff\xfe")
    async with example("digest.py") as server:
        run = await server.client.start("digest-folder", {"folder": str(tmp_path)})
        report = await run.result()
        assert (report["files"], report["unread"], report["lines"], report["words"]) == (4, 1, 3, 5)
        assert report["top"] == {"castle": 4, "bridge": 1}
        assert report["copies"] == {"a.txt": ["b.txt"]}


async def test_the_nightly_backup_runs_every_night_and_keeps_the_newest(
    example, clock, tmp_path, monkeypatch
):
    with closing(sqlite3.connect(tmp_path / "app.db")) as app:
        app.execute("CREATE TABLE birds (name TEXT)")
        app.execute("INSERT INTO birds VALUES ('stork')")
        app.commit()
    monkeypatch.setenv("BACKUP_DATABASE", str(tmp_path / "app.db"))
    monkeypatch.setenv("BACKUP_FOLDER", str(tmp_path / "copies"))
    async with example("backup.py") as server:
        for night in (1, 2):
            await clock.advance(24 * 3600)
            while len(runs := await server.engine.runs.list("default")) < night:
                pass  # it is being started
            newest = runs[0]
            await server.client.run(newest.run_id).result()
            assert (newest.trigger, newest.workflow_id) == ("schedule", "nightly-backup")
    (copy, *_) = sorted((tmp_path / "copies").glob("*.db"))
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT name FROM birds").fetchall() == [("stork",)]


async def test_an_order_starts_an_invoice_and_waits_for_its_signature(example):
    async with example("order.py") as server:
        small = await server.client.start("order", order("o1", count=3))
        assert await small.result() == {"parcel": ["3 x pen"], "invoice": "inv-o1", "cents": 36_000}
        large = await server.client.start("order", order("o2", count=30))
        async for event in large.events():
            if event["type"] == "node_started" and event["node"] == "bill":
                invoice = server.client.run(event["child_run_id"])
                break
        async for event in invoice.events():
            if event["type"] == "input_requested":
                assert event["prompt"] == "Sign the invoice of 3600.00 for order o2?"
                await invoice.signal("signature", {"signed": True})
        assert (await large.result())["invoice"] == "inv-o2"


def order(order_id: str, count: int) -> dict:
    return {"order_id": order_id, "lines": [{"sku": "pen", "count": count, "cents": 12_000}]}


async def test_the_document_calls_the_web(example):
    document = json_codec.loads((EXAMPLES / "release.json").read_bytes())
    release = {"tag_name": "v9", "html_url": "https://example.org/v9"}
    async with (
        serving(answer(200, release), answer(201, {})) as site,
        example("order.py", allow_outbound=("127.0.0.1",)) as server,
    ):
        await server.client.publish(document)
        wish = {"api": site.url, "owner": "birds", "repo": "stork", "notify": f"{site.url}/hook"}
        run = await server.client.start("release-watch", wish)
        assert await run.result() == 201
        assert [asked.target for asked in site.asked] == ["/repos/birds/stork/releases/latest", "/hook"]
        assert site.asked[1].json == {"text": "stork has released v9", "release": release["html_url"]}
        known = await server.client.start("release-watch", {**wish, "known": "v9"})
        site.answers.insert(0, answer(200, release))
        assert await known.result() is None
