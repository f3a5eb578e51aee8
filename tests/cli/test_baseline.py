"""`nas search --baseline`: the same search by other samplers, after it, and all of them side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from nas.records import Measurement, StudyConfig, TrialRecord
from nas.search.evaluator import TrainingEvaluator
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.search.worker_id import worker_id
from tests.cli.conftest import TRIALS, Finished, Outcome, search
from tests.search.fakes import small_digits

BOTH = ("little", "little-random")
FINALISTS = ("--finalists", "1", "--finalist-seeds", "2")


@pytest.fixture(autouse=True, scope="module")
def _few_images() -> Iterator[None]:
    """Train on 128 digits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nas.search.setup.load_dataset", lambda *_, **__: small_digits())
        yield


def with_baseline(results: Path, *arguments: object) -> Outcome:
    """Search with one finalist, and at random beside it."""
    return search(results, *FINALISTS, "--baseline", "random", *arguments)


def opened(results: Path, name: str) -> Study:
    return Study.open(open_storage(sqlite_url(results / name / "study.db")), name)


def settings(config: StudyConfig) -> dict[str, object]:
    return config.model_dump(exclude={"name", "sampler", "finalists"})


def without_times(records: tuple[TrialRecord, ...]) -> list[dict[str, object]]:
    """Return what does not depend on how fast this machine is."""
    left_out = {"measurements": {"__all__": {"epochs", "train_seconds", "images_per_second"}}}
    found = [each.model_dump(mode="json", exclude=left_out) for each in records]
    for each in found:
        for measured in each["measurements"]:
            measured["metrics"].pop("train_seconds", None)
    return found


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Give a study that was held against a baseline; tests only read it."""
    results = tmp_path_factory.mktemp("held") / "results"
    return Finished(results, with_baseline(results))


@pytest.fixture(scope="module")
def ended_worker() -> str:
    """Give the identity of a process of this host that is no more: what it left is taken up at once."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return worker_id(ended.pid)


def test_a_baseline_is_the_same_study_but_for_its_sampler_and_finalists(held: Finished) -> None:
    assert held.outcome.code == 0, held.outcome.err
    main, other = (opened(held.results, name) for name in BOTH)
    assert settings(main.config) == settings(other.config)
    assert (main.config.sampler, other.config.sampler) == ("cap", "random")
    assert (main.config.finalists, other.config.finalists) == (1, 0)
    assert [len(study.records()) for study in (main, other)] == [TRIALS, TRIALS]
    assert main.n_trials == other.n_trials
    assert (held.results / "little-random" / "front.html").is_file()


def test_the_search_comes_first(held: Finished) -> None:
    before, after = held.outcome.err.split(f"baseline random: study little-random, {TRIALS} trials\n")
    assert f"[{TRIALS}/{TRIALS}] trial " in before
    assert f"[{TRIALS}/{TRIALS}] trial " in after


def test_each_ends_with_a_line_of_result(held: Finished) -> None:
    out = held.outcome.out
    assert f"samplers after {TRIALS} trials, measured at " in out
    lines = [line.split() for line in out.splitlines()]
    (first,) = [line for line in lines if line[:2] == ["cap", "little"]]
    (second,) = [line for line in lines if line[:2] == ["random", "little-random"]]
    assert first[-1] == "1.000"
    assert float(second[-1]) == pytest.approx(float(second[-2]) / float(first[-2]), abs=0.01)
    assert out.endswith(f"the samplers side by side as a page: {held.folder / 'baselines.html'}\n")


def test_the_pages_lead_to_each_other(held: Finished) -> None:
    assert 'href="baselines.html"' in (held.folder / "front.html").read_text()
    assert 'href="front.html"' in (held.folder / "baselines.html").read_text()
    assert 'href="baselines.html"' not in (held.results / "little-random" / "front.html").read_text()


def test_the_same_command_again_trains_nothing(held: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingEvaluator, "__call__", lambda *_: pytest.fail("trained again"))
    again = with_baseline(held.results)
    assert (again.code, again.out) == (0, held.outcome.out)
    assert "study little-random: nothing is left to train" in again.err
    found = json.loads(with_baseline(held.results, "--json").out)
    assert [row["study"] for row in found["baselines"]] == list(BOTH)
    assert found["baselines"][0]["ratio"] == 1
    assert [row["trial"] for row in found["front"]] == [each.number for each in held.open().view().front]


