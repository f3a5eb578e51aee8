"""Reference networks against their published counts, and eight block families under one recipe and one cap.

    python benchmarks/references.py table
    python benchmarks/references.py speed
    python benchmarks/references.py families folder:PATH [--seeds 0 1 2]

`table`: every reference network with our count beside the published one, at the resolution it was published for.
`speed`: how long references take to build, and random members of the larger spaces over their cap to repair.
`families`: the same skeleton (two blocks in each of four stages) of each family, its widths scaled to fill 300k
parameters counted with 10 classes, trained with one recipe; accuracy on the validation split, mean and standard
deviation over the seeds. The test split is not read. Resumable: one JSON file for each training under
`benchmarks/results/references/`.
"""

from __future__ import annotations

import argparse
import json
import random
import timeit
from itertools import islice
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import torch

from nas.architecture import Architecture, Stage, Stem, Task
from nas.audit import audit
from nas.blocks import Block
from nas.budget import Budget, cost, cost_table
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.feasibility import genotype_cost, repair
from nas.network.build import build
from nas.records import Candidate, Fidelity, Plan
from nas.references import reference, references
from nas.results import environment, write_whole
from nas.scaling import scale
from nas.search.evaluator import TrainingEvaluator
from nas.space_file import load_space
from nas.training.recipe import default_recipe
from nas.value import FrozenMap, derive_seed

RESULTS = Path(__file__).parent / "results" / "references"
ENVIRONMENT = environment()
"""Taken when the process starts: the clone may move on while it trains."""

CAP = Budget(params=300_000)
TARGET = Task(num_classes=10, resolution=32)
VALIDATION_FRACTION = 0.1
TRAIN_IMAGES = 12_000
EPOCHS = 6
RESOLUTION = 16
BUILT = ("starnet_100", "nodepth_1m", "tinynext_s", "emov2_1m", "edgenext_xxs", "mobilevit_xxs")
REPAIRED = ("hybrid", "nodepth", "paper_cast")
REPEATS, REPAIRS = 15, 200
WIDTHS, STRIDES, DEPTH = (24, 48, 96, 128), (1, 2, 2, 2), 2

FAMILIES = {
    "separable": Block(family="separable"),
    "inverted": Block(family="inverted", expansion=4),
    "sandglass": Block(family="sandglass", expansion=2),
    "convnext": Block(family="convnext", expansion=4),
    "nodepth": Block(family="nodepth", expansion=2),
    "nodepth_dense": Block(family="nodepth_dense", expansion=2),
    "residual": Block(family="residual"),
    "star": Block(family="star", expansion=3),
}
"""The families of the interference paper, ours, and StarNet's: 3x3 kernels, relu and batch norm in all of them."""


def skeleton(block: Block) -> Architecture:
    """Return the network of a family that fills the cap."""
    stages = tuple(
        Stage(width=width, stride=stride, blocks=(block,) * DEPTH)
        for width, stride in zip(WIDTHS, STRIDES, strict=True)
    )
    return scale(Architecture(stem=Stem(width=16, stride=1), stages=stages), TARGET, CAP, by="width")


