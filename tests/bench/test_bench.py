"""The bench works: every row is measured once, in a tiny form. No figure is judged."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

import infraweave
from infraweave.store.maintenance.verify import verify
from tests.bench import figures, groups, printing, served
from tests.bench.child import HERE, Tree, child
from tests.bench.compare import checked_out
from tests.bench.copies import copy_run
from tests.bench.http_client import Address, put_load
from tests.bench.machine import describe
from tests.bench.results import Measured, Round, Row, median_ratio, round_of
from tests.bench.scale import TINY

RATE = Row("rate", "a rate", "runs/s", higher_is_better=True, yardstick="a loop")


async def measured(wanted, trees, folder):
    names = groups.choose(wanted, TINY)
    shown = []
    found = await groups.measure(trees, names, TINY, folder, shown.append)
    assert [measured.row.name for measured in shown] == names
    assert shown == found
    assert not list(folder.iterdir())  # what was written is removed
    for measured in found:
        if measured.row.name != "readers-memory":  # a few readers fit into memory that is there
            assert all(one.value > 0 for rounds in measured.trees.values() for one in rounds), measured
        assert bool(measured.yardstick) == bool(measured.row.yardstick)
    return found


@pytest.mark.parametrize("group", [group.name for group in groups.GROUPS])
async def test_every_row_of_the_group_is_measured_beside_its_yardstick(group, tmp_path):
    for row in await measured([group], [Tree("now")], tmp_path):
        assert row.row.what in printing.line(row, "now")


async def test_copied_runs_are_as_good_as_others(tmp_path):
    db = tmp_path / "bench.db"
    async with infraweave.embed(served.three, served.waiting, served.sleeping, db=db) as engine:
        ended = await engine.start("three", tags={"team": "a"})
        await ended.result()
        open_runs = [await engine.start("waiting"), await engine.start("sleeping")]
        for run in open_runs:
            async for event in run.events():
                if event["type"] == "node_started":
                    break
    for run in [ended, *open_runs]:
        copy_run(db, run.run_id, 5)
    assert list(verify(db)) == []
    async with infraweave.embed(served.three, served.waiting, served.sleeping, db=db) as engine:
        runs = [run async for run in engine.client.runs()]
        assert Counter(run["workflow_id"] for run in runs) == {"three": 6, "waiting": 6, "sleeping": 6}
        copy = engine.run(next(run["run_id"] for run in runs if run["workflow_id"] == "waiting"))
        await copy.signal("go", {"level": 1})
        assert await copy.result() == {"level": 1}


@pytest.mark.skipif(not (HERE / ".git").exists(), reason="commits are compared in a checkout")
async def test_each_side_of_a_comparison_imports_the_package_of_its_commit():
    where = "import infraweave, tests.bench; print(infraweave.__file__, tests.bench.__file__)"
    with checked_out(("HEAD", ".")) as trees:
        for tree in trees:
            async with child(tree, "-c", where) as process:
                said, _ = await process.process.communicate()
            package, bench = map(Path, said.decode().split())
            assert package.parents[1] == tree.path
            assert bench.parents[2] == HERE
        assert trees[0].path != HERE


def test_what_is_no_commit_is_not_compared():
    with pytest.raises(ValueError, match="nonsense is no commit"), checked_out(("nonsense", ".")):
        pass


def test_rows_are_chosen_by_their_names_and_by_their_groups():
    every = groups.choose([], TINY)
    assert groups.choose(["get", "embedded"], TINY) == ["get", *groups.choose(["embedded"], TINY)]
    assert set(every) >= {"get", "alone"}
    with pytest.raises(ValueError, match="there is no row nonsense"):
        groups.choose(["nonsense"], TINY)


def test_a_ratio_is_the_median_over_rounds_that_were_measured_side_by_side():
    ours, theirs = [Round(10), Round(40), Round(9)], [Round(20), Round(40), Round(30)]
    assert median_ratio(ours, theirs) == 0.5
    assert median_ratio(ours, []) is None


def test_a_round_has_its_latencies_and_the_processor_time_of_one_unit():
    took = round_of(50.0, [n / 1000 for n in range(100)], 0.2, 100)
    assert took == Round(50.0, p50_ms=50.0, p99_ms=99.0, cpu_us=2000.0)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    now, before, after = [Round(100.0, 1.5, 2.5, 900.0)], [Round(50.0)], [Round(100.0)]
    figures.save("0.0.1", describe(tmp_path), {"now": "abc"}, [Measured(RATE, [Round(200.0)], {"now": now})])
    compared = Measured(RATE, [Round(200.0)], {"before": before, "after": after})
    figures.save("change", describe(tmp_path), {"before": "abc", "after": "def"}, [compared])


def test_kept_figures_become_a_table(kept):
    assert "| a rate | 100 runs/s | 200 (a loop) | 0.500 | 1.50 ms | 2.50 ms | 900 µs |" in figures.table()
    assert "`0.0.1` (now abc)" in figures.table()


def test_a_kept_comparison_becomes_a_table_of_both_commits(kept):
    table = figures.table("change")
    assert "| a rate | 50.00 runs/s | 100 runs/s | 200 (a loop) | 0.250 | 0.500 |" in table
    assert "(before abc, after def)" in table


def test_the_table_of_figures_that_are_not_kept_is_refused(kept):
    with pytest.raises(ValueError, match=r"no figures are kept in .* as 0\.0\.9"):
        figures.table("0.0.9")


def test_without_kept_figures_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    assert figures.NONE in figures.page(figures.PAGE.read_text())


def test_the_page_shows_the_newest_kept_figures():
    shown = figures.PAGE.read_text()
    assert figures.page(shown) == shown, "put them in with: python -m tests.bench table --write"


async def test_a_refused_request_stops_the_measurement():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 \r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        address = Address(*server.sockets[0].getsockname())
        with pytest.raises(RuntimeError, match="refused"):
            await put_load(address, [address.request("GET", "/")] * 3, 1, None)
