"""`nas inspect`: one network, measured as it starts, with weights from a file or after a short training."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nas.architecture import Architecture, Stage, Stem, Task
from nas.blocks import Block
from nas.cli import inspect
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch
from nas.interference import NULLS, InterferenceReport, capture, measure, projection_gram
from nas.network.build import Network, build
from nas.records import Fidelity, Plan
from nas.training.loop import Normaliser, train
from nas.training.recipe import default_recipe
from tests.cli.conftest import Finished, Nas
from tests.cli.test_bad_input import refusal
from tests.cli.test_references import read

TASK = Task(num_classes=10, in_channels=1, resolution=8)
SMALL = Architecture(
    stem=Stem(width=8, stride=1),
    stages=(Stage(width=12, stride=2, blocks=(Block(family="inverted", expansion=2),)),),
)
EXPAND = "stages.stage1.block1.expand.conv"
DATA = DataSpec(kind="digits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the file of the small architecture."""
    (tmp_path / "small.json").write_text(SMALL.model_dump_json())
    return tmp_path / "small.json"


def measured(network: Network, images: int = 256, seed: int = 0, *, trained: bool = False) -> InterferenceReport:
    """Return what is measured of a network on digits."""
    data = load_dataset(DATA, seed=seed)
    batch = fixed_batch(data.train, images, seed=seed)
    pixels = Normaliser(data.mean, data.std)(batch.pixels)
    return measure(network, pixels, batch.labels, blocks=network.block_names, seed=seed, trained=trained)


def test_what_is_printed_is_what_was_measured(nas: Nas, path: Path) -> None:
    found = read(nas("inspect", path, "--data", "digits", "--images", 64, "--seed", 3, "--json"))
    network = build(SMALL, TASK, seed=3)
    report = measured(network, images=64, seed=3)
    assert found["metrics"] == report.metrics()
    assert found["by_block"] == report.by_block()
    assert found["chance"]["importance_weighted"] == report.packing_floor
    assert {name: found["chance"][name] for name in ("cross_talk", "class_overlap")} == {
        name: NULLS[name] for name in ("cross_talk", "class_overlap")
    }
    assert [each["name"] for each in found["projections"]] == [each.name for each in report.projections]
    facts = {"network": str(path), "weights": "untrained (seed 3)", "data": "digits", "images": 64, "resolution": 8}
    assert {name: found[name] for name in facts} == facts
    assert found["params"] == sum(p.numel() for p in network.parameters())


def test_the_tables_hold_the_network_its_blocks_and_its_maps(nas: Nas, path: Path) -> None:
    outcome = nas("inspect", path, "--data", "digits")
    report = measured(build(SMALL, TASK))
    assert (outcome.code, outcome.err) == (0, "")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "data digits: 256 train images at 1x8x8, 10 classes" in lines
    assert any(line.startswith(f"cross talk {report.cross_talk:.3f} 0.000 log overlap") for line in lines)
    assert any(line.startswith("stages.stage1.block1 ") for line in lines)
    assert any(line.startswith(f"{EXPAND} 16 8 {report.projections[0].cross_talk:.3f} ") for line in lines)


def test_a_projection_that_is_asked_for_is_looked_into(nas: Nas, path: Path) -> None:
    outcome = nas("inspect", path, "--data", "digits", "--projection", EXPAND)
    network = build(SMALL, TASK)
    realised = measured(network).projections[0].realised
    assert f"{EXPAND}: 16 features in 8 dimensions, read by its rows" in outcome.out
    assert f"its {len(realised)} living features: {min(realised):.3f} to {max(realised):.3f}" in outcome.out
    pairs = read(nas("inspect", path, "--data", "digits", "--projection", EXPAND, "--json"))["closest_pairs"]
    seen = capture(network, torch.randn(8, 1, 8, 8), blocks=[])
    gram = projection_gram(seen.projections[0]).fill_diagonal_(0)
    first, second, cosine = pairs[0]
    assert cosine == pytest.approx(gram[first, second].item())
    assert abs(cosine) == pytest.approx(gram.abs().max().item())


