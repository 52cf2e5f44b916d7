"""What the bench prints."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.results import Measured, median_ratio, medians

COLUMNS = ("ours", "yardstick", "ratio", "p50 ms", "p99 ms", "cpu us", "its cpu us", "MiB")
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
    """Return a row of one tree; the latencies and the memory are ours, ``its cpu`` is the yardstick's."""
    ours, theirs = medians(measured.trees[label]), medians(measured.yardstick)
    cells = [ours["value"], theirs["value"], measured.ratio(label), ours["p50_ms"], ours["p99_ms"]]
    cells += [ours["cpu_us"], theirs["cpu_us"], ours["memory_mib"]]
    return _row(measured, cells)


def comparison_heading(labels: Sequence[str]) -> str:
    before, after = (label[: _WIDTH - 1] for label in labels)
    columns = (before, after, "yardstick", f"{before} ÷", f"{after} ÷", "better", "less cpu")
    return f"{'':{_WHAT}}" + "".join(f"{column:>{_WIDTH}}" for column in columns)


def comparison_line(measured: Measured, labels: Sequence[str]) -> str:
    """Return a row of two trees. ``better`` and ``less cpu`` are above 1 if the second is better.

    On a busy machine the processor time says more than the value.
    """
    before, after = (measured.trees[label] for label in labels)
    better = median_ratio(after, before) if measured.row.higher_is_better else median_ratio(before, after)
    cells = [medians(side)["value"] for side in (before, after, measured.yardstick)]
    cells += [*(measured.ratio(label) for label in labels), better, median_ratio(before, after, "cpu_us")]
    return _row(measured, cells)


def _row(measured: Measured, cells: Sequence[float | None]) -> str:
    what = f"{measured.row.what} ({measured.row.unit})"
    text = f"{what:{_WHAT}}" + "".join(f"{number(cell):>{_WIDTH}}" for cell in cells)
    return text + (f"\n    {measured.note}" if measured.note else "")
