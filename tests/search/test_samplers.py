"""The contract of every sampler: new members within the caps, by the seed and the trials alone, until none is left."""

from __future__ import annotations

import math
import random

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from nas.budget import Budget
from nas.members import Members, NetworkMembers
from nas.search.samplers.fresh import ExhaustedError
from nas.search.samplers.named import SAMPLERS, Wanted, sampler
from nas.search.samplers.space import distributions
from nas.space import SearchSpace
from nas.space_file import load_space
from tests.core.examples import members as space_members
from tests.core.examples import spaces
from tests.search.played import (
    Played,
    all_keys,
    asked_until_the_end,
    digits,
    every_sampler,
    fill,
    plain,
    problems,
    quick_samplers,
    search,
    several_workers,
    tiny,
)

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
