"""Figures that are kept: one file for a release or a commit, and the table that is made from the newest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.printing import number
from tests.bench.results import Measured, as_figures

FOLDER = Path(__file__).with_name("figures")


def save(name: str, machine: dict[str, str], found: Sequence[Measured], label: str) -> Path:
    """Keep the figures of a run of the bench under a name, such as that of the release."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    kept = {
        "name": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "rows": [as_figures(measured, label) for measured in found],
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")
    return path


def kept() -> list[dict[str, Any]]:
    """Return the kept figures, oldest first."""
    found = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    return sorted(found, key=lambda figures: figures["at"])


def table() -> str:
    """Return the newest figures as a table in Markdown, and what they were measured on."""
    newest = kept()[-1]
    lines = [
        "| what | ours | yardstick | ratio | p50 | p99 | CPU |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_line(row) for row in newest["rows"]]
    machine = "; ".join(newest["machine"].values())
    return "\n".join([*lines, "", f"Figures `{newest['name']}`, {newest['at'][:10]}: {machine}."])


def _line(row: dict[str, Any]) -> str:
    ours, theirs = row["ours"], row["theirs"]
    beside = "–" if theirs is None else f"{number(theirs['value'])} ({row['yardstick']})"
    cells = [
        row["what"],
        f"{number(ours['value'])} {row['unit']}",
        beside,
        number(row["ratio"]),
        _with(ours["p50_ms"], "ms"),
        _with(ours["p99_ms"], "ms"),
        _with(ours["cpu_us"], "µs"),
    ]
    return f"| {' | '.join(cells)} |"


def _with(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{number(value)} {unit}"
