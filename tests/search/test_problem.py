"""Problems of one's own: what is searched and what is recorded."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nas.errors import NasError
from nas.problem import Problem
from nas.records import Assignment, Candidate, Fidelity, Measurement, Status
from nas.search.problem import solve
from nas.search.samplers.named import SAMPLERS
from nas.search.storage import sqlite_url
from nas.space import Genotype
from nas.value import FrozenMap, derive_seed
from tests.search.toy import CHOICES, LADDER, QUICK, accuracy, cost, keys, measured, problem, refusal

# What comes out


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_evaluates_members_within_the_cap_once(sampler: str) -> None:
    view = solve(problem(), 8 if sampler == "gp" else 20, sampler=sampler)
    assert len(set(keys(view.records))) == len(view.records) >= 8
    assert all(record.costs["params"] <= 75 for record in view.records)
    best = max(accuracy(record.genotype) for record in view.records)
    assert view.best is not None
    assert view.best.metrics["accuracy"] == best >= 2


def test_the_same_seed_gives_the_same_search() -> None:
    first, again, other = (solve(problem(), 8, seed=seed) for seed in (0, 0, 1))
    assert keys(first.records) == keys(again.records) != keys(other.records)


def test_a_record_holds_what_its_owner_gave() -> None:
    (record,) = solve(problem(), 1).records
    assert dict(record.costs) == cost(record.genotype)
    assert record.metrics == {**cost(record.genotype), "accuracy": accuracy(record.genotype)} | record.metrics
    assert record.cost.params == record.costs["params"]
    assert record.architecture == Assignment(choices=record.genotype)


def test_values_keep_their_kind_through_the_database() -> None:
    choices = {"share": (0.25, 0.5), "count": (1, 2), "is_wide": (True, False), "name": ("1", "true")}
    view = solve(problem(choices=choices, cost=lambda _: {}, caps={}, evaluate=measured(accuracy=1)), 4)
    for record in view.records:
        assert all(
            type(value) is type(choices[name][0]) and value in choices[name] for name, value in record.genotype.items()
        )


def test_an_objective_that_is_a_cost_need_not_be_measured() -> None:
    view = solve(problem(objectives={"params": "minimize", "accuracy": "maximize"}), 20)
    assert {record.costs["params"] for record in view.front} >= {9.0}
    assert view.config.quality.name == "accuracy"


def test_three_objectives_give_a_front() -> None:
    wanted = {"accuracy": "maximize", "params": "minimize", "loss": "minimize"}
    view = solve(problem(objectives=wanted), 25)
    assert {objective.name for objective in view.objectives} == set(wanted)
    assert 1 < len(view.front) < 25


def test_nothing_need_be_known_but_choices_and_an_evaluator() -> None:
    plain = Problem("plain", {"x": tuple(range(9))}, {"y": "minimize"}, measured(y=0))
    assert len(solve(plain, 5).records) == 5


def test_every_evaluation_has_a_seed_of_its_own() -> None:
    seeds = [record.measurements[0].seed for record in solve(problem(), 8).records]
    assert len(set(seeds)) == 8
    assert seeds[3] == derive_seed(0, 3, "train")


def test_equal_members_are_evaluated_once() -> None:
    def first_act(genotype: Genotype) -> Genotype:
        return genotype if genotype["depth"] > 1 else {**genotype, "act": "relu", "skip": True}

    view = solve(problem(normal=first_act, caps={}), 100)
    assert len(view.records) == 27
    assert all(first_act(record.genotype) == record.genotype for record in view.records)


def test_what_is_no_member_is_not_evaluated() -> None:
    view = solve(problem(normal=lambda genotype: genotype if genotype["skip"] else None, caps={}), 100)
    assert len(view.records) == 18
    assert all(record.genotype["skip"] for record in view.records)


@pytest.mark.parametrize("sampler", QUICK)
def test_members_may_be_rare(sampler: str) -> None:
    choices = {f"g{i}": (0, 1, 2) for i in range(7)}
    rare = problem(
        choices=choices,
        cost=lambda genotype: {"params": 1 + sum(genotype.values())},
        caps={"params": 9},
        normal=lambda genotype: genotype if sum(v * 3**i for i, v in enumerate(genotype.values())) % 37 == 5 else None,
        evaluate=measured(accuracy=1),
    )
    view = solve(rare, 15, sampler=sampler)
    assert len(set(keys(view.records))) == 15
    assert all(record.costs["params"] <= 9 for record in view.records)


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.floats(2, 60), st.floats(2, 60), st.integers(0, 10**6))
def test_a_genotype_is_shrunk_into_several_caps_at_once(one: float, two: float, seed: int) -> None:
    choices = {f"g{i}": (1, 2, 4, 8) for i in range(6)}

    def halves(genotype: Genotype) -> Mapping[str, float]:
        values = list(genotype.values())
        return {"one": sum(values[:3]), "two": sum(values[3:])}

    members = problem(choices=choices, cost=halves, caps={"one": one + 1, "two": two + 1}).members
    fitted = members.fit(members.random(random.Random(seed)))
    assert fitted is not None
    assert members.load(fitted) <= 1


def test_the_key_of_a_member_is_the_id_that_its_record_has() -> None:
    genotype = {"depth": 2, "kernel": 5, "act": "größer", "skip": True}
    members = problem(choices=CHOICES | {"act": ("größer", "gelu")}).members
    assert members.key(genotype) == Assignment(choices=FrozenMap(genotype)).arch_id


# A table


def test_a_table_is_searched_in_a_few_lines(tmp_path: Path) -> None:
    rows = {
        f"{a}{b}{c}": {"accuracy": [70 + a + 2 * b - c + i / 10 for i in range(3)], "params": 10 * (a + b + c) + 5}
        for a in range(3)
        for b in range(3)
        for c in range(3)
    }
    path = tmp_path / "table.json"
    path.write_text(json.dumps(rows))
    table = json.loads(path.read_text())

    def row(genotype: Genotype) -> Any:
        return table["".join(map(str, genotype.values()))]

    def look_up(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        accuracies = row(candidate.genotype)["accuracy"]
        metrics = {"accuracy": accuracies[seed % len(accuracies)]}
        return Measurement(fidelity=fidelity, seed=seed, metrics=metrics)

    view = solve(
        Problem(
            name="table",
            choices={f"layer{i}": (0, 1, 2) for i in range(3)},
            objectives={"accuracy": "maximize", "params": "minimize"},
            evaluate=look_up,
            cost=lambda genotype: {"params": row(genotype)["params"]},
            caps={"params": 45},
        ),
        n_trials=22,
    )
    assert view.best is not None
    assert dict(view.best.genotype) == {"layer0": 2, "layer1": 2, "layer2": 0}
    assert max(record.costs["params"] for record in view.records) <= 45


# Rungs, workers, databases


def test_rungs_are_climbed_by_the_better_part() -> None:
    def slowly(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        value = accuracy(candidate.genotype) * fidelity.epochs
        return Measurement(fidelity=fidelity, seed=seed, metrics={"accuracy": value})

    view = solve(problem(evaluate=slowly, fidelities=LADDER, caps={}), 24)
    reached = [record for record in view.records if len({m.fidelity for m in record.measurements}) > 1]
    assert 8 <= len(reached) <= 12
    below = [accuracy(record.genotype) for record in view.records if record not in reached]
    assert sum(accuracy(record.genotype) for record in reached) / len(reached) > sum(below) / len(below)
    assert view.best is not None
    assert view.best.best_fidelity in LADDER[1:]


def test_a_loss_climbs_rungs_as_an_accuracy_does() -> None:
    view = solve(problem(objectives={"loss": "minimize"}, fidelities=LADDER, caps={}), 24)
    reached = [record.metrics["loss"] for record in view.records if len(record.own) > 1]
    assert sum(reached) / len(reached) < sum(record.metrics["loss"] for record in view.records) / len(view.records)


def test_workers_share_a_search() -> None:
    view = solve(problem(), 20, workers=3)
    assert len(set(keys(view.records))) == 20
    assert view.counts[Status.EVALUATED] == 20


def test_a_fault_of_one_worker_ends_the_search() -> None:
    def broken(*_: object) -> Measurement:
        raise OSError("the device is gone")

    said = refusal(lambda: solve(problem(evaluate=broken), 20, workers=2), NasError)
    assert said.endswith("the evaluator raised OSError: the device is gone")


# Samplers


@pytest.mark.parametrize(
    "make",
    [
        lambda: optuna.samplers.RandomSampler(seed=0),
        lambda: optuna.samplers.TPESampler(seed=0),
        lambda: optuna.samplers.QMCSampler(seed=0, warn_asynchronous_seeding=False, warn_independent_sampling=False),
        lambda: optuna.samplers.BruteForceSampler(seed=0),
        lambda: optuna.samplers.GridSampler(CHOICES, seed=0),
    ],
    ids=["random", "tpe", "qmc", "brute force", "grid"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_any_sampler_of_optuna_may_be_passed(make: Callable[[], optuna.samplers.BaseSampler], tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 6, sampler=make(), storage=url)
    view = solve(problem(), 20, sampler=make(), storage=url)
    assert len(set(keys(view.records))) == 20
    assert all(record.costs["params"] <= 75 for record in view.records)


@pytest.mark.parametrize("sampler", [None, optuna.samplers.TPESampler, 3, "best"])
def test_what_is_no_sampler_is_refused(sampler: Any) -> None:
    assert "sampler" in refusal(lambda: solve(problem(), 3, sampler=sampler))
