"""What a study remembers: status and metrics follow from the facts, JSON gives them back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nas.pareto import DIRECTIONS
from nas.records import SCHEMA_VERSION, Epoch, Fidelity, Measurement, Recipe, Status, StudyConfig, TrialRecord
from nas.value import canonical_json, explain
from tests.core.examples import HIGH, LOW, config, diverged, measurement, record

RUNGS = (LOW, HIGH)


@pytest.mark.parametrize(
    ("trial", "status"),
    [
        (record(), Status.RUNNING),
        (record(measurement(0.5, LOW)), Status.STOPPED_EARLY),
        (record(measurement(0.5, LOW), measurement(0.6, HIGH)), Status.EVALUATED),
        (record(measurement(0.6, HIGH)), Status.EVALUATED),
        (record(diverged(LOW)), Status.DIVERGED),
        (record(measurement(0.5, LOW), diverged(HIGH)), Status.DIVERGED),
        (record(error="disk full"), Status.FAILED),
        (record(measurement(0.6, HIGH), error="disk full"), Status.FAILED),
    ],
)
def test_the_status_follows_from_the_facts(trial: TrialRecord, status: Status) -> None:
    assert trial.status(RUNGS) is status


def test_the_same_record_has_another_status_in_a_study_with_more_rungs() -> None:
    trial = record(measurement(0.5, LOW))
    assert (trial.status([LOW]), trial.status(RUNGS)) == (Status.EVALUATED, Status.STOPPED_EARLY)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        (Fidelity(epochs=1, resolution=8), Fidelity(epochs=2, resolution=8)),
        (Fidelity(epochs=4, train_fraction=0.25, resolution=8), Fidelity(epochs=2, resolution=8)),
        (Fidelity(epochs=1, resolution=8), Fidelity(epochs=1, resolution=16)),
    ],
)
def test_the_best_fidelity_is_the_one_that_sees_most(lower: Fidelity, higher: Fidelity) -> None:
    assert record(measurement(0.9, higher), measurement(0.1, lower)).best_fidelity == higher
    assert record(measurement(0.1, lower), diverged(higher)).best_fidelity == lower


def test_metrics_are_means_over_seeds_at_the_highest_fidelity() -> None:
    seeds = [measurement(accuracy, HIGH, seed=i) for i, accuracy in enumerate((0.5, 0.7))]
    assert record(measurement(0.9, LOW), *seeds).metrics["val_accuracy"] == pytest.approx(0.6)


def test_a_metric_of_some_seeds_is_the_mean_over_those() -> None:
    seeds = [measurement(0.5), measurement(0.7, seed=1, cross_talk=1.0), measurement(0.6, seed=2, cross_talk=3.0)]
    assert record(*seeds).metrics["cross_talk"] == 2


def test_a_diverged_seed_does_not_enter_the_mean() -> None:
    lost = measurement(0.1, seed=1).model_copy(update={"diverged": True})
    assert record(measurement(0.5), diverged(), lost).metrics["val_accuracy"] == 0.5


def test_without_a_measurement_the_metrics_are_the_cost() -> None:
    trial = record(params=7)
    assert trial.best_fidelity is None
    assert trial.metrics == {"params": 7, "macs": 0, "peak_activation_bytes": 0, "weight_bytes": 28}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        measurement(value)
    with pytest.raises(ValidationError, match="finite"):
        Epoch(train_loss=value, seconds=1)


def test_what_a_training_must_have_measured_depends_on_the_study() -> None:
    networks = config(objectives=("val_accuracy", "params", "interference"))
    assert networks.measured(record()) == ("val_accuracy",)
    problem = config(kind="problem", objectives=("max:score", "min:size"))
    assert problem.measured(record().model_copy(update={"costs": {"size": 1.0}})) == ("score",)
    assert problem.measured(record()) == ("score", "size")


def test_records_are_frozen_and_hashed_by_content() -> None:
    one, other = record(measurement(0.5)), record(measurement(0.5))
    assert one == other
    assert len({one, other, record(measurement(0.6))}) == 2
    with pytest.raises(ValidationError, match="frozen"):
        one.error = "changed"


finite = st.floats(allow_nan=False, allow_infinity=False)
measurements = st.builds(
    measurement,
    st.floats(0, 1),
    st.sampled_from(RUNGS),
    seed=st.integers(0, 2**32 - 1),
    cross_talk=finite,
)


@given(st.lists(measurements, max_size=3), st.integers(0), st.text())
def test_a_record_survives_json(made: list[Measurement], number: int, error: str) -> None:
    trial = record(*made, number=number, error=error)
    again = TrialRecord.model_validate_json(canonical_json(trial))
    assert again == trial
    assert canonical_json(again) == canonical_json(trial)


def test_gene_values_keep_their_types_in_json() -> None:
    genotype = {"a": 1, "b": 0.5, "c": True, "d": "relu", "e": 1.0}
    trial = record().model_copy(update={"genotype": genotype})
    again = TrialRecord.model_validate_json(canonical_json(trial)).genotype
    assert {name: type(value) for name, value in again.items()} == {name: type(genotype[name]) for name in genotype}


def test_a_config_survives_json_and_says_its_schema() -> None:
    again = StudyConfig.model_validate_json(canonical_json(config()))
    assert again == config()
    assert again.schema_version == SCHEMA_VERSION


def test_the_space_of_a_config_is_not_printed() -> None:
    assert "[[stage]]" in config().space_text
    assert "[[stage]]" not in repr(config())


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"objectives": ("val_acuracy",)}, "objectives: unknown objective 'val_acuracy'; did you mean 'val_accuracy'?"),
        ({"objectives": ()}, "objectives: objectives: name at least one"),
        ({"fidelities": ()}, "fidelities: tuple should have at least 1 item"),
        ({"validation_fraction": 1.0}, "validation_fraction: input should be less than 1"),
        ({"reduction": 1}, "reduction: input should be greater than or equal to 2"),
        ({"colour": "red"}, "colour: extra inputs are not permitted"),
    ],
)
def test_an_invalid_config_is_refused(fields: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        config(**fields)
    assert explain(caught.value).startswith(fault)


@pytest.mark.parametrize("fields", [{"learning_rate": 0}, {"batch_size": 1}, {"momentum": 1}, {"optimizer": "lion"}])
def test_a_recipe_that_cannot_train_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(fields)


@pytest.mark.parametrize("fields", [{"epochs": 0}, {"train_fraction": 0}, {"train_fraction": 1.1}, {"resolution": 0}])
def test_an_impossible_fidelity_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Fidelity.model_validate({"epochs": 1, "resolution": 8, **fields})


def test_every_cost_is_an_objective_or_follows_from_one() -> None:
    assert set(record().cost.model_dump()) - set(DIRECTIONS) == {"weight_bytes"}
