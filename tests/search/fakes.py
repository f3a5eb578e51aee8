"""A study that runs in a second: a small space, and an evaluator with a closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from nas.architecture import Architecture
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch
from nas.records import Candidate, Epoch, Fidelity, Measurement, Pace, Plan, Recipe, StudyConfig
from nas.training.loop import Progress
from nas.training.plan import PlanChoice
from nas.training.plan_options import PlanOverrides
from nas.value import FrozenMap, derive_seed
from tests.core.examples import config

TINY_SPACE = """
name = "tiny"
[target]
dataset = "digits"
num_classes = 10
in_channels = 1
resolution = 8
cap = "15k"
[stem]
width = [4, 8]
[[stage]]
block = "separable"
width = [8, 16]
"""
"""Four networks of digits' size."""


def digits_config(**given: Any) -> StudyConfig:
    """Return a study of the tiny space on digits, with the default objectives and one rung of one epoch."""
    rung = Fidelity(epochs=1, resolution=8)
    objectives = ("val_accuracy", "params", "interference")
    tiny = {"space_name": "tiny", "space_text": TINY_SPACE, "objectives": objectives, "fidelities": (rung,)}
    return config(**tiny | given)


def plain_choice(
    _: object, __: object, recipe: Recipe, *, device: str, overrides: PlanOverrides, images: float
) -> PlanChoice:
    """Choose the plainest plan without measuring for seconds which is the fastest; stands in for `choose_plan`."""
    assert images > 0
    decided = overrides.decided
    return PlanChoice(
        batch_size=decided.pop("batch_size", recipe.batch_size),
        plan=Plan(device=device, **decided),
        pace=Pace(images_per_second=1000, macs=100_000),
        reasons=("float32: as the test has it",),
        tried=FrozenMap({}),
    )


def accept_all(_: Architecture) -> None:
    """Accept every architecture without building it."""


@dataclass
class FakeEvaluator:
    """Measures by a formula: larger is better, longer is better, the seed adds a little noise.

    `faults` says, by the number of the candidate, what happens instead: an exception is raised, anything else returned.
    """

    faults: dict[int, Measurement | BaseException] = field(default_factory=dict)
    seen: list[tuple[int, int]] = field(default_factory=list)
    architectures: list[Architecture] = field(default_factory=list)

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement, or do what `faults` says."""
        self.seen.append((candidate.number, fidelity.epochs))
        self.architectures.append(candidate.architecture)
        fault = self.faults.get(candidate.number)
        if isinstance(fault, BaseException):
            raise fault
        if fault is not None:
            return fault.model_copy(update={"fidelity": fidelity, "seed": seed})
        on_epoch(Progress(1, fidelity.epochs, Epoch(train_loss=1, seconds=1), images_per_second=100))
        return fake_measurement(candidate, fidelity, seed)


def fake_measurement(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
    """Return the formula's measurement, in whole thousandths: the same number on every machine."""
    noise = derive_seed(seed, fidelity.epochs) % 50
    accuracy = (100 * fidelity.epochs + candidate.cost.params // 4 + noise) / 1_000
    interference = derive_seed(candidate.cost.params, candidate.cost.macs) % 1_000 / 1_000
    return Measurement(
        fidelity=fidelity,
        seed=seed,
        epochs=(Epoch(train_loss=1 - accuracy, seconds=1, val_accuracy=accuracy, val_loss=1 - accuracy),),
        metrics={"val_accuracy": accuracy, "interference": interference},
        train_seconds=1,
    )


@cache
def small_digits() -> Dataset:
    """Return a part of scikit-learn's digits, small enough to train on in a blink."""
    digits = load_dataset(DataSpec(kind="digits"), seed=0)
    train, validation = (fixed_batch(images, 128, seed=0) for images in (digits.train, digits.validation))
    return replace(digits, train=train, validation=validation)
