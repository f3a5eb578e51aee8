"""What evaluates a candidate: an interface, and the training that the search uses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from nas.architecture import Architecture
from nas.budget import cost
from nas.data.augment import Normaliser
from nas.data.images import Dataset
from nas.data.split import fixed_batch
from nas.errors import InputError
from nas.interference.measure import measure
from nas.proxies import zero_cost_scores
from nas.records import Candidate, Fidelity, Measurement, Pace, Plan, Recipe
from nas.training.checkpoint import Checkpoints
from nas.training.graph import free_memory, own_stream
from nas.training.loop import Progress
from nas.training.memory import is_out_of_memory
from nas.training.once import Once
from nas.training.stages import Staged, StagedTraining, task_of
from nas.training.step import place
from nas.value import FrozenMap

FIXED_BATCH = 256
"""Images of the seeded, class-balanced batch that interference and, on its first ones, zero-cost scores are for."""
TIMES_TOO_SLOW = 20
"""A stage that takes this many times as long as was predicted is stopped."""
LEAST_SECONDS = 30.0
"""No stage is stopped before: what is short is all overhead."""


class Evaluator(Protocol):
    """Measures a candidate at a fidelity. The same arguments must give the same measurement."""

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement; a diverged one is a result, an exception is a fault."""


@runtime_checkable
class Keeping(Protocol):
    """An evaluator that keeps what a training has come to, so that it can go on from there, and has to be told when to
    stop: no sooner than what came of the training is written down, or it would be made again from its start."""

    def forget(self, candidate: Candidate, fidelity: Fidelity, seed: int) -> None:
        """Drop what is kept of a training that will not go on, to no higher fidelity either."""


@dataclass(frozen=True)
class TrainingEvaluator:
    """Trains the candidate on a data set; measures accuracy, loss, interference and, at the lowest rung, at no cost.

    A training goes through the rungs of the `ladder` up to its own, or on from a checkpoint at one of them; a fidelity
    that is no rung is trained to at once. `plan` names one device. With a `pace`, what is far too slow is stopped.
    `halved_from` and `in_halves`: as in `StagedTraining`.
    """

    data: Dataset
    recipe: Recipe
    plan: Plan
    ladder: tuple[Fidelity, ...] = ()
    checkpoints: Checkpoints = field(default_factory=lambda: Checkpoints(None))
    pace: Pace | None = None
    halved_from: int | None = None
    in_halves: bool = False
    tell: Callable[[str], None] = lambda _: None

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement of one training with weights and data order drawn from `seed`."""
        started = time.perf_counter()
        training = self.training(candidate.network, fidelity, seed)
        try:
            with own_stream(self.plan.device):
                return self._measurement(training, on_epoch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        free_memory(self.plan.device)
        return out_of_memory(fidelity, seed, time.perf_counter() - started)

    def halved(self) -> Self:
        """Return an evaluator of the same that runs batches in halves: for a training whose process was killed for lack
        of memory. It goes on from the checkpoint of that one, if there is any."""
        return replace(self, in_halves=True)

    def forget(self, candidate: Candidate, fidelity: Fidelity, seed: int) -> None:
        """Remove the checkpoint of a training."""
        self.checkpoints.forget(self.training(candidate.network, fidelity, seed).identity)

    def training(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> StagedTraining:
        """Return the training that measures an architecture at a fidelity."""
        at = self.ladder.index(fidelity) if fidelity in self.ladder else None
        return StagedTraining(
            architecture=architecture,
            data=self.data,
            recipe=self.recipe,
            rungs=(fidelity,) if at is None else self.ladder[: at + 1],
            plan=self.plan,
            seed=seed,
            seconds_allowed=lambda stage: self._seconds_allowed(architecture, stage),
            tell=self._tell_once,
            halved_from=self.halved_from,
            in_halves=self.in_halves,
        )

    def _measurement(self, training: StagedTraining, on_epoch: Callable[[Progress], None]) -> Measurement:
        fidelity = training.rungs[-1]
        scores = self._zero_cost_scores(training) if len(training.rungs) == 1 else {}
        goes_on = fidelity in self.ladder[:-1]
        staged = training.run(self.checkpoints, on_epoch, goes_on=goes_on)
        ended = staged.last.ended
        return Measurement(
            fidelity=fidelity,
            seed=training.seed,
            epochs=staged.epochs,
            metrics=FrozenMap(scores | self._metrics(staged, fidelity) if ended is None else {}),
            train_seconds=staged.seconds,
            images_per_second=staged.last.images_per_second,
            diverged=ended == "diverged",
            stopped="time" if ended == "time" else None,
            continued_from=staged.continued_from,
            halved_from=staged.halved_from,
        )

    def _zero_cost_scores(self, training: StagedTraining) -> dict[str, float]:
        network = place(training.build(training.rungs[0]), self.plan)
        try:
            return zero_cost_scores(network, *self._fixed_batch(training.rungs[0].resolution))
        except InputError:
            return {}

    def _metrics(self, staged: Staged, fidelity: Fidelity) -> dict[str, float]:
        last = staged.epochs[-1]
        found = {
            "train_loss": last.train_loss,
            "train_loss_ema": staged.last.train_loss_ema,
            "train_seconds": sum(epoch.seconds for epoch in staged.epochs),
            "val_accuracy": last.val_accuracy,
            "val_loss": last.val_loss,
        }
        metrics = {name: value for name, value in found.items() if value is not None}
        images, labels = self._fixed_batch(fidelity.resolution)
        try:
            report = measure(staged.last.network, images, labels, blocks=staged.network.block_names)
        except InputError:  # a network without any 1x1: interference stays unmeasured, the accuracy counts
            return metrics
        return metrics | report.metrics()

    def _seconds_allowed(self, architecture: Architecture, stage: Fidelity) -> float:
        """Return after how many seconds a stage is stopped: never, where nothing was predicted."""
        if self.pace is None:
            return math.inf
        images = stage.epochs * stage.train_fraction * len(self.data.train)
        predicted = self.pace.seconds(images, cost(architecture, task_of(self.data, stage)).macs)
        return max(LEAST_SECONDS, TIMES_TOO_SLOW * predicted)

    def _fixed_batch(self, resolution: int) -> tuple[Tensor, Tensor]:
        if resolution not in self._fixed_batches:
            batch = fixed_batch(self.data.at(resolution).train, FIXED_BATCH, seed=0).to(self.plan.device)
            images = Normaliser(self.data.mean, self.data.std)(batch.pixels)
            self._fixed_batches[resolution] = images, batch.labels
        return self._fixed_batches[resolution]

    @cached_property
    def _fixed_batches(self) -> dict[int, tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def _tell_once(self) -> Once:
        return Once(self.tell)


def out_of_memory(fidelity: Fidelity, seed: int, train_seconds: float = 0.0) -> Measurement:
    """Return the measurement of a training that found too little memory, with whole batches and with halves."""
    return Measurement(
        fidelity=fidelity, seed=seed, metrics=FrozenMap({}), train_seconds=train_seconds, stopped="memory"
    )
