"""References beside a study: scaled to its cap, trained as its candidates, kept, resumed, and never proposed from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nas.architecture import Architecture
from nas.audit import audit
from nas.budget import Budget
from nas.errors import AuditError, CapError, StudyError
from nas.records import Candidate, Fidelity, Measurement, ReferenceRecord, Status
from nas.references import reference
from nas.search.catalogue import study_names
from nas.search.compare import Comparison, compare, scaled
from nas.search.loop import Event, Finished, Started, run
from nas.search.study import Study
from nas.training.loop import Progress
from nas.view import StudyView
from tests.core.examples import HIGH, LOW, diverged, measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import FakeEvaluator, accept_all

CAP = Budget(params=2_000)
"""Above it the formula of the fake evaluator leaves the range of an accuracy."""


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    """Give a finished study of four trials."""
    made = make_study(4, budget=CAP)
    run(made, FakeEvaluator(), accept_all)
    return made


def _wanted(study: Study, *names: str) -> tuple[ReferenceRecord, ...]:
    return scaled([reference(name) for name in names or ("resnet18", "starnet_050")], study.config)


def _compare(study: Study, evaluator: object, *names: str, seeds: int = 1) -> list[Event]:
    """Compare as a new process would, and return what happened."""
    events: list[Event] = []
    again = Study.open(study.storage, study.name)
    compare(Comparison(again, _wanted(study, *names), seeds), evaluator, accept_all, events.append)
    return events


def test_references_are_measured_at_the_top_rung(study: Study) -> None:
    events = _compare(study, FakeEvaluator())
    assert [record.name for record in study.references()] == ["resnet18", "starnet_050"]
    for record in study.references():
        assert record.best_fidelity == HIGH
        assert record.status(study.config.fidelities) is Status.EVALUATED
    assert [type(event) for event in events if not hasattr(event, "progress")] == [Started, Finished] * 2


def test_references_fill_the_cap_of_the_study_on_its_target(study: Study) -> None:
    config = study.config.model_copy(update={"budget": Budget(params=20_000)})
    for each in scaled([reference(name) for name in ("resnet18", "mobilenetv2_100", "edgenext_xxs")], config):
        assert audit(each.architecture, config.target.task, config.budget) == each.cost
        assert 0.99 * 20_000 <= each.cost.params <= 20_000


def test_every_network_is_audited_before_it_is_trained(study: Study) -> None:
    evaluator, seen = FakeEvaluator(), list[Architecture]()

    def refuse_the_second(architecture: Architecture) -> None:
        seen.append(architecture)
        if len(seen) == 2:
            raise AuditError("counted otherwise")

    with pytest.raises(AuditError):
        compare(Comparison(study, _wanted(study), 1), evaluator, refuse_the_second)
    assert evaluator.architectures == seen[:1]
    assert [record.architecture for record in study.references()] == seen[:1]


def test_references_are_no_trials_and_no_members_of_the_front(study: Study) -> None:
    records, front = study.records(), study.view().front
    _compare(study, FakeEvaluator())
    assert study.records() == records
    assert study.view().front == front
    assert study_names(study.storage) == [study.name]


def test_nothing_is_proposed_from_references(make_study: MakeStudy, study: Study) -> None:
    _compare(study, FakeEvaluator())
    study.extend(8)
    run(study, FakeEvaluator(), accept_all)
    other = make_study(8, name="other", budget=CAP)
    run(other, FakeEvaluator(), accept_all)
    assert [each.genotype for each in study.records()] == [each.genotype for each in other.records()]


def test_a_second_run_trains_only_what_is_missing(study: Study) -> None:
    _compare(study, FakeEvaluator(), "resnet18")
    again = FakeEvaluator()
    _compare(study, again, "resnet18", "starnet_050")
    assert again.architectures == [_wanted(study)[1].architecture]
    nothing = FakeEvaluator()
    assert _compare(study, nothing) == []
    assert len(study.references()) == 2


def test_more_seeds_are_more_trainings_and_their_mean_counts(study: Study) -> None:
    _compare(study, FakeEvaluator())
    again = FakeEvaluator()
    _compare(study, again, "resnet18", seeds=3)
    assert len(again.architectures) == 2
    first, second = study.references()
    seeds = {each.seed for each in first.measurements}
    accuracies = [each.metrics["val_accuracy"] for each in first.measurements]
    assert (len(seeds), len(second.measurements)) == (3, 1)
    assert first.metrics["val_accuracy"] == pytest.approx(sum(accuracies) / 3)
    assert not seeds & {each.seed for each in second.measurements}


class Interrupted(FakeEvaluator):
    """Stops at a number of trainings, as Ctrl-C does."""

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement of the first training only."""
        if len(self.architectures) == 1:
            raise KeyboardInterrupt
        return super().__call__(candidate, fidelity, seed, on_epoch)