def test_weights_of_a_file_are_measured(nas: Nas, path: Path, tmp_path: Path) -> None:
    network = build(SMALL, TASK, seed=9)
    with torch.no_grad():
        network.get_submodule(EXPAND).weight[1] = network.get_submodule(EXPAND).weight[0]
    weights = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), weights)
    found = read(nas("inspect", path, "--data", "digits", "--weights", weights, "--json"))
    assert found["weights"] == str(weights)
    assert found["metrics"] == measured(network, trained=True).metrics()
    assert "topk_drop" in found["metrics"]


def test_a_network_is_trained_first_where_asked(nas: Nas, path: Path) -> None:
    outcome = nas("inspect", path, "--data", "digits", "--train", 1, "--json")
    data = load_dataset(DATA, seed=0)
    fidelity, plan = Fidelity(epochs=1, resolution=8), Plan(threads=torch.get_num_threads())
    network = build(SMALL, TASK)
    epoch = train(network, data, default_recipe(data), fidelity, plan, seed=0).epochs[-1]
    assert outcome.err == f"epoch 1/1, loss {epoch.train_loss:.3f}\n"
    found = read(outcome)
    assert found["weights"] == f"trained here for 1 epoch (seed 0): val accuracy {100 * epoch.val_accuracy:.2f} %"
    assert found["metrics"] == measured(network, trained=True).metrics()


def test_a_trial_comes_with_the_images_of_its_study(nas: Nas, finished: Finished) -> None:
    found = read(nas("inspect", "little:1", *finished.where[1:], "--json"))
    record = finished.open().records()[1]
    assert (found["network"], found["data"], found["resolution"]) == ("trial 1 of study little", "digits", 8)
    assert found["architecture"] == record.architecture.words()


def test_a_trial_can_be_given_other_images(nas: Nas, finished: Finished) -> None:
    more = ("--data", "digits", "--resolution", 12, "--json")
    assert read(nas("inspect", "little:1", *finished.where[1:], *more))["resolution"] == 12


def test_a_reference_goes_by_its_name(nas: Nas) -> None:
    found = read(nas("inspect", "reference:nodepth_100k", "--data", "digits", "--images", 8, "--json"))
    assert found["network"] == "reference nodepth_100k"


def test_a_library_gets_grey_images_as_rgb(nas: Nas) -> None:
    more = ("--data", "digits", "--resolution", 32, "--images", 8, "--json")
    found = read(nas("inspect", "torchvision:squeezenet1_1", *more))
    assert (found["network"], found["in_channels"]) == ("torchvision:squeezenet1_1", 3)
    assert found["architecture"] is None
    assert found["params"] == 727_626  # of torchvision with ten classes: 1,235,496 - 990 * 513


