"""What a search will cost, before it starts: time, images, disk."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice, pairwise
from math import ceil
from statistics import fmean

from nas.architecture import Architecture, Task
from nas.budget import cost
from nas.data.split import judging_count
from nas.errors import InputError, SpaceError
from nas.feasibility import repair
from nas.records import Fidelity, Recipe, StudyConfig
from nas.training.checkpoint import MOST_BYTES
from nas.value import derive_seed

SAMPLED_MEMBERS = 64
TRIES = 4
"""Draws for each member that is wanted: not all can be repaired, or built for images as small as the training's."""
FORWARD_SHARE = 1 / 3
"""Of the time of a training step: a backward pass costs as much as two forward passes."""
DATA_SHARE = 0.05
"""What drawing, augmenting and normalising images adds to the time of a training step."""
MEASURED_IMAGES = 500
"""How many images could be trained on while a network's interference and zero-cost scores are measured: 400 to 900 at
28 px and 100k parameters."""
SECONDS_A_JOB = 0.3
"""What a training takes whatever its size: to be chosen, built and written down, and a measurement's fixed part."""
BYTES_A_JOB = 12_000
"""Of a database with a search's trials: candidate, genes, measurement, index."""


@dataclass(frozen=True)
class SearchEstimate:
    """What a search costs as far as can be said beforehand: half of it, or twice as much, is possible.

    `trainings` counts candidates, promotions and the finalists' further seeds. `seconds` is None without a pace.
    """

    trainings: int
    at_once: int
    images: float
    seconds: float | None
    disk_bytes: float

    @property
    def words(self) -> str:
        """The estimate in one line."""
        at_once = f", {self.at_once} at a time" * (self.at_once > 1)
        lasts = "" if self.seconds is None else f"about {_duration(self.seconds)}: "
        return (
            f"{lasts}{self.trainings:,} trainings{at_once}, {_short(self.images).rstrip()} images, "
            f"{_short(self.disk_bytes)}B of disk"
        )


def estimate(
    config: StudyConfig, trials: int, task: Task, *, train_images: int, validation_images: int
) -> SearchEstimate:
    """Return the cost of a search of `trials` from its start; `task` is what it trains for, at the top rung.

    From the measured pace and the mean of random members that fit; what samplers come to prefer is not known. A search
    whose ladder does not grow to the top stays below.
    """
    members = _members(config, task)
    jobs = _jobs(config, trials)
    further = min(config.finalists, trials) * (config.finalist_seeds - 1)
    at_once = config.plan.workers * config.plan.trials_per_device
    images = seconds = 0.0
    for rung, epochs in enumerate(_further_epochs(config.fidelities)):
        fidelity, trainings = config.fidelities[rung], jobs[rung] + further
        seen = epochs * fidelity.train_fraction * train_images
        images += trainings * seen
        if config.pace is not None:
            macs = fmean(cost(member, _at(task, fidelity)).macs for member in members)
            worth = (
                seen * (1 + DATA_SHARE)
                + judging_count(validation_images, round(seen)) * FORWARD_SHARE
                + MEASURED_IMAGES
            )
            seconds += trainings * (config.pace.seconds(worth, macs) + SECONDS_A_JOB)
    params = fmean(cost(member, task).params for member in members)
    pixels = sum(side**2 for side in {each.resolution for each in config.fidelities})
    return SearchEstimate(
        trainings=sum(jobs) + further,
        at_once=at_once,
        images=images,
        seconds=None if config.pace is None else seconds / min(at_once, trials),
        disk_bytes=(
            (sum(jobs) + further) * BYTES_A_JOB
            + min(MOST_BYTES, trials * params * _bytes_a_parameter(config.recipe)) * (len(jobs) > 1)
            + (train_images + validation_images) * task.in_channels * pixels
        ),
    )


def _bytes_a_parameter(recipe: Recipe) -> int:
    """Return those of a checkpoint; a study keeps one of each candidate that may still be promoted."""
    moments = 2 if recipe.optimizer == "adamw" else int(recipe.momentum > 0)
    return 4 * (1 + moments + (recipe.ema_decay > 0))


def _jobs(config: StudyConfig, trials: int) -> list[int]:
    """Return how many candidates reach each rung."""
    jobs = [trials]
    for _ in config.fidelities[1:]:
        jobs.append(ceil(jobs[-1] / config.reduction) if jobs[-1] >= config.reduction else 0)
    return jobs


def _further_epochs(fidelities: tuple[Fidelity, ...]) -> list[int]:
    """Return how many epochs each rung adds to the one below."""
    return [high - low for low, high in pairwise((0, *(each.epochs for each in fidelities)))]


def _members(config: StudyConfig, task: Task) -> list[Architecture]:
    """Return random members that fit the caps and can be built for the images of every rung."""
    space = config.space
    rng = random.Random(derive_seed(config.seed, "estimate"))
    drawn = (repair(space, space.random(rng), config.budget) for _ in range(TRIES * SAMPLED_MEMBERS))
    decoded = (space.decode(genotype) for genotype in drawn if genotype is not None)
    found = list(islice((each for each in decoded if _is_buildable(each, config.fidelities, task)), SAMPLED_MEMBERS))
    if not found:
        raise InputError(
            f"space {space.name!r}: none of {TRIES * SAMPLED_MEMBERS} random members fits and can be built"
        )
    return found


def _is_buildable(architecture: Architecture, fidelities: tuple[Fidelity, ...], task: Task) -> bool:
    try:
        for fidelity in fidelities:
            cost(architecture, _at(task, fidelity))
    except SpaceError:
        return False
    return True


def _at(task: Task, fidelity: Fidelity) -> Task:
    return task.model_copy(update={"resolution": fidelity.resolution})


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _short(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} "
