"""Samplers of Optuna under the cap, and what evolution and local search do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nas.errors import InputError
from nas.search.samplers import named
from nas.search.samplers.feasible import FeasibleSampler
from nas.search.samplers.fresh import ExhaustedError
from nas.search.samplers.local import START
from nas.search.samplers.named import Wanted, sampler
from nas.search.samplers.space import distributions
from tests.search.played import Played, all_keys, plain, search

# Samplers of others, and of that name


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: optuna.samplers.QMCSampler(seed=0, warn_independent_sampling=False),
        lambda: optuna.samplers.BruteForceSampler(seed=0),
        lambda: optuna.samplers.TPESampler(seed=0),
        lambda: optuna.samplers.PartialFixedSampler({"gene0": 2}, optuna.samplers.RandomSampler(seed=0)),
    ],
    ids=["quasi-random", "brute force", "tpe", "partly fixed"],
)
def test_a_sampler_object_of_optuna_finds_a_capped_space_whole(make: Callable[[], BaseSampler]) -> None:
    members, inner, found = plain(genes=3, cap=5), make(), set()
    study = optuna.create_study(sampler=FeasibleSampler(members, lambda _: inner, seed=0))
    for number in range(len(all_keys(members))):
        trial = study.ask(distributions(members.genes))
        assert members.load(trial.params) <= 1
        found.add(members.key(trial.params))
        study.tell(trial, number % 5)
    assert found == all_keys(members)
    with pytest.raises(ExhaustedError):
        study.ask(distributions(members.genes))


@pytest.mark.parametrize(("name", "kind", "most"), [("random", "RandomSampler", 4), ("gp", "GPSampler", 1)])
def test_a_sampler_is_asked_again_where_its_suggestion_is_not_new(
    name: str, kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn(optuna.samplers.RandomSampler):
        def sample_relative(self, *_: Any) -> dict[str, Any]:
            asked.append(self)
            return {gene.name: 1 for gene in members.genes}

    asked, members = list[Stubborn](), plain()
    monkeypatch.setattr(named, kind, Stubborn)
    played = Played(name, members)
    assert set(played.ask().genotype.values()) == {1}
    assert len(asked) == 1
    played.ask()
    assert len(asked) == 1 + most


def test_an_unknown_name_is_told_in_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^unknown sampler 'evolutoin'; did you mean 'evolution'\? \(known: cap, evolution, "
    ):
        sampler("evolutoin", Wanted(plain(), [None], seed=0))


# What two of them do


def test_evolution_changes_one_gene_of_a_young_trial() -> None:
    played = Played("evolution", plain(genes=8), 1)
    search(played, 60)
    for number in range(10, 60):
        child, young = played.trials[number].params, played.trials[max(0, number - 30) : number]
        assert 1 in {sum(child[name] != parent.params[name] for name in child) for parent in young}


def test_evolution_takes_the_better_of_many_trials() -> None:
    played = Played("evolution", plain(genes=8), 1)
    search(played, 80)
    assert _mean_sum(played.trials[:10]) != _mean_sum(played.trials[50:])


def _mean_sum(trials: Sequence[FrozenTrial]) -> float:
    return sum(sum(trial.params.values()) for trial in trials) / len(trials)


def test_local_search_looks_around_the_best_until_all_were_seen_and_starts_anew() -> None:
    played = Played("local", plain(genes=4), 1)
    for number in range(40):
        genotype = played.ask().genotype
        played.end(number, TrialState.COMPLETE, [-sum(genotype.values())])
    starts = [0, *(trial.number for trial in played.trials if START in trial.system_attrs)]
    assert len(starts) > 1
    for number in range(1, 40):
        run = played.trials[max(start for start in starts if start <= number) : number]
        best = min(run, key=lambda trial: (sum(trial.params.values()), trial.number), default=None)
        child = played.trials[number].params
        assert best is None or sum(child[name] != best.params[name] for name in child) == 1
    assert min(sum(trial.params.values()) for trial in played.trials) == 4
