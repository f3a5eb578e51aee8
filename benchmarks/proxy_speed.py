"""How many images per second does proxy training make, against the recipe people write by hand?

    python benchmarks/proxy_speed.py fashion_mnist:PATH folder:PATH [--repeats 3] [--only separable --only 1M]

By hand: a data set of PIL images, torchvision's transforms (a crop with padding, a flip, to a tensor, normalised), a
DataLoader with two workers, float32, torch's default threads, AdamW, the network of torch's own convolutions. Ours:
`nas.training.loop.train` under the plan that is measured here for these networks, as a study does it; with one training
on the machine, and with two at the same time, each in a process of its own, whose rates are added.

All train the same networks on the same images in batches of the same size: for each family of `paper_cast` the first
random member that has it, widths scaled to fill 100k parameters, and the 1M reference. Each repeat times all ways in
turn; the figures are medians. What happens once is not counted: the first steps, in which kernels are compiled, the
start of the DataLoader's workers, the preparation of the data. Images decode to PIL from memory, not from JPEG files.
Writes `benchmarks/results/proxy_speed.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from nas.architecture import Architecture, Task
from nas.budget import Budget, cost
from nas.data.images import Dataset, Images
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import CapError
from nas.network.build import Network, build
from nas.network.depthwise import Convolution
from nas.records import Fidelity, Plan, Recipe
from nas.references import reference
from nas.results import environment, write_whole
from nas.scaling import scale
from nas.space_file import load_space
from nas.training.loop import train
from nas.training.plan import PlanChoice, choose_plan, describe
from nas.training.plan_options import PlanOverrides
from nas.training.recipe import default_recipe

RESULT = Path(__file__).parent / "results" / "proxy_speed.json"
ENVIRONMENT = environment()
"""Taken when the process starts: the clone may move on while it measures."""

SPACE, FAMILIES_CAP, LARGE = "paper_cast", 100_000, "nodepth_1m"
BATCH, LOADER_WORKERS = 128, 2
WARM_STEPS, LEAST_STEPS, MOST_STEPS, SECONDS = 2, 3, 12, 0.75
"""Each way is timed for about `SECONDS`, in whole steps."""
TARGETS = {"one training": 4.0, "two trainings": 6.0}
PHASES = ("data", "forward", "backward", "step")


class Timed(NamedTuple):
    """Images per second, and the share of the time that each phase took."""

    images_per_second: float
    shares: dict[str, float]


@dataclass
class Stopwatch:
    """Tells the phases of training apart by hooks on a network and on all optimizers, whoever's loop it is.

    `data` is all that is not one of the others: in our loop also the bookkeeping between two steps.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    last: float = field(default_factory=time.perf_counter)

    def watch(self, network: nn.Module) -> None:
        network.register_forward_pre_hook(lambda *_: self.passed("data"))
        network.register_forward_hook(lambda *_: self.passed("forward"))
        register_optimizer_step_pre_hook(lambda *_: self.passed("backward"))
        register_optimizer_step_post_hook(lambda *_: self.passed("step"))

    def passed(self, phase: str) -> None:
        """Count the time since the last call as `phase`."""
        now = time.perf_counter()
        self.seconds[phase] += now - self.last
        self.last = now

    def restart(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.last = time.perf_counter()

    def result(self, images: int) -> Timed:
        total = sum(self.seconds.values())
        return Timed(images / total, {phase: round(taken / total, 3) for phase, taken in self.seconds.items()})


class Photographs(TorchDataset[tuple[Tensor, int]]):
    """What people write: one PIL image at a time, through torchvision's transforms."""

    def __init__(self, data: Dataset, padding: int) -> None:
        self.arrays = data.train.pixels.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        self.labels = data.train.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(data.resolution, padding=padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:  # noqa: D105
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:  # noqa: D105
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def by_hand(architecture: Architecture, task: Task, data: Dataset, recipe: Recipe) -> Timed:
    """Train as people write it, for about `SECONDS`."""
    network = of_plain_convolutions(build(architecture, task)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    photographs = Photographs(data, recipe.crop_padding)
    loader = DataLoader(photographs, BATCH, shuffle=True, num_workers=LOADER_WORKERS, drop_last=True)
    watch, steps, until = Stopwatch(), 0, float("inf")
    watch.watch(network)
    for images, labels in loader:
        loss = F.cross_entropy(network(images), labels, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        if steps == WARM_STEPS:
            watch.restart()
            until = time.perf_counter() + SECONDS
        elif steps >= WARM_STEPS + LEAST_STEPS and time.perf_counter() > until:
            break
    return watch.result((steps - WARM_STEPS) * BATCH)


def of_plain_convolutions(network: Network) -> Network:
    """Replace every convolution of ours by torch's own with the same weights."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Convolution):
                plain = nn.Conv2d(
                    child.in_channels,
                    child.out_channels,
                    child.kernel_size,
                    child.stride,
                    child.padding,
                    groups=child.groups,
                    bias=child.bias is not None,
                )
                plain.load_state_dict(child.state_dict())
                setattr(parent, name, plain)
    return network


class Job(NamedTuple):
    """One training by our loop: three epochs of so many steps, of which the second is timed.

    While it lasts, the other of two trainings is in its first, second or third epoch, and so still there.
    """

    architecture: Architecture
    task: Task
    data: Dataset
    recipe: Recipe
    plan: Plan
    steps: int
    seed: int
    is_alone: bool


def ours(job: Job) -> Timed:
    """Train with our loop; runs in a process of its own."""
    network, watch, timed = build(job.architecture, job.task), Stopwatch(), []
    watch.watch(network)

    def on_epoch(_: object) -> None:
        timed.append(watch.result(job.steps * BATCH))
        watch.restart()

    data, images = job.data, job.steps * BATCH
    few = replace(data, train=Images(data.train.pixels[:images], data.train.labels[:images]))
    if not job.is_alone:
        _START.wait(timeout=60)
    train(
        network,
        few,
        job.recipe,
        Fidelity(epochs=3, resolution=data.resolution),
        job.plan,
        seed=job.seed,
        on_epoch=on_epoch,
    )
    return timed[1]


def share_barrier(barrier: Barrier) -> None:
    global _START
    _START = barrier


@dataclass(frozen=True)
class Subject:
    """A network on a data set, and the plans it is trained under."""

    name: str
    architecture: Architecture
    task: Task
    data: Dataset
    recipe: Recipe
    one: Plan
    two: Plan

    def times(self, pool: ProcessPoolExecutor) -> dict[str, Timed]:
        """Time each way once."""
        hand = by_hand(self.architecture, self.task, self.data, self.recipe)
        steps = round(hand.images_per_second * TARGETS["one training"] * SECONDS / BATCH)
        steps = min(max(steps, LEAST_STEPS), MOST_STEPS)

        def job(plan: Plan, seed: int, *, is_alone: bool) -> Job:
            return Job(self.architecture, self.task, self.data, self.recipe, plan, steps, seed, is_alone)

        one = pool.submit(ours, job(self.one, 0, is_alone=True)).result()
        pair = list(pool.map(ours, [job(self.two, seed, is_alone=False) for seed in (1, 2)]))
        both = Timed(sum(each.images_per_second for each in pair), pair[0].shares)
        return {"by hand": hand, "one training": one, "two trainings": both}

    def report(self, found: list[dict[str, Timed]]) -> dict[str, Any]:
        """Return the medians over repeats, their ratios to the recipe by hand, and print them."""
        ways = {way: [each[way] for each in found] for way in found[0]}
        rates = {way: median(timed.images_per_second for timed in all_) for way, all_ in ways.items()}
        ratios = {way: round(rates[way] / rates["by hand"], 2) for way in TARGETS}
        shares = {way: all_[len(all_) // 2].shares for way, all_ in ways.items()}
        counted = cost(self.architecture, self.task)
        print(f"{self.data.name} {self.name} ({counted.params:,} params, {counted.macs / 1e6:.1f}M macs)")
        for way, rate in rates.items():
            times = f"  {ratios[way]:5.1f}x (target {TARGETS[way]:.0f}x)" if way in ratios else ""
            print(f"  {way:14} {rate:7.0f} images/s{times:22} {shares[way]}", flush=True)
        return {
            "network": self.name,
            "data": self.data.name,
            "architecture": self.architecture.words(),
            "params": counted.params,
            "macs": counted.macs,
            "images per second": {way: round(rate, 1) for way, rate in rates.items()},
            "all repeats": {way: [round(t.images_per_second, 1) for t in all_] for way, all_ in ways.items()},
            "times by hand": ratios,
            "meets": {way: ratio >= TARGETS[way] for way, ratio in ratios.items()},
            "shares of time": shares,
        }


def networks(task: Task) -> dict[str, Architecture]:
    """Return the first random member of each family, filled to the cap by its widths, and the large reference."""
    space, generator, found = load_space(SPACE), random.Random(0), {}
    families = next(gene for gene in space.genes if gene.name.endswith("block")).values
    while len(found) < len(families):
        member = space.decode(space.random(generator))
        family = member.stages[0].blocks[0].family
        if family not in found:
            try:
                found[family] = scale(member, task, Budget(params=FAMILIES_CAP), by="width")
            except CapError:  # too deep to be this small
                continue
    ordered = {str(family): found[family] for family in families}
    return ordered | {"1M": scale(reference(LARGE).architecture, task, Budget(params=1_000_000), by="width")}


def subjects(spec: str, only: list[str]) -> tuple[list[Subject], dict[str, PlanChoice]]:
    """Return what is timed on a data set, and the plans for one training and for two."""
    data = load_dataset(DataSpec.parse(spec), seed=0)
    few = slice(0, BATCH)
    data = replace(data, validation=Images(data.validation.pixels[few], data.validation.labels[few]))
    task = Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)
    recipe = default_recipe(data).model_copy(update={"batch_size": BATCH})
    chosen = {name: each for name, each in networks(task).items() if not only or name in only}
    plan: Callable[[int], PlanChoice] = lambda workers: choose_plan(  # noqa: E731
        list(chosen.values()), task, recipe, overrides=PlanOverrides(workers=workers, batch_size=BATCH)
    )
    plans = {"one training": plan(1), "two trainings": plan(2)}
    one, two = (choice.plan for choice in plans.values())
    return [Subject(name, each, task, data, recipe, one, two) for name, each in chosen.items()], plans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], help="a network by its name: a family, or 1M")
    arguments = parser.parse_args()
    context = get_context("spawn")
    found, used = [], {}
    with ProcessPoolExecutor(2, context, share_barrier, (context.Barrier(2),)) as pool:
        for spec in arguments.data:
            on_this, plans = subjects(spec, arguments.only)
            used[on_this[0].data.name] = {way: describe(choice.plan) for way, choice in plans.items()}
            print(used, flush=True)
            for subject in on_this:
                found.append(subject.report([subject.times(pool) for _ in range(arguments.repeats)]))
    kept = {
        "environment": ENVIRONMENT,
        "repeats": arguments.repeats,
        "batch": BATCH,
        "threads by hand": torch.get_num_threads(),
        "plans": used,
        "targets": TARGETS,
        "networks that meet the target": {way: sum(each["meets"][way] for each in found) for way in TARGETS},
        "median times by hand": {way: median(each["times by hand"][way] for each in found) for way in TARGETS},
        "networks": found,
    }
    if arguments.only:
        print("not written: only some networks were timed")
        return
    write_whole(RESULT, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
