"""What a study remembers: its configuration, and what was measured of each trial.

Raw measurements are kept; feasibility, status and objectives are computed from them, so that a cap or an objective can
change later without running anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cached_property, lru_cache, partial
from statistics import fmean
from typing import Annotated, Literal, Self

from msgspec.structs import asdict
from pydantic import AfterValidator, Field, ValidationError, field_validator

from nas.architecture import Architecture
from nas.budget import Budget, Cost
from nas.errors import InputError
from nas.late import Late
from nas.outline import outline, training
from nas.pareto import Objective, objectives
from nas.recipe import Recipe as Recipe
from nas.recipe import Suppression as Suppression
from nas.space import GeneValue, SearchSpace, Target
from nas.space_file import parse_space
from nas.value import FrozenMap, Value, canonical_json, digest, explain

SCHEMA_VERSION = 1
"""Of the JSON in a study's database; a database with a larger one was written by a newer version."""


class Fidelity(Value):
    """How faithful an evaluation is."""

    epochs: int = Field(ge=1)
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    resolution: int = Field(ge=1, description="side of the training images, pixels")

    def __eq__(self, other: object) -> bool:
        """Compare by content, quicker than pydantic: whoever reads a large study does little else."""
        return isinstance(other, Fidelity) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Return the hash of the content."""
        return hash(self.key)

    @property
    def key(self) -> tuple[int, float, int]:
        """All of it, in the order of the fields."""
        return self.epochs, self.train_fraction, self.resolution


@lru_cache(maxsize=1024)
def _fidelity(epochs: int, train_fraction: float, resolution: int) -> Fidelity:
    """Return the same object for equal fidelities: most comparisons of them are then of one with itself."""
    return Fidelity(epochs=epochs, train_fraction=train_fraction, resolution=resolution)


class Plan(Value):
    """How training runs on this machine; measured when a study starts, then kept, since it changes rounding."""

    device: str = Field(default="cpu", description="cpu, cuda:0, or several: cuda:0,1")
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    threads: int = Field(default=1, ge=1, description="of one training")
    workers: int = Field(default=1, ge=1, description="processes on this machine; on GPUs, one for each device")
    trials_per_device: int = Field(default=1, ge=1, description="trainings that share a GPU")
    cuda_graphs: bool = Field(default=False, description="whether a GPU replays a step instead of launching it")

    @property
    def devices(self) -> tuple[str, ...]:
        """Each device by itself: `cuda:0,1` is cuda:0 and cuda:1."""
        kind, _, indices = self.device.partition(":")
        return tuple(f"{kind}:{index}" for index in indices.split(",")) if indices else (kind,)


class Pace(Value):
    """How fast training was when the study's plan was measured: what times are predicted from."""

    images_per_second: float = Field(gt=0, description="of one training, forward, backward and step")
    macs: int = Field(gt=0, description="of the network it was measured on, one image at the training resolution")

    def seconds(self, images: float, macs: float) -> float:
        """Return the predicted seconds of training a network of `macs` a training image on so many images."""
        return images * macs / (self.macs * self.images_per_second)


class WarmStart(Value):
    """A study that another one started from, and how much of it was read then."""

    study: str
    records: int = Field(ge=0, description="trials that had ended, promotions and further seeds too, the first to end")


