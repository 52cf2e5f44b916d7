"""The power goes, at many moments and with many disks left: nothing that was acknowledged is lost.

``python -m tests.crash.power --images 5000`` does more of it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest
from attrs import frozen

from tests.crash.disk_trace import Entry, Said, Sync, Trace, Write
from tests.crash.load import Ledger
from tests.crash.power import Disk, Promised, cut_again_and_again, record

NOTHING = Said(frozenset(), frozenset(), frozenset(), frozenset())


@frozen
class Recorded:
    trace: Trace
    ledger: Ledger


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What a server did that was killed, started again and stopped under a load."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    recording = record(tmp_path_factory.mktemp("power"), random.Random(1), 3, 1.0)
    return Recorded(*asyncio.run(recording))


@pytest.mark.timeout(180)
async def test_whatever_a_power_cut_leaves_opens_and_holds_all_that_was_acknowledged(recorded, tmp_path):
    assert await cut_again_and_again(recorded.trace, 80, random.Random(1), tmp_path / "cut") > 0


async def test_the_record_has_all_that_the_callers_know(recorded):
    told = Promised.of([op for op in recorded.trace.ops if isinstance(op, Said)])
    ledger = recorded.ledger
    assert told.runs >= set(ledger.started.values())
    assert told.signals >= ledger.signalled
    assert told.cancelled <= ledger.cancelled <= told.runs  # some had ended before
    for run_id, events in ledger.seen.items():
        assert not events or told.seen[run_id] >= events[-1]["seq"]


@pytest.mark.parametrize("file", ["runs.db-wal", ""])
async def test_a_server_that_did_not_sync_would_be_found_out(recorded, tmp_path, file):
    """The simulation has teeth: without the syncs of the log, or of the folder, it finds what was lost."""
    careless = Trace(Path("/nowhere/runs.db"))
    careless.ops = [NOTHING if isinstance(op, Sync) and op.file == file else op for op in recorded.trace.ops]
    with pytest.raises(AssertionError, match="cut at"):
        await cut_again_and_again(careless, 40, random.Random(2), tmp_path / "cut")


# --- the simulated disk itself -----------------------------------------------------------------------------


def after(*ops) -> Disk:
    disk = Disk()
    for place, op in enumerate(ops):
        disk.take(place, op)
    return disk


def left(disk: Disk, folder: Path) -> set[tuple[tuple[str, bytes], ...]]:
    """Return the folders that many power cuts leave."""
    seen = set()
    for seed in range(200):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        disk.cut(folder, random.Random(seed))
        seen.add(tuple(sorted((path.name, path.read_bytes()) for path in folder.iterdir())))
    return seen


NEW = [Entry("runs.db", there=True), Sync("", 1)]


def test_what_was_synced_stays_and_what_was_not_may_go(tmp_path):
    disk = after(*NEW, Write("runs.db", 0, b"a"), Sync("runs.db", 3), Write("runs.db", 1, b"b"))
    assert left(disk, tmp_path / "cut") == {(("runs.db", b"a"),), (("runs.db", b"ab"),)}


def test_writes_are_torn_at_sectors_and_come_in_any_order(tmp_path):
    disk = after(*NEW, Write("runs.db", 0, b"a" * 1024), Write("runs.db", 0, b"b" * 512))
    contents = {files[0][1] for files in left(disk, tmp_path / "cut")}
    sectors = {(content[:1], content[512:513]) for content in contents}
    assert sectors >= {(b"", b""), (b"a", b""), (b"a", b"a"), (b"b", b""), (b"b", b"a"), (b"\0", b"a")}


def test_a_sync_covers_only_what_was_begun_before_it(tmp_path):
    disk = after(*NEW, Write("runs.db", 0, b"a"), Write("runs.db", 1, b"b"), Sync("runs.db", 3))
    assert left(disk, tmp_path / "cut") == {(("runs.db", b"a"),), (("runs.db", b"ab"),)}


def test_a_name_may_be_missing_or_still_there_until_the_folder_is_synced(tmp_path):
    made = after(Entry("runs.db", there=True), Write("runs.db", 0, b"a"), Sync("runs.db", 2))
    assert left(made, tmp_path / "cut") == {(), (("runs.db", b"a"),)}
    gone = after(*NEW, Entry("runs.db", there=False))
    assert left(gone, tmp_path / "cut") == {(), (("runs.db", b""),)}
