"""From what a user asked for to a study: what is made, what is refused, and that a refusal writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import NSGAIISampler, RandomSampler

from nas.budget import Budget
from nas.errors import AuditError, InputError, NasError, StudyError
from nas.records import Fidelity, Status, StudyConfig
from nas.search.draft import DEFAULT_TRIALS
from nas.search.loop import run
from nas.search.request import SearchRequest
from nas.search.setup import Prepared, join, prepare
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.core.examples import architecture, block
from tests.search.conftest import MakeFolder
from tests.search.fakes import TINY_SPACE, FakeEvaluator

pytestmark = pytest.mark.usefixtures("one_plan")


@pytest.fixture
def asked(tmp_path: Path, tiny_space: str) -> dict[str, Any]:
    """Give a request for a study of the tiny space on digits."""
    return {"results": tmp_path / "results", "space": tiny_space, "data": "digits", "study": "first", "trials": 4}


@pytest.fixture
def prepared(asked: dict[str, Any]) -> Prepared:
    """Give the study that was asked for."""
    return prepare(SearchRequest(**asked))


def refusal(asked: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        prepare(SearchRequest(**asked | changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_study_folder_says_what_the_results_depend_on(prepared: Prepared) -> None:
    content = json.loads((prepared.folder.path / "study.json").read_text())
    assert StudyConfig.model_validate(content["config"]) == prepared.study.config
    assert content["config"]["data_fingerprint"] == prepared.evaluator.data.fingerprint
    assert content["config"]["plan"]["device"] == "cpu"
    assert {"torch", "optuna", "fvcore"} <= set(content["environment"]["packages"])
    assert {"python", "git_commit", "system", "cores"} <= set(content["environment"])


def test_a_study_folder_holds_the_space_as_used_and_the_database(prepared: Prepared) -> None:
    assert (prepared.folder.path / "space.toml").read_text() == TINY_SPACE
    assert prepared.folder.database.is_file()
    assert prepared.folder.path.name == "first"


def test_a_new_study_has_defaults_for_all_that_was_not_asked(asked: dict[str, Any]) -> None:
    prepared = prepare(SearchRequest(results=asked["results"], space=asked["space"], data="digits"))
    config = prepared.study.config
    assert (config.name, config.seed, config.sampler, prepared.study.n_trials) == ("tiny", 0, "cap", DEFAULT_TRIALS)
    assert (config.budget.params, config.objectives) == (15_000, ("val_accuracy", "params", "interference"))
    assert len(config.fidelities) == 2
    assert prepared.choice


def test_the_request_decides(asked: dict[str, Any]) -> None:
    wanted = {"cap": "700", "epochs": 6, "train_fraction": 0.5, "resolution": 12, "seed": 3, "sampler": "random"}
    config = prepare(SearchRequest(**asked | wanted, objectives=("val_loss", "macs"))).study.config
    assert (config.budget.params, config.seed, config.sampler) == (700, 3, "random")
    assert config.fidelities[-1] == Fidelity(epochs=6, train_fraction=0.5, resolution=12)
    assert config.objectives == ("val_loss", "macs")


def test_a_ladder_can_be_given_and_is_kept(asked: dict[str, Any]) -> None:
    config = prepare(SearchRequest(**asked, rungs="1@4,2,9")).study.config
    assert [(rung.epochs, rung.resolution) for rung in config.fidelities] == [(1, 4), (2, 8), (9, 8)]
    assert prepare(SearchRequest(**asked, rungs="1@4,2,9")).choice is None
    said = refusal(asked, rungs="1,9")
    assert "a different rungs than it was started with: the study has 1@4x1,2@8x1,9@8x1, asked was 1@8x1,9@8x1" in said


def test_hours_and_workers_may_change_from_run_to_run(asked: dict[str, Any]) -> None:
    first = prepare(SearchRequest(**asked, max_hours=1, plan="threads=1"))
    assert first.study.max_hours == 1
    again = prepare(SearchRequest(**asked, max_hours=2, workers=2))
    assert again.study.max_hours == 2
    assert (first.plan.workers, again.plan.workers) == (1, 2)
    assert again.study.config == first.study.config


def test_several_gpus_are_the_workers_and_the_first_is_this_process_s(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    prepared = prepare(SearchRequest(**asked, device="cuda:0,1", trials_per_gpu=3))
    assert prepared.plan.devices == ("cuda:0", "cuda:1")
    assert (prepared.plan.trials_per_device, prepared.evaluator.plan.device) == (3, "cuda:0")
    worker = join(SearchRequest(asked["results"], study="first", device="cuda:1"))
    assert worker.evaluator.plan.device == "cuda:1"
    assert len(worker.studies(worker.plan.trials_per_device)) == 3
    assert "--plan: workers=3, but each GPU of cuda:0,1 has one worker" in refusal(asked, workers=3)


def test_the_same_train_fraction_goes_on_to_its_last_digit(asked: dict[str, Any]) -> None:
    fraction = 0.123456
    prepare(SearchRequest(**asked, train_fraction=fraction))
    resumed = prepare(SearchRequest(**asked, train_fraction=fraction))
    assert resumed.study.config.fidelities[-1].train_fraction == fraction


def test_the_cost_is_estimated_for_the_whole_study(asked: dict[str, Any]) -> None:
    prepared = prepare(SearchRequest(**asked | {"trials": 12}, finalists=2, finalist_seeds=3))
    assert prepared.study.config.reduction == 3
    assert prepared.estimate.trainings == 12 + 12 // 3 + 2 * 2
    assert prepared.estimate.seconds > 0


def test_large_data_is_seen_in_part_unless_asked(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.search.draft.PROXY_IMAGES", 500)
    part = prepare(SearchRequest(**asked))
    fraction = 500 / len(part.evaluator.data.train)
    assert [rung.train_fraction for rung in part.study.config.fidelities] == pytest.approx([fraction] * 2, abs=1e-4)
    whole = prepare(SearchRequest(**asked | {"study": "whole", "train_fraction": 1.0}))
    assert {rung.train_fraction for rung in whole.study.config.fidelities} == {1.0}


def test_the_same_request_goes_on_with_the_study(asked: dict[str, Any], prepared: Prepared) -> None:
    run(prepared.study, FakeEvaluator(), prepared.accept)
    again = prepare(SearchRequest(**asked))
    assert again.choice is None
    assert again.study.config == prepared.study.config
    assert again.study.records() == prepared.study.records()


def test_a_name_is_enough_to_go_on(asked: dict[str, Any], prepared: Prepared) -> None:
    again = prepare(SearchRequest(results=asked["results"], study="first"))
    assert (again.study.config, again.study.n_trials) == (prepared.study.config, 4)


def test_more_trials_extend_the_study(asked: dict[str, Any], prepared: Prepared) -> None:
    assert prepared.study.n_trials == 4
    assert prepare(SearchRequest(**asked | {"trials": 9})).study.n_trials == 9
    assert prepare(SearchRequest(results=asked["results"], study="first")).study.n_trials == 9


def test_a_study_that_was_killed_before_its_folder_was_written_gets_it(prepared: Prepared) -> None:
    for name in ("study.json", "space.toml"):
        (prepared.folder.path / name).unlink()
    prepare(SearchRequest(results=prepared.folder.path.parent, study="first"))
    assert (prepared.folder.path / "study.json").is_file()
    assert (prepared.folder.path / "space.toml").is_file()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("space", "digits"),
        ("cap", "14k"),
        ("seed", 1),
        ("objectives", ("val_accuracy",)),
        ("epochs", 3),
        ("train_fraction", 0.5),
        ("finalists", 1),
        ("finalist_seeds", 2),
        ("resolution", 16),
        ("sampler", "random"),
    ],
)
def test_a_study_keeps_what_it_was_started_with(
    asked: dict[str, Any], prepared: Prepared, field: str, value: object
) -> None:
    before = (prepared.folder.path / "study.json").read_bytes()
    said = refusal(asked, trials=9, **{field: value})
    assert f"study 'first': a different {field.replace('_', '-')} than it was started with" in said
    assert (prepared.folder.path / "study.json").read_bytes() == before
    assert prepared.study.n_trials == 4


@pytest.mark.parametrize(("target", "other"), [("space", "data"), ("data", "space")])
def test_a_study_keeps_its_target(asked: dict[str, Any], make_folder: MakeFolder, target: str, other: str) -> None:
    asked |= {"data": f"folder:{make_folder('pets')}"}
    prepare(SearchRequest(**asked, target=target))
    assert "a different target" in refusal(asked, target=other)
    assert prepare(SearchRequest(**asked, target=target)).choice is None


def test_a_study_keeps_its_device(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(SearchRequest(**asked, device="cpu"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert "a different device" in refusal(asked, device="cuda")


def test_a_study_of_a_device_that_is_not_here_is_refused(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    prepare(SearchRequest(**asked, device="cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert refusal(asked) == "--device cuda: this machine has 0 CUDA device(s)"


def test_a_study_keeps_its_data(asked: dict[str, Any], prepared: Prepared, make_folder: MakeFolder) -> None:
    said = refusal(asked, data=f"folder:{make_folder('pets')}")
    assert "study 'first': data: the images of folder:" in said
    assert prepared.study.config.data_fingerprint in said


def test_images_that_have_changed_are_other_data(asked: dict[str, Any], make_folder: MakeFolder) -> None:
    pets = make_folder("pets")
    asked |= {"data": f"folder:{pets}"}
    prepare(SearchRequest(**asked))
    (pets / "cat" / "0.png").write_bytes((pets / "dog" / "0.png").read_bytes())
    assert "fingerprint" in refusal(asked)


def test_a_folder_that_has_moved_is_the_same_data(asked: dict[str, Any], make_folder: MakeFolder) -> None:
    pets = make_folder("pets")
    prepare(SearchRequest(**asked | {"data": f"folder:{pets}"}))
    moved = pets.rename(pets.with_name("animals"))
    assert prepare(SearchRequest(**asked | {"data": f"folder:{moved}"})).choice is None


def test_the_cap_is_counted_on_the_target_of_the_space(prepared: Prepared) -> None:
    target = prepared.study.config.space.target
    assert (target.num_classes, target.in_channels, target.resolution) == (10, 1, 8)


@pytest.mark.parametrize("target", ["space", "data"])
def test_caps_on_macs_and_activations_come_from_the_space(asked: dict[str, Any], tmp_path: Path, target: str) -> None:
    path = tmp_path / "mcu.toml"
    path.write_text(TINY_SPACE.replace('cap = "15k"', 'cap = "15k"\nmacs = "90k"\npeak_activation = "8k"'))
    config = prepare(SearchRequest(**asked | {"space": str(path), "target": target, "cap": "9k"})).study.config
    assert config.budget == Budget(params=9_000, macs=90_000, peak_activation_bytes=8_000)
    assert (config.target.macs, config.target.peak_activation) == ("90k", "8k")


def test_the_cap_can_be_counted_on_the_data(asked: dict[str, Any], make_folder: MakeFolder) -> None:
    pets = make_folder("pets", classes=("ant", "bee", "cat"))
    study = prepare(SearchRequest(**asked | {"data": f"folder:{pets}", "target": "data"})).study
    target = study.config.space.target
    assert (target.dataset, target.num_classes, target.in_channels, target.resolution) == ("pets", 3, 3, 8)
    assert (
        Study.open(open_storage(sqlite_url(asked["results"] / "first" / "study.db")), "first").config.space.target
        == target
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"space": "digit"}, "unknown space 'digit'; did you mean 'digits'?"),
        ({"space": "none/space.toml"}, "space none/space.toml: no such file"),
        ({"data": "mnits"}, "unknown data set 'mnits'; did you mean 'mnist'?"),
        ({"data": "folder:/nowhere"}, "folder:/nowhere: no such folder"),
        ({"data": "mnist:/nowhere"}, "mnist:/nowhere: no such folder"),
        ({"space": "nodepth", "data": None}, "--data is missing: space 'nodepth' is for imagenet"),
        ({"cap": "many"}, "--cap: must be a positive count such as 1.5M"),
        ({"cap": "100"}, "no member of space 'tiny' fits under 100 params; its smallest member has 226"),
        ({"objectives": ("speed",)}, "unknown objective 'speed'"),
        ({"sampler": "grid"}, "unknown sampler 'grid'"),
        ({"target": "moon"}, "unknown target 'moon'"),
        ({"device": "tpu"}, "--device must be cpu, cuda, cuda:N or cuda:N,M, got 'tpu'"),
        ({"rungs": "3,1"}, "--rungs: epochs must rise from rung to rung"),
        ({"plan": "bfloat"}, "--plan: must be auto or NAME=VALUE,..., got 'bfloat'"),
        ({"workers": 9}, "at most 8 workers share a SQLite file, got 9; give --storage postgresql://"),
        ({"device": "cuda:99"}, "--device cuda:99: this machine has"),
        ({"storage": "nonsense"}, "storage: not a database URL"),
        ({"storage": "sqlite://"}, "a database in memory"),
        ({"study": "../up"}, "study: the name may hold letters"),
        ({"study": ".hidden"}, "study: the name may hold letters"),
    ],
)
def test_what_cannot_be_searched_is_refused_and_nothing_is_written(
    asked: dict[str, Any], changes: dict[str, Any], fault: str
) -> None:
    assert fault in refusal(asked, **changes)
    assert not asked["results"].exists()


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("trials", 0, "--trials must be at least 1, got 0"),
        ("epochs", 0, "--epochs must be at least 1, got 0"),
        ("resolution", 3, "--resolution must be at least 4, got 3"),
        ("seed", -1, "--seed must be at least 0, got -1"),
        ("train_fraction", 0.0, "--train-fraction must be above 0 and at most 1, got 0.0"),
        ("train_fraction", float("nan"), "--train-fraction must be above 0 and at most 1, got nan"),
    ],
)
def test_a_number_out_of_range_is_refused(asked: dict[str, Any], field: str, value: float, rule: str) -> None:
    assert refusal(asked, **{field: value}) == rule


def test_a_folder_that_cannot_be_written_is_refused(asked: dict[str, Any]) -> None:
    asked["results"].write_text("a file stands here")
    assert "cannot be written" in refusal(asked)
    assert asked["results"].read_text() == "a file stands here"


def test_a_space_of_which_no_member_can_be_repaired_is_refused(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.draft.repair", lambda *_: None)
    assert "none of 100 random members could be repaired" in refusal(asked)
    assert not asked["results"].exists()


def test_images_that_were_left_out_are_counted(asked: dict[str, Any], make_folder: MakeFolder) -> None:
    pets = make_folder("pets")
    for name in ("0.png", "1.png"):
        (pets / "cat" / name).write_bytes(b"no image")
    asked |= {"data": f"folder:{pets}"}
    assert "0.png and 1 more: not a readable image; --skip-broken" in refusal(asked)
    assert prepare(SearchRequest(**asked, skip_broken=True)).evaluator.data.skipped == 2


def test_every_network_is_audited_against_the_cap(prepared: Prepared) -> None:
    prepared.accept(architecture(block("separable"), stem=8, width=8))
    with pytest.raises(AuditError, match="exceeds the cap 15,000"):
        prepared.accept(architecture(block("residual"), stem=64, width=64))


def test_the_measured_plan_is_kept_for_the_study(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(SearchRequest(**asked))
    monkeypatch.setattr("nas.search.setup.choose_plan", lambda *_, **__: pytest.fail("measured again"))
    assert prepare(SearchRequest(**asked)).study.config.plan == first.study.config.plan


def test_studies_share_a_database(asked: dict[str, Any], tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "shared.db")
    first = prepare(SearchRequest(**asked, storage=url))
    second = prepare(SearchRequest(**asked | {"study": "second", "seed": 1}, storage=url))
    run(first.study, FakeEvaluator(), first.accept)
    assert second.study.records() == ()
    assert {record.status(first.study.config.fidelities) for record in first.study.records()} <= set(Status)
    assert not first.folder.database.exists()


def test_an_optuna_sampler_can_be_passed_and_is_asked_for_again(asked: dict[str, Any]) -> None:
    given = {"sampler": NSGAIISampler(seed=0)}
    prepared = prepare(SearchRequest(**asked), **given)
    assert prepared.study.config.sampler == "NSGAIISampler"
    run(prepared.study, FakeEvaluator(), prepared.accept)
    assert len(prepared.study.records()) == 4
    more = SearchRequest(**asked | {"space": None, "trials": 5})
    with pytest.raises(StudyError, match="NSGAIISampler, was passed as an object"):
        run(prepare(more).study, FakeEvaluator(), prepared.accept)
    with pytest.raises(StudyError, match="a different sampler than it was started with"):
        prepare(more, sampler=RandomSampler(seed=0))
    assert prepare(more, **given).study.n_trials == 5


def test_a_failure_of_the_study_is_a_user_s_error() -> None:
    assert issubclass(StudyError, InputError)
    assert (InputError("").exit_code, NasError("").exit_code) == (2, 1)