class StudyConfig(Value):
    """Everything that a study must keep to be one study."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["networks", "problem"] = Field(
        default="networks", description="a problem has choices of its own: its data, recipe and plan mean nothing"
    )
    name: str
    space_name: str
    space_text: str = Field(repr=False)
    target: Target
    budget: Budget
    data: str
    data_fingerprint: str
    validation_fraction: float = Field(ge=0, lt=1)
    objectives: tuple[str, ...]
    fidelities: tuple[Fidelity, ...] = Field(min_length=1, description="the ladder of rungs, cheapest first")
    reduction: int = Field(default=2, ge=2, description="one in this many goes on to the next fidelity")
    finalists: int = Field(default=0, ge=0, description="networks trained again at the end of the search; 0: none")
    finalist_seeds: int = Field(default=3, ge=1, description="trainings of each finalist in all")
    recipe: Recipe
    plan: Plan
    pace: Pace | None = Field(default=None, description="None in studies that were made before it was measured")
    sampler: str = "tpe"
    seed: int
    warm_start: tuple[WarmStart, ...] = ()
    costs: tuple[str, ...] = Field(default=(), description="of a problem: what is known without evaluating")
    caps: FrozenMap[float] = Field(default=FrozenMap({}), description="of a problem, on costs of its own")

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            objectives(names)
        except InputError as error:
            raise ValueError(str(error)) from None
        return names

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, with the target of the study; InputError for a problem, which has none."""
        if self.kind == "problem":
            raise InputError(f"study {self.name!r} is of a problem of its own: it has no space of networks")
        return replace(parse_space(self.space_text, where=self.space_name), target=self.target)

    @property
    def quality(self) -> Objective:
        """What rungs are compared by: validation accuracy, or the first objective of a problem that is measured."""
        known = objectives(self.objectives if self.kind == "problem" else ("val_accuracy",))
        return next((each for each in known if each.name not in self.costs), known[0])

    def measured(self, candidate: Candidate) -> tuple[str, ...]:
        """Return what every training of a candidate that comes to its end must have measured."""
        if self.kind == "networks":
            return (self.quality.name,)
        return tuple(each.name for each in objectives(self.objectives) if each.name not in candidate.costs)


class Epoch(Value):
    """One epoch of one training: means over its images; validation only where it was evaluated."""

    train_loss: float
    seconds: float = Field(ge=0)
    val_loss: float | None = None
    val_accuracy: float | None = Field(default=None, ge=0, le=1)


class Measurement(Late):
    """One training at one fidelity, and what was measured of it. One that came to no end has no metrics.

    `epochs` are all since the first weights. Where a training went on from the checkpoint of a lower rung,
    `continued_from` of them were done there, and `train_seconds` counts the rest alone.
    """

    fidelity: Annotated[Fidelity, AfterValidator(lambda given: _fidelity(*given.key))]
    seed: int
    metrics: FrozenMap[float]
    train_seconds: float = Field(default=0.0, ge=0)
    images_per_second: float = Field(default=0.0, ge=0)
    diverged: bool = False
    stopped: Literal["memory", "time"] | None = Field(default=None, description="the limit that the training ran into")
    continued_from: int = Field(default=0, ge=0)
    halved_from: int | None = Field(
        default=None, ge=0, description="epochs behind which batches were run in halves, for lack of memory"
    )
    epochs: tuple[Epoch, ...] = ()

    @classmethod
    def of(cls, text: str, whole: Callable[[], Self]) -> Self:
        """Return the measurement that is the JSON `text`; its epochs are those of `whole`, when they are asked for.

        They are most of its text, and seldom looked at. Where anything else cannot be read, `whole` is called at once.
        """
        found = training(text)
        if found is None:
            return whole()
        fidelity = _fidelity(found.fidelity.epochs, found.fidelity.train_fraction, found.fidelity.resolution)
        return cls.late(whole, **asdict(found) | {"fidelity": fidelity, "metrics": FrozenMap.owning(found.metrics)})

    @property
    def is_complete(self) -> bool:
        """Whether the training came to its end: it did not diverge, and no limit stopped it."""
        return not self.diverged and self.stopped is None


class Status(StrEnum):
    """What became of a trial, computed from its record."""

    WAITING = "waiting"
    RUNNING = "running"
    EVALUATED = "evaluated"
    STOPPED_EARLY = "stopped early"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    TOO_SLOW = "too slow"
    FAILED = "failed"


class Assignment(Value):
    """What a candidate of a problem is: a value for each choice, in normal form."""

    choices: FrozenMap[GeneValue]

    @cached_property
    def arch_id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical JSON."""
        return digest(canonical_json(self))

    def words(self) -> str:
        """Return the choices in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.choices.items())


class Candidate(Late):
    """An architecture under consideration, with its number in the study and its cost on the target.

    One of a problem has an assignment instead, and `costs` of the problem's own.
    """

    number: int = Field(ge=0)
    genotype: FrozenMap[GeneValue]
    architecture: Architecture | Assignment = Field(union_mode="left_to_right")
    cost: Cost
    costs: FrozenMap[float] = FrozenMap({})

    @property
    def network(self) -> Architecture:
        """The architecture; InputError for the candidate of a problem, which is no network."""
        if isinstance(self.architecture, Assignment):
            raise InputError(f"trial {self.number} is no network: it was evaluated by a problem of its own")
        return self.architecture

    @property
    def is_network(self) -> bool:
        """Whether it is a network, and not choices of a problem."""
        return isinstance(self.architecture, Architecture)

    @property
    def known(self) -> dict[str, float]:
        """What is known of it without evaluating it: its costs."""
        return {name: float(value) for name, value in vars(self.cost).items()} if self.is_network else dict(self.costs)


