"""Figures that are kept: one file for a release or a comparison, and the tables that are made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.child import HERE
from tests.bench.printing import number
from tests.bench.results import Measured, medians

FOLDER = Path(__file__).with_name("figures")
#: The page that shows the newest figures, between two lines.
PAGE = HERE / "docs" / "performance.md"
BEGIN, END = "<!-- figures: python -m tests.bench table -->\n", "<!-- end of figures -->\n"
NONE = "No figures are kept yet."


def save(
    name: str, machine: Mapping[str, str], commits: Mapping[str, str], found: Sequence[Measured]
) -> Path:
    """Keep figures under a name, such as that of a release; the page then shows the newest.

    ``commits`` has the commit of each label.
    """
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    kept = {
        "name": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commits": dict(commits),
        "machine": dict(machine),
        "rows": [_row(measured) for measured in found],
    }
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return path


def _row(measured: Measured) -> dict[str, Any]:
    return {
        **asdict(measured.row),
        "note": measured.note,
        "theirs": medians(measured.yardstick) if measured.yardstick else None,
        "ours": {
            label: {**medians(rounds), "ratio": measured.ratio(label)}
            for label, rounds in measured.trees.items()
        },
    }


def kept() -> list[dict[str, Any]]:
    """Return all kept figures, oldest first."""
    found = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    return sorted(found, key=lambda figures: figures["at"])


def table(name: str | None = None) -> str:
    """Return figures as a table in Markdown: those of this name, or the newest of one commit.

    Raises:
        ValueError: there are none.
    """
    found = [one for one in kept() if one["name"] == name or (name is None and len(one["commits"]) == 1)]
    if not found:
        raise ValueError(f"no figures are kept in {FOLDER}" + (f" as {name}" if name else ""))
    newest = found[-1]
    columns = _COMPARED if len(newest["commits"]) > 1 else _COLUMNS
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    lines += [f"| {' | '.join(cell(row) for cell in columns.values())} |" for row in newest["rows"]]
    notes = [f"{row['what']}: {row['note']}." for row in newest["rows"] if row["note"]]
    commits = ", ".join(f"{label} {commit}" for label, commit in newest["commits"].items())
    name, day, machine = newest["name"], newest["at"][:10], "; ".join(newest["machine"].values())
    return "\n".join([*lines, "", *notes, f"`{name}` ({commits}), {day}: {machine}.", ""])


def page(text: str) -> str:
    """Return the page with the newest figures in it."""
    shown = table() if any(len(one["commits"]) == 1 for one in kept()) else f"{NONE}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{shown}\n{END}{after}"


def _ours(row: dict[str, Any], figure: str, label: str | None = None) -> float | None:
    ours: dict[str, dict[str, float | None]] = row["ours"]
    return ours[label or next(iter(ours))][figure]


def _value(row: dict[str, Any], label: str | None = None) -> str:
    return f"{number(_ours(row, 'value', label))} {row['unit']}"


def _theirs(row: dict[str, Any]) -> str:
    return "–" if row["theirs"] is None else f"{number(row['theirs']['value'])} ({row['yardstick']})"


def _with(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{number(value)} {unit}"


_COLUMNS = {
    "what": lambda row: row["what"],
    "ours": _value,
    "yardstick": _theirs,
    "ratio": lambda row: number(_ours(row, "ratio")),
    "p50": lambda row: _with(_ours(row, "p50_ms"), "ms"),
    "p99": lambda row: _with(_ours(row, "p99_ms"), "ms"),
    "CPU of one": lambda row: _with(_ours(row, "cpu_us"), "µs"),
}
_COMPARED = {
    "what": lambda row: row["what"],
    "before": lambda row: _value(row, "before"),
    "after": lambda row: _value(row, "after"),
    "yardstick": _theirs,
    "ratio before": lambda row: number(_ours(row, "ratio", "before")),
    "ratio after": lambda row: number(_ours(row, "ratio", "after")),
}
