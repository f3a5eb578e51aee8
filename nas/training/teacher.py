"""Teachers for distillation: networks with weights from a file, and what they say of images, computed once and kept.

Nothing is fetched: a teacher is the folder of a trained network, or a network of a library with its weights beside it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.augment import Normaliser
from nas.data.images import Images
from nas.data.journal import Journal, Sums, checksum, ranges
from nas.data.spec import cache_dir
from nas.errors import DataError, InputError, unknown
from nas.network.folder import load_model
from nas.network.foreign import IN_CHANNELS, LIBRARIES, build_foreign, refusing
from nas.network.load import load_weights
from nas.value import digest

FORMS = "torchvision:NAME, timm:NAME or the FOLDER of a trained network"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that libraries' published weights expect."""
BATCH, BATCH_GPU = 64, 512
_SAMPLED = 256  # images that identify a split, beside its labels
_LOG = logging.getLogger(__name__)


class Views(Protocol):
    """Fixed ways of seeing each image: `count` of them, the same in every process and every run.

    `digest` changes with anything that changes what is seen. Called with images uint8 (B, C, H, W), their indices,
    int64 (B,), and the number of a view, it returns what is seen, uint8 (B, C, side, side).
    """

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def digest(self) -> str:
        """What tells these views from others."""

    def __call__(self, pixels: Tensor, indices: Tensor, view: int) -> Tensor:
        """Return the images as `view` sees them."""


@dataclass(frozen=True)
class PlainViews:
    """The images as they are and, where a flip keeps the label, mirrored."""

    mirror: bool = False

    @property
    def count(self) -> int:
        """1, or 2 with the mirrored ones."""
        return 1 + self.mirror

    @property
    def digest(self) -> str:
        """What tells these views from others."""
        return f"plain {self.count}"

    def __call__(self, pixels: Tensor, indices: Tensor, view: int) -> Tensor:  # noqa: ARG002 - the same for all images
        """Return the images, flipped for view 1."""
        return pixels.flip(3) if view else pixels


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network in eval mode that answers, with the input it expects; `digest` changes with its weights."""

    name: str
    network: nn.Module
    normaliser: Normaliser
    digest: str

    @torch.inference_mode()
    def logits(self, pixels: Tensor) -> Tensor:
        """Return logits, float32 (B, classes), of uint8 images (B, C, H, W) on the network's device."""
        channels = len(self.normaliser.mean)
        seen = pixels.expand(-1, channels, -1, -1) if pixels.shape[1] == 1 else pixels
        with refusing(f"teacher {self.name}", pixels.shape[-1]):
            answer: Tensor = self.network(self.normaliser(seen))
        return answer.float().clone()


def load_teacher(
    text: str, weights: Path | None, classes: Sequence[str], *, in_channels: int = 3, device: str = "cpu"
) -> Teacher:
    """Return the teacher that `text` names, for data of these `classes`.

    A library's network needs `weights`, a safetensors file; a folder has its own. InputError in one line for a teacher
    that is none, that has other classes or takes other images.
    """
    library, _, name = text.partition(":")
    if library in LIBRARIES and name:
        return _of_library(text, library, name, weights, len(classes), device)
    if not Path(text).is_dir():
        if name and not Path(text).exists():
            raise InputError(f"--teacher: {unknown('source of networks', library, LIBRARIES)}; give {FORMS}")
        raise InputError(f"--teacher {text}: no such folder; give {FORMS}")
    model = load_model(Path(text))
    _check_classes(text, model.task.classes, classes)
    channels = len(model.task.mean)
    if channels != in_channels and in_channels != 1:
        raise InputError(f"--teacher {text}: takes images of {channels} channel, the data has {in_channels}")
    network = model.network
    if weights is not None:
        load_weights(network, weights)
    normaliser = Normaliser(model.task.mean, model.task.std)
    return Teacher(text, _frozen(network, device), normaliser, weights_digest(network))


def weights_digest(network: nn.Module) -> str:
    """Return 12 hex digits of the sha256 of all parameters and buffers, with their names."""
    found = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:12]


class TeacherLogits:
    """What a teacher says of fixed views of images, kept on disk as half precision and mapped from there.

    `get` costs a read of a few kilobytes an image; half precision keeps three digits of a logit.
    """

    def __init__(self, answers: NDArray[np.float16], path: Path | None) -> None:
        """Hold answers (views, N, classes), and where they lie."""
        self._answers = answers
        self.path = path

    @property
    def views(self) -> int:
        """How many views there are."""
        return int(self._answers.shape[0])

    def get(self, indices: Tensor, view: int = 0) -> Tensor:
        """Return the logits, float32 (B, classes), of the images at `indices`, int64 (B,), on the device of these."""
        rows = self._answers[view % self.views][indices.cpu().numpy()]
        return torch.from_numpy(rows.astype(np.float32)).to(indices.device)


