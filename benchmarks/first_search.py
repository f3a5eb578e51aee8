"""A search against random members and hand-made networks, at equal cost, on Fashion-MNIST under 100k parameters.

    python benchmarks/first_search.py fashion_mnist:PATH [--seeds 0 1 2] [--work results]

For each seed: 40 trials of `nas search` (two rungs), then 40 random members of the same space, each trained for as many
images as the search spent on a trial. From both, the most accurate member of each size bin is taken by its own
validation accuracy and, like the hand-made members, trained again at the top rung with a seed of its own. What is
compared is that second accuracy, on the validation split; the test split is not read.

Resumable: every finished unit is a JSON file under `benchmarks/results/first_search/`, studies stay in `--work`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import spearmanr

from nas.architecture import Architecture
from nas.audit import audit
from nas.budget import Budget
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.feasibility import genotype_cost, repair
from nas.records import Candidate, Fidelity, Plan, StudyConfig
from nas.results import StudyFolder, environment, write_whole
from nas.search.catalogue import study_names
from nas.search.evaluator import TrainingEvaluator
from nas.search.loop import run
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space import GeneValue, SearchSpace, Target
from nas.space_file import load_space
from nas.training.recipe import default_recipe
from nas.value import FrozenMap, derive_seed

RESULTS = Path(__file__).parent / "results" / "first_search"
ENVIRONMENT = environment()
"""Taken when the process starts: the clone may move on while it trains."""
CAP = 100_000
TRIALS = 40
BINS = {"20k": 20_000, "50k": 50_000, "100k": 100_000}
RESOLUTION, TRAIN_FRACTION, VALIDATION_FRACTION = 14, 0.02, 0.03
RUNGS = (1, 4)
REDUCTION = 2
RANDOM_EPOCHS = round(RUNGS[0] + RUNGS[1] / REDUCTION)
"""A search spends RUNGS[0] epochs on every trial and RUNGS[1] on one in REDUCTION: this is its mean."""


def _stages(widths: tuple[int, ...], depths: tuple[int, ...]) -> dict[str, GeneValue]:
    shape = {f"stage{i}.width": width for i, width in enumerate(widths, start=1)}
    return shape | {f"stage{i}.depth": depth for i, depth in enumerate(depths, start=1)}


HAND_MADE: dict[str, dict[str, GeneValue]] = {
    "MobileNetV1-like": {"network.block": "separable", "stem.width": 8} | _stages((32, 48, 96, 128), (2, 2, 6, 2)),
    "MobileNetV2-like": {"network.block": "inverted", "network.expansion": 6, "stem.width": 16}
    | _stages((16, 32, 64, 96), (1, 1, 1, 1)),
    "ResNet-like": {"network.block": "residual", "network.expansion": 1, "stem.width": 8}
    | _stages((16, 32, 48, 48), (1, 1, 1, 1)),
    "ConvNeXt-like": {"network.block": "convnext", "network.expansion": 4, "network.kernel": 7, "stem.width": 8}
    | {"network.activation": "gelu", "network.norm": "layer"}
    | _stages((16, 16, 48, 64), (2, 2, 2, 2)),
}
"""Members of `paper_cast` just under the cap, in the proportions of the networks they are named after."""


class Bench:
    """The data, the space and the recipe that every arm shares."""

    def __init__(self, spec: DataSpec, work: Path) -> None:
        self.spec, self.work = spec, work
        self.data: Dataset = load_dataset(spec, seed=0, validation_fraction=VALIDATION_FRACTION)
        aim = Target(
            dataset=self.data.name,
            num_classes=self.data.num_classes,
            in_channels=self.data.in_channels,
            resolution=self.data.resolution,
        )
        self.space: SearchSpace = replace(load_space("paper_cast"), target=aim)
        self.budget = Budget(params=CAP)
        self.recipe = default_recipe(self.data).model_copy(update={"batch_size": 32})
        self.plan = Plan(channels_last=True)
        self.evaluate = TrainingEvaluator(self.data, self.recipe, self.plan)
        self.top = self.fidelity(RUNGS[-1])

    def fidelity(self, epochs: int) -> Fidelity:
        return Fidelity(epochs=epochs, train_fraction=TRAIN_FRACTION, resolution=RESOLUTION)

    def candidate(self, number: int, genotype: dict[str, GeneValue]) -> Candidate:
        architecture, cost = self.space.decode(genotype), genotype_cost(self.space, genotype)
        return Candidate(number=number, genotype=FrozenMap(genotype), architecture=architecture, cost=cost)

    def train(self, candidate: Candidate, epochs: int, seed: int) -> dict[str, object]:
        measured = self.evaluate(candidate, self.fidelity(epochs), seed, lambda _: None)
        return {
            "arch_id": candidate.architecture.arch_id,
            "words": candidate.architecture.words(),
            "genotype": dict(candidate.genotype),
            "params": candidate.cost.params,
            "val_accuracy": measured.metrics.get("val_accuracy", 0.0),
            "interference": measured.metrics.get("interference"),
            "train_seconds": measured.train_seconds,
        }

    def accept(self, architecture: Architecture) -> None:
        audit(architecture, self.space.target.task, self.budget)

    def search(self, seed: int) -> list[dict[str, object]]:
        """Return what a search of TRIALS trials measured at its top rung."""
        folder = StudyFolder(self.work / f"first_search_{seed}")
        storage = open_storage(sqlite_url(folder.database), create=True)
        config = StudyConfig(
            name=folder.path.name,
            space_name=self.space.name,
            space_text=self.space.text,
            target=self.space.target,
            budget=self.budget,
            data=str(self.spec),
            data_fingerprint=self.data.fingerprint,
            validation_fraction=VALIDATION_FRACTION,
            objectives=("val_accuracy", "params", "interference"),
            fidelities=tuple(map(self.fidelity, RUNGS)),
            reduction=REDUCTION,
            recipe=self.recipe,
            plan=self.plan,
            seed=seed,
        )
        known = config.name in study_names(storage)
        study = Study.open(storage, config.name) if known else Study.create(storage, config, TRIALS)
        run(study, self.evaluate, self.accept)
        return [
            {
                "arch_id": record.arch_id,
                "words": record.architecture.words(),
                "genotype": dict(record.genotype),
                "params": record.cost.params,
                "val_accuracy": record.metrics["val_accuracy"],
                "first_rung_accuracy": record.measurements[0].metrics["val_accuracy"],
                "interference": record.metrics.get("interference"),
                "train_seconds": sum(m.train_seconds for m in record.measurements),
            }
            for record in study.view().compared
        ]

    def random_member(self, seed: int, number: int) -> dict[str, object]:
        rng = random.Random(derive_seed(seed, number, "random member"))
        members = (repair(self.space, self.space.random(rng), self.budget) for _ in range(100))
        genotype = next(member for member in members if member is not None)
        candidate = self.candidate(number, genotype)
        self.accept(candidate.architecture)
        return self.train(candidate, RANDOM_EPOCHS, derive_seed(seed, number, "train"))

    def hand_made(self, name: str) -> dict[str, GeneValue]:
        first = {gene.name: gene.values[0] for gene in self.space.genes}
        return self.space.canonical(first | HAND_MADE[name])


def kept(name: str, make: Callable[[], object]) -> Any:
    """Return the content of a result file, made first if it is not there; the file names the commit that made it."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"git_commit": ENVIRONMENT["git_commit"], "result": make()}, indent=1) + "\n")
        print(f"done: {name}", flush=True)
    return json.loads(path.read_text())["result"]


