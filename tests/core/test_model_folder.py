"""A trained network goes into a folder and comes out of it the same, or is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nas.architecture import Architecture
from nas.errors import InputError
from nas.model_folder import ModelFolder, TrainedTask, check_side, read_description
from nas.network.build import build
from nas.network.folder import load_model, save_model
from nas.references import references

TASK = TrainedTask(classes=("cat", "dog", "owl"), resolution=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    return references()["mobilenetv2_035"].architecture


@pytest.fixture
def folder(tmp_path: Path, architecture: Architecture) -> ModelFolder:
    """Give a saved model, its averaged weights twice the others."""
    network, averaged = (build(architecture, TASK.task, seed=1) for _ in range(2))
    with torch.no_grad():
        for parameter in averaged.parameters():
            parameter.mul_(2)
    return save_model(
        tmp_path / "model", network, architecture, TASK, averaged=averaged, recipe="epochs = 1\n", metrics={"top1": 0.5}
    )


def test_what_is_saved_is_loaded(folder: ModelFolder, architecture: Architecture) -> None:
    model = load_model(folder.path)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model.network(images), build(architecture, TASK.task, seed=1).eval()(images))
    assert (model.architecture, model.task) == (architecture, TASK)
    assert folder.recipe.read_text() == "epochs = 1\n"
    assert json.loads(folder.metrics.read_text()) == {"top1": 0.5}


def test_averaged_weights_are_a_file_of_their_own(folder: ModelFolder) -> None:
    plain, averaged = (load_model(folder.path, averaged=asked) for asked in (False, True))
    for a, b in zip(plain.network.parameters(), averaged.network.parameters(), strict=True):
        assert torch.equal(2 * a, b)


def drop_task(folder: ModelFolder) -> None:
    folder.task.unlink()


def name_fewer_classes(folder: ModelFolder) -> None:
    folder.task.write_text(TASK.model_copy(update={"classes": ("cat", "dog")}).model_dump_json())


def break_json(folder: ModelFolder) -> None:
    folder.architecture.write_text("{")


def lose_a_std(folder: ModelFolder) -> None:
    folder.task.write_text(json.dumps(TASK.model_dump(mode="json") | {"std": [0.1]}))


def lose_a_tensor(folder: ModelFolder) -> None:
    weights = load_file(folder.weights)
    weights.pop("stem.conv.weight")
    save_file(weights, folder.weights)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (drop_task, "no task.json in it"),
        (name_fewer_classes, "their head has 3 classes, the network's has 2"),
        (break_json, "architecture.json: not JSON"),
        (lose_a_std, "task.json: mean and std need one number a channel"),
        (lose_a_tensor, r"1 missing \(stem.conv.weight\)"),
    ],
)
def test_a_damaged_folder_is_refused(folder: ModelFolder, change: Callable[[ModelFolder], None], fault: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=fault) as refused:
        load_model(folder.path)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_description(tmp_path / "nothing")


def test_averaged_weights_must_be_there(folder: ModelFolder) -> None:
    folder.averaged.unlink()
    with pytest.raises(InputError, match="no averaged weights"):
        load_model(folder.path, averaged=True)


def test_a_side_below_the_stride_is_refused(architecture: Architecture) -> None:
    check_side(architecture, TASK, 8)
    with pytest.raises(InputError, match="at least the network's stride, 8 pixels, got 7"):
        check_side(architecture, TASK, 7)
