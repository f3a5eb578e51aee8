"""How fast does training run here? Steps of a few networks on random images, timed one by one or several at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import fmean

import torch

from nas.architecture import Architecture, Task
from nas.network.build import build
from nas.records import Plan, Recipe
from nas.training.graph import GraphedStep
from nas.training.machine import using_threads
from nas.training.step import Step, Stepper

SECONDS_EACH = 0.12
"""How long the steps of one network are timed."""
LONGEST_STEP = 0.25
"""A CPU is timed on smaller batches where a step takes longer; on much smaller ones bfloat16 would never pay."""
SMALLEST_BATCH, MOST_PROBED = 4, 128
FEW = 4
"""Of more trainings at once only the first network is timed, and the others are taken to gain alike."""
HOPELESS = 3.0
"""A setting under which a network is this many times slower than under the best so far is not timed any further."""
PATIENCE = 1.0
"""Seconds that a first step may take, however fast the others are: kernels are compiled in it."""
GPU_STEPS = 10
"""Steps that a GPU is given before it is waited for; a graph is captured within the first ones."""
MOST_STEPS = 2_000


@dataclass(frozen=True)
class Setting:
    """A plan and a batch size."""

    plan: Plan
    batch_size: int

    @property
    def together(self) -> int:
        """How many trainings are timed at once: those of one GPU, or a few of those of a CPU."""
        return min(self.plan.workers, FEW) if self.plan.device == "cpu" else self.plan.trials_per_device

    @property
    def trainings(self) -> int:
        """How many trainings run at once on the machine."""
        return self.plan.workers * self.plan.trials_per_device


Rate = Callable[[Setting], float]
"""Returns the images per second of a training under a setting, while others run beside it as the setting says."""


class Bench:
    """Times a training step of some networks: their random images cost the same time, bfloat16 included, as real ones.

    Networks are timed one after another; the rate is the harmonic mean, as if each were given as many images.
    """

    def __init__(self, architectures: Sequence[Architecture], task: Task, recipe: Recipe) -> None:
        """Take the networks for `task`, and the recipe for its optimizer."""
        self.architectures, self.task, self.recipe = architectures, task, recipe
        self.best: dict[Architecture, float] = {}
        self.largest: dict[Architecture, int] = {}

    def __call__(self, setting: Setting) -> float:
        """Return the images per second of a training under a setting; 0 where memory is short."""
        seconds = []
        for architecture in self.architectures:
            try:
                rate = self._rate(architecture, setting)
            except torch.OutOfMemoryError:
                return 0.0
            best = self.best.get(architecture, 0.0)
            if best and (rate * setting.together * HOPELESS < best or setting.together > FEW):
                return rate / best / fmean(1 / each for each in self.best.values())
            self.best[architecture] = max(rate * setting.together, best)
            seconds.append(1 / rate)
        return 1 / fmean(seconds)

    def _rate(self, architecture: Architecture, setting: Setting) -> float:
        plan = setting.plan.model_copy(update={"device": setting.plan.devices[0]})
        size = setting.batch_size
        if plan.device == "cpu":
            size = min(size, self.largest.get(architecture) or self._affordable(architecture, plan))
        with using_threads(plan.threads):
            trainings = [_Training(architecture, self.task, self.recipe, plan, size) for _ in range(setting.together)]
            first = max(each.warmed() for each in trainings)
            if size * setting.together * HOPELESS < self.best.get(architecture, 0.0) * first:
                return size / first
            return size / fmean(_at_once(trainings))

    def _affordable(self, architecture: Architecture, plan: Plan) -> int:
        """Return the largest batch, doubled from four on, whose step is short enough, or any from `MOST_PROBED` on."""
        size = SMALLEST_BATCH
        with using_threads(plan.threads):
            while size < MOST_PROBED:
                training = _Training(architecture, self.task, self.recipe, plan, 2 * size)
                if training.warmed() > LONGEST_STEP:
                    break
                size *= 2
        self.largest[architecture] = size if size < MOST_PROBED else sys.maxsize
        return self.largest[architecture]


class _Training:
    """One training to be timed. On a GPU it has a stream of its own, and replays its step where the plan says so."""

    def __init__(self, architecture: Architecture, task: Task, recipe: Recipe, plan: Plan, batch_size: int) -> None:
        self.plan = plan
        self.stream = None if plan.device == "cpu" else torch.cuda.Stream(plan.device)
        self.left = MOST_STEPS
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, task.in_channels, task.resolution, task.resolution)
        self.images = torch.randn(shape, generator=generator).to(plan.device)
        self.labels = torch.randint(task.num_classes, (batch_size,), generator=generator).to(plan.device)
        step = Step(build(architecture, task), recipe, plan, steps=MOST_STEPS, seed=0)
        self.step: Stepper = GraphedStep(step, tell=lambda _: None) if plan.cuda_graphs else step

    def warmed(self) -> float:
        """Make the first steps, in which kernels are compiled; return the seconds of the next, or of a hopeless one."""
        first = self.seconds()
        return first if first > PATIENCE else self.seconds()

    def fastest(self, until: float) -> float:
        """Return the seconds of the fastest step of those made `until` a time: whatever else runs here only adds."""
        torch.set_num_threads(self.plan.threads)
        best = self.seconds()
        while time.perf_counter() < until and self.left > GPU_STEPS:
            best = min(best, self.seconds())
        return best

    def seconds(self) -> float:
        """Return the seconds of a step; of a single thread those it computes in, as other programs may run as well."""
        steps = 1 if self.stream is None else GPU_STEPS
        self.left -= steps
        clock = time.thread_time if self.stream is None and self.plan.threads == 1 else time.perf_counter
        started = clock()
        with nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            for _ in range(steps):
                self.step(self.images, self.labels)
            if self.stream is not None:
                self.stream.synchronize()
        return (clock() - started) / steps


def _at_once(trainings: Sequence[_Training]) -> list[float]:
    """Return the seconds of a step of each training while all of them run, each in a thread.

    torch lets go of the interpreter in its kernels, so threads contend for caches and memory as processes do.
    """
    until = time.perf_counter() + SECONDS_EACH
    with ThreadPoolExecutor(len(trainings)) as pool:
        return list(pool.map(lambda training: training.fastest(until), trainings))