def test_what_an_ended_process_left_is_trained_with_the_same_seed(
    study: Study, dead_worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.books.worker_id", lambda: dead_worker)
    claimed: list[Event] = []
    with pytest.raises(KeyboardInterrupt):
        compare(Comparison(study, _wanted(study), 1), Interrupted(), accept_all, claimed.append)
    assert [record.name for record in study.references()] == ["resnet18"]
    lost = claimed[-1].job
    monkeypatch.undo()
    started, *_ = _compare(study, FakeEvaluator())
    assert (started.job.candidate, started.job.seed) == (lost.candidate, lost.seed)
    assert [record.name for record in study.references()] == ["resnet18", "starnet_050"]


def test_what_a_living_process_trains_is_left_to_it(study: Study) -> None:
    living = Comparison(study, _wanted(study), 1)
    assert None not in [living.claim(accept_all), living.claim(accept_all)]
    other = FakeEvaluator()
    _compare(study, other)
    assert other.architectures == []


def test_a_training_that_fails_is_noted_and_tried_again_next_time(study: Study) -> None:
    events = _compare(study, FakeEvaluator(faults={0: RuntimeError("no memory")}))
    assert [event.error for event in events if isinstance(event, Finished)] == ["RuntimeError: no memory"] * 2
    assert {record.error for record in study.references()} == {"RuntimeError: no memory"}
    _compare(study, FakeEvaluator())
    assert [(record.error, len(record.measurements)) for record in study.references()] == [("", 1)] * 2


def test_a_diverged_reference_is_kept_and_not_compared(study: Study) -> None:
    _compare(study, FakeEvaluator(faults={0: diverged(HIGH)}), "resnet18")
    view = study.view()
    assert [view.standing(record) for record in view.references] == ["diverged"]
    assert _compare(study, FakeEvaluator(), "resnet18") == []


def _standing(study: Study, name: str, accuracy: float, fidelity: Fidelity = HIGH, **view: object) -> str:
    record = _wanted(study, name)[0].model_copy(update={"measurements": (measurement(accuracy, fidelity),)})
    return StudyView.of(study.config, study.records(), references=(record,), **view).standing(record)


def test_a_reference_is_dominated_by_a_member_of_the_front_or_by_none(study: Study) -> None:
    smallest = study.view().front[0]
    assert _standing(study, "resnet18", 0.0) == f"dominated by trial {smallest.number}"
    assert _standing(study, "resnet18", 1.0) == "not dominated"


def test_a_reference_is_compared_only_under_the_cap_and_at_the_fidelity_of_the_trials(study: Study) -> None:
    assert _standing(study, "resnet18", 1.0, LOW) == "measured at another fidelity"
    largest = max(record.cost.params for record in study.view().compared)
    assert _standing(study, "resnet18", 1.0, budget=Budget(params=largest)) == "over the cap"


def test_no_reference_and_too_large_a_reference_are_refused(study: Study) -> None:
    with pytest.raises(StudyError, match="no reference to compare with"):
        scaled([], study.config)
    small = study.config.model_copy(update={"budget": Budget(params=300)})
    with pytest.raises(CapError, match="reference mobilenetv2_100: cap: scaled by both, even the smallest"):
        scaled([reference("mobilenetv2_100")], small)


def test_each_rung_has_trainings_of_its_own(study: Study) -> None:
    wanted = _wanted(study, "resnet18")
    compare(Comparison(study, wanted, 2, rung=0), FakeEvaluator(), accept_all)
    assert Comparison(study, wanted, 2, rung=0).left() == 0
    assert Comparison(study, wanted, 2).left() == 2
    _compare(study, FakeEvaluator(), "resnet18")
    (record,) = study.references()
    assert sorted(each.fidelity.epochs for each in record.measurements) == [1, 1, 4]
