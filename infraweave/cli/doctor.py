"""``infraweave doctor``: checks whether this machine and a database file are fit for a server."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import click

from infraweave.cli.options import json_option
from infraweave.cli.output import FAILED, echo_err, format_size, show_json, show_table
from infraweave.core.lazy_records import frozen

if TYPE_CHECKING:
    from infraweave.store.maintenance.stats import DatabaseFile

Verdict: TypeAlias = Literal["ok", "note", "wrong"]

_OLDEST_PYTHON = (3, 11)
#: Free bytes below which a disk counts as full, and below which free space is scarce.
_FULL, _SCARCE = 100 << 20, 1 << 30
_COLOURS = {"verdict": {"ok": "green", "note": "yellow", "wrong": "red"}}
#: The pragmas that the server relies on. Other values mean that another program changed the file.
_EXPECTED_PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "auto_vacuum": "incremental"}


@frozen
class Finding:
    """The result of one check."""

    what: str
    verdict: Verdict
    says: str


@click.command(epilog="Example: infraweave doctor --db runs.db")
@click.option("--db", type=click.Path(path_type=Path), metavar="FILE", help="Check this database file too.")
@json_option
def command(db: Path | None, as_json: bool) -> None:
    """Check Python, SQLite, the libraries and the disk; with --db also a database file. Changes nothing.

    The exit code is 1 if something is wrong. A note is for information only.
    """
    findings = list(_findings(db))
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    if as_json:
        show_json({"ok": not wrong, "findings": [attrs.asdict(finding) for finding in findings]})
    else:
        show_table(("what", "verdict", "says"), [attrs.asdict(finding) for finding in findings], _COLOURS)
    if wrong:
        echo_err(f"infraweave: {wrong} of {len(findings)} checks failed")
    sys.exit(FAILED if wrong else 0)


def _findings(db: Path | None) -> Iterator[Finding]:
    yield _python()
    yield from _sqlite()
    yield from _libraries()
    yield _disk((db or Path("infraweave.db")).absolute().parent)
    if db is not None:
        yield from _file(db)


def _python() -> Finding:
    new_enough = sys.version_info >= _OLDEST_PYTHON
    says = f"{platform.python_version()} ({platform.python_implementation()}, {platform.platform()})"
    return Finding(
        "Python",
        "ok" if new_enough else "wrong",
        says if new_enough else f"{says}; 3.11 or later is required",
    )


def _sqlite() -> Iterator[Finding]:
    from infraweave.store.maintenance.stats import sqlite_build

    found = sqlite_build()
    too_old = "" if found.new_enough else "; 3.37 or later is required"
    yield Finding("SQLite", "wrong" if too_old else "ok", f"{found.version}{too_old}")
    if found.has_wal_fix:
        yield Finding("SQLite WAL fix", "ok", "two connections cannot corrupt the file")
        return
    says = "missing (3.51.3, 3.50.7 and 3.44.6 have it); let no other program write the file"
    yield Finding("SQLite WAL fix", "note", says)


# --- libraries ---------------------------------------------------------------------------------------------


def _libraries() -> Iterator[Finding]:
    """Compare the installed libraries with the requirements of this package."""
    from packaging.requirements import Requirement

    try:
        wanted = list(map(Requirement, metadata.requires("infraweave") or ()))
    except metadata.PackageNotFoundError:
        yield Finding("libraries", "note", "not checked, because InfraWeave is not installed as a package")
        return
    yield Finding("infraweave", "ok", metadata.version("infraweave"))
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _library(requirement.name, requirement)


def _library(name: str, requirement: Any) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "wrong", f"not installed; {requirement.specifier} is required")
    if requirement.specifier.contains(version, prereleases=True):
        return Finding(name, "ok", version)
    return Finding(name, "wrong", f"{version}; {requirement.specifier} is required")


# --- files -------------------------------------------------------------------------------------------------


def _disk(folder: Path) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "wrong", f"{folder}: {error.strerror}")
    verdict: Verdict = "wrong" if free < _FULL else "note" if free < _SCARCE else "ok"
    return Finding("disk", verdict, f"{format_size(free)} free in {folder}")


def _file(db: Path) -> Iterator[Finding]:
    from infraweave.errors import StartupError
    from infraweave.store.maintenance import stats

    try:
        file = stats.describe_file(db)
    except StartupError as error:
        yield Finding("database", "wrong", error.message)
        return
    yield Finding("database", "ok", f"{file.path}, {format_size(file.size)}")
    yield _schema(file)
    yield Finding("served by", "ok", file.served_by or "nobody")
    yield Finding("write-ahead log", "ok", format_size(file.wal_size))
    for name, value in file.pragmas.items():
        expected = _EXPECTED_PRAGMAS.get(name, value)
        says = str(value) if value == expected else f"{value}; the server relies on {expected}"
        yield Finding(f"pragma {name}", "ok" if value == expected else "wrong", says)


def _schema(file: DatabaseFile) -> Finding:
    version, newest = file.schema_version, file.newest_schema
    if version > newest:
        return Finding("schema", "wrong", f"{version}, from a newer InfraWeave; this one knows {newest}")
    if version < newest:
        return Finding("schema", "note", f"{version}; the next start copies and upgrades the file")
    return Finding("schema", "ok", str(version))
