"""What retraining takes, before it starts: images per second measured here, hours, disk and memory."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.records import Pace, Plan
from nas.retrain.job import Job
from nas.training.machine import free_bytes, using_threads
from nas.training.memory import training_bytes
from nas.training.plan import PlanChoice, choose_plan
from nas.training.plan_options import PlanOverrides

BYTES = 4
"""Of a number."""
COPIES_ON_DISK = 3
"""The checkpoint that is there, the one that replaces it, and the best weights."""


@dataclass(frozen=True)
class Estimate:
    """What one network takes for a seed: `train_bytes` in memory for training, `data_bytes` for its images."""

    title: str
    arch_id: str
    params: int
    images_per_second: float
    hours: float
    disk_bytes: int
    train_bytes: int
    data_bytes: int


def chosen_plan(job: Job, device: str, *, processes: int = 1) -> PlanChoice:
    """Return how one training of a job runs best on this machine, measured in seconds or as measured before."""
    recipe = job.recipe
    size = max(2, recipe.batch_size // (processes * recipe.accumulation))
    measured = recipe.model_copy(update={"batch_size": size, "suppression": None, "bias_loss": None})
    overrides = PlanOverrides(batch_size=size, workers=1, **({} if device == "cpu" else {"trials_per_device": 1}))
    return choose_plan([job.architecture], job.task.task, measured, device=device, overrides=overrides)


def estimate(job: Job, plan: Plan, pace: Pace, *, processes: int = 1) -> Estimate:
    """Return what a job takes for one seed, by a measured pace; several processes are taken to be as fast each."""
    recipe, fidelity, data = job.recipe, job.fidelity, job.source.data
    speed = pace.images_per_second * processes
    sides = [fidelity.resolution] * fidelity.epochs
    if recipe.ramp is not None:
        sides = [recipe.ramp.side(epoch, fidelity.epochs, fidelity.resolution) for epoch in range(fidelity.epochs)]
    whole = sum((side / fidelity.resolution) ** 2 for side in sides) * len(data.train)
    judged = fidelity.epochs * len(data.validation) * (job.judged_side / fidelity.resolution) ** 2 / 3
    local = recipe.model_copy(
        update={"batch_size": max(2, recipe.batch_size // (processes * recipe.accumulation)), "suppression": None}
    )
    with using_threads(1):
        memory = training_bytes(job.architecture, job.task.task, local, plan)
    moments = 2 if recipe.optimizer == "adamw" else 1
    checkpoint = BYTES * job.cost.params * (1 + moments + (recipe.ema_decay > 0))
    return Estimate(
        title=job.title,
        arch_id=job.architecture.arch_id,
        params=job.cost.params,
        images_per_second=speed,
        hours=(whole + judged) / speed / 3600,
        disk_bytes=COPIES_ON_DISK * checkpoint,
        train_bytes=memory * processes,
        data_bytes=data.train.size_bytes + data.validation.size_bytes,
    )


def warnings(found: Sequence[Estimate], results: Path, device: str) -> list[str]:
    """Return what there is not enough of, a line each."""
    lines = []
    place = next((each for each in (results, *results.resolve().parents) if each.exists()), Path())
    disk, free_disk = max(each.disk_bytes for each in found), shutil.disk_usage(place).free
    if disk > free_disk:
        lines.append(f"disk: {disk / 1e6:,.0f} MB are needed below {results}, {free_disk / 1e6:,.0f} MB are free")
    memory, free = max(each.train_bytes for each in found), free_bytes(device)
    if memory > free:
        lines.append(
            f"memory: a training takes {memory / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free on {device}; "
            "--set accumulation=2 runs batches in halves"
        )
    return lines
