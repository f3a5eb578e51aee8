"""The contract of every sampler: new members within the caps, by the seed and the trials alone, until none is left."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.budget import Budget
from nas.errors import InputError
from nas.members import Members, NetworkMembers
from nas.problem import Problem
from nas.search.proposals import Mirror, Proposal
from nas.search.samplers import named
from nas.search.samplers.feasible import FeasibleSampler
from nas.search.samplers.fresh import ExhaustedError
from nas.search.samplers.local import START
from nas.search.samplers.named import SAMPLERS, Wanted, sampler
from nas.search.samplers.space import distributions
from nas.space import Genotype, SearchSpace
from nas.space_file import load_space, parse_space
from tests.core.examples import members as space_members
from tests.core.examples import spaces
from tests.search.fakes import TINY_SPACE

DIRECTIONS = ("maximize", "minimize", "minimize")
ENDED = [TrialState.COMPLETE] * 6 + [TrialState.PRUNED, TrialState.FAIL]
VALUES = [math.inf, -math.inf, 0.0, 0.5, 1.0, 2.5, 1e12]
QUICK = sorted(set(SAMPLERS) - {"gp"})
"""Those that can be asked some hundred times in a test."""

every_sampler = pytest.mark.parametrize("name", SAMPLERS)
quick_samplers = pytest.mark.parametrize("name", QUICK)


def digits(cap: int = 5_000) -> NetworkMembers:
    return NetworkMembers(load_space("digits"), Budget(params=cap))


def tiny(cap: int = 15_000) -> NetworkMembers:
    return NetworkMembers(parse_space(TINY_SPACE), Budget(params=cap))


def plain(genes: int = 6, cap: int | None = None, values: Sequence[Any] = (1, 2, 4)) -> Members:
    """Return the members of a problem that cost the sum of the places of their values."""

    def cost(genotype: Genotype) -> dict[str, float]:
        return {"size": sum(values.index(value) for value in genotype.values()) + 1}

    caps = {} if cap is None else {"size": cap}
    return problem({f"gene{i}": values for i in range(genes)}, cost=cost, caps=caps).members


def problem(choices: dict[str, Sequence[Any]], **more: Any) -> Problem:
    return Problem("plain", choices, {"score": "maximize"}, evaluate=lambda *_: None, **more)


KINDS = [(1, 2, 3, 4), (3, 5), (1, 2, 4), (0.5, 1, 2), ("relu", "gelu", "none"), (True, False), (7,)]


@st.composite
def problems(draw: st.DrawFn) -> Members:
    """Draw a space of at most 144 genotypes: with a cap or none, with genotypes that mean the same, or nothing."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    choices = {f"gene{i}": values for i, values in enumerate(kinds)}
    weights = draw(st.lists(st.integers(0, 5), min_size=len(kinds), max_size=len(kinds)))
    first, last = choices["gene0"][0], f"gene{len(kinds) - 1}"
    same, none = draw(st.booleans()), draw(st.booleans())

    def cost(genotype: Genotype) -> dict[str, float]:
        assert normal(genotype) == genotype, "nothing but members need have a cost"
        places = (choices[name].index(value) for name, value in genotype.items())
        return {"size": 1 + sum(weight * place for weight, place in zip(weights, places, strict=True))}

    def normal(genotype: Genotype) -> Genotype | None:
        if none and all(value == choices[name][-1] for name, value in genotype.items()) and len(kinds) > 1:
            return None
        is_idle = same and last != "gene0" and genotype["gene0"] == first
        return {**genotype, last: choices[last][0]} if is_idle else genotype

    cap = draw(st.sampled_from([1, 2, 4, 8, 1_000]))
    return problem(choices, cost=cost, caps={"size": cap}, normal=normal).members


def all_keys(members: Members) -> set[str]:
    """Return the keys of all members within the caps, by enumeration."""
    names = [gene.name for gene in members.genes]
    rows = product(*(gene.values for gene in members.genes))
    fitted = (members.fit(dict(zip(names, row, strict=True))) for row in rows)
    return {members.key(member) for member in fitted if member is not None}


