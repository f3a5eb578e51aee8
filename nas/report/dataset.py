"""A study as columns of numbers: what the browser derives fronts and tables from, compact enough for 10,000 trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.pareto import DIRECTIONS
from nas.records import ReferenceRecord, Status, TrialRecord
from nas.report.candidates import Axes, label, rung_words
from nas.report.quantities import measured, quantity
from nas.report.theme import DARK, LIGHT
from nas.retrained import accuracies
from nas.retrained import retrained as retrained_networks
from nas.trust.noise import seed_noise
from nas.view import StudyView

RETRAINED = "retrained_accuracy"
SIZES = ("params", "macs", "peak_activation_bytes")
DIGITS = 6
"""Significant digits of a measured number: more than any of them deserves."""


def dataset(view: StudyView, *, more: Mapping[str, Mapping[int, float]] | None = None) -> dict[str, Any]:
    """Return the columns of a study. `more` are quantities by trial that its records do not hold."""
    records = sorted(view.records, key=lambda record: record.number)
    compared = {record.number for record in view.compared}
    metrics = [view.metrics(record) for record in records]
    for name, values in (more or {}).items():
        for record, found in zip(records, metrics, strict=True):
            if record.number in values:
                found[name] = values[record.number]
    names = [name for name in dict.fromkeys(n for found in metrics for n in found) if name != "weight_bytes"]
    axes, statuses = Axes.of(view), list(Status)
    caps = [name for name in (SIZES if not view.is_of_problem else view.config.costs) if name in names]
    return {
        "study": view.config.name,
        "trials": [record.number for record in records],
        "statuses": [each.value for each in statuses],
        "status": [statuses.index(view.status(record)) for record in records],
        "compared": [int(record.number in compared) for record in records],
        "seeds": [len(view.seeds(record)) for record in records],
        "columns": {name: [_number(found.get(name)) for found in metrics] for name in names},
        "margins": margins(view, records, names),
        "quantities": {name: _quantity(name, view) for name in names},
        "objectives": [{"name": each.name, "direction": each.direction} for each in view.deciding],
        "shown": list(
            dict.fromkeys([*(o.name for o in view.objectives), *(n for n in SIZES if n in names), *(more or {})])
        ),
        "axes": {"x": axes.x, "y": axes.y, "colour": axes.colour},
        "caps": {name: view.caps.get(name) for name in caps},
        "fidelity": rung_words(view.compared_fidelity, view) if view.compared_fidelity else "",
        "references": [_outside(label(each), each, view) for each in view.references if view.is_compared(each)],
        "baselines": [],
        "templates": {"light": LIGHT.template().to_plotly_json(), "dark": DARK.template().to_plotly_json()},
    }


def baseline(name: str, view: StudyView) -> dict[str, Any]:
    """Return the front of another study, to be drawn beside one."""
    return {"name": name, "points": [_outside(label(record), record, view) for record in view.front]}


def margins(view: StudyView, records: Sequence[TrialRecord], names: Sequence[str]) -> dict[str, dict[int, float]]:
    """Return half the 95 % interval of each mean over several seeds, by quantity and trial, from the pooled noise."""
    repeated = [record for record in records if len(view.seeds(record)) > 1]
    found = {}
    for name in names if repeated else ():
        values = {record.number: view.values(record, name) for record in repeated}
        noise = seed_noise(values.values())
        if noise is not None and noise.std:
            found[name] = {n: float(f"{noise.margin(len(v)):.3g}") for n, v in values.items() if len(v) > 1}
    return found


def retrained(folder: Path, view: StudyView) -> dict[str, dict[int, float]]:
    """Return what retrained networks of a study came to on the test split, by trial; nothing where none was."""
    found = accuracies(retrained_networks(folder))
    networks = [record for record in view.records if record.is_network] if found else []  # an id is slow to read
    trials = {each.number: found[each.arch_id].mean for each in networks if each.arch_id in found}
    return {RETRAINED: trials} if trials else {}


def _outside(name: str, record: TrialRecord, view: StudyView) -> dict[str, Any]:
    values = {key: _number(value) for key, value in view.metrics(record).items()}
    standing = view.standing(record) if isinstance(record, ReferenceRecord) else ""
    return {"name": name, "standing": standing, "metrics": values}


def _quantity(name: str, view: StudyView) -> dict[str, Any]:
    known = quantity(name)
    directions = DIRECTIONS | {each.name: each.direction for each in view.objectives} | {RETRAINED: "maximize"}
    return {
        "label": known.label,
        "title": known.title,
        "unit": known.unit,
        "kind": known.kind,
        "digits": known.digits,
        "exact": known.is_exact,
        "better": directions.get(name, ""),
    }


def _number(value: float | None) -> float | int | None:
    kept = measured({"": value}, "") if value is not None else None
    if kept is None or not math.isfinite(kept):
        return None
    return int(kept) if float(kept).is_integer() else float(f"{kept:.{DIGITS}g}")