def best_by_bin(members: Iterable[dict[str, object]]) -> dict[str, dict[str, object]]:
    found = {}
    for name, cap in BINS.items():
        fitting = [member for member in members if member["params"] <= cap]
        if fitting:
            found[name] = max(fitting, key=lambda member: member["val_accuracy"])
    return found


def measure(bench: Bench, seeds: list[int]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """Return the confirmed members: arm -> size bin -> one record for each seed."""
    table: dict[str, dict[str, list[dict[str, object]]]] = {}
    for seed in seeds:
        arms = {
            "nas search": kept(f"search-{seed}", lambda seed=seed: bench.search(seed)),
            "random": [
                kept(f"random-{seed}-{i:02}", lambda seed=seed, i=i: bench.random_member(seed, i))
                for i in range(TRIALS)
            ],
        }
        for arm, members in arms.items():
            for size, member in best_by_bin(members).items():
                candidate = bench.candidate(0, member["genotype"])
                again = kept(
                    f"confirm-{arm.split()[-1]}-{size}-{seed}",
                    lambda c=candidate, seed=seed: bench.train(c, RUNGS[-1], derive_seed(seed, "confirm")),
                )
                table.setdefault(arm, {}).setdefault(size, []).append(again)
        for name in HAND_MADE:
            candidate = bench.candidate(0, bench.hand_made(name))
            again = kept(
                f"hand-{name}-{seed}",
                lambda c=candidate, seed=seed: bench.train(c, RUNGS[-1], derive_seed(seed, "confirm")),
            )
            table.setdefault(name, {}).setdefault("100k", []).append(again)
    return table


def rung_correlations(seeds: list[int]) -> list[float]:
    """Return, for each finished search, Spearman's correlation of first and top rung among the promoted trials."""
    searches = [json.loads((RESULTS / f"search-{seed}.json").read_text())["result"] for seed in seeds]
    return [
        round(float(spearmanr([m["first_rung_accuracy"] for m in s], [m["val_accuracy"] for m in s]).statistic), 2)
        for s in searches
    ]


def report(table: dict[str, dict[str, list[dict[str, object]]]], bench: Bench) -> dict[str, object]:
    rows = []
    for arm, bins in table.items():
        for size, records in bins.items():
            accuracies = [100 * float(record["val_accuracy"]) for record in records]
            rows.append(
                {
                    "arm": arm,
                    "at most": size,
                    "val accuracy %, mean": round(fmean(accuracies), 2),
                    "std": round(stdev(accuracies), 2) if len(accuracies) > 1 else None,
                    "params": [record["params"] for record in records],
                    "networks": [record["words"] for record in records],
                }
            )
    print(f"{'arm':18} {'at most':>8} {'mean %':>8} {'std':>6}  params")
    for row in rows:
        mean, spread = row["val accuracy %, mean"], row["std"] or 0
        print(f"{row['arm']:18} {row['at most']:>8} {mean:8.2f} {spread:6.2f}  {row['params']}")
    return {
        "data": bench.data.name,
        "train images": round(TRAIN_FRACTION * len(bench.data.train)),
        "validation images": len(bench.data.validation),
        "resolution": RESOLUTION,
        "rungs": RUNGS,
        "random epochs": RANDOM_EPOCHS,
        "environment": ENVIRONMENT,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="such as fashion_mnist:PATH")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("results"), help="where the studies lie")
    arguments = parser.parse_args()
    bench = Bench(DataSpec.parse(arguments.data), arguments.work)
    summary = report(measure(bench, arguments.seeds), bench)
    summary["rung correlations"] = rung_correlations(arguments.seeds)
    print("Spearman, first rung with top rung, by seed:", summary["rung correlations"])
    write_whole(RESULTS / "summary.json", json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
