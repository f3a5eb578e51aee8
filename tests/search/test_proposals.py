"""Proposals: members within the caps, in normal form, never seen before; and when there are none left."""

from __future__ import annotations

import random

import optuna
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.architecture import Architecture
from nas.budget import Budget
from nas.feasibility import genotype_cost
from nas.search.proposals import SAMPLERS, ExhaustedError, Mirror, distribution, distributions, propose
from nas.search.study import Study
from nas.space import Gene, GeneValue, SearchSpace
from nas.space_file import load_space, parse_space
from tests.core.examples import LOW, members, small_space, spaces
from tests.search.conftest import MakeStudy
from tests.search.fakes import TINY_SPACE, accept_all, fake_measurement

DIRECTIONS = ("maximize", "minimize")
CASES = {
    "small": (small_space(), 1_000),
    "digits": (load_space("digits"), 5_000),
    "nodepth": (load_space("nodepth"), 1_000_000),
    "tiny": (parse_space(TINY_SPACE), 15_000),
}
ONE_NETWORK = TINY_SPACE.replace("[4, 8]", "4").replace("[8, 16]", "8")


def complete(space: SearchSpace, genotype: dict[str, GeneValue], number: int) -> FrozenTrial:
    """Return a finished trial as the study would hold it."""
    values = (random.Random(number).random(), float(genotype_cost(space, genotype).params))
    trial = create_trial(values=values, params=genotype, distributions=distributions(space))
    trial.number = number
    return trial


def search(space: SearchSpace, cap: int, count: int, sampler: str = "tpe", seed: int = 0) -> list[dict[str, GeneValue]]:
    """Return what is proposed one after the other, each told as finished before the next."""
    mirror, found, seen = Mirror(DIRECTIONS), [], set()
    for number in range(count):
        found.append(propose(mirror, space, Budget(params=cap), sampler=sampler, seen=seen, seed=seed + number))
        seen.add(space.decode(found[-1]).arch_id)
        mirror.follow([complete(space, genotype, i) for i, genotype in enumerate(found)])
    return found


class _RefusedError(Exception):
    """Carries what would have been accepted."""


def next_proposal(study: Study) -> Architecture:
    """Return what the study would claim next, without writing it."""

    def refuse(architecture: Architecture) -> None:
        raise _RefusedError(architecture)

    with pytest.raises(_RefusedError) as refused:
        study.claim(refuse)
    return refused.value.args[0]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("case", "count"), [("small", 40), ("digits", 24), ("nodepth", 12), ("tiny", 4)])
def test_proposals_are_new_canonical_members_within_the_cap(case: str, count: int, sampler: str) -> None:
    space, cap = CASES[case]
    found = search(space, cap, count, sampler)
    assert len({space.decode(genotype).arch_id for genotype in found}) == count
    for genotype in found:
        assert genotype == space.canonical(genotype)
        assert genotype_cost(space, genotype).params <= cap