def test_the_page_shows_the_projection_asked_for(nas: Nas, path: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "small.html"
    projection = "stages.stage1.block1.project.conv"
    outcome = nas("inspect", path, "--data", "digits", "--html", page, "--projection", projection)
    assert outcome.code == 0
    assert f"the page: {page}" in outcome.out
    text = page.read_text()
    assert f"<option selected>{projection}</option>" in text
    assert f"<option>{EXPAND}</option>" in text
    assert "<dt>weights</dt><dd>untrained (seed 0)</dd>" in text


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nothing.json"], "network 'nothing.json': no such file; give FILE, STUDY:TRIAL, reference:NAME, timm:NAME"),
        (["resnet18"], "network 'resnet18': no such file; the reference of that name is reference:resnet18"),
        (["."], "architecture .: cannot be read: "),
        (["tim:resnet18"], "unknown source of networks 'tim'; did you mean 'timm'?"),
        (["little:first"], "a trial is STUDY:TRIAL with its number"),
        (["reference:resnet19"], "unknown reference 'resnet19'; did you mean 'resnet18'?"),
        (["torchvision:resnet19"], "torchvision: unknown network 'resnet19'; did you mean 'resnet18'"),
        (["torchvision:vgg11"], "torchvision:vgg11 at 8 px: Given input size: (512x1x1)."),
        (["reference:convnext_atto", "--resolution", "2"], "reference convnext_atto at 2 px: the map would vanish"),
        (["SMALL", "--resolution", "1"], "expected a map"),
        (["SMALL", "--images", "1"], "Invalid value for '--images'"),
        (["SMALL", "--train", "0"], "Invalid value for '--train'"),
        (["SMALL", "--seed", "-1"], "Invalid value for '--seed'"),
        (["SMALL", "--data", "digit"], "unknown data set 'digit'; did you mean 'digits'?"),
        (["SMALL", "--projection", "expand"], "--projection: unknown projection 'expand'"),
        (["SMALL", "--weights", "w.safetensors"], "weights w.safetensors: cannot be read: No such file"),
        (["SMALL", "--weights", "w.safetensors", "--train", "1"], "--train and --weights exclude each other"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, path: Path, arguments: list[str], fault: str) -> None:
    given = [str(path) if each == "SMALL" else each for each in arguments]
    assert fault in refusal(nas("inspect", *([] if "--data" in given else ["--data", "digits"]), *given))


def test_images_are_asked_for_where_nothing_says_which(nas: Nas, path: Path) -> None:
    assert refusal(nas("inspect", path)).startswith("--data is missing; say which images")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b"\xff\xfe", "cannot be read: not a text file"),
        (b"{}", "architecture: stem: field required"),
        (SMALL.model_dump_json().replace("inverted", "invertde").encode(), "unknown block 'invertde'; did you mean"),
    ],
)
def test_a_file_that_is_no_architecture_is_one_line(nas: Nas, tmp_path: Path, text: bytes, fault: str) -> None:
    (tmp_path / "broken.json").write_bytes(text)
    line = refusal(nas("inspect", tmp_path / "broken.json", "--data", "digits"))
    assert f"{tmp_path / 'broken.json'}: " in line
    assert fault in line


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("litle:0", "unknown study 'litle'; did you mean 'little'?"),
        ("little:99", "study 'little': no trial 99; it has 5, numbered from 0"),
    ],
)
def test_a_trial_that_does_not_exist_is_one_line(nas: Nas, finished: Finished, given: str, fault: str) -> None:
    assert fault in refusal(nas("inspect", given, *finished.where[1:]))


def test_a_trial_is_not_measured_on_other_images_unasked(
    nas: Nas, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*given: Any, **more: Any) -> Any:
        return replace(load_dataset(*given, **more), fingerprint="0" * 12)

    monkeypatch.setattr("nas.cli.subject.load_dataset", other)
    line = refusal(nas("inspect", "little:0", *finished.where[1:]))
    assert "the images of digits are not those the study was started with" in line


def test_a_library_that_is_not_installed_is_one_line(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    line = refusal(nas("inspect", "timm:resnet18", "--data", "digits"))
    assert line == "timm:resnet18: timm is not installed; `pip install timm` does it"


def test_weights_for_other_classes_are_one_line(nas: Nas, path: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(build(SMALL, TASK.model_copy(update={"num_classes": 4})).state_dict(), weights)
    line = refusal(nas("inspect", path, "--data", "digits", "--weights", weights))
    assert line == f"weights {weights}: their head has 4 classes, the network's has 10"


def test_a_page_that_cannot_be_written_is_one_line(nas: Nas, path: Path) -> None:
    page = path / "page.html"
    assert f"{page}: cannot be written" in refusal(nas("inspect", path, "--data", "digits", "--html", page))


def test_a_training_that_diverges_ends_with_one(nas: Nas, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(*given: Any, **more: Any) -> Any:
        return replace(train(*given, **more), epochs=(), ended="diverged")

    monkeypatch.setattr(inspect, "train", diverging)
    outcome = nas("inspect", path, "--data", "digits", "--train", 1)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1] == f"nas: {path}: training diverged in epoch 1 of 1"


def test_ctrl_c_leaves_one_line_and_130(nas: Nas, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "train", interrupted)
    outcome = nas("inspect", path, "--data", "digits", "--train", 1)
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "stopped; nothing was measured.\n")


def test_json_is_one_document(nas: Nas, path: Path, tmp_path: Path) -> None:
    outcome = nas("inspect", path, "--data", "digits", "--html", tmp_path / "page.html", "--json")
    assert json.loads(outcome.out)["network"] == str(path)
