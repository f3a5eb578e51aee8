"""The tables and the figures of the NoDepth study, from the files that `nodepth_study.py` wrote.

    python benchmarks/nodepth_report.py [--figures docs/figures]

Prints the tables, writes `results/nodepth_study.json`, and with `--figures` the pictures that `docs/interference.md`
shows (drawn by Plotly; `pip install kaleido` and a Chromium turn them into files).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import nodepth_figures
from nodepth_study import (
    DATA,
    DESIGNS,
    FAMILIES,
    LARGE,
    MIDDLE,
    RESULTS,
    SMALL,
    SUPPRESSED,
    SUPPRESSIONS,
    WITH_LAYER_NORM,
    Run,
    plan,
)
from scipy import stats

from nas.results import environment, write_whole
from nas.trust import rank_correlation

SIZES = (*SMALL, MIDDLE, LARGE)
METRICS = (*nodepth_figures.METRICS, "superlinearity", "channel_kurtosis", "activation_ratio", "topk_drop")
HARDER = ("clean", "gaussian_noise", "gaussian_blur", "jpeg", "contrast", "fgsm", "int8", "int4")
REFERENCE = "residual"
"""The ResNet-18 variant, against which the paper's summary claims 2.3 points."""


@dataclass(frozen=True)
class Spread:
    """Some values of one quantity: their mean, standard deviation (None for one value) and number."""

    mean: float
    std: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


class Study:
    """The runs that have a file."""

    def __init__(self) -> None:
        self.runs: dict[Run, dict[str, Any]] = {}
        for run in plan():
            path = RESULTS / f"{run.name}.json"
            if path.is_file():
                self.runs[run] = json.loads(path.read_text())

    def values(self, name: str, **wanted: object) -> list[float]:
        """Return a quantity of the runs whose fields are as wanted; a diverged run counts as chance."""
        wanted = {"activation": "relu", "arm": "", **wanted}
        return [
            _value(found, name)
            for run, found in self.runs.items()
            if all(getattr(run, field) == value for field, value in wanted.items()) and _value(found, name) is not None
        ]

    def spread(self, name: str, **wanted: object) -> Spread | None:
        values = self.values(name, **wanted)
        return Spread.of(values) if values else None


def _value(found: dict[str, Any], name: str) -> float | None:
    if name == "accuracy":
        return 10.0 if found["diverged"] else 100 * found["val_accuracy"]
    if name in found.get("hardened", {}):
        return 100 * found["hardened"][name]
    return found.get(name, found.get("metrics", {}).get(name))


def accuracy_table(study: Study, data: str, families: Iterable[str] = FAMILIES, **wanted: object) -> dict[str, Any]:
    """Return accuracy by family and size, each a Spread."""
    rows = {
        family: {size: study.spread("accuracy", data=data, family=family, size=size, **wanted) for size in SIZES}
        for family in families
    }
    return {family: row for family, row in rows.items() if any(row.values())}


def exponent(study: Study, data: str, family: str) -> dict[str, float] | None:
    """Return b of error = a * params^-b over the ReLU runs, with its 95 % interval."""
    here = {"data": data, "family": family}
    sizes, accuracies = study.values("params", **here), study.values("accuracy", **here)
    if len(set(sizes)) < 3:
        return None
    fit = stats.linregress([log(size) for size in sizes], [log(100 - accuracy) for accuracy in accuracies])
    half = stats.t.ppf(0.975, len(sizes) - 2) * fit.stderr
    return {"exponent": -fit.slope, "low": -fit.slope - half, "high": -fit.slope + half, "runs": len(sizes)}


def difference(study: Study, name: str, wanted: dict[str, object], against: dict[str, object]) -> dict[str, Any]:
    """Return how much larger a quantity is in some runs than in others: means, and Welch's 95 % interval."""
    ours, theirs = study.values(name, **wanted), study.values(name, **against)
    found = {"mean": fmean(ours) - fmean(theirs) if ours and theirs else None, "low": None, "high": None}
    if min(len(ours), len(theirs)) > 1:
        bounds = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
        found |= {"low": bounds.low, "high": bounds.high}
    return {**found, "runs": len(ours)}


def over(study: Study, family: str, data: str, size: int) -> dict[str, Any]:
    """Return the points of accuracy that a family gains over the ResNet-18 variant."""
    here = {"data": data, "size": size}
    return difference(study, "accuracy", {**here, "family": family}, {**here, "family": REFERENCE})


def lost(study: Study, activation: str, family: str, data: str, size: int) -> dict[str, Any]:
    """Return the points of accuracy that an activation loses against ReLU."""
    here = {"data": data, "family": family, "size": size}
    return difference(study, "accuracy", here, {**here, "activation": activation})


def added(study: Study, arm: str, name: str, **here: object) -> dict[str, Any]:
    """Return what an arm adds to a quantity at 60k."""
    return difference(study, name, {**here, "size": SMALL[1], "arm": arm}, {**here, "size": SMALL[1]})


def across_families(study: Study, data: str, name: str, size: int) -> float | None:
    """Return the rank correlation of a metric with accuracy over the eight families of one size."""
    pairs = [
        (
            study.spread(name, data=data, family=family, size=size),
            study.spread("accuracy", data=data, family=family, size=size),
        )
        for family in FAMILIES
    ]
    found = [(metric.mean, accuracy.mean) for metric, accuracy in pairs if metric and accuracy]
    return rank_correlation(*zip(*found, strict=True)) if found else None


