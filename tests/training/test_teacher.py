"""Teachers answer what their networks do, their answers are kept, and a teacher that does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nas.data.images import Images
from nas.errors import InputError
from nas.model_folder import TrainedTask
from nas.network.build import build
from nas.network.folder import save_model
from nas.network.foreign import build_foreign
from nas.references import references
from nas.training import teacher as module
from nas.training.teacher import PlainViews, Teacher, keep_logits, load_teacher

CLASSES = ("cat", "dog", "owl")
TASK = TrainedTask(classes=CLASSES, resolution=32, mean=(0.5,) * 3, std=(0.2,) * 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    architecture = references()["mobilenetv2_035"].architecture
    save_model(tmp_path / "model", build(architecture, TASK.task, seed=3), architecture, TASK)
    return tmp_path / "model"


@pytest.fixture
def teacher(folder: Path) -> Teacher:
    return load_teacher(str(folder), None, CLASSES)


@pytest.fixture
def images() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (150, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(150) % 3)


def test_kept_logits_are_those_of_the_teacher(teacher: Teacher, images: Images, tmp_path: Path) -> None:
    kept = keep_logits(teacher, images, PlainViews(mirror=True), folder=tmp_path)
    indices = torch.tensor([149, 0, 64])
    for view, seen in enumerate((images.pixels, images.pixels.flip(3))):
        answer = kept.get(indices, view)
        torch.testing.assert_close(answer, teacher.logits(seen[indices]), rtol=2e-3, atol=2e-3)


def test_a_second_run_computes_nothing(
    teacher: Teacher, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keep_logits(teacher, images, folder=tmp_path)
    monkeypatch.setattr(module, "_compute", None)
    assert torch.equal(keep_logits(teacher, images, folder=tmp_path).get(torch.arange(9)), first.get(torch.arange(9)))


def test_other_images_views_or_weights_are_kept_apart(teacher: Teacher, images: Images, tmp_path: Path) -> None:
    others = Images(images.pixels.flip(0), images.labels)
    asked = [(teacher, images, None), (teacher, others, None), (teacher, images, PlainViews(mirror=True))]
    asked.append((replace(teacher, digest="another"), images, None))
    assert len({keep_logits(*each, folder=tmp_path).path for each in asked}) == 4


class Stopping:
    """Views that are interrupted after some blocks."""

    count, digest = 1, "plain 1"

    def __init__(self, blocks: int) -> None:
        self.left = blocks

    def __call__(self, pixels: Tensor, indices: Tensor, view: int) -> Tensor:  # noqa: ARG002 - as views are called
        """Return the images, or stop."""
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return pixels


def test_an_interrupted_computation_goes_on_where_it_was(teacher: Teacher, images: Images, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        keep_logits(teacher, images, Stopping(3), folder=tmp_path)  # one for the number of classes, two blocks
    rest = Stopping(2)  # the third block
    resumed = keep_logits(teacher, images, rest, folder=tmp_path)
    assert rest.left == 0
    whole = keep_logits(teacher, images, folder=tmp_path / "whole")
    assert torch.equal(resumed.get(torch.arange(150)), whole.get(torch.arange(150)))
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob("*.journal"))


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:resnet18"])
def test_a_librarys_network_takes_weights_from_a_file(name: str, tmp_path: Path) -> None:
    library, _, network = name.partition(":")
    source = build_foreign(library, network, 3, seed=5).eval()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    teacher = load_teacher(name, tmp_path / "weights.safetensors", CLASSES)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(teacher.logits(pixels), source(teacher.normaliser(pixels)))
    with pytest.raises(InputError, match="their head has 3 classes, the network's has 2"):
        load_teacher(name, tmp_path / "weights.safetensors", CLASSES[:2])


@pytest.mark.parametrize(
    ("text", "classes", "fault"),
    [
        ("{folder}", ("cat", "dog"), "has 3 classes, the data has 2"),
        ("{folder}", ("cat", "dog", "rat"), "'owl' where the data has 'rat'"),
        ("timm:resnet18", CLASSES, "--teacher-weights FILE"),
        ("tim:resnet18", CLASSES, "did you mean 'timm'"),
        ("{folder}x", CLASSES, "no such folder"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(folder: Path, text: str, classes: tuple[str, ...], fault: str) -> None:
    with pytest.raises(InputError, match=fault) as refused:
        load_teacher(text.format(folder=folder), None, classes)
    assert "\n" not in str(refused.value)
