"""`nas evaluate` and `nas predict`: what a saved network achieves on images, and what it says of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.model_folder import ModelFolder, TrainedTask
from nas.network.build import build
from nas.network.folder import load_model, save_model
from nas.references import references
from tests.cli.conftest import Nas

CLASSES = ("cat", "dog", "owl", "pig", "rat", "yak")
TASK = TrainedTask(classes=CLASSES, resolution=16, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
COLOURS = np.random.default_rng(1).integers(0, 256, (len(CLASSES), 3))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give plain images, one colour a class with some noise."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for name, colour in zip(CLASSES, COLOURS, strict=True):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                noise = np.clip(colour + generator.normal(0, 9, (16, 16, 3)), 0, 255)
                Image.fromarray(noise.astype(np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Give a saved network, untrained, whose averaged weights are others."""
    architecture = references()["mobilenetv2_035"].architecture
    networks = [build(architecture, TASK.task, seed=seed) for seed in (1, 2)]
    save_model(tmp_path / "model", networks[0], architecture, TASK, averaged=networks[1])
    return tmp_path / "model"


def pixels(folder: Path) -> torch.Tensor:
    """Return the images of a split, class by class."""
    files = [folder / name / f"{i}.png" for name in CLASSES for i in range(4)]
    return torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files])


def shares(model: Path, images: torch.Tensor, *, averaged: bool = False) -> torch.Tensor:
    """Return what a saved network says of uint8 images."""
    with torch.inference_mode():
        network = load_model(model, averaged=averaged).network
        return network((images / 255 - 0.5) / 0.2).softmax(1)


@pytest.mark.parametrize("averaged", [False, True])
def test_the_test_split_is_measured(nas: Nas, model: Path, data: Path, averaged: bool) -> None:
    done = nas("evaluate", model, "--data", f"folder:{data}", "--json", *["--ema"] * averaged)
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["results"]
    said, labels = shares(model, pixels(data / "test"), averaged=averaged), torch.arange(24) // 4
    assert found["top1"] == pytest.approx((said.argmax(1) == labels).float().mean().item())
    assert found["loss"] == pytest.approx(-said[torch.arange(24), labels].log().mean().item(), rel=1e-4)
    assert [each["images"] for each in found["classes"]] == [4] * 6
    assert (found["resolution"], found["images"]) == (16, 24)


def test_several_resolutions_and_the_validation_split(nas: Nas, model: Path, data: Path) -> None:
    done = nas(
        "evaluate", model, "--data", f"folder:{data}", "--resolution", "16,24", "--split", "validation", "--json"
    )
    found = json.loads(done.out)
    assert [(each["resolution"], each["images"]) for each in found["results"]] == [(16, 7), (24, 7)]
    assert found["split"] == "validation"


def test_the_table_shows_the_worst_classes(nas: Nas, model: Path, data: Path) -> None:
    done = nas("evaluate", model, "--data", f"folder:{data}")
    assert "on the test split" in done.out
    assert "6 of 6 classes, the worst first, at 16 px" in done.out


def test_predictions_of_a_folder_are_csv(nas: Nas, model: Path, data: Path, tmp_path: Path) -> None:
    done = nas("evaluate", model, "--images", data / "test", "--csv", tmp_path / "out.csv", "--top", 2)
    assert (done.code, done.out) == (0, "")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    best = shares(model, pixels(data / "test")).max(1)
    assert [row["file"] for row in rows[:2]] == ["cat/0.png", "cat/1.png"]
    assert [row["class_1"] for row in rows] == [CLASSES[i] for i in best.indices]
    assert [float(row["probability_1"]) for row in rows] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert list(rows[0]) == ["file", "class_1", "probability_1", "class_2", "probability_2"]


def test_a_broken_image_of_a_folder_is_named_and_may_be_left_out(nas: Nas, model: Path, data: Path) -> None:
    (data / "test" / "cat" / "1.png").write_bytes(b"no image")
    refused = nas("evaluate", model, "--images", data / "test")
    assert refused.code == 2
    assert refused.err.splitlines()[0].endswith("cat/1.png: not a readable image")
    skipped = nas("evaluate", model, "--images", data / "test", "--skip-broken")
    assert (skipped.code, len(skipped.out.splitlines())) == (0, 24)


def test_images_are_predicted_and_bad_ones_named(nas: Nas, model: Path, data: Path, tmp_path: Path) -> None:
    good, bad = data / "test" / "owl" / "0.png", tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    done = nas("predict", model, good, bad, tmp_path / "none.jpg", "--top", 3, "--json")
    assert done.code == 2
    assert done.err.splitlines() == [
        f"{bad}: not a readable image",
        f"{tmp_path / 'none.jpg'}: cannot be read: No such file or directory",
        "nas: 2 of 3 images could not be read",
    ]
    (found,) = json.loads(done.out)
    best = shares(model, pixels(data / "test")[8:9])[0].topk(3)
    assert [each["class"] for each in found["classes"]] == [CLASSES[i] for i in best.indices]
    assert nas("predict", model, good).out.count("%") == 5


def take_averaged(model: Path) -> None:
    ModelFolder(model).averaged.unlink()


@pytest.mark.parametrize(
    ("change", "arguments", "fault"),
    [
        (None, (), "give --data for labelled images or --images"),
        (None, ("--data", "digits"), "the data has 10 classes, the head of the model has 6"),
        (None, ("--data", "folder:{data}", "--resolution", "16,3"), "at least the network's stride, 4 pixels, got 3"),
        (None, ("--data", "folder:{data}", "--resolution", "big"), "--resolution must be pixels"),
        (None, ("--images", "{data}", "--json"), "--images gives CSV"),
        (None, ("--images", "{data}/nothing"), "nothing: cannot be read: No such file or directory"),
        (take_averaged, ("--data", "folder:{data}", "--ema"), "no averaged weights"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    nas: Nas,
    model: Path,
    data: Path,
    change: Callable[[Path], None] | None,
    arguments: tuple[str, ...],
    fault: str,
) -> None:
    if change:
        change(model)
    refused = nas("evaluate", model, *(each.format(data=data) for each in arguments))
    assert refused.code == 2
    assert fault in refused.err.splitlines()[-1]


def test_a_folder_without_a_model_is_one_line(nas: Nas, data: Path) -> None:
    assert "no architecture.json in it" in nas("predict", data, data / "x.png").err
