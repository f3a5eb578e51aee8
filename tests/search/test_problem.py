"""Problems of one's own: what is searched, what is recorded, and what is refused in one line."""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nas.errors import CapError, InputError, NasError, StudyError
from nas.problem import Problem
from nas.records import Assignment, Candidate, Fidelity, Measurement, Status
from nas.search.loop import Event, Exhausted, Finished
from nas.search.problem import ProblemEvaluator, solve
from nas.search.samplers.named import SAMPLERS
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space import Genotype
from nas.value import FrozenMap, derive_seed

CHOICES = {"depth": (1, 2, 3), "kernel": (3, 5, 7), "act": ("relu", "gelu"), "skip": (True, False)}
QUICK = [name for name in SAMPLERS if name != "gp"]
"""Samplers that ask in milliseconds, for tests that ask often."""
LADDER = tuple(Fidelity(epochs=epochs, resolution=1) for epochs in (1, 3, 9))


def accuracy(genotype: Genotype) -> float:
    return genotype["depth"] + genotype["kernel"] / 10 + (genotype["act"] == "gelu") / 100 + genotype["skip"] / 1_000


def cost(genotype: Genotype) -> Mapping[str, float]:
    return {"params": genotype["depth"] * genotype["kernel"] ** 2, "delay": 0.5 * genotype["depth"]}


def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
    metrics = {"accuracy": accuracy(candidate.genotype), "loss": -accuracy(candidate.genotype)}
    return Measurement(fidelity=fidelity, seed=seed, metrics=metrics)


def measured(**metrics: float) -> Callable[..., Measurement]:
    """Return an evaluator that always measures the same."""
    return lambda _, fidelity, seed: Measurement(fidelity=fidelity, seed=seed, metrics=metrics)


def problem(**given: Any) -> Problem:
    usual = {
        "name": "toy",
        "choices": CHOICES,
        "objectives": {"accuracy": "maximize"},
        "evaluate": evaluate,
        "cost": cost,
        "caps": {"params": 75},
    }
    return Problem(**usual | given)


def refusal(run: Callable[[], object], kind: type[NasError] = InputError) -> str:
    """Return the one line that something is refused with."""
    with pytest.raises(kind) as caught:
        run()
    said = str(caught.value)
    assert "\n" not in said
    return said


def keys(records: Any) -> list[str]:
    return [record.arch_id for record in records]


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


def test_the_same_call_goes_on(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    whole = solve(problem(), 12)
    first = solve(problem(), 5, storage=url, study="mine")
    again = solve(problem(), 12, storage=url, study="mine")
    assert keys(again.records)[:5] == keys(first.records)
    assert keys(again.records) == keys(whole.records)


def test_a_search_that_was_cut_off_evaluates_nothing_twice(tmp_path: Path) -> None:
    url, asked = sqlite_url(tmp_path / "study.db"), []

    def cut_off(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        asked.append(candidate.arch_id if hasattr(candidate, "arch_id") else candidate.architecture.arch_id)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return evaluate(candidate, fidelity, seed)

    with pytest.raises(KeyboardInterrupt):
        solve(problem(evaluate=cut_off), 8, storage=url)
    view = solve(problem(evaluate=cut_off), 8, storage=url)
    assert view.counts[Status.EVALUATED] == 8
    assert len(asked) == 9  # the one that was cut off, once more
    assert len(set(asked)) == 8


def test_every_database_will_do(url: str) -> None:
    view = solve(problem(), 6, storage=url, study="of-its-own")
    assert len(view.records) == 6
    opened = open_storage(url)
    assert Study.open(opened, "of-its-own").records() == view.records
    opened.remove_session()
    opened.engine.dispose()


def test_a_new_file_is_laid_out_as_optuna_would(tmp_path: Path) -> None:
    from optuna.storages import RDBStorage

    ours = open_storage(sqlite_url(tmp_path / "ours.db"), create=True)
    plain = RDBStorage(f"sqlite:///{tmp_path / 'plain.db'}")
    query = "SELECT name, sql FROM sqlite_master ORDER BY name"
    with ours.engine.connect() as one, plain.engine.connect() as other:
        tables = [[(n, "".join((q or "").split())) for n, q in c.exec_driver_sql(query)] for c in (one, other)]
        stamps = [c.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() for c in (one, other)]
    assert tables[0] == tables[1]
    assert stamps[0] == stamps[1] == [plain.get_head_version()]
    for each in (ours, plain):
        each.remove_session()
        each.engine.dispose()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": {"loss": "minimize"}}, "a different objectives"),
        ({"caps": {"params": 60}}, "a different caps"),
        ({"caps": {"delay": 1.0}}, "a different caps"),
        ({"fidelities": LADDER}, "a different fidelities"),
        ({"choices": CHOICES | {"depth": (1, 2)}}, "other choices: depth: 1, 2, 3 then, 1, 2 now"),
        ({"name": "tea"}, "a different space name"),
    ],
)
def test_another_problem_does_not_go_on_with_a_study(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 2, storage=url, study="s")
    assert said in refusal(lambda: solve(problem(**change), 4, storage=url, study="s"), StudyError)