class TrialRecord(Candidate):
    """One numbered attempt: a candidate, and what was measured of it."""

    measurements: tuple[Measurement, ...] = ()
    error: str = ""
    waiting: bool = Field(default=False, description="whether it was enqueued and no worker has begun it")

    @classmethod
    def of(
        cls, text: str, number: int, made: tuple[Measurement, ...] = (), *, error: str = "", waiting: bool = False
    ) -> Self:
        """Return the record of this number, of the candidate that is the JSON `text`, with what was measured of it.

        Genotype and architecture are read when they are asked for: of ten thousand records a front shows ten.
        ValidationError where the cost cannot be read; what is wrong with the rest is an InputError later.
        """
        cost, costs, depth = outline(text)
        found = {"measurements": made, "error": error, "waiting": waiting}
        record = cls.late(partial(_candidate, text, number), number=number, cost=cost, costs=costs, **found)
        record.__dict__["depth"] = depth  # what the cached property would find
        return record

    @property
    def candidate(self) -> Candidate:
        """The record without its measurements."""
        return Candidate.model_construct(**{name: getattr(self, name) for name in Candidate.model_fields})

    @cached_property
    def depth(self) -> int:
        """The number of blocks; 0 of what is no network."""
        found = self.architecture
        return sum(len(stage.blocks) for stage in found.stages) if isinstance(found, Architecture) else 0

    @property
    def is_network(self) -> bool:
        """Whether it is a network, and not choices of a problem."""
        return self.depth > 0

    @property
    def arch_id(self) -> str:
        """The id of the architecture."""
        return self.architecture.arch_id

    @cached_property
    def own(self) -> tuple[Measurement, ...]:
        """The trainings from the trial's own seed, which is that of the first; all others are further seeds."""
        return tuple(each for each in self.measurements if each.seed == self.measurements[0].seed)

    @property
    def best_fidelity(self) -> Fidelity | None:
        """The highest fidelity with a training that came to its end."""
        reached = [each.fidelity for each in self.measurements if each.is_complete]
        return max(reached, key=lambda f: (f.epochs * f.train_fraction, f.resolution), default=None)

    @property
    def metrics(self) -> dict[str, float]:
        """Cost, and the mean over seeds of what was measured at the highest fidelity reached."""
        values = self.known
        seeds = [m.metrics for m in self.measurements if m.fidelity == self.best_fidelity and m.is_complete]
        for name in dict.fromkeys(name for metrics in seeds for name in metrics):
            values[name] = fmean(metrics[name] for metrics in seeds if name in metrics)
        return values

    def status(self, fidelities: Sequence[Fidelity]) -> Status:
        """Return what became of the trial, in a study with these rungs."""
        if self.error:
            return Status.FAILED
        if any(measurement.diverged for measurement in self.measurements):
            return Status.DIVERGED
        limit = next((each.stopped for each in self.measurements if each.stopped), None)
        if limit is not None:
            return Status.OUT_OF_MEMORY if limit == "memory" else Status.TOO_SLOW
        if not self.measurements:
            return Status.WAITING if self.waiting else Status.RUNNING
        reached = [measurement.fidelity for measurement in self.measurements]
        return Status.EVALUATED if fidelities[-1] in reached else Status.STOPPED_EARLY


def _candidate(text: str, number: int) -> Candidate:
    try:
        return Candidate.model_validate_json(text)
    except ValidationError as fault:
        raise InputError(f"trial {number}: its candidate cannot be read: {explain(fault)}") from None


class ReferenceRecord(TrialRecord):
    """A published network scaled into a study's cap, and what was measured of it: no trial, so without a number."""

    name: str
    number: int = 0
    genotype: FrozenMap[GeneValue] = FrozenMap({})

    @property
    def key(self) -> tuple[str, str]:
        """What tells references of a study apart: the name, and the network that it was scaled to."""
        return self.name, self.arch_id
