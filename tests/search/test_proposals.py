"""Proposals: asked on a copy of a study, which hears of every trial; nothing is written by asking."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.architecture import Architecture
from nas.errors import StudyError
from nas.problem import Problem
from nas.search.proposals import Mirror
from nas.search.samplers.fresh import ExhaustedError
from nas.search.samplers.named import OPTUNA
from nas.search.samplers.space import distribution, distributions
from nas.search.study import Study
from nas.space import Gene, GeneValue, SearchSpace
from nas.space_file import load_space
from tests.core.examples import LOW, small_space
from tests.search.conftest import MakeStudy
from tests.search.fakes import TINY_SPACE, accept_all, digits_config, fake_measurement

ONE_NETWORK = TINY_SPACE.replace("[4, 8]", "4").replace("[8, 16]", "8")


def trial(space: SearchSpace, number: int, state: TrialState, value: float | None = None) -> FrozenTrial:
    """Return a trial of a random member as a study would hold it."""
    member = space.random(random.Random(number))
    made = create_trial(state=state, value=value, params=member, distributions=distributions(space.genes))
    made.number = number
    return made


class _RefusedError(Exception):
    """Carries what would have been accepted."""


def next_proposal(study: Study) -> Architecture:
    """Return what the study would claim next, without writing it."""

    def refuse(architecture: Architecture) -> None:
        raise _RefusedError(architecture)

    with pytest.raises(_RefusedError) as refused:
        study.claim(refuse)
    return refused.value.args[0]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("liked", [8, 12])
def test_the_sampler_learns_from_what_was_measured(liked: int) -> None:
    space = small_space()
    found = []
    for seed in range(10):
        mirror = Mirror(("maximize",), space.genes, OPTUNA["tpe"](seed))
        for number in range(20):
            told = trial(space, number, TrialState.COMPLETE, 0.0)
            told.values = [told.params["stem.width"] == liked]
            mirror.follow([told])
        found.append(mirror.ask().genotype["stem.width"])
    assert found == [liked] * 10


def test_a_copy_may_hear_of_other_values_than_those_stored() -> None:
    space, heard = small_space(), list[float]()

    class Listener(RandomSampler):
        """Keeps the last value that it sees."""

        def before_trial(self, study: optuna.Study, _: FrozenTrial) -> None:
            heard.extend(each.value for each in study.get_trials(deepcopy=False)[-2:-1])

    mirror = Mirror(("minimize",), space.genes, Listener(seed=0), told=lambda trial: [-trial.value])
    mirror.follow([trial(space, 0, TrialState.COMPLETE, 3.0)])
    mirror.ask()
    assert heard == [-3.0]


def test_the_numbers_of_a_copy_are_those_of_the_study() -> None:
    space, asked = small_space(), list[int]()

    class Listener(RandomSampler):
        """Keeps the number of the trial that it is asked for."""

        def before_trial(self, _: optuna.Study, trial: FrozenTrial) -> None:
            asked.append(trial.number)

    mirror = Mirror(("minimize",), space.genes, Listener(seed=0))
    mirror.follow([trial(space, 0, TrialState.COMPLETE, 1.0), trial(space, 1, TrialState.RUNNING)])
    mirror.ask()
    mirror.follow([trial(space, 1, TrialState.FAIL), trial(space, 2, TrialState.RUNNING)])
    mirror.ask()
    assert asked == [2, 3]


def test_a_trial_ends_in_a_copy_when_it_ended_not_when_it_was_told() -> None:
    space, seen = small_space(), list[object]()

    class Listener(RandomSampler):
        """Keeps when the first trial ended."""

        def before_trial(self, study: optuna.Study, _: FrozenTrial) -> None:
            seen.append(study.get_trials(deepcopy=False)[0].datetime_complete)

    ended = trial(space, 0, TrialState.COMPLETE, 1.0)
    grown, late = (Mirror(("minimize",), space.genes, Listener(seed=0)) for _ in range(2))
    grown.follow([trial(space, 0, TrialState.RUNNING)])
    for mirror in (grown, late):
        mirror.follow([ended])
        mirror.ask()
    assert seen == [ended.datetime_complete] * 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.PRUNED])
def test_a_suggestion_is_of_the_values_of_its_gene(state: TrialState) -> None:
    space = load_space("digits")
    for seed in range(10):
        mirror = Mirror(("maximize", "minimize"), space.genes, OPTUNA["tpe"](seed))
        mirror.follow([trial(space, 0, state)])
        space.check(mirror.ask().genotype)


def test_a_space_without_choices_has_one_proposal(make_study: MakeStudy) -> None:
    study = make_study(given=digits_config(space_text=ONE_NETWORK, space_name="tiny"))
    job = study.claim(accept_all)
    assert job.candidate.genotype == {}
    with pytest.raises(ExhaustedError, match=r"^space 'tiny': all 1 members within the caps were seen$"):
        study.claim(accept_all)


def test_a_study_of_a_problem_proposes_only_where_that_is_given(make_study: MakeStudy) -> None:
    problem = Problem("plain", {"a": (1, 2)}, {"a_loss": "minimize"}, evaluate=lambda *_: None)
    fields = {"kind": "problem", "space_text": problem.text, "objectives": ("min:a_loss",)}
    study = make_study(2, **fields)
    with pytest.raises(StudyError, match="study 'study' is of a problem of its own: it goes on where that is given"):
        study.claim(accept_all)
    again = Study.open(study.storage, study.name, problem=problem)
    assert again.claim(accept_all).candidate.number == 0


def test_a_study_of_a_passed_sampler_goes_on_where_one_is_passed(make_study: MakeStudy) -> None:
    study = make_study(2, sampler="RandomSampler")
    with pytest.raises(StudyError, match="its sampler, RandomSampler, was passed as an object"):
        study.claim(accept_all)
    again = Study.open(study.storage, study.name, sampler=RandomSampler(seed=0))
    assert again.claim(accept_all).candidate.number == 0


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
