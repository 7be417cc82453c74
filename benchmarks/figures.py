"""Samples, and what is said of them: medians, 95th percentiles, ratios. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

#: Samples from which on there is a 95th percentile.
_ENOUGH = 20


@dataclass(frozen=True)
class Figure:
    """One step, measured on ganga-kernel and on the bare thing.

    Attributes
    ----------
    what: the step
    unit: "ms", "s" or "MB"
    ours, bare: the samples; `bare` is empty where there is nothing to compare with
    versus: what the bare thing is
    aim: the project's aim, as text
    by: how the two are compared: "ratio", "difference", or "" for not at all
    """

    what: str
    unit: str
    ours: Sequence[float]
    bare: Sequence[float] = ()
    versus: str = ""
    aim: str = ""
    by: str = "ratio"

    @property
    def comparison(self) -> str:
        """Ratio or difference of the medians, or nothing; the ratio of the 95th percentiles, if there are."""
        if not self.ours or not self.bare or not self.by:
            return ""
        ours, bare = statistics.median(self.ours), statistics.median(self.bare)
        if self.by == "ratio":
            said = f"{ours / bare:.2f} x"
            if min(len(self.ours), len(self.bare)) < _ENOUGH:
                return said
            return f"{said} (p95 {percentile(self.ours, 95) / percentile(self.bare, 95):.2f})"
        return f"{ours - bare:+.{_digits(ours - bare)}f} {self.unit}"

    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        return (
            self.what, _spell(self.ours, self.unit), _spell(self.bare, self.unit), self.versus,
            self.comparison, self.aim,
        )  # fmt: skip


#: The head of the row that `Figure.cells` gives.
HEAD = ("step", "ganga-kernel", "bare", "the bare thing", "compared", "aim")


@dataclass
class Section:
    """Figures that belong together.

    Attributes
    ----------
    title: its heading
    figures: its rows
    notes: sentences below the table
    """

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """The section as JSON takes it, with all samples."""
        figures = [
            {**asdict(figure), "ours_summary": summary(figure.ours), "bare_summary": summary(figure.bare)}
            for figure in self.figures
        ]
        return {"title": self.title, "figures": figures, "notes": self.notes}


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that `percent` of them don't exceed (the nearest-rank definition)."""
    return sorted(samples)[max(0, math.ceil(len(samples) * percent / 100) - 1)]


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Number, median, 95th percentile, least and most; empty without samples."""
    if not samples:
        return {}
    return {
        "n": len(samples), "median": statistics.median(samples), "p95": percentile(samples, 95),
        "min": min(samples), "max": max(samples),
    }  # fmt: skip


def _spell(samples: Sequence[float], unit: str) -> str:
    """``4.2 ms (p95 5.1, n 200)``; without a percentile where there are too few samples for one."""
    if not samples:
        return ""
    found = summary(samples)
    said = f"{found['median']:.{_digits(found['median'])}f} {unit}"
    if len(samples) == 1:
        return f"{said} (n 1)"
    name, value = ("p95", found["p95"]) if len(samples) >= _ENOUGH else ("max", found["max"])
    return f"{said} ({name} {value:.{_digits(value)}f}, n {len(samples)})"


def _digits(value: float) -> int:
    """Digits after the point: three figures say all that such samples can."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 2
