"""``infraweave doctor`` and ``infraweave db stats``: what they say of a machine and of a file."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from importlib import metadata

import pytest

from infraweave import Workflow


@pytest.fixture
async def run(serve, db):
    flow = Workflow("ask", version="v1")
    flow.human_input("approval", schema={"type": "object"}, prompt="Go on?")
    async with serve(flow) as server:
        yield await server.client.start("ask")


async def found(infraweave, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code, out, _ = await infraweave("doctor", *arguments, "--json")
    report = json.loads(out)
    assert report["ok"] is (code == 0)
    return code, {finding["what"]: finding for finding in report["findings"]}


# --- doctor ------------------------------------------------------------------------------------------------


async def test_a_sound_machine_and_a_served_file_pass(run, infraweave, db):
    code, out, err = await infraweave("doctor", "--db", str(db))
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["WHAT", "VERDICT", "SAYS"]
    _, findings = await found(infraweave, "--db", str(db))
    assert findings["served by"]["says"] == f"pid {os.getpid()}"
    assert findings["pragma synchronous"] == {"what": "pragma synchronous", "verdict": "ok", "says": "full"}
    assert {"Python", "SQLite", "SQLite WAL fix", "disk", "schema"} <= findings.keys()


async def test_without_a_file_the_machine_alone_is_looked_at(infraweave, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, findings = await found(infraweave)
    assert (code, "database" in findings) == (0, False)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_not_ours_or_not_there_is_wrong(infraweave, tmp_path):
    (tmp_path / "tea.db").write_text("tea")
    for name, words in (("tea.db", "not an SQLite database"), ("none.db", "no such file")):
        code, findings = await found(infraweave, "--db", str(tmp_path / name))
        assert (code, findings["database"]["verdict"]) == (1, "wrong")
        assert words in findings["database"]["says"]
    assert "1 of" in (await infraweave("doctor", "--db", str(tmp_path / "none.db")))[2]


async def test_a_library_that_is_too_old_or_missing_is_wrong(infraweave, monkeypatch):
    versions = {"infraweave": "0.1.0", "click": "7.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["click>=8.1", "quart>=0.20", 'pytest>=8; extra == "dev"']
    )
    code, findings = await found(infraweave)
    assert code == 1
    assert findings["click"]["says"] == "7.0; >=8.1 is required"
    assert findings["quart"]["says"] == "not installed; >=0.20 is required"
    assert "pytest" not in findings


@pytest.mark.parametrize(("free", "verdict"), [(50 << 20, "wrong"), (500 << 20, "note"), (5 << 30, "ok")])
async def test_a_disk_that_is_about_to_be_full_is_wrong(infraweave, monkeypatch, free, verdict):
    usage = namedtuple("usage", "free")  # noqa: PYI024 - what is asked of shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free))
    code, findings = await found(infraweave)
    assert (code, findings["disk"]["verdict"]) == (int(verdict == "wrong"), verdict)


# --- db stats ----------------------------------------------------------------------------------------------


async def test_stats_tells_what_a_served_file_holds(run, infraweave, db):
    code, out, _ = await infraweave("db", "stats", "--db", str(db))
    assert code == 0
    words = [line.split() for line in out.splitlines()]
    assert ["TABLE", "ROWS", "SIZE"] in words
    assert ["running", "1"] in words
    assert f"oldest open run: {run.run_id} (ask v1, tenant default) running" in out
    told = json.loads((await infraweave("db", "stats", "--db", str(db), "--json"))[1])
    assert told["runs"] == {"running": 1}
    assert told["oldest_open"]["run_id"] == run.run_id
    assert told["oldest_open"]["created_at"] == "2026-01-01T00:00:00.000Z"


async def test_stats_of_no_file_is_a_mistake(infraweave, tmp_path):
    code, out, err = await infraweave("db", "stats", "--db", str(tmp_path / "none.db"))
    assert (code, out) == (1, "")
    assert "none.db: no such file" in err
    assert list(tmp_path.iterdir()) == []
