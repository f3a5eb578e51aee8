"""The default sampler: new members within the caps, the same after a resume, for any study of Optuna."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from nas.budget import Budget
from nas.errors import InputError
from nas.members import Members, NetworkMembers
from nas.problem import Problem
from nas.search.samplers.cap import CapSampler, _step
from nas.search.samplers.fresh import ExhaustedError, SeenKeys, new_member
from nas.search.samplers.history import ARM
from nas.search.samplers.space import distributions
from nas.space import Gene, GeneValue, Genotype
from nas.space_file import load_space
from nas.surrogate.priors import PriorGroup

Losses = Callable[[Genotype], Sequence[float]]


def _problem(genes: int = 5, cap: float = 12.0) -> Problem:
    choices: dict[str, tuple[GeneValue, ...]] = {f"g{i}": ("a", "b", "c") if i % 2 else (1, 2, 4) for i in range(genes)}

    def cost(genotype: Genotype) -> Mapping[str, float]:
        return {"size": float(sum("abc".index(v) + 1 if isinstance(v, str) else v for v in genotype.values()))}

    return Problem(
        name="toy", choices=choices, objectives={"score": "minimize"}, evaluate=None, cost=cost, caps={"size": cap}
    )


def _score(genotype: Genotype) -> float:
    return sum((i + 1) * (hash_of(value) % 7) for i, value in enumerate(genotype.values())) / 10


def hash_of(value: GeneValue) -> int:
    return ord(value) if isinstance(value, str) else int(value) * 3


def _study(members: Members, count: int = 1, *, costs: Sequence[str | None] | None = None, **more: object) -> Study:
    sampler = CapSampler(members, objectives=costs or [None] * count, seed=3, **more)  # type: ignore[arg-type]
    return optuna.create_study(directions=["minimize"] * count, sampler=sampler)


def _run(
    study: Study, members: Members, trials: int, values: Losses = lambda genotype: [_score(genotype)]
) -> list[str]:
    """Ask and tell; return the keys proposed."""
    keys = []
    for _ in range(trials):
        trial = study.ask(distributions(members.genes))
        keys.append(members.key(trial.params))
        assert members.load(trial.params) <= 1
        study.tell(trial, values(trial.params))
    assert len(set(keys)) == len(keys)
    return keys


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(2, 6), st.floats(0.5, 1.0), st.integers(1, 3), st.randoms(use_true_random=False))
def test_proposals_are_new_members_within_the_cap(genes: int, share: float, count: int, rng: random.Random) -> None:
    members = _problem(genes, cap=max(1.0 * genes, share * 4 * genes)).members
    worst = [math.inf, -math.inf]
    study = _study(members, count)
    with suppress(ExhaustedError):  # of the smallest spaces
        _run(study, members, 16, lambda _: [rng.choice([rng.random(), *worst]) for _ in range(count)])


def test_a_new_sampler_proposes_what_one_of_long_standing_does() -> None:
    members = _problem().members
    study = _study(members, 2, costs=[None, "size"])
    _run(study, members, 24, lambda genotype: [_score(genotype), members.costs(genotype)["size"]])
    again = optuna.create_study(
        directions=["minimize"] * 2, sampler=CapSampler(members, objectives=[None, "size"], seed=3)
    )
    for trial in study.get_trials()[:23]:
        again.add_trial(trial)
    assert again.ask(distributions(members.genes)).params == study.get_trials()[23].params


def test_models_of_a_young_study_follow_each_trial_and_later_lag_by_a_sixteenth() -> None:
    assert [_step(told) for told in range(1, 32)] == list(range(1, 32))
    assert all(0 <= told - _step(told) < max(1, told / 16) for told in range(1, 2_000))


def test_keys_are_found_of_few_of_the_members_that_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, named = [], []
    fit, key = NetworkMembers.fit, NetworkMembers.key
    monkeypatch.setattr(NetworkMembers, "fit", lambda self, genotype: looked.append(1) or fit(self, genotype))
    monkeypatch.setattr(NetworkMembers, "key", lambda self, genotype: named.append(1) or key(self, genotype))
    members = NetworkMembers(load_space("nodepth"), Budget())
    _run(_study(members), members, 14, lambda genotype: [members.load(genotype)])
    assert len(looked) > 300
    assert len(named) < 100


def test_the_seed_decides_the_first_proposal() -> None:
    members = _problem(8, cap=24).members
    first = [
        optuna.create_study(sampler=CapSampler(members, objectives=[None], seed=seed)).ask(distributions(members.genes))
        for seed in (1, 1, 2)
    ]
    assert first[0].params == first[1].params != first[2].params


def test_each_trial_says_which_arm_proposed_it() -> None:
    members = _problem().members
    study = _study(members)
    _run(study, members, 14)
    arms = [trial.system_attrs[ARM] for trial in study.get_trials(deepcopy=False)]
    assert arms[0] == "start"
    assert set(arms[10:]) <= {"model", "mutate", "density"}


@pytest.mark.parametrize("value", [0.0, math.inf, -math.inf, 1e300])
def test_objectives_that_never_change_are_searched_all_the_same(value: float) -> None:
    members = _problem().members
    _run(_study(members, 2), members, 18, lambda _: [value, value])


def test_stopped_trials_count_as_bad_and_are_not_proposed_again() -> None:
    members = _problem().members
    study = _study(members)
    keys = set()
    for number in range(20):
        trial = study.ask(distributions(members.genes))
        keys.add(members.key(trial.params))
        if number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, _score(trial.params))
    assert len(keys) == 20


def test_running_trials_are_not_proposed_again() -> None:
    members = _problem().members
    study = _study(members)
    _run(study, members, 12)
    batch = [study.ask(distributions(members.genes)) for _ in range(12)]
    assert len({members.key(trial.params) for trial in batch} | {members.key(t.params) for t in study.trials}) == 24


def test_failed_trials_may_be_proposed_again_unless_they_are_to_be_avoided() -> None:
    members = _problem(1, cap=4).members
    avoided: set[str] = set()
    study = _study(members, avoid=lambda: avoided)
    for _ in range(6):
        trial = study.ask(distributions(members.genes))
        study.tell(trial, state=TrialState.FAIL)
    avoided |= {members.key({"g0": value}) for value in (1, 2)}
    assert study.ask(distributions(members.genes)).params == {"g0": 4}
    with pytest.raises(ExhaustedError, match="all 3 members within the caps were seen"):
        study.ask(distributions(members.genes))


def test_a_space_of_three_members_is_found_whole() -> None:
    members = _problem(1, cap=4).members
    study = _study(members)
    assert len(_run(study, members, 3)) == 3
    with pytest.raises(ExhaustedError, match="all 3 members within the caps were seen"):
        study.ask(distributions(members.genes))


def test_a_space_without_a_member_within_the_caps_says_so() -> None:
    members = _problem(3, cap=1).members
    with pytest.raises(ExhaustedError, match="no member is within the caps"):
        _study(members).ask(distributions(members.genes))


def test_a_space_of_a_few_dozen_members_is_found_whole() -> None:
    members = _problem(3, cap=12).members
    study = _study(members)
    assert len(_run(study, members, 27)) == 27
    with pytest.raises(ExhaustedError, match="all 27 members"):
        study.ask(distributions(members.genes))


def test_an_objective_that_is_a_cost_is_known_before_it_is_told() -> None:
    """What is told of it is not even read."""
    members = _problem().members
    keys = [
        _run(
            _study(members, 2, costs=[None, "size"]), members, 16, lambda genotype, told=told: [_score(genotype), told]
        )
        for told in (0.0, 7.0)
    ]
    assert keys[0] == keys[1]


def test_as_many_objectives_as_directions_are_needed() -> None:
    members = _problem().members
    study = optuna.create_study(
        directions=["minimize"] * 3, sampler=CapSampler(members, objectives=[None, None], seed=0)
    )
    with pytest.raises(InputError, match="2 objectives for a study of 3"):
        study.ask(distributions(members.genes))


def test_records_of_another_study_are_followed_where_they_rank_alike() -> None:
    members = _problem(8, cap=24).members
    rng = random.Random(0)
    others = [member for _ in range(60) if (member := members.fit(members.random(rng)))]
    group = PriorGroup(others, [[_score(genotype) * 5 + 3] for genotype in others])
    found = {}
    for name, priors in {"with": [group], "without": []}.items():
        study = _study(members, priors=priors)
        _run(study, members, 14)
        found[name] = study.best_value
    assert found["with"] <= found["without"]


def test_values_that_the_space_lacks_are_no_trials_of_it() -> None:
    members = _problem().members
    study = _study(members)
    study.add_trial(create_trial(value=0.0, params={}, distributions={}))
    _run(study, members, 12)


def test_what_is_no_gene_is_drawn_at_random() -> None:
    members = _problem().members
    trial = _study(members).ask(distributions(members.genes))
    assert 0 <= trial.suggest_float("other", 0, 1) <= 1


def test_keys_follow_the_states_of_trials() -> None:
    members = _problem().members
    keys, study = SeenKeys(members), _study(members)
    trial = study.ask(distributions(members.genes))
    keys.read(study.get_trials(deepcopy=False))
    assert keys.seen({"other"}) == {members.key(trial.params), "other"}
    study.tell(trial, state=TrialState.FAIL)
    keys.read(study.get_trials(deepcopy=False))
    assert keys.seen() == set()


def test_suggestions_are_tried_before_anything_else() -> None:
    members = _problem().members
    least = {gene.name: gene.values[0] for gene in members.genes}
    most = {gene.name: gene.values[-1] for gene in members.genes}
    assert new_member(members, [least], set(), random.Random(0)) == least
    repaired = new_member(members, iter([least, most]), {members.key(least)}, random.Random(0))
    assert members.key(repaired) == members.key(members.fit(most) or {})


def test_a_large_space_with_all_seen_says_how_many_were_tried() -> None:
    class Everything(set[str]):
        def __contains__(self, _: object) -> bool:
            return True

    with pytest.raises(ExhaustedError, match="no new member within the caps in 120 proposals"):
        new_member(_problem(11, cap=44).members, [], Everything(), random.Random(0))


def test_a_single_value_is_a_distribution_of_its_own() -> None:
    assert distributions([Gene("one", (3,)), Gene("two", (1, 2))])["one"].single()


def test_threads_that_ask_at_once_are_given_different_members() -> None:
    members = _problem(6, cap=20).members
    study = _study(members)

    def evaluate(trial: optuna.Trial) -> float:
        return _score(
            {gene.name: trial._suggest(gene.name, distributions([gene])[gene.name]) for gene in members.genes}
        )

    study.optimize(evaluate, n_trials=24, n_jobs=4)
    assert len({members.key(trial.params) for trial in study.trials}) == 24
