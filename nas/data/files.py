"""Where the files of a split lie, and what to say when they do not; imports no torch.

Only names are looked at here: nothing is opened, so asking for the train split never touches the test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas.data.spec import DataSpec
from nas.errors import DataError

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Layout:
    """The files of a published data set.

    `folders` are where below the given path they may lie; a download lands in the first. `splits` are file
    names, each also accepted with ``.gz`` appended. `expected` completes "expected …".
    """

    folders: tuple[str, ...]
    splits: dict[Split, tuple[str, ...]]
    expected: str


_IDX_SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

LAYOUTS: dict[str, Layout] = {
    "mnist": Layout(("MNIST/raw", "raw", "."), _IDX_SPLITS, "the idx files, plain or .gz, in MNIST/raw"),
    "fashion_mnist": Layout(
        ("FashionMNIST/raw", "raw", "."), _IDX_SPLITS, "the idx files, plain or .gz, in FashionMNIST/raw"
    ),
    "cifar10": Layout(
        ("cifar-10-batches-bin", "."),
        {
            "train": ("batches.meta.txt", *(f"data_batch_{i}.bin" for i in range(1, 6))),
            "test": ("batches.meta.txt", "test_batch.bin"),
        },
        "the binary version, cifar-10-batches-bin (the Python version is pickled and is not read)",
    ),
    "cifar100": Layout(
        ("cifar-100-binary", "."),
        {"train": ("fine_label_names.txt", "train.bin"), "test": ("fine_label_names.txt", "test.bin")},
        "the binary version, cifar-100-binary (the Python version is pickled and is not read)",
    ),
}

_EXPECTED_FOLDERS = {
    "folder": "one folder of images per class, or train/ (and test/ or val/) with such folders",
    "imagenet": "train/ and val/, each with one folder of images per class",
}


def split_files(spec: DataSpec, split: Split) -> tuple[Path, ...]:
    """Return the files of a split in the order of its layout; for folders of images, the one folder.

    `digits` has no files. Raises DataError that names what is missing and what is expected.
    """
    if spec.kind == "digits":
        return ()
    layout = LAYOUTS.get(spec.kind)
    if spec.path is not None and not spec.root.is_dir():
        expected = layout.expected if layout else _EXPECTED_FOLDERS[spec.kind]
        raise DataError(f"{spec}: no such folder; expected {expected}")
    return _published_files(spec, layout, split) if layout else (_image_folder(spec, split),)


def _published_files(spec: DataSpec, layout: Layout, split: Split) -> tuple[Path, ...]:
    names = layout.splits[split]
    for folder in layout.folders:
        found = [path for name in names if (path := _plain_or_gz(spec.root / folder / name))]
        if len(found) == len(names):
            return tuple(found)
    raise DataError(
        f"{spec}: the {split} files are not all below {spec.root}; expected {layout.expected}; "
        f"fetch them with --download, or say where they are with {spec.kind}:PATH"
    )


def _plain_or_gz(path: Path) -> Path | None:
    return next((found for found in (path, Path(f"{path}.gz")) if found.is_file()), None)


def _image_folder(spec: DataSpec, split: Split) -> Path:
    """Return the folder that holds the class folders of a split.

    ImageNet's ``val/`` is its test split here: its labels are public, and everybody reports on it.
    """
    train = spec.root / "train"
    if spec.kind == "folder" and not _holds_folders(train):
        if split == "train":
            return spec.root
        raise DataError(f"{spec}: no test split; expected train/ and test/ or val/ in it, not class folders alone")
    candidates = {"train": ("train",), "test": ("val",) if spec.kind == "imagenet" else ("test", "val")}[split]
    for name in candidates:
        if (spec.root / name).is_dir():
            return spec.root / name
    raise DataError(f"{spec}: no {' or '.join(candidates)} folder; expected {_EXPECTED_FOLDERS[spec.kind]}")


def _holds_folders(folder: Path) -> bool:
    """Tell a split called train from a class called train, which holds images and no folders."""
    return folder.is_dir() and any(child.is_dir() for child in folder.iterdir())