class Played:
    """A study that workers share, as a database would hold it, and one worker's long-lived copy of it."""

    def __init__(self, name: str, members: Members, count: int = 2, *, seed: int = 0, avoid: set[str] | None = None):
        self.members, self.trials, self._made = members, list[FrozenTrial](), (name, count, seed, avoid or set())
        self.mirror = self.fresh()

    def fresh(self) -> Mirror:
        """Return what a process that comes new has: a copy made at once, with a sampler of its own."""
        name, count, seed, avoid = self._made
        costs = [None] * count
        made = sampler(name, Wanted(self.members, costs, seed=seed, avoid=lambda: avoid))
        mirror = Mirror(DIRECTIONS[:count], self.members.genes, made)
        mirror.follow(self.trials)
        return mirror

    @property
    def running(self) -> list[int]:
        """The numbers of the trials that run."""
        return [trial.number for trial in self.trials if not trial.state.is_finished()]

    @property
    def seen(self) -> set[str]:
        """The keys of all trials but those that failed."""
        return {self.members.key(trial.params) for trial in self.trials if trial.state != TrialState.FAIL}

    def ask(self) -> Proposal:
        """Let the worker ask, check what it gets, and write that down as running."""
        self.mirror.follow(self.trials)
        proposal = self.mirror.ask()
        assert proposal.genotype == self.members.fit(proposal.genotype)
        assert self.members.load(proposal.genotype) <= 1
        assert self.members.key(proposal.genotype) not in self.seen | self._made[3]
        self._put(len(self.trials), TrialState.RUNNING, proposal.genotype, notes=proposal.notes)
        return proposal

    def add(self, state: TrialState, genotype: Genotype, values: Sequence[float] = ()) -> None:
        """Put in a trial of another worker."""
        self._put(len(self.trials), state, genotype, values)

    def end(self, number: int, state: TrialState, values: Sequence[float]) -> None:
        """Let a running trial come to an end."""
        old = self.trials[number]
        self._put(number, state, old.params, values, notes=old.system_attrs)

    def _put(
        self, number: int, state: TrialState, params: Any, values: Sequence[float] = (), *, notes: Any = None
    ) -> None:
        trial = create_trial(
            state=state,
            values=values if state == TrialState.COMPLETE else None,
            params=params,
            distributions=distributions(self.members.genes),
            system_attrs=dict(notes or {}),
        )
        trial.number = number
        self.trials[number : number + 1] = [trial]

    def score(self, genotype: Genotype) -> list[float]:
        """Return values that depend on the genotype alone."""
        rng = random.Random(self.members.key(genotype))
        return [rng.random() for _ in range(self._made[1])]


def search(played: Played, count: int) -> list[str]:
    """Let one worker ask and end `count` trials, one after the other; return the keys."""
    for _ in range(count):
        genotype = played.ask().genotype
        played.end(len(played.trials) - 1, TrialState.COMPLETE, played.score(genotype))
    return [played.members.key(trial.params) for trial in played.trials]


def several_workers(played: Played, count: int, rng: random.Random) -> None:
    """Let workers ask for `count` trials, up to three at once; they end in any order and any way."""
    for _ in range(count):
        played.ask()
        while played.running and (len(played.running) > 2 or rng.random() < 0.3):
            number = rng.choice(played.running)
            played.end(number, rng.choice(ENDED), played.score(played.trials[number].params))


def fill(played: Played, count: int, rng: random.Random) -> None:
    """Put random trials of any state and any value into a study."""
    for _ in range(count):
        member = played.members.fit(played.members.random(rng))
        if member is None:
            continue
        state = rng.choice([*ENDED, TrialState.RUNNING])
        values = [rng.choice([rng.random(), rng.choice(VALUES)]) for _ in played.score(member)]
        played.add(state, member, values)


def asked_until_the_end(played: Played, most: int) -> None:
    """Ask up to `most` times, and check that it is for want of members where there is nothing more."""
    left = len(all_keys(played.members) - played.seen)
    for _ in range(min(most, left)):
        played.ask()
    if left < most:
        with pytest.raises(ExhaustedError, match=r"members within the caps were seen|no member is within the caps"):
            played.ask()


# Members, within the caps, and new


