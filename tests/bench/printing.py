"""What the bench prints."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.results import Measured, median_ratio, medians

COLUMNS = ("ours", "yardstick", "ratio", "p50 ms", "p99 ms", "cpu us", "MiB")
_WHAT, _WIDTH = 52, 11


def number(value: float | None) -> str:
    """Return three significant digits, or whole numbers with commas."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def machine(described: dict[str, str]) -> str:
    return "\n".join(f"{name:12} {text}" for name, text in described.items())


def heading() -> str:
    return f"{'':{_WHAT}}" + "".join(f"{column:>{_WIDTH}}" for column in COLUMNS)


def line(measured: Measured, label: str) -> str:
    """Return a row of one tree; the latencies, the processor time and the memory are ours."""
    ours = medians(measured.trees[label])
    theirs = medians(measured.yardstick)["value"] if measured.yardstick else None
    cells = [ours["value"], theirs, measured.ratio(label)]
    cells += [ours["p50_ms"], ours["p99_ms"], ours["cpu_us"], ours["memory_mib"]]
    return _row(measured, cells)


def comparison_heading(labels: Sequence[str]) -> str:
    before, after = (label[: _WIDTH - 1] for label in labels)
    columns = (before, after, "yardstick", f"{before} ÷", f"{after} ÷", "after÷bef.", "better")
    return f"{'':{_WHAT}}" + "".join(f"{column:>{_WIDTH}}" for column in columns)


def comparison_line(measured: Measured, labels: Sequence[str]) -> str:
    """Return a row of two trees; ``better`` is above 1 if the second is."""
    before, after = (measured.trees[label] for label in labels)
    theirs = medians(measured.yardstick)["value"] if measured.yardstick else None
    change = median_ratio(after, before)
    better = change if change is None or measured.row.higher_is_better else 1 / change
    cells = [medians(before)["value"], medians(after)["value"], theirs]
    cells += [*(measured.ratio(label) for label in labels), change, better]
    return _row(measured, cells)


def _row(measured: Measured, cells: Sequence[float | None]) -> str:
    what = f"{measured.row.what} ({measured.row.unit})"
    text = f"{what:{_WHAT}}" + "".join(f"{number(cell):>{_WIDTH}}" for cell in cells)
    return text + (f"\n    {measured.note}" if measured.note else "")
