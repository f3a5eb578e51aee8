"""Folders of images, one folder per class: which classes and files a split has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.data.decode import SUFFIXES
from nas.errors import DataError


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file below a split's folder: relative path, class index, bytes, modification time."""

    path: str
    label: int
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Listing:
    """The image files of one split, classes in order, files in order within each class."""

    root: Path
    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]

    @property
    def digest(self) -> str:
        """Sha256 of the classes and of every file's relative path, label, size and modification time."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for file in self.files:
            digest.update(f"\0\0{file.path}\0{file.label}\0{file.size}\0{file.modified_ns}".encode())
        return digest.hexdigest()


def class_names(root: Path) -> tuple[str, ...]:
    """Return the class folders' names, sorted: the class index is the place in this order.

    Raises DataError for fewer than two. Hidden folders are no classes.
    """
    names = sorted(child.name for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not names:
        raise DataError(f"{root}: no class folders; expected one folder of images per class")
    if len(names) == 1:
        raise DataError(f"{root}: only one class folder, {names[0]!r}; a classifier needs two classes")
    return tuple(names)


def list_images(root: Path, classes: tuple[str, ...]) -> Listing:
    """List the images of each class, subfolders included; files of other kinds are passed over.

    `classes` are those of the train split. Raises DataError if `root` has others, or if one has no image.
    """
    if (found := class_names(root)) != classes:
        odd = min(set(found) ^ set(classes))
        where = "missing here" if odd in classes else "not in train"
        raise DataError(f"{root}: class folders differ from those of train: {odd!r} is {where}")
    files: list[ImageFile] = []
    for label, name in enumerate(classes):
        before = len(files)
        for entry in _image_entries(root / name):
            stat = entry.stat()
            relative = entry.path.removeprefix(f"{root}{os.sep}")
            files.append(ImageFile(relative, label, stat.st_size, stat.st_mtime_ns))
        if len(files) == before:
            raise DataError(f"{root / name}: no images in this class folder (looked for {', '.join(SUFFIXES)})")
    return Listing(root, classes, tuple(files))


def image_files(folder: Path) -> list[str]:
    """Return the paths of all images in a folder without classes, subfolders included; DataError if there is none."""
    try:
        files = [entry.path for entry in _image_entries(folder)]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    if not files:
        raise DataError(f"{folder}: no images in this folder (looked for {', '.join(SUFFIXES)})")
    return files


def _image_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield image files in the order of their names, depth first; hidden entries are passed over."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _image_entries(Path(entry.path))
        elif entry.name.lower().endswith(SUFFIXES):
            yield entry
