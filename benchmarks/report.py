"""Turns results into a table for people and into JSON for machines. Computes nothing but medians and extremes."""

from __future__ import annotations

import dataclasses

from benchmarks.results import CaseResult, Comparison, Measurement

VERDICTS = {True: "reached", False: "MISSED", None: "recorded"}


def table(result: CaseResult) -> str:
    """The figures of one case, then how they stand to what they must reach."""
    foreign = result.foreign_cores
    rows = [
        f"== {result.name}: {result.about}",
        f"   {result.seconds:.0f} s, load average {result.load_average[0]:.2f},"
        f" foreign CPU mean {sum(foreign) / len(foreign) if foreign else 0.0:.2f} and at most"
        f" {max(foreign, default=0.0):.2f} cores",
        f"   {'subject':<18} {'figure':<44} {'median':>12} {'lowest':>12} {'highest':>12}  {'n':>4} unit",
    ]
    rows += [_figure_row(measurement) for measurement in result.measurements]
    rows += [_comparison_row(comparison) for comparison in result.comparisons]
    rows += [f"   note: {note}" for note in result.notes]
    rows += [f"   left out: {reason}" for reason in result.skipped]
    rows += [f"   FAILED: {result.failure}"] if result.failure else []
    return "\n".join(rows)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _figure_row(measurement: Measurement) -> str:
    numbers = [measurement.median, min(measurement.samples), max(measurement.samples)]
    columns = " ".join(f"{_number(number):>12}" for number in numbers)
    name = f"   {measurement.subject:<18} {measurement.what:<44}"
    return f"{name} {columns}  {len(measurement.samples):>4} {measurement.unit}"


def _comparison_row(comparison: Comparison) -> str:
    asked = "" if comparison.bound is None else f"{comparison.direction} {_number(comparison.bound)}"
    return f"   {VERDICTS[comparison.reached]:<9} {comparison.text:<53} {_number(comparison.value):>12}  {asked}"


def as_json(result: CaseResult) -> dict[str, object]:
    """All samples, so that a later reader can judge the spread."""
    document = dataclasses.asdict(result)
    document["measurements"] = [
        {**dataclasses.asdict(measurement), "median": measurement.median} for measurement in result.measurements
    ]
    document["comparisons"] = [
        {**dataclasses.asdict(comparison), "reached": comparison.reached} for comparison in result.comparisons
    ]
    return document


def summary(results: list[CaseResult]) -> str:
    """All comparisons with a target, on one screen."""
    rows = ["== what must be reached"]
    for result in results:
        rows += [
            f"   {result.name:<10}{_comparison_row(comparison)}"
            for comparison in result.comparisons
            if comparison.bound is not None
        ]
    return "\n".join(rows)
