"""A study before it exists: what was asked, checked, with the defaults for all that was not."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

import torch

from nas import pareto
from nas.architecture import Architecture
from nas.budget import Budget
from nas.data.images import Dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, unknown
from nas.feasibility import repair
from nas.records import Fidelity, Recipe, StudyConfig, Suppression
from nas.search.changes import target_of
from nas.search.request import DEFAULT_SPACE, SearchRequest
from nas.search.samplers.named import DEFAULT_SAMPLER, SAMPLERS
from nas.space import SearchSpace
from nas.space_file import load_space
from nas.training.plan import PlanChoice
from nas.training.plan_options import PlanOverrides, parse_device, parse_plan
from nas.training.recipe import default_recipe, parse_rungs, reduction_for, rungs

DEFAULT_TRIALS = 48
DEFAULT_EPOCHS = 6
DEFAULT_FINALISTS = 5
DEFAULT_FINALIST_SEEDS = 3
MEASURED_MEMBERS = 2
DEFAULT_VALIDATION_FRACTION = 0.2
PROXY_IMAGES = 10_000
"""Most images of an epoch unless asked for otherwise: a proxy ranks networks, it does not finish them."""


@dataclass(frozen=True)
class Draft:
    """What a new study is to be; its ladder and its recipe need the images, its plan a measurement."""

    request: SearchRequest
    space: SearchSpace
    spec: DataSpec
    budget: Budget
    objectives: tuple[str, ...]
    sampler: str
    seed: int
    device: str
    overrides: PlanOverrides

    @classmethod
    def of(cls, request: SearchRequest, *, passed: bool = False) -> Self:
        """Return what was asked; InputError for what can be seen to be wrong before an image is read."""
        space = load_space(request.space or DEFAULT_SPACE)
        sampler = request.sampler or DEFAULT_SAMPLER
        if sampler not in SAMPLERS and not passed:
            raise InputError(unknown("sampler", sampler, SAMPLERS))
        objectives = request.objectives or pareto.DEFAULT_OBJECTIVES
        pareto.objectives(objectives)
        return cls(
            request=request,
            space=space,
            spec=_data_spec(request, space),
            budget=space.target.budget(request.cap),
            objectives=objectives,
            sampler=sampler,
            seed=request.seed or 0,
            device=parse_device(request.device or "cpu", torch.cuda.device_count()),
            overrides=plan_overrides(request),
        )

    @property
    def resolution(self) -> int | None:
        """The side that images are read at: the top rung's; None is their own."""
        return self.request.resolution

    def on(self, data: Dataset) -> Self:
        """Return the draft with the cap counted on the classes and the size of the data, if that was asked."""
        return replace(self, space=replace(self.space, target=target_of(data, self.space)))

    def fidelities(self, data: Dataset) -> tuple[Fidelity, ...]:
        """Return the ladder."""
        request = self.request
        fraction = request.train_fraction or round(min(1.0, PROXY_IMAGES / len(data.train)), 4)
        if request.rungs is not None:
            return parse_rungs(request.rungs, data.resolution, fraction)
        steps = max(1, int(fraction * len(data.train)) // self.recipe(data).batch_size)
        return rungs(request.epochs or DEFAULT_EPOCHS, data.resolution, fraction, steps_an_epoch=steps)

    def recipe(self, data: Dataset) -> Recipe:
        """Return how networks are trained."""
        return default_recipe(data, _suppression(self.request))

    def images(self, data: Dataset) -> float:
        """Return how many images the lowest rung trains on in all its epochs."""
        lowest = self.fidelities(data)[0]
        return lowest.epochs * lowest.train_fraction * len(data.train)

    def members(self) -> tuple[Architecture, ...]:
        """Return the first random members that fit: the plan is measured on them."""
        rng = random.Random(self.seed)
        tries = (repair(self.space, self.space.random(rng), self.budget) for _ in range(100))
        found = tuple(islice((self.space.decode(each) for each in tries if each is not None), MEASURED_MEMBERS))
        if not found:
            raise InputError(
                f"space {self.space.name!r}: none of 100 random members could be repaired under "
                f"{self.budget.params:,} params"
            )
        return found

    def config(self, data: Dataset, choice: PlanChoice) -> StudyConfig:
        """Return what the study will keep."""
        fidelities = self.fidelities(data)
        return StudyConfig(
            name=self.request.name,
            space_name=self.space.name,
            space_text=self.space.text,
            target=self.space.target,
            budget=self.budget,
            data=str(self.spec),
            data_fingerprint=data.fingerprint,
            validation_fraction=DEFAULT_VALIDATION_FRACTION,
            objectives=self.objectives,
            fidelities=fidelities,
            reduction=reduction_for(fidelities, self.request.trials or DEFAULT_TRIALS),
            finalists=DEFAULT_FINALISTS if self.request.finalists is None else self.request.finalists,
            finalist_seeds=self.request.finalist_seeds or DEFAULT_FINALIST_SEEDS,
            recipe=self.recipe(data).model_copy(update={"batch_size": choice.batch_size}),
            plan=choice.plan,
            pace=choice.pace,
            sampler=self.sampler,
            seed=self.seed,
        )


def plan_overrides(request: SearchRequest) -> PlanOverrides:
    """Return what a user decided of the plan, by `--plan` or by the options for its parts."""
    decided = parse_plan(request.plan) if request.plan is not None else PlanOverrides()
    options = {"workers": request.workers, "trials_per_device": request.trials_per_gpu}
    return decided.model_copy(update={name: value for name, value in options.items() if value is not None})


def _data_spec(request: SearchRequest, space: SearchSpace) -> DataSpec:
    if request.data is None and space.target.dataset not in {"digits"}:
        raise InputError(
            f"--data is missing: space {space.name!r} is for {space.target.dataset}; "
            "say what to train on, such as --data fashion_mnist:PATH or --data folder:PATH"
        )
    return DataSpec.parse(request.data or space.target.dataset)


def _suppression(request: SearchRequest) -> Suppression | None:
    if request.suppress is None and request.suppress_to is None:
        return None
    default = Suppression(target=request.suppress_to)
    return default if request.suppress is None else default.model_copy(update={"strength": request.suppress})
