"""A trial trained again exactly as it was, and held against its record: the same bits, or what differs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nas.errors import StudyError
from nas.records import Measurement, StudyConfig, TrialRecord
from nas.results import StudyFolder, changes_of_environment, environment
from nas.search.evaluator import TrainingEvaluator
from nas.training.checkpoint import Checkpoints
from nas.training.loop import Progress

CLOCKED = {"train_seconds"}
"""Metrics that a clock decides about."""


@dataclass(frozen=True)
class Compared:
    """One value of a trial at a rung, counted from 1: as recorded, and as it came out now; None is not there."""

    rung: int
    metric: str
    recorded: float | None
    now: float | None

    @property
    def is_equal(self) -> bool:
        """Whether both are the same number to the bit."""
        return self.recorded == self.now


def replayable(config: StudyConfig, record: TrialRecord, rung: int | None) -> tuple[Measurement, ...]:
    """Return the trial's own measurements that a training can give again: all, or that at a rung counted from 1.

    StudyError where there is none: what a limit of time or memory stopped depends on the machine's other work.
    """
    named = f"study {config.name!r}: trial {record.number}"
    if not record.own:
        raise StudyError(f"{named} has no measurement to compare: it is {record.status(config.fidelities)}")
    rungs = [_rung(config, each) for each in record.own]
    if rung is not None and rung not in rungs:
        raise StudyError(f"{named} was not trained at rung {rung}; it has rung {', '.join(map(str, rungs))}")
    asked = [each for each, own in zip(record.own, rungs, strict=True) if rung in {None, own}]
    found = tuple(each for each in asked if each.stopped is None)
    if not found:
        raise StudyError(f"{named} was stopped for lack of {asked[0].stopped}, which no training can repeat")
    return found


def replay(
    config: StudyConfig,
    evaluate: TrainingEvaluator,
    record: TrialRecord,
    measurements: Sequence[Measurement],
    on_epoch: Callable[[int, Progress], None] = lambda *_: None,
) -> Iterator[Compared]:
    """Train a trial again through the rungs of its `measurements`, and yield each value beside the recorded one.

    The study's checkpoints are neither read nor written. `on_epoch` hears of the rung as well.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder, before = Path(scratch), measurements[0]
        for each in measurements:
            rung = _rung(config, each)
            folder = folder if _goes_on(before, each) else Path(scratch) / str(rung)  # else from its first epoch
            kept = Checkpoints(folder, evaluate.tell, seconds_at_risk=math.inf)
            again = replace(evaluate, checkpoints=kept, pace=None, halved_from=each.halved_from)
            made = again(record, each.fidelity, each.seed, partial(on_epoch, rung))
            yield from _compared(rung, each, made)
            before = each


def reasons(config: StudyConfig, folder: StudyFolder) -> list[str]:
    """Return what may have made a difference, in words: all that is known to have changed since the study ran."""
    recorded = folder.environment()
    found = [] if config.plan.device == "cpu" else [f"on {config.plan.device} sums are added up in no fixed order"]
    if recorded is None:
        return [*found, f"{folder.path / 'study.json'} does not say where it was trained"]
    return [*found, *changes_of_environment(recorded, environment())]


def _rung(config: StudyConfig, measurement: Measurement) -> int:
    return config.fidelities.index(measurement.fidelity) + 1


def _goes_on(before: Measurement, after: Measurement) -> bool:
    """Say whether a training of the first is one of the second, as far as that one goes."""
    split = after.halved_from
    return before.halved_from == split or (before.halved_from is None and (split or 0) >= len(before.epochs))


def _compared(rung: int, recorded: Measurement, made: Measurement) -> Iterator[Compared]:
    yield Compared(rung, "epochs", len(recorded.epochs), len(made.epochs))
    yield Compared(rung, "diverged", float(recorded.diverged), float(made.diverged))
    for i, (before, now) in enumerate(zip(recorded.epochs, made.epochs, strict=False), start=1):
        yield Compared(rung, f"epoch {i}: train_loss", before.train_loss, now.train_loss)
    for name in dict.fromkeys([*recorded.metrics, *made.metrics]):
        if name not in CLOCKED:
            yield Compared(rung, name, recorded.metrics.get(name), made.metrics.get(name))
