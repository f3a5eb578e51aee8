"""The figures of `tables.py`, from the files that it wrote: regret and hypervolume over queries, with intervals."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from table_problems import Case, case

from nas import pareto
from nas.results import environment, write_whole

AT = (25, 50, 100, 150)
STEP = 5
"""Queries between two points of a curve."""
RESAMPLES = 2_000
CLIMBS = 40
"""Starts of the climb that looks for the best member of a space too large to look through."""

Array = NDArray[np.float64]


def report(
    results: Path, macro: Path | None, tables: Mapping[str, Path], out: Path | None, figures: Sequence[Path]
) -> None:
    """Print a table for each problem, and write the summary and the figures."""
    found = {}
    for folder in sorted(each for each in results.iterdir() if each.is_dir()):
        path = tables.get(folder.name, macro)
        found[folder.name] = of_case(folder, partial(case, "file" if folder.name in tables else folder.name, path))
        show(folder.name, found[folder.name])
    content = {"problems": found, "environment": environment()}
    write_whole(out or results.parent / "tables.json", json.dumps(content, indent=1) + "\n")
    for path in figures:
        from tables_figure import write

        write(found, path)


def of_case(folder: Path, drawn: Callable[[int], Case]) -> dict[str, Any]:
    """Return what the searches of one problem came to; `drawn` gives its tables, of which most problems have one."""
    files = {path: json.loads(path.read_text()) for path in sorted(folder.glob("*-*.json"))}
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path, content in files.items():
        runs[path.stem.rpartition("-")[0]].append(content)
    known = drawn(0)
    objectives = tuple(pareto.Objective(name, direction) for name, direction in known.problem.objectives.items())
    draws = sorted({content["draw"] for content in files.values()})
    best = {draw: _best(folder, drawn(draw), objectives, list(files.values()), draw) for draw in draws}
    first = best[draws[0]]
    optimum = fmean(each["optimum"] for each in best.values())
    scale = {"optimum": optimum, "tables": len(draws), "members": first["members"], "is_exact": first["is_exact"]}
    samplers = {name: of_sampler(some, objectives, known, best) for name, some in sorted(runs.items())}
    return {"objectives": dict(known.problem.objectives), **scale, "samplers": samplers}


def of_sampler(
    runs: Sequence[Mapping[str, Any]], objectives: Sequence[pareto.Objective], known: Case, best: Mapping[int, Any]
) -> dict[str, Any]:
    """Return the figures of one sampler; with a single objective regrets, with several shares of the hypervolume.

    `best` says of each table what is the best there is.
    """
    asked = max(len(run["truth"]) for run in runs)
    places = [count for count in range(STEP, asked + 1, STEP) if _reached(runs, count)]
    curves: dict[str, list[list[float]]] = {"found": [], "chosen": []}
    for run in runs:
        pairs = [_quality(run, count, objectives, known, best[run["draw"]]) for count in places]
        curves["found"].append([one for one, _ in pairs])
        curves["chosen"].append([other for _, other in pairs])
    arrays = {name: np.array(rows) for name, rows in curves.items()}
    queries = sum(len(run["truth"]) for run in runs)
    return {
        "repeats": len(runs),
        **{
            name: {str(at): interval(rows[:, places.index(at)]) for at in AT if at in places}
            for name, rows in arrays.items()
        },
        "over_cap": sum(run["over_cap"] for run in runs),
        "repeated": sum(run["repeated"] for run in runs),
        "failed": sum(run["failed"] for run in runs),
        "processor_ms_a_query": round(1_000 * sum(run["processor_seconds"] for run in runs) / queries, 2),
        "queries": places,
        "curve": [interval(column) for column in arrays["found"].T],
    }


def _reached(runs: Sequence[Mapping[str, Any]], count: int) -> bool:
    """Return whether every search has so many queries, or had seen all members before."""
    return all(len(run["truth"]) >= count or len(run["truth"]) < run["asked"] for run in runs)


def _quality(
    run: Mapping[str, Any],
    count: int,
    objectives: Sequence[pareto.Objective],
    known: Case,
    best: Mapping[str, Any],
) -> tuple[float, float]:
    """Return what was found, and what would be chosen by its measurements, after so many queries."""
    names = [each.name for each in objectives]
    truth, observed = (
        [dict(zip(names, row, strict=True)) for row in run[kind][:count]] for kind in ("truth", "observed")
    )
    if len(objectives) > 1:
        front = [truth[i] for i in pareto.front(observed, objectives)]
        return tuple(_volume(some, objectives, known) / best["optimum"] for some in (truth, front))  # type: ignore[return-value]
    (objective,) = objectives
    sign = 1.0 if objective.direction == "maximize" else -1.0
    values = [sign * point[objective.name] for point in truth]
    chosen = max(range(len(values)), key=lambda i: sign * observed[i][objective.name])
    return sign * best["optimum"] - max(values), sign * best["optimum"] - values[chosen]


def _volume(points: Sequence[Mapping[str, float]], objectives: Sequence[pareto.Objective], known: Case) -> float:
    """Return the hypervolume, each objective in units of its reference: products of params and flops are huge."""
    scaled = [{name: point[name] / abs(known.reference[name]) for name in known.reference} for point in points]
    return pareto.hypervolume(scaled, objectives, {name: np.sign(value) for name, value in known.reference.items()})


def interval(values: Array) -> dict[str, float]:
    """Return the mean over repeats with its 95 % interval, by resampling the repeats."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": round(float(values.mean()), 5), "low": round(float(low), 5), "high": round(float(high), 5)}


