"""What a study takes over from others, what they only tell it, and that nothing of it is done twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nas.architecture import Architecture
from nas.budget import Budget
from nas.errors import StudyError
from nas.members import NetworkMembers
from nas.pareto import objectives
from nas.records import Plan, Recipe, Status, StudyConfig
from nas.search import ledger
from nas.search.catalogue import study_names
from nas.search.comparable import comparable
from nas.search.confirm import confirm
from nas.search.history import History
from nas.search.ledger import FROM, Ledger, read_trials
from nas.search.loop import run
from nas.search.samplers import named
from nas.search.samplers.cap import CapSampler
from nas.search.sources import Places, Source
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.search.warm_start import Priors, choices_of, missing, sources_of, take_over
from tests.core.examples import HIGH, LOW, SMALL_SPACE, config, diverged
from tests.search.fakes import FakeEvaluator, accept_all

TRIALS = 9
"""Of the source: one of them is replicated, four are promoted."""


NUMBERS = count()
"""For names: the studies of a database are many tests'."""


def finished(storage: RDBStorage) -> Study:
    """Return a new study that has been searched to its end."""
    study = Study.create(storage, config(name=f"source-{next(NUMBERS)}", sampler="random"), TRIALS)
    run(study, FakeEvaluator(), accept_all)
    return study


@pytest.fixture
def stored(storage: RDBStorage) -> Study:
    """Give a finished study in each database."""
    return finished(storage)


