"""What a case found: measurements with all their samples, comparisons with their targets, and what was left out.

Knows numbers and words and nothing about how they came about.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Measurement:
    """All samples of one figure of one subject; the median is the figure."""

    subject: str
    what: str
    unit: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


Direction = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure or ratio beside what it must reach; `bound` is None where a figure is only recorded."""

    text: str
    value: float
    direction: Direction = "at least"
    bound: float | None = None

    @property
    def reached(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value >= self.bound if self.direction == "at least" else self.value <= self.bound


@dataclass(slots=True)
class CaseResult:
    """Everything that one case reports."""

    name: str
    about: str
    measurements: list[Measurement] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failure: str = ""
    foreign_cores: list[float] = field(default_factory=list)
    load_average: tuple[float, float, float] = (0.0, 0.0, 0.0)
    seconds: float = 0.0

    def add(self, subject: str, what: str, unit: str, value: float) -> None:
        """Adds one sample."""
        found = self._find(subject, what)
        if found is None:
            found = Measurement(subject, what, unit)
            self.measurements.append(found)
        found.samples.append(value)

    def median(self, subject: str, what: str) -> float | None:
        found = self._find(subject, what)
        return found.median if found else None

    def require(self, text: str, value: float | None, direction: Direction, bound: float) -> None:
        """Sets a figure beside its target; a figure that was not measured is no comparison."""
        if value is not None:
            self.comparisons.append(Comparison(text, value, direction, bound))

    def record(self, text: str, value: float) -> None:
        """Notes a ratio that has no target."""
        self.comparisons.append(Comparison(text, value))

    def ratio(self, what: str, over: str, under: str | Sequence[str]) -> float | None:
        """Median of `over` by the best median among `under`; None where either is missing."""
        ours = self.median(over, what)
        names = [under] if isinstance(under, str) else under
        theirs = [median for name in names if (median := self.median(name, what)) is not None]
        return ours / max(theirs) if ours is not None and theirs else None

    def _find(self, subject: str, what: str) -> Measurement | None:
        for measurement in self.measurements:
            if (measurement.subject, measurement.what) == (subject, what):
                return measurement
        return None
