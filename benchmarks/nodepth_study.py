"""The NoDepth study: eight ways to build a block, four sizes, three activations, two data sets, one recipe.

    python benchmarks/nodepth_study.py train fashion_mnist:PATH folder:PATH [--share 0/2]

`train`: every run of the plan that has no file yet; `--share i/n` takes every n-th of them, for n processes. One JSON
file for each run under `benchmarks/results/nodepth_study/`, its weights under `results/nodepth_study/` (git-ignored).
Accuracy is of the validation split; the test split is not read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from nas.architecture import Architecture, Stage, Stem, Task
from nas.audit import audit
from nas.blocks import Block
from nas.budget import Budget
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.network.build import build
from nas.records import Fidelity, Plan
from nas.results import environment, write_whole
from nas.scaling import scale
from nas.training.loop import train
from nas.training.recipe import default_recipe
from nas.value import derive_seed

RESULTS = Path(__file__).parent / "results" / "nodepth_study"
WEIGHTS = Path("results") / "nodepth_study"
ENVIRONMENT = environment()
"""Taken when the process starts: the clone may move on while it trains."""

TARGET = Task(num_classes=10, resolution=32)
VALIDATION_FRACTION = 0.1
TRAIN_IMAGES, EPOCHS = 20_000, 3
STAGES = ((32, 1, 2), (64, 2, 3), (96, 1, 2))
"""Width before scaling, stride, depth. The stem strides twice, so that blocks stand at 8x8 and 4x4."""

FAMILIES = {
    "separable": Block(family="separable"),
    "inverted": Block(family="inverted", expansion=4),
    "sandglass": Block(family="sandglass", expansion=4),
    "convnext": Block(family="convnext", expansion=4),
    "nodepth": Block(family="nodepth", expansion=2),
    "nodepth_half": Block(family="nodepth", expansion=0.5),
    "nodepth_dense": Block(family="nodepth_dense", expansion=2),
    "residual": Block(family="residual"),
}
"""3x3 kernels and batch norm in all of them; `residual` is the ResNet-18 variant."""

WITH_LAYER_NORM = {
    "sandglass_layer": Block(family="sandglass", expansion=4, norm="layer"),
    "convnext_layer": Block(family="convnext", expansion=4, norm="layer"),
}
"""The two that the paper finds to lose less under SoLU, with the norm that it names."""

HALF, QUARTER = FAMILIES["nodepth_half"], Block(family="nodepth", expansion=0.25)
DESIGNS = {
    "nodepth_4": Block(family="nodepth", expansion=4),
    "nodepth_2_k5": Block(family="nodepth", expansion=2, kernel=5),
    "nodepth_2_end": Block(family="nodepth", expansion=2, end_kernel=3),
    "nodepth_half_k5": HALF.model_copy(update={"kernel": 5}),
    "nodepth_half_layer": HALF.model_copy(update={"norm": "layer"}),
    "nodepth_half_end": HALF.model_copy(update={"end_kernel": 3}),
    "nodepth_quarter": QUARTER,
    "nodepth_quarter_k5": QUARTER.model_copy(update={"kernel": 5}),
    "nodepth_quarter_end": QUARTER.model_copy(update={"end_kernel": 3}),
    "nodepth_dense_half": Block(family="nodepth_dense", expansion=0.5),
    "nodepth_dense_quarter": Block(family="nodepth_dense", expansion=0.25),
    "nodepth_eighth": Block(family="nodepth", expansion=0.125),
    "nodepth_quarter_dense1": QUARTER,
    "sandglass_2": Block(family="sandglass", expansion=2),
    "sandglass_6": Block(family="sandglass", expansion=6),
}
"""NoDepth with one thing changed at a time, and sandglass beside it: `end`: a depthwise kernel at both wide ends;
`dense1`: a dense kernel in the first stage, where it is narrow."""

CHOSEN = ("nodepth_quarter", "nodepth_quarter_end", "nodepth_quarter_k5", "nodepth_eighth", "nodepth_quarter_dense1")
"""Those tried on the other data, after the first look at 60k."""

FINALISTS = ("nodepth_quarter", "nodepth_quarter_end", "nodepth_quarter_dense1")
"""Those tried at 200k."""

V3 = {"inverted_se": Block(family="inverted", expansion=4, se_ratio=0.25)}
"""MobileNetV3's block; run with its own activation."""

BLOCKS = FAMILIES | WITH_LAYER_NORM | DESIGNS | V3
DATA = ("cifar", "fashion")
SMALL, MIDDLE, LARGE = (20_000, 60_000), 200_000, 600_000
SEEDS = range(3)