def summary(study: Study) -> dict[str, Any]:
    """Return every table of the report."""
    return {
        "environment": environment(),
        "runs": len(study.runs),
        "train_hours_of_one_core": round(sum(found["train_seconds"] for found in study.runs.values()) / 3600, 2),
        **by_data(study),
        "lost_to": {
            activation: {data: losses(study, activation, data) for data in DATA} for activation in ("solu", "gelu")
        },
        "hardened": {
            family: {name: added(study, "suppress", name, data="cifar", family=family) for name in HARDER}
            for family in SUPPRESSED
        },
        "arms": {data: {activation: arms(study, data, activation) for activation in ("relu", "solu")} for data in DATA},
    }


def by_data(study: Study) -> dict[str, Any]:
    """Return the tables that there are for each data set, for ReLU but where another activation is named."""
    families = [family for family in FAMILIES if family != REFERENCE]
    tables = {
        "accuracy": lambda data: accuracy_table(study, data),
        "accuracy_solu": lambda data: accuracy_table(study, data, activation="solu"),
        "accuracy_gelu": lambda data: accuracy_table(study, data, activation="gelu"),
        "long": lambda data: accuracy_table(study, data, arm="long"),
        "designs": lambda data: accuracy_table(study, data, [*FAMILIES, *DESIGNS]),
        "exponents": lambda data: {family: exponent(study, data, family) for family in FAMILIES},
        "over_resnet18_variant": lambda data: {
            family: {size: over(study, family, data, size) for size in SIZES} for family in families
        },
        "metrics": lambda data: {
            family: {name: study.spread(name, data=data, family=family, size=SMALL[1]) for name in METRICS}
            for family in FAMILIES
        },
        "across_families": lambda data: {
            name: {size: across_families(study, data, name, size) for size in SIZES} for name in METRICS
        },
    }
    return {name: {data: table(data) for data in DATA} for name, table in tables.items()}


def losses(study: Study, activation: str, data: str) -> dict[str, Any]:
    """Return what an activation costs each family, by size."""
    families = [*FAMILIES, *WITH_LAYER_NORM]
    return {family: {size: lost(study, activation, family, data, size) for size in SIZES} for family in families}


def arms(study: Study, data: str, activation: str) -> dict[str, Any]:
    """Return what each way of suppression adds to accuracy and to interference, by family."""
    names = ("accuracy", "importance_weighted", "cross_talk", "class_overlap", "redundancy")
    here = {"data": data, "activation": activation}
    return {
        family: {arm: {name: added(study, arm, name, family=family, **here) for name in names} for arm in SUPPRESSIONS}
        for family in SUPPRESSED
    }


def show(title: str, table: dict[str, dict[Any, Any]]) -> None:
    """Print a table of rows; a Spread or an interval in one cell each."""
    columns = list(next(iter(table.values()), {}))
    print(f"\n{title}\n{'':22}" + "".join(f"{_head(column):>24}" for column in columns))
    for name, row in table.items():
        print(f"{name:22}" + "".join(f"{_cell(row[column]):>24}" for column in columns))


def _head(column: object) -> str:
    return f"{column // 1000}k" if isinstance(column, int) else str(column)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case Spread():
            return f"{value.mean:.2f}" + (f" ± {value.std:.2f}" if value.std is not None else "")
        case float():
            return f"{value:+.2f}"
        case {"mean": None}:
            return "-"
        case {"mean": mean, "low": None}:
            return f"{mean:+.2f}"
        case {"mean": mean, "low": low, "high": high}:
            return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
        case {"exponent": value, "low": low, "high": high}:
            return f"{value:.3f} [{low:.3f}, {high:.3f}]"
        case _:
            return str(value)


def print_tables(tables: dict[str, Any]) -> None:
    for data in DATA:
        show(f"{data}: validation accuracy %, relu", tables["accuracy"][data])
        show(f"{data}: the same, long", tables["long"][data])
        show(f"{data}: designs", tables["designs"][data])
        show(f"{data}: points over the ResNet-18 variant", tables["over_resnet18_variant"][data])
        show(f"{data}: points lost to solu", tables["lost_to"]["solu"][data])
        show(f"{data}: points lost to gelu", tables["lost_to"]["gelu"][data])
        show(f"{data}: metrics at 60k", tables["metrics"][data])
        show(f"{data}: Spearman with accuracy over the families", tables["across_families"][data])
        for activation, families in tables["arms"][data].items():
            for family, arms in families.items():
                show(f"{data}, {activation}, {family} at 60k: what an arm adds", arms)
    show("cifar, relu, 60k: what suppression adds to accuracy on worse images and in few bits", tables["hardened"])
    show("exponents", {data: tables["exponents"][data] for data in DATA})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    tables = summary(Study())
    print_tables(tables)
    text = json.dumps(tables, indent=1, default=vars)
    write_whole(RESULTS.with_suffix(".json"), text + "\n")
    if arguments.figures:
        nodepth_figures.write(json.loads(text), arguments.figures)


if __name__ == "__main__":
    main()
