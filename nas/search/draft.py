"""A study before it exists: what was asked, checked, with the defaults for all that was not."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Self

from nas import pareto
from nas.architecture import Architecture
from nas.budget import Budget
from nas.data.images import Dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, unknown
from nas.feasibility import repair
from nas.records import Fidelity, Plan, Recipe, StudyConfig, Suppression
from nas.search.changes import target_of
from nas.search.proposals import SAMPLERS
from nas.search.request import DEFAULT_SPACE, SearchRequest
from nas.space import SearchSpace
from nas.space_file import load_space
from nas.training.recipe import default_recipe, rungs

DEFAULT_TRIALS = 48
DEFAULT_EPOCHS = 6
DEFAULT_REDUCTION = 2
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

    @classmethod
    def of(cls, request: SearchRequest) -> Self:
        """Return what was asked; InputError for what can be seen to be wrong before an image is read."""
        space = load_space(request.space or DEFAULT_SPACE)
        sampler = request.sampler or "tpe"
        if sampler not in SAMPLERS:
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
        )

    def on(self, data: Dataset) -> Self:
        """Return the draft with the cap counted on the classes and the size of the data, if that was asked."""
        return replace(self, space=replace(self.space, target=target_of(data, self.space)))

    def fidelities(self, data: Dataset) -> tuple[Fidelity, ...]:
        """Return the ladder."""
        fraction = self.request.train_fraction or min(1.0, PROXY_IMAGES / len(data.train))
        return rungs(self.request.epochs or DEFAULT_EPOCHS, data.resolution, round(fraction, 4))

    def recipe(self, data: Dataset) -> Recipe:
        """Return how networks are trained."""
        return default_recipe(data, _suppression(self.request))

    def typical(self) -> Architecture:
        """Return the first random member that fits: the plan is measured on it."""
        rng = random.Random(self.seed)
        members = (repair(self.space, self.space.random(rng), self.budget) for _ in range(100))
        member = next((member for member in members if member is not None), None)
        if member is None:
            raise InputError(
                f"space {self.space.name!r}: none of 100 random members could be repaired under "
                f"{self.budget.params:,} params"
            )
        return self.space.decode(member)

    def config(self, data: Dataset, recipe: Recipe, plan: Plan) -> StudyConfig:
        """Return what the study will keep."""
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
            fidelities=self.fidelities(data),
            reduction=DEFAULT_REDUCTION,
            recipe=recipe,
            plan=plan,
            sampler=self.sampler,
            seed=self.seed,
        )


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
