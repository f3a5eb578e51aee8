"""What a training measures, and that it measures the same whenever and wherever it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.architecture import Architecture
from nas.budget import cost as cost_of
from nas.errors import InputError
from nas.pareto import DIRECTIONS
from nas.proxies import SCORES
from nas.records import Candidate, Fidelity, Measurement, Pace, Plan, Recipe
from nas.report.quantities import QUANTITIES
from nas.search.evaluator import TrainingEvaluator
from nas.search.loop import run
from nas.search.study import Study
from nas.training.checkpoint import Checkpoints
from nas.training.loop import Stage, train
from nas.value import derive_seed
from tests.core.examples import TASK, architecture, block
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all, digits_config, small_digits

RUNG = Fidelity(epochs=1, resolution=8)
RECIPE = Recipe(batch_size=32)
LADDER = tuple(Fidelity(epochs=epochs, resolution=8) for epochs in (1, 2, 3))


@pytest.fixture
def evaluate() -> TrainingEvaluator:
    """Give an evaluator of a small part of digits."""
    return TrainingEvaluator(small_digits(), RECIPE, Plan())


def candidate(network: Architecture, number: int = 0) -> Candidate:
    return Candidate(number=number, genotype={}, architecture=network, cost=cost_of(network, TASK))


def quiet(_: object) -> None:
    """Hear of an epoch."""


def untimed(made: Measurement) -> Measurement:
    """Return the measurement without what a clock said."""
    metrics = {name: value for name, value in made.metrics.items() if name != "train_seconds"}
    epochs = tuple(epoch.model_copy(update={"seconds": 0}) for epoch in made.epochs)
    return made.model_copy(update={"metrics": metrics, "epochs": epochs, "train_seconds": 0, "images_per_second": 0})


def test_every_metric_can_be_an_objective_or_is_a_diagnostic(evaluate: TrainingEvaluator) -> None:
    made = evaluate(candidate(architecture(block("inverted", expansion=2.0))), RUNG, 0, quiet)
    costs = {"params", "macs", "peak_activation_bytes"}
    diagnostics = {"superlinearity", "channel_kurtosis", "activation_ratio", "train_loss_ema", *SCORES}
    assert set(made.metrics) - diagnostics == set(DIRECTIONS) - costs
    assert set(made.metrics) <= set(QUANTITIES)
    assert all(math.isfinite(value) for value in made.metrics.values())


def test_a_measurement_says_how_it_was_made(evaluate: TrainingEvaluator) -> None:
    fidelity, epochs = Fidelity(epochs=2, resolution=8), []
    made = evaluate(candidate(architecture()), fidelity, 5, lambda progress: epochs.append(progress.last))
    assert (made.fidelity, made.seed, made.epochs) == (fidelity, 5, tuple(epochs))
    assert made.metrics["val_accuracy"] == made.epochs[-1].val_accuracy
    assert made.train_seconds >= made.epochs[0].seconds
    assert made.images_per_second > 0


def test_a_network_without_a_pointwise_map_keeps_its_accuracy(evaluate: TrainingEvaluator) -> None:
    made = evaluate(candidate(architecture(block("residual", expansion=1.0))), RUNG, 0, quiet)
    assert "val_accuracy" in made.metrics
    assert "interference" not in made.metrics


def test_what_cannot_be_measured_leaves_the_accuracy(
    evaluate: TrainingEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InputError("layer 'stem': inputs are not finite")

    monkeypatch.setattr("nas.search.evaluator.measure", fail)
    made = evaluate(candidate(architecture()), RUNG, 0, quiet)
    assert set(made.metrics) == {"train_loss", "train_loss_ema", "train_seconds", "val_accuracy", "val_loss"} | set(
        SCORES
    )


def test_a_divergence_is_a_measurement_without_metrics() -> None:
    evaluate = TrainingEvaluator(small_digits(), Recipe(optimizer="sgd", learning_rate=1e30, batch_size=32), Plan())
    made = evaluate(candidate(architecture()), RUNG, 0, quiet)
    assert made.diverged
    assert (made.epochs, dict(made.metrics)) == ((), {})


def test_networks_are_built_for_the_data_and_not_for_the_target(evaluate: TrainingEvaluator) -> None:
    network = evaluate.training(architecture(), RUNG, 0).build(RUNG)
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_a_seed_gives_one_measurement(evaluate: TrainingEvaluator) -> None:
    first, second, other = (evaluate(candidate(architecture()), RUNG, seed, quiet) for seed in (1, 1, 2))
    assert untimed(first) == untimed(second)
    assert untimed(first).metrics != untimed(other).metrics


def test_the_seed_decides_weights_and_order(evaluate: TrainingEvaluator) -> None:
    network = evaluate.training(architecture(), RUNG, 3).build(RUNG)
    training = train(network, small_digits(), RECIPE, RUNG, Plan(), seed=3)
    made = evaluate(candidate(architecture()), RUNG, 3, quiet)
    assert made.metrics["val_loss"] == training.epochs[0].val_loss


def test_only_the_lowest_rung_measures_zero_cost_scores(evaluate: TrainingEvaluator) -> None:
    laddered = replace(evaluate, ladder=LADDER)
    lowest, next_one = (laddered(candidate(architecture()), rung, 0, quiet) for rung in LADDER[:2])
    assert set(SCORES) <= set(lowest.metrics)
    assert not set(SCORES) & set(next_one.metrics)


def test_zero_cost_scores_change_no_training(evaluate: TrainingEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = evaluate(candidate(architecture()), RUNG, 0, quiet)
    monkeypatch.setattr("nas.search.evaluator.zero_cost_scores", lambda *_: {})
    plain = evaluate(candidate(architecture()), RUNG, 0, quiet)
    assert untimed(scored).epochs == untimed(plain).epochs


def test_a_promotion_goes_on_from_the_rung_below_and_measures_the_same(
    evaluate: TrainingEvaluator, tmp_path: Path
) -> None:
    kept = replace(evaluate, ladder=LADDER, checkpoints=Checkpoints(tmp_path))
    kept(candidate(architecture()), LADDER[0], 0, quiet)
    promoted = kept(candidate(architecture()), LADDER[1], 0, quiet)
    through = replace(evaluate, ladder=LADDER)(candidate(architecture()), LADDER[1], 0, quiet)
    assert (promoted.continued_from, through.continued_from) == (1, 0)
    assert len(promoted.epochs) == len(through.epochs) == 2
    assert untimed(promoted).model_copy(update={"continued_from": 0}) == untimed(through)


def test_a_training_that_takes_far_too_long_is_stopped(
    evaluate: TrainingEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.evaluator.LEAST_SECONDS", 0.0)
    fast = replace(evaluate, pace=Pace(images_per_second=1e12, macs=1))
    made = fast(candidate(architecture()), RUNG, 0, quiet)
    assert (made.stopped, made.diverged, dict(made.metrics)) == ("time", False, {})


@pytest.mark.parametrize("pace", [None, Pace(images_per_second=1e12, macs=1), Pace(images_per_second=1, macs=1)])
def test_a_training_within_its_time_is_not_stopped(evaluate: TrainingEvaluator, pace: Pace | None) -> None:
    assert replace(evaluate, pace=pace)(candidate(architecture()), RUNG, 0, quiet).is_complete


def test_a_training_is_given_twenty_times_what_was_predicted(evaluate: TrainingEvaluator) -> None:
    macs = cost_of(architecture(), TASK.model_copy(update={"in_channels": 1, "resolution": 8})).macs
    slow = replace(evaluate, pace=Pace(images_per_second=10, macs=macs))
    stage = Fidelity(epochs=3, train_fraction=0.5, resolution=8)
    allowed = slow.training(architecture(), stage, 0).seconds_allowed(stage)
    assert allowed == pytest.approx(20 * 3 * 0.5 * len(evaluate.data.train) / 10)


def test_running_out_of_memory_twice_is_a_measurement(
    evaluate: TrainingEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = list[int | None]()

    def no_memory(*_: object, stage: Stage, **__: object) -> None:
        tried.append(stage.halved_from)
        raise torch.OutOfMemoryError

    monkeypatch.setattr("nas.training.stages.train", no_memory)
    made = evaluate(candidate(architecture()), RUNG, 0, quiet)
    assert tried == [None, 0]
    assert (made.stopped, made.epochs, dict(made.metrics)) == ("memory", (), {})


def test_another_fault_of_a_training_is_raised(evaluate: TrainingEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("nas.training.stages.train", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        evaluate(candidate(architecture()), RUNG, 0, quiet)


def test_a_trial_alone_equals_the_trial_in_its_sequence(make_study: MakeStudy, evaluate: TrainingEvaluator) -> None:
    study = make_study(3, given=digits_config())
    run(study, evaluate, accept_all)
    for record in reversed(study.records()):
        alone = evaluate(record.candidate, RUNG, derive_seed(study.config.seed, record.number, "train"), quiet)
        assert untimed(alone) == untimed(record.measurements[0])


def test_a_trial_equals_itself_after_a_kill_and_a_resume(
    make_study: MakeStudy, evaluate: TrainingEvaluator, as_dead_worker: Callable[[], None]
) -> None:
    study, whole = make_study(3, given=digits_config()), make_study(3, given=digits_config(name="whole"))

    def killed(which: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[object], None]) -> Measurement:
        made = evaluate(which, fidelity, seed, on_epoch)
        if which.number == 1:
            raise KeyboardInterrupt
        return made

    with pytest.raises(KeyboardInterrupt):
        run(study, killed, accept_all)
    as_dead_worker()
    run(Study.open(study._storage, study.name), evaluate, accept_all)
    run(whole, evaluate, accept_all)
    for resumed, straight in zip(study.records(), whole.records(), strict=True):
        assert resumed.candidate == straight.candidate
        assert untimed(resumed.measurements[0]) == untimed(straight.measurements[0])
