"""The loop with a fake evaluator: totals, faults, interruptions, and a golden front."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.architecture import Architecture
from nas.errors import AuditError, NasError
from nas.feasibility import genotype_cost
from nas.records import Candidate, Fidelity, Measurement, Status
from nas.search.loop import MOST_FAILURES_IN_A_ROW, EpochDone, Event, Exhausted, Finished, Started, run
from nas.search.study import Study
from nas.training.loop import Progress
from tests.core.examples import HIGH, LOW, diverged, measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import TINY_SPACE, FakeEvaluator, accept_all
from tests.search.golden_search import GOLDEN, golden_file, golden_front

SAMPLERS = ("cap", "tpe", "random")


def again(study: Study) -> Study:
    """Open the study as the next process would."""
    return Study.open(study._storage, study.name)


def statuses(study: Study) -> list[Status]:
    return [record.status(study.config.fidelities) for record in study.records()]


def test_a_search_has_the_trials_that_were_asked_for(make_study: MakeStudy) -> None:
    study, evaluator = make_study(8), FakeEvaluator()
    run(study, evaluator, accept_all)
    assert [record.number for record in study.records()] == list(range(8))
    assert [number for number, epochs in evaluator.seen if epochs == LOW.epochs] == list(range(8))
    assert set(statuses(study)) == {Status.EVALUATED, Status.STOPPED_EARLY}


def test_half_of_the_trials_are_promoted(make_study: MakeStudy) -> None:
    study, evaluator = make_study(8), FakeEvaluator()
    run(study, evaluator, accept_all)
    promoted = [number for number, epochs in evaluator.seen if epochs == HIGH.epochs]
    assert len(promoted) == len(set(promoted)) == 4
    assert [record.number for record in study.view().compared] == sorted(promoted)


def test_a_finished_search_does_nothing_more(make_study: MakeStudy) -> None:
    study = make_study(4)
    run(study, FakeEvaluator(), accept_all)
    records, evaluator = study.records(), FakeEvaluator()
    run(again(study), evaluator, accept_all)
    assert evaluator.seen == []
    assert study.records() == records


def test_an_extended_search_runs_the_difference(make_study: MakeStudy) -> None:
    study = make_study(4)
    run(study, FakeEvaluator(), accept_all)
    study.extend(6)
    evaluator = FakeEvaluator()
    run(study, evaluator, accept_all)
    assert [number for number, epochs in evaluator.seen if epochs == LOW.epochs] == [4, 5]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_network_is_evaluated_twice_on_a_rung(make_study: MakeStudy, sampler: str) -> None:
    study, evaluator = make_study(24, sampler=sampler, fidelities=(LOW,)), FakeEvaluator()
    run(study, evaluator, accept_all)
    assert len({architecture.arch_id for architecture in evaluator.architectures}) == 24


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_interference_without_a_weight_steers_nothing(make_study: MakeStudy, sampler: str) -> None:
    asked = ("val_accuracy", "params", "interference")
    with_it, without = (make_study(20, name=str(count), sampler=sampler, objectives=asked[:count]) for count in (3, 2))
    for study in (with_it, without):
        run(study, FakeEvaluator(), accept_all)
    assert with_it.records() == without.records()
    assert with_it.view().front == without.view().front
    stored = with_it._main.get_trials(deepcopy=False)[0].values
    assert stored[2] == with_it.records()[0].measurements[0].metrics["interference"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_over_cap_candidate_is_not_evaluated(make_study: MakeStudy, sampler: str) -> None:
    study, evaluator = make_study(16, sampler=sampler), FakeEvaluator()
    run(study, evaluator, accept_all)
    for record in study.records():
        assert genotype_cost(study.config.space, record.genotype) == record.cost
        assert record.cost.params <= study.config.budget.params


def test_every_new_network_is_accepted_before_it_is_written(make_study: MakeStudy) -> None:
    study, accepted = make_study(4), []

    def accept(architecture: Architecture) -> None:
        assert architecture.arch_id not in [record.arch_id for record in study.records()]
        accepted.append(architecture)

    run(study, FakeEvaluator(), accept)
    assert accepted == [record.architecture for record in study.records()]


def test_a_network_that_is_not_accepted_ends_the_search_unwritten(make_study: MakeStudy) -> None:
    study, evaluator = make_study(4), FakeEvaluator()

    def refuse(_: Architecture) -> None:
        raise AuditError("fvcore counts 7 params, the closed form 6")

    with pytest.raises(AuditError, match="fvcore counts 7"):
        run(study, evaluator, refuse)
    assert (study.records(), evaluator.seen) == ((), [])


@pytest.mark.parametrize("fault", [RuntimeError("out of memory\nat line 3"), NasError("no"), FloatingPointError("no")])
def test_a_candidate_that_cannot_be_evaluated_is_recorded(make_study: MakeStudy, fault: Exception) -> None:
    study = make_study(6)
    run(study, FakeEvaluator({2: fault}), accept_all)
    assert len(study.records()) == 6
    assert study.records()[2].error == f"{type(fault).__name__}: {str(fault).splitlines()[0]}"
    assert statuses(study)[2] is Status.FAILED


def test_three_failures_in_a_row_stop_the_search(make_study: MakeStudy) -> None:
    study = make_study(9)
    faults = {number: RuntimeError("no disk") for number in (1, 3, 4, 5)}
    with pytest.raises(NasError, match="3 candidates in a row could not be evaluated; the last: RuntimeError: no disk"):
        run(study, FakeEvaluator(dict(faults)), accept_all)
    assert len(study.records()) == 6
    assert MOST_FAILURES_IN_A_ROW == 3


def test_a_fault_of_ours_is_not_recorded_as_the_candidates(make_study: MakeStudy) -> None:
    study = make_study(4)
    with pytest.raises(TypeError, match="a bug"):
        run(study, FakeEvaluator({1: TypeError("a bug")}), accept_all)
    assert [record.error for record in study.records()] == ["", ""]


def test_nan_accuracy_is_a_failure_and_never_in_the_front(make_study: MakeStudy) -> None:
    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int, _: Callable[[Progress], None]) -> Measurement:
        return measurement(math.nan if candidate.number == 1 else 0.5, fidelity, seed=seed)

    study = make_study(4)
    run(study, evaluate, accept_all)
    assert statuses(study)[1] is Status.FAILED
    assert study.records()[1].error == "measurement: metrics.val_accuracy: input should be a finite number, got nan"
    assert 1 not in [record.number for record in study.view().front]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": {"interference": 0.5}}, "the evaluator gave no 'val_accuracy'; it gave interference"),
        ({"metrics": {}}, "the evaluator gave no 'val_accuracy'; it gave nothing"),
        ({"seed": 7}, "the evaluator gave a measurement of another fidelity or seed than it was asked for"),
        ({"fidelity": HIGH}, "the evaluator gave a measurement of another fidelity or seed than it was asked for"),
    ],
)
def test_a_measurement_that_cannot_stand_for_its_job_is_a_fault(
    make_study: MakeStudy, changes: dict[str, object], said: str
) -> None:
    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int, _: Callable[[Progress], None]) -> Measurement:
        made = measurement(0.5, fidelity, seed=seed)
        return made.model_copy(update=changes) if candidate.number == 1 else made

    study = make_study(3, fidelities=(LOW,))
    run(study, evaluate, accept_all)
    assert [record.error for record in study.records()] == ["", f"InputError: {said}", ""]


def test_a_training_that_came_to_no_end_need_not_have_measured_anything(make_study: MakeStudy) -> None:
    study = make_study(2, fidelities=(LOW,))
    run(study, FakeEvaluator({1: diverged()}), accept_all)
    assert statuses(study) == [Status.EVALUATED, Status.DIVERGED]


def test_a_divergence_is_recorded_not_repeated_and_not_promoted(make_study: MakeStudy) -> None:
    study, evaluator = make_study(6), FakeEvaluator({3: diverged()})
    run(study, evaluator, accept_all)
    assert statuses(study)[3] is Status.DIVERGED
    assert [number for number, _ in evaluator.seen].count(3) == 1
    assert 3 not in [record.number for record in study.view().compared]


def test_a_small_space_ends_the_search_early_with_the_reason(make_study: MakeStudy) -> None:
    study, events = make_study(9, space_text=TINY_SPACE, objectives=("val_accuracy", "params")), list[Event]()
    run(study, FakeEvaluator(), accept_all, events.append)
    reasons = [event.reason for event in events if isinstance(event, Exhausted)]
    assert len(reasons) == 1
    assert reasons[0] == "space 'tiny': all 4 members within the caps were seen"
    assert len(study.records()) == study.n_trials == 4
    assert Status.RUNNING not in statuses(study)


def test_listeners_hear_of_every_step(make_study: MakeStudy) -> None:
    study, events = make_study(2, fidelities=(LOW,)), list[Event]()
    run(study, FakeEvaluator({1: RuntimeError("no")}), accept_all, events.append)
    assert [type(event) for event in events] == [Started, EpochDone, Finished, Started, Finished]
    assert [event.error for event in events if isinstance(event, Finished)] == ["", "RuntimeError: no"]


def test_the_next_process_takes_over_what_ctrl_c_interrupted(
    make_study: MakeStudy, as_dead_worker: Callable[[], None]
) -> None:
    study = make_study(6)
    with pytest.raises(KeyboardInterrupt):
        run(study, FakeEvaluator({2: KeyboardInterrupt()}), accept_all)
    before = study.records()
    as_dead_worker()
    evaluator = FakeEvaluator()
    run(again(study), evaluator, accept_all)
    assert evaluator.seen[0] == (2, LOW.epochs)
    assert evaluator.architectures[0] == before[2].architecture
    assert len(study.records()) == 6
    assert Status.RUNNING not in statuses(study)


@pytest.mark.parametrize("number", [0, 3, 7])
def test_an_interrupted_search_ends_like_one_that_was_not(
    make_study: MakeStudy, as_dead_worker: Callable[[], None], number: int
) -> None:
    study, whole = make_study(8), make_study(8, name="whole")
    with pytest.raises(KeyboardInterrupt):
        run(study, FakeEvaluator({number: KeyboardInterrupt()}), accept_all)
    as_dead_worker()
    run(again(study), FakeEvaluator(), accept_all)
    run(whole, FakeEvaluator(), accept_all)
    assert study.records() == whole.records()


def test_an_interrupted_promotion_is_taken_over(make_study: MakeStudy, as_dead_worker: Callable[[], None]) -> None:
    class Interrupted(FakeEvaluator):
        """Stops in the first promotion."""

        def __call__(self, candidate: Candidate, fidelity: Fidelity, *rest: object) -> Measurement:
            if fidelity == HIGH:
                raise KeyboardInterrupt
            return super().__call__(candidate, fidelity, *rest)

    study = make_study(4)
    with pytest.raises(KeyboardInterrupt):
        run(study, Interrupted(), accept_all)
    as_dead_worker()
    evaluator = FakeEvaluator()
    run(again(study), evaluator, accept_all)
    assert evaluator.seen[0][1] == HIGH.epochs
    assert statuses(study).count(Status.EVALUATED) == 2


def test_a_result_that_cannot_be_written_whole_is_not_written(
    make_study: MakeStudy, as_dead_worker: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    study = make_study(1)
    with monkeypatch.context() as patched:
        patched.setattr("nas.search.hold.value_row", killed)
        with pytest.raises(KeyboardInterrupt):
            run(study, FakeEvaluator(), accept_all)
    assert statuses(study) == [Status.RUNNING]
    as_dead_worker()
    run(again(study), FakeEvaluator(), accept_all)
    assert statuses(study) == [Status.STOPPED_EARLY]


@pytest.mark.parametrize("sampler", GOLDEN)
def test_the_golden_search_finds_its_front(sampler: str, tmp_path: Path) -> None:
    assert golden_front(sampler, tmp_path) == json.loads(golden_file(sampler).read_text(encoding="utf-8"))