class Bench:
    """The data and the recipe that every family shares."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.fidelity = Fidelity(
            epochs=EPOCHS, train_fraction=min(1.0, TRAIN_IMAGES / len(data.train)), resolution=RESOLUTION
        )
        self.recipe = default_recipe(data)
        self.evaluate = TrainingEvaluator(data, self.recipe, Plan(channels_last=True))

    def train(self, family: str, seed: int) -> dict[str, object]:
        design = skeleton(FAMILIES[family])
        counted = audit(design, TARGET, CAP)
        candidate = Candidate(number=0, genotype=FrozenMap({}), architecture=design, cost=counted)
        measured = self.evaluate(candidate, self.fidelity, derive_seed(seed, family, "train"), lambda _: None)
        return {
            "words": design.words(),
            "params": counted.params,
            "macs": counted.macs,
            "train_seconds": measured.train_seconds,
            "images_per_second": measured.images_per_second,
            "diverged": measured.diverged,
            "metrics": dict(measured.metrics),
        }


def kept(name: str, bench: Bench, family: str, seed: int) -> dict[str, Any]:
    """Return the content of a result file, made first if it is not there; the file names the commit that made it."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"git_commit": ENVIRONMENT["git_commit"], **bench.train(family, seed)}
        write_whole(path, json.dumps(content, indent=1) + "\n")
        print(f"done: {name}", flush=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def families(data: Dataset, seeds: list[int]) -> None:
    """Train every family with every seed, print the table, write the summary."""
    bench = Bench(data)
    runs = {(family, seed): kept(f"{family}-{seed}", bench, family, seed) for seed in seeds for family in FAMILIES}
    rows = []
    for family in FAMILIES:
        own = [runs[family, seed] for seed in seeds]
        accuracies = [100 * run["metrics"].get("val_accuracy", 0.0) for run in own]
        rows.append(
            {
                "family": family,
                "params": own[0]["params"],
                "macs": own[0]["macs"],
                "val accuracy %, mean": round(fmean(accuracies), 2),
                "std": round(stdev(accuracies), 2) if len(seeds) > 1 else None,
                "network": own[0]["words"],
            }
        )
    rows.sort(key=lambda row: -float(row["val accuracy %, mean"]))
    print(f"{'family':14} {'params':>8} {'MACs':>7} {'mean %':>7} {'std':>5}")
    for row in rows:
        macs = f"{row['macs'] / 1e6:.1f}M"
        print(
            f"{row['family']:14} {row['params']:8,} {macs:>7} {row['val accuracy %, mean']:7.2f} {row['std'] or 0:5.2f}"
        )
    summary = {
        "data": data.name,
        "train images": round(bench.fidelity.train_fraction * len(data.train)),
        "validation images": len(data.validation),
        "fidelity": bench.fidelity.model_dump(),
        "recipe": bench.recipe.model_dump(),
        "seeds": seeds,
        "environment": ENVIRONMENT,
        "rows": rows,
    }
    write_whole(RESULTS / "families.json", json.dumps(summary, indent=1) + "\n")


def table() -> None:
    """Print and write the counts of all references beside the published ones."""
    rows = []
    for name, found in references().items():
        counted = cost(found.architecture, found.task)
        head = cost_table(found.architecture, found.task)[-1][1].params
        rows.append(
            {
                "name": name,
                "resolution": found.task.resolution,
                "params": counted.params,
                "published params": found.params,
                "source": found.source,
                "macs": counted.macs,
                "head share %": round(100 * head / counted.params, 1),
                "macs per param": round(counted.macs / counted.params, 1),
            }
        )
    print(f"{'reference':22} {'px':>4} {'params':>10} {'published':>10} {'MACs':>8} {'head':>6} {'MACs/param':>10}")
    for row in rows:
        print(
            f"{row['name']:22} {row['resolution']:4} {row['params']:10,} {row['published params']:10,} "
            f"{row['macs'] / 1e6:7.1f}M {row['head share %']:5.1f}% {row['macs per param']:10.1f}"
        )
    content = {"environment": ENVIRONMENT, "rows": rows}
    write_whole(RESULTS / "table.json", json.dumps(content, indent=1) + "\n")


def speed() -> None:
    """Print and write the seconds of building references, and of repairing genotypes seen for the first time."""
    torch.set_num_threads(1)
    built = {}
    for name in BUILT:
        found = reference(name)
        times = timeit.repeat(lambda f=found: build(f.architecture, f.task), number=1, repeat=REPEATS)
        built[name] = {"params": found.params, "median seconds": median(times), "least seconds": min(times)}
        print(f"build {name:22} {found.params:9,} params {1e3 * median(times):6.1f} ms (least {1e3 * min(times):.1f})")
    repaired = {}
    for name in REPAIRED:
        space, rng = load_space(name), random.Random(0)
        budget = space.target.budget()
        drawn = (space.random(rng) for _ in range(10 * REPAIRS))
        over = (genotype for genotype in drawn if budget.violations(genotype_cost(space, genotype)))
        subjects = list(islice(over, REPAIRS))
        times = [timeit.timeit(lambda g=g, s=space, b=budget: repair(s, g, b), number=1) for g in subjects]
        repaired[name] = {"genotypes": len(subjects), "median seconds": median(times)}
        print(f"repair {name:21} {len(subjects):9,} genotypes {1e3 * median(times):5.2f} ms")
    content = {"environment": ENVIRONMENT, "repeats": REPEATS, "build": built, "repair": repaired}
    write_whole(RESULTS / "speed.json", json.dumps(content, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("table")
    parts.add_parser("speed")
    training = parts.add_parser("families")
    training.add_argument("data", help="such as folder:PATH")
    training.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if arguments.part == "table":
        table()
    elif arguments.part == "speed":
        speed()
    else:
        data = load_dataset(DataSpec.parse(arguments.data), seed=0, validation_fraction=VALIDATION_FRACTION)
        families(data, arguments.seeds)


if __name__ == "__main__":
    main()