@pytest.fixture(scope="module")
def source(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Give a finished study in a file; tests only read it, and make others beside it."""
    path = shutil.copy(empty_database, tmp_path_factory.mktemp("sources") / "study.db")
    return finished(open_storage(sqlite_url(path)))


def given(source: Study, **fields: Any) -> StudyConfig:
    """Return the configuration of a study that starts from another one and is like it, but for some fields."""
    name = f"next-{next(NUMBERS)}"
    (found,) = sources_of(
        [source.name], Places(source.storage, None), kind="networks", choices=choices_of(source.config), study=name
    )
    return source.config.model_copy(update={"name": name, "sampler": "cap", "warm_start": (found.mark,), **fields})


def started(source: Study, trials: int = 4, **fields: Any) -> Study:
    """Return a new study that starts from another one."""
    return Study.create(source.storage, given(source, **fields), trials)


def lines(source: Study, **fields: Any) -> str:
    """Return what is said of the source to a study like it but for some fields."""
    asked = given(source, **fields)
    (found,) = Places(source.storage, None).read_again(asked.warm_start)
    (line,) = take_over(asked, NetworkMembers(asked.space, asked.budget), [found]).lines
    return line.removeprefix(f"warm start from {source.name}: ")


def groups(study: Study, results: Path | None = None) -> list[int]:
    """Return how many genotypes each group of priors has."""
    history = History(study.config, Ledger(study.storage, study.name, f"{study.name}/rungs", f"{study.name}/fidelity"))
    history.follow()
    priors = Priors(study.config, history, Places(study.storage, results))(objectives(study.config.objectives))
    return [len(each.genotypes) for each in priors]


def test_comparable_records_stand_in_a_study_from_its_creation(stored: Study) -> None:
    study = started(stored)
    assert study.records() == stored.records()
    assert study.n_trials == TRIALS + 4
    assert study.taken_over == {number: f"{stored.name}:{number}" for number in range(TRIALS)}
    assert {record.status(study.config.fidelities) for record in study.records()} == {
        Status.EVALUATED,
        Status.STOPPED_EARLY,
    }
    assert not study.is_busy
    assert lines(stored) == f"{TRIALS} taken over"


def test_optuna_reads_what_was_taken_over(stored: Study) -> None:
    study = started(stored)
    for suffix in ("", "/rungs"):
        before, after = (
            optuna.load_study(study_name=each.name + suffix, storage=stored.storage).trials for each in (stored, study)
        )
        assert [trial.number for trial in after] == list(range(len(before)))
        assert sorted((trial.values, sorted(trial.params.items())) for trial in after) == sorted(
            (trial.values, sorted(trial.params.items())) for trial in before
        )
        assert all(trial.state is TrialState.COMPLETE and trial.datetime_complete for trial in after)
        assert all(trial.user_attrs[FROM].startswith(f"{stored.name}:") for trial in after)


def test_nothing_that_was_taken_over_is_evaluated_again(stored: Study) -> None:
    study, evaluator = started(stored), FakeEvaluator()
    run(study, evaluator, accept_all)
    records = study.records()
    assert len(records) == TRIALS + 4
    assert len({record.arch_id for record in records}) == len(records)
    assert {number for number, epochs in evaluator.seen if epochs == LOW.epochs} == {9, 10, 11, 12}
    before = {(each.number, made.fidelity) for each in stored.records() for made in each.own}
    assert not before & {(number, LOW if epochs == LOW.epochs else HIGH) for number, epochs in evaluator.seen}


def test_a_promotion_trains_with_the_seed_of_the_first_measurement(source: Study) -> None:
    before = {f"{source.name}:{record.number}": record.measurements[0] for record in source.records()}
    middle = sorted(record.cost.params for record in source.records())[4]  # so that the numbers are others
    longer = HIGH.model_copy(update={"epochs": 5})
    study = started(source, 8, budget=Budget(params=middle), fidelities=(LOW, longer))
    run(study, FakeEvaluator(), accept_all)
    taken = [record for record in study.records() if record.number in study.taken_over]
    assert any(not study.taken_over[record.number].endswith(f":{record.number}") for record in taken)
    assert any(len(record.own) == 2 for record in taken)
    for record in taken:
        assert record.measurements[0] == before[study.taken_over[record.number]]
        assert [made.fidelity for made in record.own] == [LOW, longer][: len(record.own)]
        assert record.own == record.measurements


def test_what_was_taken_over_takes_no_hours_and_no_trials(source: Study) -> None:
    study = started(source)
    assert study.hours() == 0
    assert study.intervals() == []
    assert set(study.ends()) >= {(number, LOW) for number in range(TRIALS)}
    study.extend(6)
    assert study.n_trials == TRIALS + 6
    study.extend(0)
    assert study.n_trials == TRIALS


def test_further_seeds_are_taken_over_with_their_candidates(source: Study) -> None:
    confirm(source, FakeEvaluator(), accept_all, top=3, seeds=2)
    study, evaluator = started(source, trials=1), FakeEvaluator()
    assert study.records() == source.records()
    confirm(study, evaluator, accept_all, top=3, seeds=2)
    assert evaluator.seen == []


def test_members_over_the_new_cap_only_inform(source: Study) -> None:
    records = source.records()
    middle = sorted(record.cost.params for record in records)[4]
    budget = Budget(params=middle)
    study = started(source, budget=budget)
    fit = [record.cost.params for record in records if record.cost.params <= middle]
    left = TRIALS - len(fit)
    assert left > 0
    assert [record.cost.params for record in study.records()] == fit
    assert [record.number for record in study.records()] == list(range(len(fit)))
    over = [{made.fidelity for made in each.own} for each in records if each.cost.params > middle]
    assert sum(groups(study)) == sum(map(len, over))
    assert lines(source, budget=budget).startswith(f"{TRIALS - left} taken over, {left} only inform ({left} over the ")


def test_a_rung_that_differs_takes_over_those_below_it(source: Study) -> None:
    longer = HIGH.model_copy(update={"epochs": 5})
    study = started(source, fidelities=(LOW, longer))
    assert [made.fidelity for record in study.records() for made in record.own] == [LOW] * TRIALS
    assert groups(study) == [sum(len(record.own) == 2 for record in source.records())]
    assert lines(source, fidelities=(LOW, longer)) == "9 taken over (another fidelity from 4 epochs at 8 px on)"


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "images": ({"data_fingerprint": "1"}, "other images: digits"),
    "share": ({"validation_fraction": 0.1}, "another share held out: 0.2"),
    "split": ({"seed": 7}, "other images held out: seed 0"),
    "batch": ({"recipe": Recipe(batch_size=64)}, "another recipe: batch size 128"),
    "precision": ({"plan": Plan(precision="bfloat16")}, "another precision: float32"),
    "fidelity": ({"fidelities": (HIGH,)}, "another fidelity: 1 epoch at 8 px"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_was_measured_in_another_way_only_informs(source: Study, what: str) -> None:
    fields, why = DIFFERENT[what]
    study = started(source, **fields)
    assert study.records() == ()
    assert study.n_trials == 4
    assert groups(study) == [TRIALS, sum(len(record.own) == 2 for record in source.records())]
    assert lines(source, **fields) == f"0 taken over, {TRIALS} only inform ({why})"
    assert lines(source, sampler="tpe", **fields) == f"0 taken over, {TRIALS} tell sampler tpe nothing ({why})"


def test_networks_counted_on_another_target_are_counted_again(source: Study) -> None:
    target = source.config.target.model_copy(update={"num_classes": 12})
    asked = given(source, target=target, budget=Budget(params=5_000))
    found = Places(source.storage, None).read_again(asked.warm_start)
    seen: list[Architecture] = []
    start = take_over(asked, NetworkMembers(asked.space, asked.budget), found, seen.append)
    assert [each.arch_id for each in seen] == [record.arch_id for record in source.records()]
    study = Study.create(source.storage, asked, 4, start=start)
    for before, after in zip(source.records(), study.records(), strict=True):
        assert after.cost.params > before.cost.params
        assert after.measurements == before.measurements
    same = given(source)
    take_over(same, NetworkMembers(same.space, same.budget), found, pytest.fail)


def test_threads_layout_and_device_round_and_no_more(source: Study) -> None:
    plan = Plan(threads=3, channels_last=True, device="cuda:0")
    assert comparable(source.config, source.config.model_copy(update={"plan": plan})) == (2, ())


def test_the_networks_of_another_space_with_the_same_genes_are_others(source: Study) -> None:
    text = SMALL_SPACE.replace("[stem]\n", "[stem]\nkernel = 1\n")
    study = started(source, space_text=text)
    assert study.records() == ()
    assert "9 only inform (9 other members here)" in lines(source, space_text=text)


def test_a_divergence_is_taken_over_as_one(make_study: Callable[..., Study]) -> None:
    source = make_study(3)
    stopped = diverged().model_copy(update={"diverged": False, "stopped": "time"})
    for made in (diverged(), stopped):
        job = source.claim(accept_all)
        source.finish(job, made.model_copy(update={"seed": job.seed}))
    source.fail(source.claim(accept_all), "broken")
    study = started(source)
    assert [record.status(study.config.fidelities) for record in study.records()] == [Status.DIVERGED]
    assert lines(source) == "1 taken over (1 stopped by a limit)"


def test_one_network_of_two_sources_is_taken_over_once(source: Study) -> None:
    second = started(source)
    places, choices = Places(source.storage, None), choices_of(source.config)
    found = sources_of([source.name, second.name], places, kind="networks", choices=choices, study="third")
    asked = source.config.model_copy(update={"name": "third", "sampler": "cap"})
    start = take_over(asked, NetworkMembers(asked.space, asked.budget), found)
    assert len(start.candidates) == TRIALS
    assert start.lines[1].endswith("0 taken over, 9 only inform (9 taken over already)")


def test_a_resumed_study_reads_what_it_read_before(stored: Study) -> None:
    study = started(stored, fidelities=(HIGH,))
    before = groups(study)
    stored.extend(TRIALS + 4)
    run(stored, FakeEvaluator(), accept_all)
    assert groups(Study.open(stored.storage, study.name)) == before


def test_priors_reach_the_sampler(source: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        named, "CapSampler", lambda *args, **more: seen.append(more["priors"]) or CapSampler(*args, **more)
    )
    study = started(source, 1, fidelities=(HIGH,))
    study.claim(accept_all)
    assert [len(group.genotypes) for group in seen[0]] == groups(study)
    assert all(len(row) == len(study.config.objectives) for group in seen[0] for row in group.values)


@pytest.mark.parametrize("broken", ["trials", "attributes"])
def test_a_creation_that_is_killed_leaves_no_study(stored: Study, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    asked = given(stored)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "value_row" if broken == "trials" else "create", kill)
        with pytest.raises(KeyboardInterrupt):
            Study.create(stored.storage, asked, 4)
    assert asked.name not in study_names(stored.storage)
    assert read_trials(stored.storage, asked.name) == []
    assert len(Study.create(stored.storage, asked, 4).records()) == TRIALS


def test_a_source_that_is_gone_is_done_without(stored: Study) -> None:
    study = started(stored, fidelities=(HIGH,))
    for suffix in ("", "/rungs"):
        optuna.delete_study(study_name=stored.name + suffix, storage=stored.storage)
    again = Study.open(stored.storage, study.name)
    places = Places(stored.storage, None)
    assert missing(again.config, places) == [
        f"warm start from {stored.name}: it cannot be read any more; the search goes on without it"
    ]
    run(again, FakeEvaluator(), accept_all)
    assert len(again.records()) == 4


def test_a_source_is_found_in_the_folder_of_results(tmp_path: Path, make_study: Callable[..., Study]) -> None:
    (tmp_path / "results" / "old").mkdir(parents=True)
    url = sqlite_url(tmp_path / "results" / "old" / "study.db")
    old = Study.create(open_storage(url, create=True), config(name="old"), TRIALS)
    run(old, FakeEvaluator(), accept_all)
    places = Places(None, tmp_path / "results")
    (found,) = sources_of(["old"], places, kind="networks", choices=choices_of(old.config), study="study")
    study = make_study(4, config(warm_start=(found.mark,), fidelities=(HIGH,)))
    assert groups(study, tmp_path / "results") == groups(started(old, fidelities=(HIGH,))) == [9, 5]
    assert groups(study) == []


def refusal(there: Study, *names: str, **fields: Any) -> str:
    asked = {"kind": "networks", "choices": choices_of(there.config), "study": "next", **fields}
    with pytest.raises(StudyError) as caught:
        sources_of(names, Places(there.storage, None), **asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_a_source_is_refused_in_one_line(make_study: Callable[..., Study]) -> None:
    study = make_study()
    assert "warm start: unknown study 'stud'; did you mean 'study'? (known: study)" in refusal(study, "stud")
    assert "study 'study' cannot start from itself" in refusal(study, "study", study="study")
    assert "study 'study' is of networks, this one is not" in refusal(study, "study", kind="problem")
    other = {**choices_of(study.config), "stem.width": (8, 16)}
    said = "warm start: study 'study' is of another space: stem.width: 8, 16 here, 8, 12 there"
    assert refusal(study, "study", choices=other) == said


def test_a_source_counts_what_has_ended(make_study: Callable[..., Study]) -> None:
    study = make_study(TRIALS)
    run(study, FakeEvaluator(), accept_all)
    found: Source = Places(study.storage, None).find("study")
    assert found.mark.records == sum(len(record.measurements) for record in study.records())
