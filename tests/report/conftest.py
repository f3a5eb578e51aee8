"""A study of synthetic records: random members of the digits space with plausible measurements."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from nas.budget import Budget, cost
from nas.records import Epoch, Fidelity, Measurement, Plan, Recipe, StudyConfig, TrialRecord
from nas.space import SearchSpace
from nas.space_file import load_space
from nas.value import FrozenMap
from nas.view import StudyView
from tests.report.chromium import chromium

RUNGS = (Fidelity(epochs=4, resolution=8), Fidelity(epochs=12, resolution=8), Fidelity(epochs=40, resolution=8))
CAP = 15_000

MakeView = Callable[..., StudyView]
MakeRecord = Callable[..., TrialRecord]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """Give the digits space."""
    return load_space("digits")


@pytest.fixture(scope="session")
def make_record(space: SearchSpace) -> MakeRecord:
    """Build a trial of a random member under the cap, trained up to `rungs` rungs."""

    def make(
        number: int, *, rungs: int = 0, interference: bool = True, diverged: bool = False, **more: Any
    ) -> TrialRecord:
        rng = random.Random(number)
        genotype, architecture, price = _member(space, rng)
        quality = 2.2 + 0.55 * math.log10(price.params) + rng.gauss(0, 0.25)
        overlap = rng.gauss(0.06, 0.05) - 0.02 * quality
        done = [_measurement(rung, quality, overlap if interference else None, rng) for rung in RUNGS[:rungs]]
        if diverged:
            broken = Epoch(train_loss=1e9, seconds=0.4)
            done.append(
                Measurement(
                    fidelity=RUNGS[rungs],
                    seed=1,
                    epochs=(broken,),
                    metrics=FrozenMap({}),
                    train_seconds=0.4,
                    diverged=True,
                )
            )
        return TrialRecord(
            number=number,
            genotype=FrozenMap(genotype),
            architecture=architecture,
            cost=price,
            measurements=tuple(done),
            **more,
        )

    return make


@pytest.fixture(scope="session")
def repeated(make_record: MakeRecord) -> tuple[TrialRecord, ...]:
    """Give 60 trials: each third evaluated, and again from two more seeds, each fifth again from one alone."""
    return tuple(
        _again(make_record(number, rungs=1 if number % 3 else 3), (number % 3 == 0) + (number % 5 == 0))
        for number in range(60)
    )


@pytest.fixture(scope="session")
def make_view(space: SearchSpace) -> MakeView:
    """Build the view of a study from its records; what else is given overrides its configuration."""

    def make(
        records: Sequence[TrialRecord], *, objectives: Sequence[str] = (), budget: Budget | None = None, **more: Any
    ) -> StudyView:
        config: dict[str, Any] = {
            "name": "first search",
            "space_name": space.name,
            "space_text": space.text,
            "target": space.target,
            "budget": Budget(params=CAP),
            "data": "digits",
            "data_fingerprint": "0" * 12,
            "validation_fraction": 0.2,
            "objectives": ("val_accuracy", "params", "interference"),
            "fidelities": RUNGS,
            "recipe": Recipe(),
            "plan": Plan(),
            "seed": 0,
        }
        return StudyView.of(StudyConfig(**(config | more)), records, objectives=objectives, budget=budget)

    return make


@pytest.fixture(scope="session")
def records(make_record: MakeRecord) -> tuple[TrialRecord, ...]:
    """Give 40 trials: 18 evaluated (two without interference), 16 stopped early, 3 diverged, 2 failed, 1 running."""
    return (
        *(make_record(number, rungs=3, interference=number not in {3, 7}) for number in range(18)),
        *(make_record(number, rungs=1 + number % 2) for number in range(18, 34)),
        *(make_record(number, rungs=number - 34, diverged=True) for number in range(34, 37)),
        *(make_record(number, error="worker lost") for number in (37, 38)),
        make_record(39),
    )


@pytest.fixture(scope="session")
def view(make_view: MakeView, records: Sequence[TrialRecord]) -> StudyView:
    """Give the view of the 40 trials."""
    return make_view(records)


def _again(record: TrialRecord, further: int) -> TrialRecord:
    """Return a record with some further trainings at the top rung, and zero-cost scores at the lowest."""
    rng = random.Random(1_000 + record.number)
    lowest, *rest = record.measurements
    accuracy = (rest or [lowest])[-1].metrics["val_accuracy"]
    scores = {"synflow": 10 * accuracy + rng.gauss(0, 1), "swap": rng.uniform(1e3, 1e5), "train_loss_ema": -accuracy}
    lowest = lowest.model_copy(update={"metrics": FrozenMap({**lowest.metrics, **scores})})
    more = []
    for seed in range(further):
        metrics = {**(rest or [lowest])[-1].metrics, "val_accuracy": min(1.0, max(0.0, accuracy + rng.gauss(0, 0.01)))}
        more.append(lowest.model_copy(update={"fidelity": RUNGS[-1], "seed": 2 + seed, "metrics": FrozenMap(metrics)}))
    return record.model_copy(update={"measurements": (lowest, *rest, *more)})


def _member(space: SearchSpace, rng: random.Random) -> tuple[Any, Any, Any]:
    for _ in range(1_000):
        genotype = space.random(rng)
        architecture = space.decode(genotype)
        price = cost(architecture, space.target.task)
        if price.params <= CAP:
            return genotype, architecture, price
    raise AssertionError("no member of the space fits under the cap")


def _measurement(rung: Fidelity, quality: float, overlap: float | None, rng: random.Random) -> Measurement:
    """Return a measurement whose accuracy follows the candidate's quality and grows with the epochs."""
    accuracy = 1 / (1 + math.exp(-(quality - 5.2 + 1.1 * math.log(rung.epochs) + rng.gauss(0, 0.1))))
    metrics = {"val_accuracy": accuracy, "val_loss": -math.log(accuracy), "train_loss": 0.5, "train_seconds": 3.0}
    if overlap is not None:
        metrics |= {"interference": overlap, "cross_talk": overlap + 0.01, "excess_coherence": overlap - 0.01}
        metrics |= {"redundancy": 0.2, "channel_correlation": 0.08}
    epoch = Epoch(train_loss=0.5, seconds=0.1, val_loss=0.4, val_accuracy=accuracy)
    return Measurement(
        fidelity=rung, seed=1, epochs=(epoch,) * rung.epochs, metrics=FrozenMap(metrics), train_seconds=3.0
    )
