"""The tables of `rank_quality.py`, from the files that it wrote."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from nas.results import environment, write_whole
from nas.trust.correlation import Correlation, association
from nas.trust.earned import PRIORS, earned
from nas.trust.measured import Measured
from nas.trust.mix import SCORE_DIRECTIONS, Mix, column
from nas.trust.noise import seed_noise
from nas.value import FrozenMap

ACCURACY, FULL, MIX, FIRST_MIX = "val_accuracy", "full", "mix", "mix, nothing earned yet"
FOLDS = 5
TARGETS = {"overall": 0.92, "top fifth": 0.6}
WORDS = {"epoch": "1 epoch of 20"}


def report(results: Path) -> None:
    """Print the tables of every data set, and write `report.json`."""
    folders = sorted(folder for folder in results.glob("*") if folder.is_dir())
    found = {folder.name: of_data(folder) for folder in folders}
    for name, content in found.items():
        show(name, content)
    write_whole(results / "report.json", json.dumps({**found, "environment": environment()}, indent=1) + "\n")


def of_data(folder: Path) -> dict[str, Any]:
    """Return everything that the files of one data set say."""
    runs: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        if content["measurement"]["metrics"]:
            runs[content["evaluation"]][content["network"]].append(content)
    final = {n: fmean(each["measurement"]["metrics"][ACCURACY] for each in own) for n, own in runs[FULL].items()}
    seeds = [[each["measurement"]["metrics"][ACCURACY] for each in own] for own in runs[FULL].values()]
    evaluations = {name: of_evaluation(runs, name, final) for name in runs if name != FULL}
    return {
        "networks": len(final),
        "seeds": {str(n): len(own) for n, own in sorted(runs[FULL].items())},
        "accuracy": [min(final.values()), max(final.values())],
        "seed_noise": noise.std if (noise := seed_noise(seeds)) else None,
        "evaluations": evaluations,
    }


def of_evaluation(runs: Any, name: str, final: dict[int, float]) -> dict[str, Any]:
    """Return the correlations of every score of one evaluation, and what it costs beside full training."""
    networks = [measured(runs[name][n][0]) for n in sorted(final) if runs[name][n]]
    truth = [measured(runs[FULL][each.number][0], {ACCURACY: final[each.number]}) for each in networks]
    accuracy = np.array([each.metrics[ACCURACY] for each in truth])
    table = [each.scores for each in networks]
    told = {
        each: column(table, each) * (1 if direction == "maximize" else -1)
        for each, direction in SCORE_DIRECTIONS.items()
        if any(each in row for row in table)
    }
    weights = [folded(networks, truth, fold) for fold in range(FOLDS)]
    mixes = [Mix.fitted(table, each or PRIORS).values(table) for each in weights]
    told[MIX] = np.array([mixes[i % FOLDS][i] for i in range(len(networks))])
    told[FIRST_MIX] = Mix.fitted(table, PRIORS).values(table)
    top = accuracy >= np.quantile(accuracy, 0.8)
    seconds = {each: fmean(own[0]["processor_seconds"] for own in runs[each].values()) for each in (name, FULL)}
    return {
        "share_of_seconds": seconds[name] / seconds[FULL],
        "weights": weights,
        "top_networks": int(top.sum()),
        "scores": {each: correlations(values, accuracy, top) for each, values in told.items()},
    }


def measured(content: dict[str, Any], instead: dict[str, float] | None = None) -> Measured:
    metrics = {**content["cost"], **(instead or content["measurement"]["metrics"])}
    return Measured(content["network"], content["cost"]["params"], content["depth"], FrozenMap(metrics))


def folded(networks: list[Measured], truth: list[Measured], fold: int) -> dict[str, float]:
    """Return the weights that the scores have earned on the networks outside of a fold."""
    own, others = ([each for i, each in enumerate(some) if i % FOLDS != fold] for some in (networks, truth))
    cap = max(each.params for each in networks)
    return dict(earned(own, [others], cap).weights)


def correlations(values: Any, accuracy: Any, top: Any) -> dict[str, Any]:
    return {
        "overall": content(association(values, accuracy, "spearman")),
        "kendall": content(association(values, accuracy, "kendall")),
        "top fifth": content(association(values[top], accuracy[top], "spearman")),
    }


def content(found: Correlation | None) -> dict[str, Any] | None:
    return found and found.model_dump()


def show(name: str, found: dict[str, Any]) -> None:
    low, high = found["accuracy"]
    noise = f", one seed's noise {100 * found['seed_noise']:.2f} points" if found["seed_noise"] else ""
    print(f"\n{name}: {found['networks']} networks, accuracy {100 * low:.1f} to {100 * high:.1f} %{noise}")
    for evaluation, each in found["evaluations"].items():
        print(f"\n{WORDS[evaluation]}: {100 * each['share_of_seconds']:.1f} % of the processor time of full training")
        top = f"top fifth ({each['top_networks']})"
        print(f"{'Spearman (Kendall)':26}{'overall':>28}{top:>24}")
        ranked = sorted(each["scores"].items(), key=lambda item: -(item[1]["overall"] or {"value": -1})["value"])
        for score, cells in ranked:
            kendall = f" ({cells['kendall']['value']:.2f})" if cells["kendall"] else ""
            print(f"{score:26}{shown(cells['overall']) + kendall:>28}{shown(cells['top fifth']):>24}")
        targets = [f"{part} {'met' if met(each, part) else 'missed'} (target {goal})" for part, goal in TARGETS.items()]
        print("the mix: " + ", ".join(targets))


def met(evaluation: dict[str, Any], part: str) -> bool:
    cell = evaluation["scores"][MIX][part]
    return cell is not None and cell["value"] >= TARGETS[part]


def shown(cell: dict[str, Any] | None) -> str:
    return "-" if cell is None else f"{cell['value']:.2f} ({cell['low']:.2f} to {cell['high']:.2f})"
