"""What a row measures, and how rounds become one figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Round:
    """One side, measured once. Latencies are in milliseconds, CPU in microseconds, memory in MiB."""

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None
    memory_mib: float | None = None


@dataclass(frozen=True)
class Row:
    """What is measured: a rate or a cost, and in which direction it gets better."""

    name: str
    what: str
    unit: str
    higher_is_better: bool
    #: What the yardstick is; empty: there is none.
    yardstick: str = ""


@dataclass
class Measured:
    """A row with the rounds of its sides. ``yardstick`` is empty if there is none."""

    row: Row
    yardstick: list[Round] = field(default_factory=list)
    #: label of a tree → its rounds, as many as the yardstick's
    trees: dict[str, list[Round]] = field(default_factory=dict)
    note: str = ""

    def ratio(self, label: str) -> float | None:
        """Return the median over the rounds of a tree's value ÷ the yardstick's."""
        return median_ratio(self.trees[label], self.yardstick)


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def round_of(value: float, seconds: Sequence[float], cpu_seconds: float | None, units: int) -> Round:
    """Make a round from latencies in seconds and from the processor time of so many units."""
    latencies = sorted(seconds)
    return Round(
        value,
        percentile(latencies, 0.5) * 1e3 if latencies else None,
        percentile(latencies, 0.99) * 1e3 if latencies else None,
        cpu_seconds / units * 1e6 if cpu_seconds is not None and units else None,
    )


def median_ratio(ours: Sequence[Round], theirs: Sequence[Round], figure: str = "value") -> float | None:
    """Return the median of the ratios of rounds that were measured side by side."""
    both = [(getattr(a, figure), getattr(b, figure)) for a, b in zip(ours, theirs, strict=False)]
    pairs = [(a, b) for a, b in both if a is not None and b]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def medians(rounds: Sequence[Round]) -> dict[str, float | None]:
    """Return the median of each figure over the rounds that have it."""
    columns: dict[str, list[float]] = {name: [] for name in Round.__dataclass_fields__}
    for one in rounds:
        for name, figure in asdict(one).items():
            if figure is not None:
                columns[name].append(figure)
    return {name: statistics.median(found) if found else None for name, found in columns.items()}
