"""What evaluates a candidate: an interface, and the training that the search uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nas.architecture import Architecture, Task
from nas.data.images import Dataset, resize
from nas.data.split import fixed_batch
from nas.errors import InputError
from nas.interference.measure import measure
from nas.network.build import Network, build
from nas.records import Candidate, Fidelity, Measurement, Plan, Recipe
from nas.training.loop import Normaliser, Progress, Training, train
from nas.value import FrozenMap

FIXED_BATCH = 256
"""Images of the seeded, class-balanced batch that interference is measured on."""


class Evaluator(Protocol):
    """Measures a candidate at a fidelity. The same arguments must give the same measurement."""

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement; a diverged one is a result, an exception is a fault."""


@dataclass(frozen=True)
class TrainingEvaluator:
    """Trains the candidate on a data set and measures accuracy, loss and interference."""

    data: Dataset
    recipe: Recipe
    plan: Plan

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement of one training with weights and data order drawn from `seed`."""
        network = self.build(candidate.architecture, fidelity, seed)
        training = train(network, self.data, self.recipe, fidelity, self.plan, seed=seed, on_epoch=on_epoch)
        return Measurement(
            fidelity=fidelity,
            seed=seed,
            epochs=training.epochs,
            metrics=FrozenMap({} if training.diverged else self._metrics(training, network, fidelity)),
            train_seconds=training.seconds,
            images_per_second=training.images_per_second,
            diverged=training.diverged,
        )

    def build(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> Network:
        """Return the untrained network for the classes and channels of the data."""
        task = Task(
            num_classes=self.data.num_classes, in_channels=self.data.in_channels, resolution=fidelity.resolution
        )
        return build(architecture, task, seed=seed)

    def _metrics(self, training: Training, network: Network, fidelity: Fidelity) -> dict[str, float]:
        last = training.epochs[-1]
        metrics = {"train_loss": last.train_loss, "train_seconds": training.seconds}
        if last.val_accuracy is not None and last.val_loss is not None:
            metrics |= {"val_accuracy": last.val_accuracy, "val_loss": last.val_loss}
        batch = resize(fixed_batch(self.data.train, FIXED_BATCH, seed=0), fidelity.resolution).to(self.plan.device)
        images = Normaliser(self.data.mean, self.data.std)(batch.pixels)
        try:
            report = measure(training.network, images, batch.labels, blocks=network.block_names)
        except InputError:  # a network without any 1x1: interference stays unmeasured, the accuracy counts
            return metrics
        return metrics | report.metrics()
