"""What does it cost to measure interference, and to suppress it, against the training it goes with?

    python benchmarks/interference_cost.py measuring [--repeats 7]
    python benchmarks/interference_cost.py suppressing [--repeats 7]

`measuring`: a network of 1M parameters on 256 images of 32 px. All metrics, gradients and `topk_drop` included, against
one epoch of plain training on 2,000 such images; those that need no labels against forward passes of the 256 images.

`suppressing`: training steps at batch 128 with a penalty against the same without, for that network and for one of 16k
parameters at 8 px, where a step is so short that a fixed cost shows.

Everything is timed in one process on one thread, in turn in each repeat; the figures are medians. Each part writes its
own key of `benchmarks/results/interference_cost.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.architecture import Architecture, Stage, Stem, Task
from nas.blocks import Block
from nas.budget import Budget, cost
from nas.interference import measure
from nas.interference.suppression import REFRESH, Suppressor
from nas.network.build import Network, build
from nas.records import Suppression
from nas.references import reference
from nas.results import environment, write_whole
from nas.scaling import scale

RESULT = Path(__file__).parent / "results" / "interference_cost.json"
ENVIRONMENT = environment()
"""Taken when the process starts: the clone may move on while it measures."""

SUBJECT = "nodepth_1m"
TARGET = Task(num_classes=10, resolution=32)
CAP = Budget(params=1_000_000)
MEASURED_IMAGES, TRAINED_IMAGES, BATCH = 256, 2_000, 128
MOST_EPOCHS, MOST_FORWARD_PASSES = 1.2, 3.0

TINY_TARGET = Task(num_classes=10, in_channels=1, resolution=8)
INVERTED = (Block(family="inverted", expansion=4),) * 2
TINY = Architecture(
    stem=Stem(width=16, stride=1),
    stages=(Stage(width=16, stride=1, blocks=INVERTED), Stage(width=24, stride=2, blocks=INVERTED)),
)
SUPPRESSIONS = {
    "default": Suppression(),
    "full": Suppression(interference="full"),
    "all maps": Suppression(layers="all"),
    "steered": Suppression(target=0.02),
}
MOST_OVERHEAD = 0.1


def subject() -> tuple[Network, int]:
    """Return the reference network, its widths scaled to fill 1M parameters with ten classes, and its parameters."""
    architecture = scale(reference(SUBJECT).architecture, TARGET, CAP, by="width")
    return build(architecture, TARGET), cost(architecture, TARGET).params


def random_images(count: int) -> tuple[Tensor, Tensor]:
    """Return noise and labels: no cost here depends on what is in an image."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, TARGET.in_channels, TARGET.resolution, TARGET.resolution, generator=generator)
    return images, torch.randint(TARGET.num_classes, (count,), generator=generator)


class Training:
    """The least that an epoch of training can be: no augmentation, no evaluation, a fused optimizer."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.images, self.labels = random_images(TRAINED_IMAGES)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def epoch(self) -> None:
        self.network.train()
        for images, labels in zip(self.images.split(BATCH), self.labels.split(BATCH), strict=True):
            self.optimizer.zero_grad()
            F.cross_entropy(self.network(images), labels).backward()
            self.optimizer.step()


def forward(network: Network, images: Tensor) -> None:
    network.eval()
    with torch.inference_mode():
        network(images)


def medians(parts: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Return the median and least seconds of each part; each repeat times all of them, after one that is not kept."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for repeat in range(repeats + 1):
        for name, part in parts.items():
            started = time.perf_counter()
            part()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    return {
        name: {"median seconds": round(median(taken), 4), "least seconds": round(min(taken), 4)}
        for name, taken in seconds.items()
    }


def measuring(repeats: int) -> dict[str, Any]:
    """Time measuring against training and forward passes; print the ratios."""
    network, params = subject()
    images, labels = random_images(MEASURED_IMAGES)
    training = Training(build(scale(reference(SUBJECT).architecture, TARGET, CAP, by="width"), TARGET))
    blocks = network.block_names
    seconds = medians(
        {
            "training epoch": training.epoch,
            "forward pass": lambda: forward(network, images),
            "measure, no labels": lambda: measure(network, images, blocks=blocks),
            "measure, labels": lambda: measure(network, images, labels, blocks=blocks),
            "measure, all": lambda: measure(network, images, labels, blocks=blocks, trained=True),
        },
        repeats,
    )
    middle = {name: taken["median seconds"] for name, taken in seconds.items()}
    epochs = middle["measure, all"] / middle["training epoch"]
    passes = middle["measure, no labels"] / middle["forward pass"]
    for name, taken in middle.items():
        print(f"{name:20} {taken:7.3f} s")
    print(f"all metrics: {epochs:.2f} training epochs on {TRAINED_IMAGES} images (at most {MOST_EPOCHS})")
    print(f"forward-only metrics: {passes:.2f} forward passes (at most {MOST_FORWARD_PASSES})")
    return {
        "network": SUBJECT,
        "params": params,
        "images": MEASURED_IMAGES,
        "training images": TRAINED_IMAGES,
        "seconds": seconds,
        "training epochs for all metrics": round(epochs, 3),
        "forward passes for metrics without labels": round(passes, 3),
    }


class Steps:
    """As many training steps as lie between two looks of a suppressor, with it or without."""

    def __init__(self, architecture: Architecture, task: Task, how: Suppression | None) -> None:
        self.network = build(architecture, task).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3, fused=True)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(BATCH, task.in_channels, task.resolution, task.resolution, generator=generator)
        self.labels = torch.randint(task.num_classes, (BATCH,), generator=generator)
        self.suppressor = None if how is None else Suppressor(self.network, how, steps=10**6, seed=0)

    def __call__(self) -> None:
        for _ in range(REFRESH):
            with nullcontext() if self.suppressor is None else self.suppressor.watching():
                F.cross_entropy(self.network(self.images), self.labels).backward()
            if self.suppressor is not None:
                self.suppressor.step()
            self.optimizer.step()
            self.optimizer.zero_grad()


def suppressing(repeats: int) -> dict[str, Any]:
    """Time training steps with a penalty against those without; print the overheads."""
    large = scale(reference(SUBJECT).architecture, TARGET, CAP, by="width")
    found: dict[str, Any] = {"batch": BATCH, "steps timed together": REFRESH}
    for name, architecture, task in (("tiny", TINY, TINY_TARGET), (SUBJECT, large, TARGET)):
        parts = {"without": Steps(architecture, task, None)}
        parts |= {kind: Steps(architecture, task, how) for kind, how in SUPPRESSIONS.items()}
        seconds = medians(dict(parts), repeats)
        without = seconds["without"]["median seconds"]
        overhead = {kind: round(seconds[kind]["median seconds"] / without - 1, 4) for kind in SUPPRESSIONS}
        print(f"{name}: {without / REFRESH:.4f} s a step; with a penalty (at most {MOST_OVERHEAD:+.0%}):")
        for kind, share in overhead.items():
            print(f"  {kind:10} {share:+.1%}")
        params = cost(architecture, task).params
        found[name] = {"params": params, "seconds": seconds, "overhead": overhead}
    return found


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {"measuring": measuring, "suppressing": suppressing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = PARTS[arguments.part](arguments.repeats)
    kept: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    kept[arguments.part] = {"environment": ENVIRONMENT, "repeats": arguments.repeats, **found}
    write_whole(RESULT, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
