"""How well does an evaluation at a twentieth of the cost order networks as full training does?

    python benchmarks/rank_quality.py train fashion_mnist:PATH folder:PATH [--share 0/2]      (and 1/2)
    python benchmarks/rank_quality.py report

60 random members of `paper_cast` for each data set, under 100,000 parameters counted with its 10 classes, as
`nas search --target data --cap 100k` would draw them, trained at half the images' side (14 and 16 px).

`train` takes every network that has no file yet through full training, 20 epochs of 1,600 images, and through one epoch
of them, a twentieth of it. Both measure what a search measures: accuracy, losses, zero-cost scores, interference. Then
a second seed of full training for the networks that were best with their first, where noise decides. One JSON for each
training. `--share I/N` takes every N-th network, for N processes. Times are of the processor, so that other work on
the machine does not count.

`report` gives the rank correlation of each score, of "bigger is better" and of the mix with final accuracy, overall and
in the top fifth, with 95 % bootstrap intervals over networks. The mix is weighted by what each score earned on *other*
networks: in five folds, the weights for one come from the other four.

Accuracy is of the validation split; the test split is not read.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.budget import Budget, Cost, cost
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.feasibility import repair
from nas.records import Candidate, Fidelity, Measurement, Plan
from nas.results import environment, write_whole
from nas.search.evaluator import TrainingEvaluator
from nas.space import GeneValue, SearchSpace
from nas.space_file import load_space
from nas.training.recipe import default_recipe
from nas.value import FrozenMap, derive_seed

RESULTS = Path(__file__).parent / "results" / "rank_quality"
ENVIRONMENT = environment()
NETWORKS, SEED, CAP = 60, 0, 100_000
EPOCHS, IMAGES, BATCH_SIZE = 20, 1_600, 32
"""Of full training; a small batch, so that a twentieth of it has 50 steps."""
VALIDATION_FRACTION = 0.1
PLAN = Plan(precision="bfloat16", channels_last=True)
MORE_SEEDS, BEST_SHARE = 1, 4
"""Further seeds of full training, for the best fourth."""


@dataclass(frozen=True)
class Member:
    """One network of the benchmark, with its cost at the resolution of the data."""

    number: int
    genotype: dict[str, GeneValue]
    architecture: Architecture
    cost: Cost

    @property
    def candidate(self) -> Candidate:
        return Candidate(
            number=self.number, genotype=FrozenMap(self.genotype), architecture=self.architecture, cost=self.cost
        )


@dataclass(frozen=True)
class Run:
    """One training to do: a network, an evaluation, which seed of it."""

    member: Member
    evaluation: str
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.member.number:02}-{self.evaluation}" + f"-{self.seed}" * bool(self.seed)


def evaluations(data: Dataset) -> dict[str, Fidelity]:
    """Return full training, and what costs a twentieth of it."""
    part = {"train_fraction": IMAGES / len(data.train), "resolution": data.resolution // 2}
    return {"full": Fidelity(epochs=EPOCHS, **part), "epoch": Fidelity(epochs=1, **part)}


def members(data: Dataset) -> list[Member]:
    """Return the networks: random members that are repaired into the cap, no two alike."""
    space, task = cast_for(data), task_of(data)
    rng = random.Random(SEED)
    found: dict[str, Member] = {}
    while len(found) < NETWORKS:  # ends: the space has millions of members under these caps
        genotype = repair(space, space.random(rng), Budget(params=CAP))
        if genotype is not None and (architecture := space.decode(genotype)).arch_id not in found:
            found[architecture.arch_id] = Member(len(found), genotype, architecture, cost(architecture, task))
    return list(found.values())


def task_of(data: Dataset) -> Task:
    return Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)


def cast_for(data: Dataset) -> SearchSpace:
    """Return `paper_cast`, counted on the data."""
    loaded = load_space("paper_cast")
    return replace(loaded, target=loaded.target.model_copy(update={"dataset": data.name, **task_of(data).model_dump()}))


def evaluate(data: Dataset, run: Run) -> Measurement:
    """Return what one training gives."""
    fidelity = evaluations(data)[run.evaluation]
    recipe = default_recipe(data).model_copy(update={"batch_size": BATCH_SIZE})
    evaluator = TrainingEvaluator(data, recipe, PLAN, ladder=(fidelity,))
    seed = derive_seed(SEED, run.member.number, run.evaluation, run.seed)
    return evaluator(run.member.candidate, fidelity, seed, lambda _: None)


def first_runs(networks: list[Member], names: list[str]) -> Iterator[Run]:
    """Yield every network by every evaluation, so that whatever is stopped early is whole for the first networks."""
    return (Run(member, evaluation) for member in networks for evaluation in names)


def further_runs(networks: list[Member], folder: Path) -> Iterator[Run]:
    """Yield more seeds of full training for the networks that were best with their first."""
    accuracy = {member.number: metrics(read(folder, Run(member, "full"))).get("val_accuracy", 0) for member in networks}
    best = sorted(networks, key=lambda member: -accuracy[member.number])[: len(networks) // BEST_SHARE]
    return (Run(member, "full", seed) for seed in range(1, MORE_SEEDS + 1) for member in best)


def read(folder: Path, run: Run) -> dict[str, Any]:
    """Return the file of a run, empty where there is none."""
    path = folder / f"{run.name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def metrics(content: dict[str, Any]) -> dict[str, float]:
    return content.get("measurement", {}).get("metrics", {})


def work(folder: Path, evaluate_run: Callable[[Run], Measurement], run: Run) -> None:
    """Do one run, and write its file."""
    started = time.thread_time()
    measurement = evaluate_run(run)
    member = run.member
    content = {
        "network": member.number,
        "arch_id": member.architecture.arch_id,
        "words": member.architecture.words(),
        "genotype": member.genotype,
        "cost": member.cost.model_dump(),
        "depth": sum(len(stage.blocks) for stage in member.architecture.stages),
        "evaluation": run.evaluation,
        "processor_seconds": time.thread_time() - started,
        "measurement": measurement.model_dump(mode="json"),
        "environment": ENVIRONMENT,
    }
    write_whole(folder / f"{run.name}.json", json.dumps(content, indent=1) + "\n")
    accuracy = measurement.metrics.get("val_accuracy")
    print(f"{folder.name} {run.name}: {accuracy}, {content['processor_seconds']:.1f} s", flush=True)


def train(spec: DataSpec, *, seeds: bool, share: str, networks: int, results: Path) -> None:
    """Do what is missing of the first trainings, or of the further seeds, one after the other."""
    data = load_dataset(spec, seed=0, validation_fraction=VALIDATION_FRACTION)
    folder = results / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    index, count = map(int, share.split("/"))
    mine = members(data)[:networks][index::count]
    for member in mine:
        audit(member.architecture, task_of(data), Budget(params=CAP))
    runs = further_runs(mine, folder) if seeds else first_runs(mine, list(evaluations(data)))
    for run in [run for run in runs if not read(folder, run)]:
        work(folder, partial(evaluate, data), run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    training = parts.add_parser("train")
    training.add_argument("data", nargs="+", help="fashion_mnist:PATH, or folder:PATH of the CIFAR-10 copy")
    training.add_argument("--networks", type=int, default=NETWORKS, help="only the first so many")
    training.add_argument("--share", default="0/1", metavar="I/N", help="every n-th network, for n processes")
    training.add_argument("--results", type=Path, default=RESULTS)
    parts.add_parser("report").add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.part == "report":
        from rank_quality_report import report

        report(arguments.results)
        return
    torch.set_num_threads(1)
    asked = {name: getattr(arguments, name) for name in ("share", "networks", "results")}
    for seeds, spec in product((False, True), map(DataSpec.parse, arguments.data)):
        train(spec, seeds=seeds, **asked)


if __name__ == "__main__":
    main()
