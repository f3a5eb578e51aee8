"""`nas probe solu`: a network and its SoLU twin, trained from the same seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.architecture import Architecture, Stage, Stem, Task
from nas.blocks import Block
from nas.budget import cost
from nas.training import probe
from nas.training.loop import train
from nas.training.probe import solu_twin
from tests.cli.conftest import Finished, Nas
from tests.cli.test_bad_input import refusal
from tests.cli.test_references import read

TASK = Task(num_classes=10, in_channels=1, resolution=8)
SMALL = Architecture(stem=Stem(width=4, stride=1), stages=(Stage(width=8, blocks=(Block(family="separable"),)),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the file of a small architecture."""
    (tmp_path / "small.json").write_text(SMALL.model_dump_json())
    return tmp_path / "small.json"


def test_both_accuracies_and_the_drop_are_given_for_each_seed(nas: Nas, path: Path) -> None:
    outcome = nas("probe", "solu", path, "--data", "digits", "--seeds", 2, "--epochs", 1, "--json")
    found = read(outcome)
    assert (found["network"], found["epochs"], found["seeds"]) == (str(path), 1, [0, 1])
    pairs = zip(found["val_accuracy"], found["twin_val_accuracy"], strict=True)
    assert found["drop"] == [own - twin for own, twin in pairs]
    assert found["mean_drop"] == pytest.approx(sum(found["drop"]) / 2)
    low, high = found["interval"]
    assert low <= found["mean_drop"] <= high
    assert found["params"] == cost(SMALL, TASK).params
    assert found["twin_params"] == cost(solu_twin(SMALL), TASK).params
    assert found["norm_params"] == 2 * (4 + 4 + 8)
    lines = outcome.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "[1/4] seed 0, network",
        "[2/4] seed 0, SoLU twin",
        "[3/4] seed 1, network",
        "[4/4] seed 1, SoLU twin",
    ]
    assert lines[0].endswith(f": {100 * found['val_accuracy'][0]:.2f} %")


def test_the_table_says_what_is_lost(nas: Nas, path: Path) -> None:
    given = ("probe", "solu", path, "--data", "digits", "--seeds", 1, "--seed", 7, "--epochs", 1)
    outcome, found = nas(*given), read(nas(*given, "--json"))
    drop = f"{100 * found['mean_drop']:.2f}"
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    accuracies = [f"{100 * found[name][0]:.2f} %" for name in ("val_accuracy", "twin_val_accuracy")]
    assert f"7 {' '.join(accuracies)} {drop}" in lines
    assert f"SoLU drop: {drop} points (one seed: no spread is known)" in lines
    assert "(32 more, the LayerNorms that belong to SoLU)" in outcome.out
    assert "arXiv 2507.15798" in lines[-1]


def test_a_twin_that_learned_nothing_is_told(nas: Nas, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("probe", "solu", path, "--data", "digits", "--seeds", 1, "--epochs", 1)
    monkeypatch.setattr(probe, "LEARNED", 10.0)
    assert "stayed at guessing" not in nas(*given).out
    monkeypatch.setattr(probe, "LEARNED", 0.0)
    assert "seed 0: a training stayed at guessing" in nas(*given).out
    assert read(nas(*given, "--json"))["seeds_that_only_guess"] == [0]


def test_a_trial_is_trained_as_its_study_trains(nas: Nas, finished: Finished) -> None:
    found = read(nas("probe", "solu", "little:0", "--seeds", 1, *finished.where[1:], "--json"))
    assert (found["epochs"], found["data"], found["resolution"]) == (2, "digits", 8)
    assert found["architecture"] == finished.open().records()[0].architecture.words()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nothing.json"], "network 'nothing.json': no such file"),
        (["timm:resnet18"], "timm:resnet18: needs an architecture: FILE, STUDY:TRIAL or reference:NAME"),
        (["SMALL", "--seeds", "0"], "Invalid value for '--seeds'"),
        (["SMALL", "--epochs", "0"], "Invalid value for '--epochs'"),
        (["SMALL", "--data", "digit"], "unknown data set 'digit'"),
        (["reference:convnext_atto", "--resolution", "2"], "the map would vanish"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, path: Path, arguments: list[str], fault: str) -> None:
    given = [str(path) if each == "SMALL" else each for each in arguments]
    assert fault in refusal(nas("probe", "solu", *([] if "--data" in given else ["--data", "digits"]), *given))


def test_a_network_that_is_solu_already_is_one_line(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "twin.json").write_text(solu_twin(SMALL).model_dump_json())
    line = refusal(nas("probe", "solu", tmp_path / "twin.json", "--data", "digits"))
    assert line.endswith("it has no activation but solu, so it is its own SoLU twin")


def test_a_seed_that_diverges_ends_with_one_after_the_table(
    nas: Nas, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(network: Any, data: Any, recipe: Any, *rest: Any, **more: Any) -> Any:
        return train(network, data, recipe.model_copy(update={"learning_rate": 1e30}), *rest, **more)

    monkeypatch.setattr(probe, "train", diverging)
    outcome = nas("probe", "solu", path, "--data", "digits", "--seeds", 1, "--epochs", 1)
    assert outcome.code == 1
    assert "diverged" in outcome.out
    assert outcome.err.splitlines()[-1] == f"nas: {path}: no seed of which both trainings ended; see above"


def test_ctrl_c_leaves_one_line_and_130(nas: Nas, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def interrupted(*given: Any, **more: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(train(*given, **more))
        return done[0]

    monkeypatch.setattr(probe, "train", interrupted)
    outcome = nas("probe", "solu", path, "--data", "digits", "--epochs", 1)
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.splitlines()[1:] == ["stopped after 1 of 6 trainings; none is kept."]