def keep_logits(
    teacher: Teacher,
    images: Images,
    views: Views | None = None,
    *,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> TeacherLogits:
    """Return the logits of `images`, in their order: those that are kept, or else computed now, block by block.

    One process computes while others wait; one that was killed is gone on from. DataError when there is no room.
    `folder` is where they are kept, below the cache folder without one. `progress` hears of images done, of all.
    """
    views = views or PlainViews()
    folder = folder or cache_dir() / "logits"
    key = _key(teacher, images, views)
    path = folder / f"{key}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _compute(teacher, images, views, path, progress)
            return TeacherLogits(np.load(path, mmap_mode="r"), path)
    except OSError as error:
        raise DataError(f"{folder}: cannot keep a teacher's logits: {error.strerror or error}") from None
    except ValueError:
        raise DataError(f"{path}: not a whole file of logits; delete it, and it is made anew") from None


def _compute(teacher: Teacher, images: Images, views: Views, path: Path, progress: Callable[[int, int], None]) -> None:
    device = next(teacher.network.parameters()).device
    size = BATCH if device.type == "cpu" else BATCH_GPU
    classes = teacher.logits(_seen(images, views, range(1), 0, device)).shape[1]
    blocks = [(view, rows) for view in range(views.count) for rows in ranges(len(images), size)]
    partial, journal = path.with_suffix(".partial"), path.with_suffix(".journal")
    answers = _canvas(partial, (views.count, len(images), classes))
    noted = Journal.open(journal, path.stem, len(blocks))

    def sums(block: int) -> Sums:
        view, rows = blocks[block]
        return checksum(answers[view, rows.start : rows.stop]), 0

    done = noted.verified(sums)
    for i, (view, rows) in enumerate(blocks):
        if i not in done:
            found = teacher.logits(_seen(images, views, rows, view, device))
            answers[view, rows.start : rows.stop] = found.cpu().numpy().astype(np.float16)
            noted.note(i, sums(i))
        progress(view * len(images) + rows.stop, views.count * len(images))
    answers.flush()
    partial.replace(path)
    noted.remove()


def _canvas(partial: Path, shape: tuple[int, int, int]) -> np.memmap[tuple[int, int, int], np.dtype[np.float16]]:
    """Return the array to fill: what a killed process left, or a new one, its room taken."""
    try:
        found = np.lib.format.open_memmap(partial, "r+")
        if found.shape == shape:
            return found
    except (FileNotFoundError, ValueError):
        pass
    size = 2 * shape[0] * shape[1] * shape[2]
    free = shutil.disk_usage(partial.parent).free
    if free < size:
        raise DataError(
            f"{partial.parent}: a teacher's logits take {size / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free here; "
            "NAS_CACHE names another folder"
        )
    _LOG.info("the teacher's logits take %.1f MB in %s", size / 1e6, partial.parent)
    made = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
    if hasattr(os, "posix_fallocate"):
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
    return made


def _seen(images: Images, views: Views, rows: range, view: int, device: torch.device) -> Tensor:
    indices = torch.arange(rows.start, rows.stop, device=images.device)
    return views(images.select(indices).pixels.to(device), indices.to(device), view)


def _key(teacher: Teacher, images: Images, views: Views) -> str:
    """Return what names the logits: teacher, images and views; of the images, a sample stands for all."""
    sampled = images.select(torch.linspace(0, len(images) - 1, min(_SAMPLED, len(images))).long().to(images.device))
    found = hashlib.sha256(images.labels.cpu().numpy().tobytes())
    found.update(sampled.pixels.cpu().numpy().tobytes())
    return digest(f"{teacher.digest} {tuple(images.pixels.shape)} {found.hexdigest()} {views.digest}", 24)


def _of_library(text: str, library: str, name: str, weights: Path | None, num_classes: int, device: str) -> Teacher:
    if weights is None:
        raise InputError(f"--teacher {text}: needs its weights; --teacher-weights FILE names a safetensors file")
    network = build_foreign(library, name, num_classes)
    try:
        load_weights(network, weights)
    except InputError as error:
        raise InputError(f"--teacher {text}: {error}") from None
    mean, std = _expected(network)
    if len(mean) != IN_CHANNELS:
        raise InputError(f"--teacher {text}: takes images of {len(mean)} channels; {IN_CHANNELS} are needed")
    return Teacher(text, _frozen(network, device), Normaliser(mean, std), weights_digest(network))


def _expected(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation a network expects: timm's say them themselves."""
    told = getattr(network, "pretrained_cfg", None) or {}
    return tuple(told.get("mean", IMAGENET[0])), tuple(told.get("std", IMAGENET[1]))


def _frozen(network: nn.Module, device: str) -> nn.Module:
    return network.to(device).eval().requires_grad_(False)


def _check_classes(text: str, known: Sequence[str], classes: Sequence[str]) -> None:
    if len(known) != len(classes):
        raise InputError(f"--teacher {text}: has {len(known)} classes, the data has {len(classes)}")
    odd = next(((a, b) for a, b in zip(known, classes, strict=True) if a != b), None)
    if odd is not None:
        raise InputError(f"--teacher {text}: its classes are others: {odd[0]!r} where the data has {odd[1]!r}")