@pytest.mark.parametrize("at", BOTH)
def test_ctrl_c_says_how_far_each_is_and_the_same_command_goes_on(
    held: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_worker: str, at: str
) -> None:
    evaluate, begun = TrainingEvaluator.__call__, {"little": 0, "little-random": TRIALS}[at]
    seen: set[tuple[int, str]] = set()

    def interrupted(self: TrainingEvaluator, candidate: TrialRecord, *rest: object) -> Measurement:
        seen.add((candidate.number, self.checkpoints._folder.parent.name))
        if len(seen) == begun + 3:
            raise KeyboardInterrupt
        return evaluate(self, candidate, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingEvaluator, "__call__", interrupted)
        patched.setattr("nas.search.books.worker_id", lambda: ended_worker)
        outcome = with_baseline(tmp_path / "results")
    assert (outcome.code, outcome.out) == (130, "")
    done = {"little": (2, 0), "little-random": (TRIALS, 2)}[at]
    assert outcome.err.splitlines()[-1] == (
        f"stopped; little has {done[0]} of {TRIALS} trials, little-random has {done[1]} of {TRIALS} trials. "
        "The same command goes on from here."
    )
    assert with_baseline(tmp_path / "results").code == 0
    for name in BOTH:
        records = [without_times(opened(results, name).records()) for results in (tmp_path / "results", held.results)]
        assert records[0] == records[1]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("nonsense", "--baseline: unknown sampler 'nonsense'"),
        ("random,", "--baseline: unknown sampler ''"),
        ("random,cap", "--baseline: cap is the sampler of the search itself; name others"),
        ("random,tpe,random", "--baseline: name each sampler once, got random, tpe, random"),
    ],
)
def test_samplers_that_cannot_be_baselines_are_refused_before_anything_is_written(
    tmp_path: Path, names: str, words: str
) -> None:
    outcome = search(tmp_path / "results", "--baseline", names)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"nas: {words}")
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_the_sampler_of_a_study_that_goes_on_is_known_without_being_named(held: Finished) -> None:
    outcome = search(held.results, *FINALISTS, "--baseline", "cap")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "cap is the sampler of the search itself" in outcome.err


def test_a_name_that_another_study_has_is_refused(tmp_path: Path) -> None:
    results, few = tmp_path / "results", ("--trials", 1, "--epochs", 1)
    assert search(results, "--study", "mine-random", "--sampler", "tpe", *few).code == 0
    without = search(results, "--study", "mine", "--baseline", "random", *few)
    assert (without.code, without.err) == (
        2,
        "nas: study 'mine-random' exists, but not the study 'mine' that it would be held against\n",
    )
    assert not (results / "mine").exists()
    assert search(results, "--study", "mine", *few).code == 0
    other = search(results, "--study", "mine", "--trials", 9, "--baseline", "random")
    assert (other.code, other.err) == (
        2,
        "nas: study 'mine-random' exists with a different sampler than a baseline of 'mine' has (tpe, not random); "
        "give another --study name\n",
    )
    assert opened(results, "mine").n_trials == 1


def test_studies_share_a_storage_and_more_trials_are_for_all(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "all.db")
    for trials in (1, 2):
        outcome = search(
            tmp_path / "results", "--storage", url, "--trials", trials, "--epochs", 1, "--baseline", "random"
        )
        assert outcome.code == 0, outcome.err
    storage = open_storage(url)
    assert [len(Study.open(storage, name).records()) for name in BOTH] == [2, 2]
    assert "samplers after 2 trials" in outcome.out


def test_a_baseline_starts_from_what_the_search_starts_from(held: Finished, tmp_path: Path) -> None:
    results = tmp_path / "results"
    copytree(held.results, results)
    outcome = search(
        results, "--study", "next", "--warm-start", "little", "--trials", 1, "--baseline", "random", "--cap", "2k"
    )
    assert outcome.code == 0, outcome.err
    main, other = (opened(results, name) for name in ("next", "next-random"))
    assert main.taken_over == other.taken_over
    assert [len(study.records()) for study in (main, other)] == [TRIALS + 1, TRIALS + 1]
    assert f"samplers after {TRIALS + 1} trials" in outcome.out
