"""The data sets that come as a few arrays: digits, MNIST and Fashion-MNIST (idx files), CIFAR (binary files)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nas.data.files import Split
from nas.data.images import Images, Source, fingerprint
from nas.data.split import split_labels
from nas.errors import DataError

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_DIGITS_TEST_FRACTION = 0.2
_DIGITS_TEST_SEED = 0
_CIFAR_PIXELS = 3 * 32 * 32

Bytes = NDArray[np.uint8]


def read_digits(split: Split) -> Source:
    """Read scikit-learn's digits: 1,797 grey images of 8x8, its values 0..16 stretched to 0..255.

    They have no official test split, so a fifth of each class, the same for every seed, is set aside as one.
    """
    from sklearn.datasets import load_digits  # here, because it takes more than a second to import

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = torch.from_numpy(digits.target.astype(np.int64))
    test_count = round(_DIGITS_TEST_FRACTION * len(labels))
    train, test = split_labels(labels, test_count, seed=_DIGITS_TEST_SEED)
    chosen = (train if split == "train" else test).numpy()
    return _source(pixels[chosen], labels.numpy()[chosen], DIGITS)


def read_idx(files: Sequence[Path], classes: tuple[str, ...]) -> Source:
    """Read an idx file of images and one of labels (yann.lecun.com/exdb/mnist); raise DataError if damaged.

    torchvision reads these files too, but not compressed and not below an arbitrary folder.
    """
    images_file, labels_file = files
    pixels, labels = _read_idx_array(images_file, rank=3), _read_idx_array(labels_file, rank=1)
    if len(pixels) != len(labels) or labels.max(initial=0) >= len(classes):
        raise DataError(f"{labels_file}: labels do not fit the images of {images_file.name}")
    return _source(pixels[:, None], labels, classes)


def read_cifar(files: Sequence[Path]) -> Source:
    """Read the binary version of CIFAR-10 or CIFAR-100, class names first; raise DataError if damaged.

    The Python version, which torchvision reads, is pickled: opening it runs whatever code the file holds.
    The binary version has the same images in the same order: per record one label byte (CIFAR-100: coarse,
    then fine), then 32x32 red, green and blue (cs.toronto.edu/~kriz/cifar.html).
    """
    names_file, *batch_files = files
    classes = tuple(names_file.read_text().split())
    label_bytes = 2 if names_file.name.startswith("fine") else 1
    records = np.concatenate([_read_records(file, label_bytes + _CIFAR_PIXELS) for file in batch_files])
    labels = records[:, label_bytes - 1]
    if labels.max(initial=0) >= len(classes):
        raise DataError(f"{names_file}: {len(classes)} class names, but a label {labels.max()}")
    return _source(records[:, label_bytes:].reshape(-1, 3, 32, 32), labels, classes)


def _read_idx_array(path: Path, rank: int) -> Bytes:
    """Magic number (two zero bytes, 8 for uint8, the rank), big-endian sizes, values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if content[:4] != bytes((0, 0, 8, rank)):
            raise ValueError("wrong magic number")
        shape = np.frombuffer(content, ">u4", count=rank, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise _damaged(path, "idx file") from error


def _read_records(path: Path, size: int) -> Bytes:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if len(content) == 0 or len(content) % size:
        raise _damaged(path, "CIFAR binary file")
    return content.reshape(-1, size)


def _damaged(path: Path, kind: str) -> DataError:
    return DataError(f"{path}: not a complete {kind}; delete it and fetch it again with --download")


def _source(pixels: Bytes, labels: NDArray[np.integer], classes: tuple[str, ...]) -> Source:
    pixels, labels = np.array(pixels), labels.astype(np.int64)  # own, writable memory: torch shares it
    images = Images(torch.from_numpy(pixels), torch.from_numpy(labels))
    return Source(images, classes, fingerprint(classes, [labels.data, pixels.data]))