@dataclass(frozen=True)
class Run:
    """One training."""

    data: str
    family: str
    activation: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}/{self.family}-{self.activation}-{self.size // 1000}k-{self.seed}"

    def architecture(self) -> Architecture:
        """Return the network of the family that fills the size."""
        block = BLOCKS[self.family].model_copy(update={"activation": self.activation})
        first = block.model_copy(update={"family": "nodepth_dense"}) if self.family.endswith("_dense1") else block
        return skeleton((first, block, block), self.size)


def skeleton(blocks: Sequence[Block], size: int) -> Architecture:
    """Return the skeleton of the study, one block for each stage, scaled in width to at most `size` parameters."""
    stages = tuple(
        Stage(width=width, stride=stride, blocks=(block,) * depth)
        for block, (width, stride, depth) in zip(blocks, STAGES, strict=True)
    )
    stem = Stem(first_width=16, width=24, stride=4)
    return scale(Architecture(stem=stem, stages=stages), TARGET, Budget(params=size), by="width")


def plan() -> Iterator[Run]:
    """Yield the runs, those that matter most first: what two cores cannot afford is at the end."""
    for size, data, seed, family in product((*SMALL, MIDDLE), DATA, SEEDS, FAMILIES):
        yield Run(data, family, "relu", size, seed)
    for seed, family in product(SEEDS, DESIGNS):
        yield Run("cifar", family, "relu", SMALL[1], seed)
    for seed, family in product(SEEDS, CHOSEN):
        yield Run("fashion", family, "relu", SMALL[1], seed)
    for data, seed, family in product(DATA, SEEDS, FINALISTS):
        yield Run(data, family, "relu", MIDDLE, seed)
    for data, seed, family in product(DATA, SEEDS, FAMILIES):
        yield Run(data, family, "solu", SMALL[1], seed)
    for data, family in product(DATA, FAMILIES):
        yield Run(data, family, "relu", LARGE, 0)
    for activation, seed, family in product(("relu", "solu"), SEEDS, WITH_LAYER_NORM):
        yield Run("cifar", family, activation, SMALL[1], seed)
    for data, seed, family in product(DATA, SEEDS, FAMILIES):
        yield Run(data, family, "gelu", SMALL[1], seed)
    for data, seed, family in product(DATA, SEEDS, V3):
        yield Run(data, family, "hardswish", SMALL[1], seed)
    for data, activation, seed, family in product(DATA, ("solu", "gelu"), SEEDS, FAMILIES):
        yield Run(data, family, activation, SMALL[0], seed)


def fidelity(data: Dataset) -> Fidelity:
    """Return how the study trains on a data set, at its own resolution."""
    fraction = min(1.0, TRAIN_IMAGES / len(data.train))
    return Fidelity(epochs=EPOCHS, train_fraction=fraction, resolution=data.resolution)


def trained(run: Run, data: Dataset) -> dict[str, Any]:
    """Train one network, keep its weights, and return what goes into its file."""
    design = run.architecture()
    counted = audit(design, TARGET, Budget(params=run.size))
    task = Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)
    seed = derive_seed(run.seed, run.family, run.size, "train")
    network = build(design, task, seed=seed)
    training = train(network, data, default_recipe(data), fidelity(data), Plan(channels_last=True), seed=seed)
    weights = WEIGHTS / f"{run.name}.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in training.network.state_dict().items()}, weights)
    last = training.epochs[-1] if training.epochs else None
    return {
        "git_commit": ENVIRONMENT["git_commit"],
        "words": design.words(),
        "params": counted.params,
        "macs": counted.macs,
        "train_seconds": round(training.seconds, 1),
        "images_per_second": round(training.images_per_second),
        "diverged": training.diverged,
        "train_loss": last and last.train_loss,
        "val_loss": last and last.val_loss,
        "val_accuracy": last and last.val_accuracy,
    }


def train_share(data: dict[str, Dataset], share: tuple[int, int]) -> None:
    """Train what is missing of every n-th run."""
    index, count = share
    for run in list(plan())[index::count]:
        path = RESULTS / f"{run.name}.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = trained(run, data[run.data])
            write_whole(path, json.dumps(content, indent=1) + "\n")
            print(f"{run.name}: {content['val_accuracy']} in {content['train_seconds']} s", flush=True)


def read(spec: str) -> Dataset:
    return load_dataset(DataSpec.parse(spec), seed=0, validation_fraction=VALIDATION_FRACTION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    training = parts.add_parser("train")
    training.add_argument("fashion", help="such as fashion_mnist:PATH")
    training.add_argument("cifar", help="such as folder:PATH")
    training.add_argument("--share", default="0/1", metavar="I/N")
    arguments = parser.parse_args()
    index, _, count = arguments.share.partition("/")
    data = {"cifar": read(arguments.cifar), "fashion": read(arguments.fashion)}
    train_share(data, (int(index), int(count)))


if __name__ == "__main__":
    main()
