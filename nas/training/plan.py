"""How training should run on this machine: a short measurement, not a belief about hardware."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.architecture import Architecture, Task
from nas.network.build import build
from nas.records import Plan, Recipe
from nas.training.loop import forward, make_optimizer, place

SECONDS_EACH = 0.3
MEASURED_BATCH = 32
HOPELESS = 3.0
"""A plan whose first step takes this many times the best so far is not timed any further."""
WORTHWHILE = 1.05
"""A change of plan must be this much faster; less is noise."""


def measure_plan(
    architecture: Architecture, task: Task, recipe: Recipe, device: str = "cpu"
) -> tuple[Plan, dict[str, float]]:
    """Return the fastest plan for training `architecture` here, and the images per second of every plan tried.

    Starts from float32, contiguous, one thread; keeps each change that pays: channels_last, bfloat16, all threads.
    """
    plan = Plan(device=device)
    measured: dict[str, float] = {}

    best = 0.0

    def rate(candidate: Plan) -> float:
        speed = _images_per_second(architecture, task, recipe, candidate, hopeless_below=best / HOPELESS)
        measured[describe(candidate)] = speed
        return speed

    best = rate(plan)
    for change in _changes(device):
        candidate = plan.model_copy(update=change)
        speed = rate(candidate)
        if speed > WORTHWHILE * best:
            plan, best = candidate, speed
    return plan, measured


def describe(plan: Plan) -> str:
    """Return the plan in words."""
    layout = "channels_last" if plan.channels_last else "contiguous"
    threads = f"{plan.threads} thread{'s' * (plan.threads > 1)}"
    return f"{plan.device}, {plan.precision}, {layout}, {threads}"


def _changes(device: str) -> Iterator[dict[str, object]]:
    yield {"channels_last": True}
    yield {"precision": "bfloat16"}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device == "cpu" and cores > 1:
        yield {"threads": cores}


def _images_per_second(
    architecture: Architecture, task: Task, recipe: Recipe, plan: Plan, *, hopeless_below: float
) -> float:
    network = place(build(architecture, task), plan).train()
    optimizer = make_optimizer(network, recipe)
    images = torch.zeros(MEASURED_BATCH, task.in_channels, task.resolution, task.resolution, device=plan.device)
    labels = torch.zeros(MEASURED_BATCH, dtype=torch.long, device=plan.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        seconds = _step_seconds(
            lambda: _step(network, optimizer, images, labels, plan),
            plan.device,
            longest=MEASURED_BATCH / hopeless_below if hopeless_below else float("inf"),
        )
    finally:
        torch.set_num_threads(threads)
    return MEASURED_BATCH / seconds


def _step(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, plan: Plan
) -> None:
    F.cross_entropy(forward(network, images, plan).float(), labels).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _step_seconds(step: Callable[[], None], device: str, *, longest: float) -> float:
    """Return the seconds of one step: the mean of those that fit, after a first one that only warms up.

    A first step longer than `longest` is the answer itself.
    """
    first = _timed(step, device)
    if first > longest:
        return first
    times: list[float] = []
    while not times or sum(times) < SECONDS_EACH:
        times.append(_timed(step, device))
    return sum(times) / len(times)


def _timed(step: Callable[[], None], device: str) -> float:
    started = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