@every_sampler
@hypothesis_settings(max_examples=10)
@given(
    members=problems(),
    count=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    past=st.sampled_from([0, 3, 14, 30]),
)
def test_whatever_the_problem_the_cap_and_the_past_a_proposal_is_new_and_within_it(
    name: str, members: Members, count: int, seed: int, past: int
) -> None:
    played = Played(name, members, count, seed=seed)
    fill(played, past // 2 if name == "gp" else past, random.Random(seed))
    asked_until_the_end(played, 4)


@hypothesis_settings(max_examples=24)
@given(st.sampled_from(sorted(SAMPLERS)), spaces(most=200), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_whatever_the_space_the_cap_and_the_past_a_network_is_new_and_within_it(
    name: str, space: SearchSpace, seed: int, tightness: float
) -> None:
    assume(space.genes)  # Optuna asks no sampler for nothing
    members = NetworkMembers(space, Budget())
    sizes = sorted(members.costs(member)["params"] for member in space_members(space))
    capped = NetworkMembers(space, Budget(params=int(sizes[int(tightness * (len(sizes) - 1))])))
    played = Played(name, capped, seed=seed)
    fill(played, seed % 14, random.Random(seed))
    asked_until_the_end(played, 3)


@quick_samplers
def test_many_proposals_are_new_networks_within_the_cap(name: str) -> None:
    several_workers(Played(name, digits(), 3), 40 if name == "cap" else 120, random.Random(0))


@quick_samplers
@pytest.mark.parametrize("space", ["nodepth", "hybrid"])
def test_large_spaces_are_searched_as_small_ones(name: str, space: str) -> None:
    search(Played(name, NetworkMembers(load_space(space), Budget(params=1_000_000))), 12)


# The seed and the trials decide


@every_sampler
def test_a_process_that_comes_new_proposes_like_one_that_was_there(name: str) -> None:
    """NSGA keeps the parents that it chose when a generation began: what ended late counts for a new process alone."""
    played, rng = Played(name, digits()), random.Random(1)
    for count in {"gp": [6, 6, 2], "cap": [6, 12, 9]}.get(name, [6, 12, 40, 55]):
        if name.startswith("nsga"):
            search(played, count)
        else:
            several_workers(played, count, rng)
        new = played.fresh()
        assert new.ask() == played.ask()


@every_sampler
def test_the_same_seed_gives_the_same_search_and_another_one_another(name: str) -> None:
    count = 9 if name == "gp" else 14
    found = [search(Played(name, digits(), seed=seed), count) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][-1] not in found[2][-1:]


@quick_samplers
def test_only_the_trials_count_not_when_they_were_told(name: str) -> None:
    """Two workers end in the one order or the other: what is known is the same."""
    orders = []
    for order in (1, -1):
        played = Played(name, digits(), 1)
        search(played, 16)
        for _ in range(4):
            played.ask()
        for number in played.running[::order]:
            played.end(number, TrialState.COMPLETE, played.score(played.trials[number].params))
            played.mirror.follow(played.trials)
        orders.append(played.ask())
    assert orders[0] == orders[1]


# What is told


@every_sampler
@pytest.mark.parametrize("value", [0.0, math.inf, -math.inf])
def test_objectives_that_never_change_do_not_stop_a_search(name: str, value: float) -> None:
    played = Played(name, plain(), 2)
    for number in range(14):
        played.ask()
        played.end(number, TrialState.COMPLETE, [value, value])


@every_sampler
@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING])
def test_trials_without_values_do_not_stop_a_search(name: str, state: TrialState) -> None:
    played, asked = Played(name, plain(), 1), set()
    for number in range(14):
        asked.add(played.members.key(played.ask().genotype))
        played.end(number, state, [])
    assert len(asked) == 14 or state == TrialState.FAIL


@every_sampler
def test_what_other_workers_run_is_not_proposed_again(name: str) -> None:
    played = Played(name, plain(genes=3), 2)
    search(played, 8)
    others = [played.members.key(played.ask().genotype) for _ in range(12)]
    assert len({*others, *(played.members.key(trial.params) for trial in played.trials[:8])}) == 20


@every_sampler
def test_what_is_to_be_avoided_is_never_proposed(name: str) -> None:
    members = plain(genes=3)
    avoid = set(sorted(all_keys(members))[::2])
    played = Played(name, members, avoid=avoid)
    with pytest.raises(ExhaustedError):
        search(played, 20)
    assert played.seen == all_keys(members) - avoid


@quick_samplers
def test_trials_of_another_space_teach_nothing_and_stop_nothing(name: str) -> None:
    made = sampler(name, Wanted(plain(), [None], seed=0))
    study = optuna.create_study(sampler=made)
    other = {"gene0": optuna.distributions.IntDistribution(1, 9), "alien": optuna.distributions.FloatDistribution(0, 1)}
    for i in range(14):
        study.add_trial(create_trial(value=i, params={"gene0": 1 + i % 9, "alien": 0.5}, distributions=other))
    assert study.ask(distributions(plain().genes)).params.keys() == {gene.name for gene in plain().genes}


# What ends


@every_sampler
def test_a_space_is_found_whole_and_then_exhausted(name: str) -> None:
    played = Played(name, plain(genes=2, values=(1, 2, 3, 4)))
    with pytest.raises(ExhaustedError, match=r"^space 'plain': all 16 members within the caps were seen$"):
        search(played, 17)
    assert played.seen == all_keys(played.members)


@every_sampler
def test_a_cap_that_leaves_three_members_gives_those(name: str) -> None:
    sizes = sorted(tiny().costs(member)["params"] for member in space_members(tiny().space))
    played = Played(name, tiny(cap=int(sizes[2])))
    with pytest.raises(ExhaustedError, match=r"^space 'tiny': all 3 members within the caps were seen$"):
        search(played, 4)
    assert sorted(played.members.costs(trial.params)["params"] for trial in played.trials) == sizes[:3]


@every_sampler
def test_a_large_space_of_which_few_members_fit_comes_to_an_end(name: str) -> None:
    played = Played(name, plain(genes=12, cap=2))
    with pytest.raises(ExhaustedError, match="no new member within the caps in"):
        search(played, 14)
    assert played.trials


@every_sampler
def test_a_cap_that_nothing_fits_says_so(name: str) -> None:
    with pytest.raises(ExhaustedError, match=r"^space 'tiny': no member is within the caps$"):
        Played(name, tiny(cap=1)).ask()


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