@hypothesis_settings(max_examples=15)
@given(spaces(most=200), st.sampled_from(sorted(SAMPLERS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_proposal_fits_whatever_the_space_the_cap_and_the_seed(
    space: SearchSpace, sampler: str, seed: int, tightness: float
) -> None:
    sizes = sorted(genotype_cost(space, member).params for member in members(space))
    cap = sizes[int(tightness * (len(sizes) - 1))]
    genotype = propose(Mirror(DIRECTIONS), space, Budget(params=cap), sampler=sampler, seen=set(), seed=seed)
    assert genotype in members(space)
    assert genotype_cost(space, genotype).params <= cap


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_history_and_seed_give_the_same_proposal(sampler: str) -> None:
    space, cap = CASES["digits"]
    assert search(space, cap, 15, sampler) == search(space, cap, 15, sampler)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_gives_another_proposal(sampler: str) -> None:
    space, cap = CASES["digits"]
    assert search(space, cap, 1, sampler, seed=1) != search(space, cap, 1, sampler, seed=2)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_mirror_made_at_once_proposes_like_one_that_grew(sampler: str) -> None:
    space, cap = CASES["digits"]
    found = search(space, cap, 16, sampler)
    late = Mirror(DIRECTIONS)
    late.follow([complete(space, genotype, i) for i, genotype in enumerate(found[:15])])
    seen = {space.decode(genotype).arch_id for genotype in found[:15]}
    assert propose(late, space, Budget(params=cap), sampler=sampler, seen=seen, seed=15) == found[15]


@pytest.mark.parametrize("liked", [8, 12])
def test_the_sampler_learns_from_what_was_measured(liked: int) -> None:
    space, rng, mirror = small_space(), random.Random(0), Mirror(("maximize",))
    for number in range(20):
        member = space.random(rng)
        trial = create_trial(value=member["stem.width"] == liked, params=member, distributions=distributions(space))
        trial.number = number
        mirror.follow([trial])
    suggestions = [mirror.ask(SAMPLERS["tpe"](seed), distributions(space)) for seed in range(10)]
    assert [suggestion["stem.width"] for suggestion in suggestions] == [liked] * 10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_space_is_found_whole_and_then_exhausted(sampler: str) -> None:
    space = parse_space(TINY_SPACE)
    seen = {space.decode(genotype).arch_id for genotype in search(space, 15_000, 4, sampler)}
    with pytest.raises(ExhaustedError, match=r"space 'tiny': no new network within the caps in 124 .*; 4 were seen"):
        propose(Mirror(DIRECTIONS), space, Budget(params=15_000), sampler=sampler, seen=seen, seed=0)


def test_a_space_without_choices_has_one_proposal() -> None:
    space = parse_space(ONE_NETWORK)
    assert search(space, 15_000, 1) == [{}]
    with pytest.raises(ExhaustedError):
        search(space, 15_000, 2)


def test_only_what_fits_is_found_before_a_space_is_exhausted() -> None:
    space = parse_space(TINY_SPACE)
    sizes = sorted(genotype_cost(space, member).params for member in members(space))
    assert {genotype_cost(space, genotype).params for genotype in search(space, sizes[1], 2)} == set(sizes[:2])
    with pytest.raises(ExhaustedError):
        search(space, sizes[1], 3)


def test_a_cap_that_nothing_fits_ends_in_an_error() -> None:
    with pytest.raises(ExhaustedError):
        search(small_space(), 1, 1)


def test_proposing_writes_nothing(make_study: MakeStudy) -> None:
    study = make_study()
    names = optuna.get_all_study_names(study._storage)
    assert next_proposal(study) == next_proposal(study)
    assert study.records() == ()
    assert optuna.get_all_study_names(study._storage) == names
    assert optuna.load_study(study_name=study.name, storage=study._storage).trials == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((8, 16, 24), IntDistribution(8, 24, step=8)),
        ((3, 5), IntDistribution(3, 5, step=2)),
        ((8, 12, 20), CategoricalDistribution((8, 12, 20))),
        ((0.5, 1, 2), CategoricalDistribution((0.5, 1, 2))),
        ((True, False), CategoricalDistribution((True, False))),
        (("relu", "gelu"), CategoricalDistribution(("relu", "gelu"))),
    ],
)
def test_evenly_spaced_whole_numbers_are_a_range(values: tuple[GeneValue, ...], expected: object) -> None:
    assert distribution(Gene("gene", values)) == expected


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.PRUNED])
def test_a_suggestion_is_of_the_values_of_its_gene(state: TrialState) -> None:
    space, _ = CASES["digits"]
    mirror = Mirror(DIRECTIONS)
    member = space.random(random.Random(0))
    mirror.follow([create_trial(state=state, params=member, distributions=distributions(space))])
    for seed in range(10):
        space.check(mirror.ask(SAMPLERS["tpe"](seed), distributions(space)))


def test_a_worker_that_saw_a_trial_fail_proposes_like_one_that_comes_new(make_study: MakeStudy) -> None:
    study = make_study(n_trials=40, fidelities=(LOW,))
    other = Study.open(study._storage, study.name)
    for _ in range(12):
        job = study.claim(accept_all)
        study.finish(job, fake_measurement(job.candidate, job.fidelity, job.seed))
    failing = other.claim(accept_all)
    next_proposal(study)
    other.fail(failing, "lost")
    assert next_proposal(study) == next_proposal(Study.open(study._storage, study.name))