@pytest.mark.parametrize("change", [{"seed": 1}, {"sampler": "random"}, {"reduction": 3}])
def test_another_way_does_not_go_on_with_a_study(tmp_path: Path, change: dict[str, Any]) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 2, storage=url)
    assert f"a different {next(iter(change))}" in refusal(lambda: solve(problem(), 4, storage=url, **change))


def test_choices_in_another_order_are_the_same(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 2, storage=url)
    assert len(solve(problem(choices=dict(reversed(CHOICES.items()))), 4, storage=url).records) == 4


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


# What ends early


def endings(run: Problem, n_trials: int, **more: Any) -> tuple[int, list[str]]:
    """Return how many trials a search came to, and why it ended early."""
    events: list[Event] = []
    view = solve(run, n_trials, on_event=events.append, **more)
    return len(view.records), [event.reason for event in events if isinstance(event, Exhausted)]


@pytest.mark.parametrize("sampler", QUICK)
def test_a_space_smaller_than_the_trials_is_seen_to_its_end(sampler: str) -> None:
    count, reasons = endings(problem(caps={}), 50, sampler=sampler)
    assert (count, reasons) == (36, ["space 'toy': all 36 members within the caps were seen"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_member_is_a_search_of_one_trial(sampler: str) -> None:
    one = problem(choices={name: values[:1] for name, values in CHOICES.items()})
    assert endings(one, 5, sampler=sampler) == (1, ["space 'toy': all 1 members within the caps were seen"])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_cap_that_leaves_three_members_ends_after_three_trials(sampler: str, workers: int) -> None:
    three = problem(choices=CHOICES | {"act": ("relu",), "skip": (True,)}, caps={"params": 26})
    count, reasons = endings(three, 50, sampler=sampler, workers=workers)
    assert count == 3
    assert set(reasons) == {"space 'toy': all 3 members within the caps were seen"}


def test_a_space_of_thousands_is_seen_to_its_end() -> None:
    from nas.search.samplers.fresh import ExhaustedError, new_member

    many = {f"g{i}": (1, 2, 3) for i in range(9)}
    members = problem(choices=many, cost=lambda g: {"params": sum(g.values())}, caps={"params": 11}).members
    seen: set[str] = set()
    for number in range(55):
        seen.add(members.key(new_member(members, [], seen, random.Random(number))))
    assert len(seen) == 55
    with pytest.raises(ExhaustedError, match="all 55 members within the caps were seen"):
        new_member(members, [], seen, random.Random(0))


def test_an_early_end_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        solve(problem(), 50)
    assert "problem toy: the search ends early: space 'toy': all " in caplog.text


@pytest.mark.parametrize("sampler", QUICK)
def test_constant_objectives_are_searched_all_the_same(sampler: str) -> None:
    view = solve(
        problem(evaluate=measured(accuracy=1, loss=1), objectives={"accuracy": "maximize"}), 15, sampler=sampler
    )
    assert len(set(keys(view.records))) == 15
    wanted = {"accuracy": "maximize", "loss": "minimize"}
    assert (
        len(solve(problem(evaluate=measured(accuracy=1, loss=1), objectives=wanted), 15, sampler=sampler).front) == 15
    )


# Faults of an evaluator


def broken(fault: Callable[[Candidate, Fidelity, int], object], *numbers: int) -> Callable[..., Any]:
    """Return an evaluator that does something else for some candidates."""
    return lambda candidate, fidelity, seed: (
        fault(candidate, fidelity, seed) if candidate.number in numbers else evaluate(candidate, fidelity, seed)
    )


def raise_it(*_: object) -> object:
    raise KeyError("no such row\nin the table")


def other_fidelity(_: Candidate, __: Fidelity, seed: int) -> Measurement:
    return Measurement(fidelity=LADDER[1], seed=seed, metrics={"accuracy": 1})


FAULTS = {
    "raises": (raise_it, "InputError: the evaluator raised KeyError: 'no such row\\nin the table'"),
    "nan": (measured(accuracy=math.nan), "metrics.accuracy: input should be a finite number, got nan"),
    "infinite": (measured(accuracy=math.inf), "metrics.accuracy: input should be a finite number, got inf"),
    "text": (measured(accuracy="high"), "metrics.accuracy: input should be a valid number"),  # type: ignore[arg-type]
    "wrong key": (measured(acc=1), "the evaluator gave no 'accuracy'; it gave acc"),
    "nothing": (lambda *_: None, "the evaluator gave None, which is no Measurement"),
    "number": (lambda *_: 93.1, "the evaluator gave 93.1, which is no Measurement"),
    "fidelity": (other_fidelity, "another fidelity or seed than it was asked for"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_recorded_with_its_reason_and_the_search_goes_on(fault: str) -> None:
    function, said = FAULTS[fault]
    view = solve(problem(evaluate=broken(function, 2, 5)), 10)
    assert [record.number for record in view.records if record.error] == [2, 5]
    assert said in view.records[2].error
    assert "\n" not in view.records[2].error
    assert len(set(keys(view.records))) == 10
    assert view.counts[Status.EVALUATED] == 8


@pytest.mark.parametrize("fault", FAULTS)
def test_three_faults_in_a_row_end_the_search(fault: str) -> None:
    function, said = FAULTS[fault]
    assert said in refusal(lambda: solve(problem(evaluate=function), 10), NasError)


@pytest.mark.parametrize("sampler", QUICK)
def test_no_sampler_asks_for_a_member_that_failed_again(sampler: str) -> None:
    view = solve(problem(evaluate=broken(raise_it, 0, 1, 3, 6, 8), caps={}), 36, sampler=sampler)
    assert len(set(keys(view.records))) == 36


@pytest.mark.parametrize("limit", [{"diverged": True}, {"stopped": "time"}])
def test_an_evaluation_may_come_to_no_end(limit: dict[str, Any]) -> None:
    def ended(_: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        return Measurement(fidelity=fidelity, seed=seed, metrics={}, **limit)

    view = solve(problem(evaluate=broken(ended, 1)), 6)
    assert view.status(view.records[1]) in {Status.DIVERGED, Status.TOO_SLOW}
    assert not view.records[1].error


def test_a_fault_keeps_its_cause() -> None:
    evaluator = ProblemEvaluator(problem(evaluate=raise_it))
    (record,) = solve(problem(), 1).records
    with pytest.raises(InputError) as caught:
        evaluator(record, LADDER[0], 0, lambda _: None)
    assert isinstance(caught.value.__cause__, KeyError)


def test_events_tell_of_every_trial() -> None:
    events: list[Event] = []
    solve(problem(), 5, on_event=events.append)
    assert [event.job.candidate.number for event in events if isinstance(event, Finished)] == [0, 1, 2, 3, 4]


# Faults of a problem


def raising(_: Genotype) -> Any:
    raise ZeroDivisionError("division by zero")


def nan_when_deep(genotype: Genotype) -> Mapping[str, float]:
    return {"params": math.nan if genotype["depth"] == 3 else 1.0}


SWAPS = {"relu": "gelu", "gelu": "relu"}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no choices": ({"choices": {}}, "no choice, name at least one"),
    "no values": ({"choices": {"x": ()}}, "choice 'x' needs values, each once, got []"),
    "values twice": ({"choices": {"x": (1, 1)}}, "choice 'x' needs values, each once, got [1, 1]"),
    "values alike": ({"choices": {"x": (1, True)}}, "each once, got [1, True]"),
    "no list": ({"choices": {"x": 3}}, "choice 'x' needs a list of values, got 3"),
    "a text": ({"choices": {"x": "abc"}}, "choice 'x' needs a list of values, got 'abc'"),
    "none": ({"choices": {"x": (None, 1)}}, "a value must be text, a finite number, true or false, got None"),
    "a pair": ({"choices": {"x": ((1, 2), 1)}}, "got (1, 2)"),
    "nan": ({"choices": {"x": (math.nan, 1.0)}}, "got nan"),
    "no name": ({"choices": {"": (1, 2)}}, "the name of a choice must be text, got ''"),
    "a number": ({"choices": {1: (1, 2)}}, "the name of a choice must be text, got 1"),
    "no objective": ({"objectives": {}}, "no objective, name at least one"),
    "direction": ({"objectives": {"accuracy": "max"}}, "'maximize' or 'minimize', got 'max'"),
    "colon": ({"objectives": {"max:accuracy": "maximize"}}, "without a colon"),
    "no cap": ({"caps": {"params": 0}}, "the cap on 'params' must be a finite number above 0, got 0"),
    "cap of nan": ({"caps": {"params": math.nan}}, "got nan"),
    "cap in words": ({"caps": {"params": "1.5M"}}, "got '1.5M'"),
    "no rung": ({"fidelities": ()}, "name at least one rung"),
    "rungs alike": ({"fidelities": LADDER[:1] * 2}, "each once"),
    "rungs of numbers": ({"fidelities": (1, 2)}, "name at least one rung"),
    "no evaluator": ({"evaluate": None}, "evaluate must be a function, got None"),
    "cap of nothing": ({"caps": {"macs": 9}}, "lacks 'macs', which has a cap; it gives params, delay"),
    "cost raises": ({"cost": raising}, "raised ZeroDivisionError: division by zero"),
    "cost of nan": ({"cost": nan_when_deep}, "gives 'params' as nan, which is no finite number"),
    "cost in words": ({"cost": lambda _: {"params": "many"}}, "must map names to numbers, got {'params': 'many'}"),
    "a number as cost": ({"cost": lambda _: 3}, "must map names to numbers, got 3"),
    "negative": ({"cost": lambda _: {"params": -1}}, "gives 'params' as -1, which is below 0"),
    "costs come and go": (
        {"cost": lambda g: {"params": 1} | ({"macs": 1} if g["depth"] == 1 else {})},
        "lacks 'macs', which others have",
    ),
    "normal raises": ({"normal": raising}, "`normal` of {'depth': 1"),
    "normal gives none": ({"normal": lambda _: None}, "no member: `normal` gave None for all 36 genotypes"),
    "normal strays": (
        {"normal": lambda g: {**g, "kernel": 4}},
        "`normal` gave has kernel 4, which must be one of 3, 5, 7",
    ),
    "normal drops": ({"normal": lambda _: {"depth": 1}}, "what `normal` gave lacks 'kernel'"),
    "normal adds": ({"normal": lambda g: {**g, "more": 1}}, "has 'more', which is no choice"),
    "normal gives text": ({"normal": lambda _: "same"}, "must map each choice to its value, got 'same'"),
    "normal gives a list": ({"normal": lambda g: {**g, "kernel": [3]}}, "has kernel [3]"),
    "normal turns": ({"normal": lambda g: {**g, "act": SWAPS[g["act"]]}}, "`normal` must leave what it gives as it is"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_searched_is_refused_before_anything_runs(case: str) -> None:
    def never(*_: object) -> Measurement:
        raise AssertionError("evaluated")

    change, said = BAD[case]
    line = refusal(lambda: solve(problem(**{"evaluate": never} | change), 5))
    assert line.startswith("problem toy: ")
    assert said in line


def test_a_cap_below_every_member_names_the_closest() -> None:
    said = refusal(lambda: solve(problem(caps={"params": 8, "delay": 9}), 5), CapError)
    assert said == (
        "problem toy: no member is within the caps; the closest of all 36 genotypes has "
        "params 9, cap 8, delay 0.5, cap 9"
    )


def test_a_large_space_without_a_member_is_refused_in_bounded_time() -> None:
    large = {f"g{i}": (1, 2, 3) for i in range(30)}
    over = problem(choices=large, cost=lambda g: {"params": sum(g.values())}, caps={"params": 29})
    assert "the closest of 20,000 random genotypes has params" in refusal(lambda: solve(over, 5), CapError)
    nothing = problem(choices=large, cost=lambda _: {}, caps={}, normal=lambda _: None)
    assert "gave None for 20,000 random genotypes" in refusal(lambda: solve(nothing, 5))


def test_a_cap_that_only_the_smallest_keeps_to_is_found_in_a_large_space() -> None:
    large = {f"g{i}": (1, 2, 3) for i in range(30)}
    tight = problem(
        choices=large, cost=lambda g: {"params": sum(g.values())}, caps={"params": 30}, evaluate=measured(accuracy=1)
    )
    count, reasons = endings(tight, 5)
    assert count == 1
    assert "no new member within the caps" in reasons[0]


def test_a_fault_in_the_midst_ends_the_search_in_one_line() -> None:
    seen = set()

    def fragile(genotype: Genotype) -> Mapping[str, float]:
        seen.add(tuple(genotype.values()))
        if len(seen) > 150:
            raise OSError("the farm is closed")
        return {"params": 1}

    large = problem(choices={f"g{i}": (1, 2, 3) for i in range(9)}, cost=fragile, evaluate=measured(accuracy=1))
    assert "raised OSError: the farm is closed" in refusal(lambda: solve(large, 1_000, sampler="random"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_trials": 0}, "n_trials must be a whole number of at least 1, got 0"),
        ({"n_trials": 2.5}, "got 2.5"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"max_hours": 0}, "max_hours must be above 0, got 0"),
        ({"reduction": 1}, "reduction: input should be greater than or equal to 2, got 1"),
        ({"storage": "nonsense"}, "not a database URL"),
    ],
)
def test_arguments_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    assert said in refusal(lambda: solve(problem(), **{"n_trials": 5} | given))


def test_functions_may_change_what_they_are_given() -> None:
    def greedy(genotype: Any) -> Mapping[str, float]:
        found = cost(genotype)
        genotype.clear()
        return found

    assert len(solve(problem(cost=greedy), 5).records) == 5


def test_hours_end_a_search(tmp_path: Path) -> None:
    view = solve(problem(), 20, max_hours=1e-9, storage=sqlite_url(tmp_path / "study.db"))
    assert 1 <= len(view.records) < 20
