"""The NoDepth study: eight ways to build a block, four sizes, three activations, two data sets, one recipe.

    python benchmarks/nodepth_study.py train fashion_mnist:PATH folder:PATH [--share 0/2]
    python benchmarks/nodepth_study.py measure fashion_mnist:PATH folder:PATH [--share 0/2]

`train`: every run of the plan that has no file yet; `--share i/n` takes every n-th of them, for n processes. One JSON
file for each run under `benchmarks/results/nodepth_study/`, its weights under `results/nodepth_study/` (git-ignored).
`measure` adds the interference metrics to the files that lack them and whose weights are here, and for suppression the
accuracy under corruptions and in few bits. `nodepth_report.py` makes the tables and the figures. Accuracy is of the
validation split; the test split is not read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from nas.architecture import Architecture, Stage, Stem, Task
from nas.audit import audit
from nas.blocks import Block
from nas.budget import Budget
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch
from nas.interference import measure
from nas.network.build import Network, build
from nas.records import Fidelity, Plan, Suppression
from nas.results import environment, write_whole
from nas.scaling import scale
from nas.training.loop import Normaliser, evaluate, train
from nas.training.quantise import quantised
from nas.training.recipe import default_recipe
from nas.training.robustness import robustness
from nas.value import derive_seed

RESULTS = Path(__file__).parent / "results" / "nodepth_study"
WEIGHTS = Path("results") / "nodepth_study"
ENVIRONMENT = environment()
"""Taken when the process starts: the clone may move on while it trains."""

TARGET = Task(num_classes=10, resolution=32)
VALIDATION_FRACTION = 0.1
TRAIN_IMAGES, EPOCHS = 20_000, 3
BATCH_IMAGES, VALIDATION_IMAGES = 256, 2_000
PLAN = Plan(channels_last=True)
STRENGTH, EXCESS = 10.0, 0.05
"""Of suppression: a lambda that leaves no excess, and the excess that lambda is steered to where there is a target."""
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
    "nodepth_quarter_end_dense1": QUARTER.model_copy(update={"end_kernel": 3}),
    "sandglass_2": Block(family="sandglass", expansion=2),
    "sandglass_6": Block(family="sandglass", expansion=6),
}
"""NoDepth with one thing changed at a time, and sandglass beside it: `end`: a depthwise kernel at both wide ends;
`dense1`: a dense kernel in the first stage, where it is narrow."""

FINALISTS = ("nodepth_quarter", "nodepth_quarter_end", "nodepth_quarter_dense1", "nodepth_quarter_end_dense1")
"""Those taken to other sizes and to the other data, after a look at 60k."""

V3 = {"inverted_se": Block(family="inverted", expansion=4, se_ratio=0.25)}
"""MobileNetV3's block; run with its own activation."""

BLOCKS = FAMILIES | WITH_LAYER_NORM | DESIGNS | V3
DATA = ("cifar", "fashion")
SMALL, MIDDLE, LARGE = (20_000, 60_000), 200_000, 600_000
SEEDS = range(3)


ARMS: dict[str, dict[str, object]] = {
    "": {},
    "suppress": {"suppression": Suppression(strength=STRENGTH)},
    "suppress_uniform": {"suppression": Suppression(strength=STRENGTH, importance="uniform")},
    "suppress_target": {"suppression": Suppression(target=EXCESS)},
    "orthogonality": {"suppression": Suppression(strength=STRENGTH, kind="orthogonality")},
    "weight_decay": {"weight_decay": 0.2},
    "long": {},
}
"""What is changed in the recipe; `long` trains four times as many epochs."""

SUPPRESSIONS = ("suppress", "suppress_uniform", "suppress_target", "orthogonality", "weight_decay")
SUPPRESSED = ("inverted", "sandglass", "nodepth_half")
"""With 1x1s from a wide space to a narrow one in every block: elsewhere there is little to suppress."""

HARDENED = ("", "suppress")


@dataclass(frozen=True)
class Run:
    """One training."""

    data: str
    family: str
    activation: str
    size: int
    seed: int
    arm: str = ""

    @property
    def name(self) -> str:
        suffix = f"-{self.arm}" if self.arm else ""
        return f"{self.data}/{self.family}-{self.activation}-{self.size // 1000}k-{self.seed}{suffix}"

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.name}.json"

    @property
    def weights(self) -> Path:
        return WEIGHTS / f"{self.name}.safetensors"

    def network(self, data: Dataset) -> Network:
        """Return the untrained network. Twins that differ in activation or arm start alike and see the same batches."""
        task = Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)
        return build(self.architecture(), task, seed=self.train_seed)

    @property
    def is_hardened(self) -> bool:
        """Whether its accuracy on worse images and in few bits is measured, too."""
        return self.family in SUPPRESSED and (self.activation, self.size) == ("relu", SMALL[1]) and self.arm in HARDENED

    @property
    def train_seed(self) -> int:
        return derive_seed(self.seed, self.family, self.size, "train")

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
    for family in FAMILIES:
        yield Run("cifar", family, "relu", LARGE, 0)
    for seed, family in product(SEEDS, FAMILIES):
        yield Run("cifar", family, "gelu", SMALL[1], seed)
    for activation, seed, family in product(("relu", "solu"), SEEDS, WITH_LAYER_NORM):
        yield Run("cifar", family, activation, SMALL[1], seed)
    for data, seed, family in product(DATA, SEEDS, V3):
        yield Run(data, family, "hardswish", SMALL[1], seed)
    for seed, family in product(SEEDS, DESIGNS):
        yield Run("cifar", family, "relu", SMALL[1], seed)
    for seed, family in product(SEEDS, FINALISTS):
        yield Run("fashion", family, "relu", SMALL[1], seed)
    for size, data, seed, family in product((MIDDLE, SMALL[0]), DATA, SEEDS, FINALISTS):
        yield Run(data, family, "relu", size, seed)
    for data, seed, family in product(DATA, SEEDS, FAMILIES):
        yield Run(data, family, "solu", SMALL[1], seed)
    for seed, arm, family in product(SEEDS, SUPPRESSIONS, SUPPRESSED):
        yield Run("cifar", family, "relu", SMALL[1], seed, arm)
    for seed, family in product(SEEDS, SUPPRESSED):
        yield Run("cifar", family, "solu", SMALL[1], seed, "suppress_target")
        yield Run("fashion", family, "relu", SMALL[1], seed, "suppress_target")
    for family in (*FAMILIES, "nodepth_quarter_dense1"):
        yield Run("cifar", family, "relu", SMALL[1], 0, "long")
    for family in FAMILIES:
        yield Run("fashion", family, "relu", LARGE, 0)