def _best(
    folder: Path, known: Case, objectives: Sequence[pareto.Objective], runs: Sequence[Mapping[str, Any]], draw: int
) -> dict[str, Any]:
    """Return the best truth there is, or the hypervolume of the true front; kept, as it takes up to a minute.

    Where there are too many members, the best of those that any search or a climb from many starts has found.
    """
    path = folder / f"optimum-{draw:03}"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    points = [known.truth(member) for member in known.members()]
    is_exact = bool(points)
    if not points:
        names = [each.name for each in objectives]
        points = [dict(zip(names, row, strict=True)) for run in runs for row in run["truth"]]
        points += _climbed_once(folder, known, objectives[0])
    if len(objectives) == 1:
        values = [point[objectives[0].name] for point in points]
        optimum = max(values) if objectives[0].direction == "maximize" else min(values)
    else:
        optimum = _volume([points[i] for i in pareto.front(points, objectives)], objectives, known)
    found = {"optimum": optimum, "members": len(points) if is_exact else None, "is_exact": is_exact}
    if is_exact:
        path.write_text(json.dumps(found))
    return found


def _climbed_once(folder: Path, known: Case, objective: pareto.Objective) -> list[dict[str, float]]:
    """Return the truths at the ends of the climbs; kept, as they take a minute."""
    path = folder / "climbed"
    if not path.is_file():
        path.write_text(json.dumps([dict(known.truth(member)) for member in _climbed(known, objective)]))
    return list(json.loads(path.read_text()))


def _climbed(known: Case, objective: pareto.Objective) -> list[dict[str, Any]]:
    """Return where climbs by single changes end, each from a random member, on the truth."""
    members, rng = known.problem.members, random.Random(0)
    sign = 1.0 if objective.direction == "maximize" else -1.0

    def value(genotype: Mapping[str, Any]) -> float:
        return sign * known.truth(genotype)[objective.name]

    ends = []
    for _ in range(CLIMBS):
        here = members.fit(members.random(rng))
        while here is not None:  # ends: the value rises, and the members are finite
            near = [
                fitted
                for gene in members.genes
                for other in gene.values
                if (fitted := members.fit({**here, gene.name: other})) is not None
            ]
            best = max(near, key=value)
            if value(best) <= value(here):
                ends.append(here)
                break
            here = best
    return ends


def show(name: str, content: Mapping[str, Any]) -> None:
    """Print the table of a problem."""
    kind = "regret" if len(content["objectives"]) == 1 else "share of the hypervolume"
    exact = "" if content["is_exact"] else ", the best that was found by anybody"
    exact += f", mean of {content['tables']} tables" * (content["tables"] > 1)
    print(f"\n{name}: mean {kind}; optimum {content['optimum']:.4f}{exact}")
    for sampler, found in content["samplers"].items():
        cells = [
            f"{each['mean']:.3f} ({each['low']:.3f} to {each['high']:.3f})"
            if (each := found[kind].get(str(at)))
            else "-"
            for kind in ("found", "chosen")
            for at in AT
        ]
        faults = f"over the cap {found['over_cap']}, repeated {found['repeated']}, failed {found['failed']}"
        ms = f"{found['processor_ms_a_query']:.0f} ms a query"
        print(f"  {sampler:10} {found['repeats']:3} repeats | {' | '.join(cells)} | {faults}; {ms}")