def trained(run: Run, data: Dataset) -> dict[str, Any]:
    """Train one network, keep its weights, and return what goes into its file."""
    design = run.architecture()
    counted = audit(design, TARGET, Budget(params=run.size))
    epochs = 4 * EPOCHS if run.arm == "long" else EPOCHS
    fraction = min(1.0, TRAIN_IMAGES / len(data.train))
    fidelity = Fidelity(epochs=epochs, train_fraction=fraction, resolution=data.resolution)
    recipe = default_recipe(data).model_copy(update=ARMS[run.arm])
    training = train(run.network(data), data, recipe, fidelity, PLAN, seed=run.train_seed)
    run.weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in training.network.state_dict().items()}, run.weights)
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
        **({"suppression": vars(training.suppression)} if training.suppression else {}),
    }


def measured(run: Run, data: Dataset) -> dict[str, float]:
    """Return the interference of a trained network on a fixed batch of the train split."""
    network = run.network(data)
    network.load_state_dict(load_file(run.weights))
    batch = fixed_batch(data.train, BATCH_IMAGES, seed=0)
    images = Normaliser(data.mean, data.std)(batch.pixels)
    return measure(network, images, batch.labels, blocks=network.block_names, trained=True).metrics()


def hardened(run: Run, data: Dataset) -> dict[str, float]:
    """Return the accuracy of a trained network under corruptions and with rounded weights and activations."""
    network = run.network(data)
    network.load_state_dict(load_file(run.weights))
    normaliser, batch = Normaliser(data.mean, data.std), fixed_batch(data.train, BATCH_IMAGES, seed=0)
    images = fixed_batch(data.validation, VALIDATION_IMAGES, seed=0)
    rounded = {
        f"int{bits}": evaluate(quantised(network, batch, normaliser, PLAN, bits=bits), images, normaliser, PLAN)[1]
        for bits in (8, 4)
    }
    return {
        "clean": evaluate(network, images, normaliser, PLAN)[1],
        **robustness(network, images, normaliser, PLAN),
        **rounded,
    }


def train_share(data: dict[str, Dataset], runs: list[Run]) -> None:
    """Train what is missing."""
    for run in runs:
        if not run.path.is_file():
            run.path.parent.mkdir(parents=True, exist_ok=True)
            content = trained(run, data[run.data])
            write_whole(run.path, json.dumps(content, indent=1) + "\n")
            print(f"{run.name}: {content['val_accuracy']} in {content['train_seconds']} s", flush=True)


def measure_share(data: dict[str, Dataset], runs: list[Run]) -> None:
    """Measure what was trained and not measured."""
    for run in runs:
        known = json.loads(run.path.read_text()) if run.path.is_file() else {"diverged": True}
        content = known
        if not content["diverged"] and "metrics" not in content and run.weights.is_file():
            content = content | {"measured_commit": ENVIRONMENT["git_commit"], "metrics": measured(run, data[run.data])}
        if run.is_hardened and not content["diverged"] and "hardened" not in content and run.weights.is_file():
            content = content | {"hardened": hardened(run, data[run.data])}
        if content != known:
            write_whole(run.path, json.dumps(content, indent=1) + "\n")
            print(f"{run.name}: measured", flush=True)


def read(spec: str) -> Dataset:
    return load_dataset(DataSpec.parse(spec), seed=0, validation_fraction=VALIDATION_FRACTION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    steps = {"train": train_share, "measure": measure_share}
    for name in steps:
        part = parts.add_parser(name)
        part.add_argument("fashion", help="such as fashion_mnist:PATH")
        part.add_argument("cifar", help="such as folder:PATH")
        part.add_argument("--share", default="0/1", metavar="I/N")
    arguments = parser.parse_args()
    index, _, count = arguments.share.partition("/")
    data = {"cifar": read(arguments.cifar), "fashion": read(arguments.fashion)}
    steps[arguments.part](data, list(plan())[int(index) :: int(count)])


if __name__ == "__main__":
    main()
