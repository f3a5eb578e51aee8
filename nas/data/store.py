"""The store: one copy of the images on a machine, prepared once, kept on disk and mapped by every process from then on.

A store is a safetensors file below ``cache_dir()/stores``. It is written beside its name under a lock and renamed, so
that it exists whole or not at all, and one process builds what several want. Building one takes no memory but that of
the images in flight; reading it takes only the pages that are touched, and all processes share them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from functools import cache
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from nas.data.images import Images, Moments
from nas.data.spec import cache_dir

FORMAT = 3  # part of every store's name: raise it when the content of a store changes
_HEADER_BYTES = 4_096  # with these in front the pixels begin on a page, or nearly
_LOG = logging.getLogger(__name__)

Shape = tuple[int, int, int, int]


class Facts(BaseModel):
    """What is known of the images of a store; the first `train` of them are train, the next `validation` are held out.

    What follows these could not be decoded: the files named in `broken`, black images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...]
    fingerprint: str
    train: int
    validation: int
    broken: tuple[str, ...]
    moments: Moments


@dataclass(frozen=True, eq=False)
class Store:
    """Images in the order they are used in: `pixels` uint8 (N, C, side, side), `labels` and `places` int64 (N,).

    `places` are where the images stand in their source. `path` is None for a store that is in this process's memory.
    """

    pixels: Tensor
    labels: Tensor
    places: Tensor
    facts: Facts
    path: Path | None = None

    @property
    def train(self) -> Images:
        """The first part, in nested order."""
        return self._images(slice(self.facts.train))

    @property
    def validation(self) -> Images:
        """The part held out."""
        return self._images(slice(self.facts.train, self.facts.train + self.facts.validation))

    def _images(self, part: slice) -> Images:
        return Images(self.pixels[part], self.labels[part])


class Contents(NamedTuple):
    """What belongs to the pixels that a builder has written: see `Store`."""

    labels: Tensor
    places: Tensor
    facts: Facts


Build = Callable[[Tensor], Contents]
"""Writes all of the pixels it is given, and says what they are."""


class Name(NamedTuple):
    """What a store is named after: where its source lies, which files that has, how it is divided, and the side.

    To find one, `split` and `side` may be patterns.
    """

    where: str
    files: str
    split: str
    side: str

    def path(self) -> Path:
        """Return where the store of this name lies."""
        return _folder() / f"{'-'.join(self)}.safetensors"

    def find(self) -> Store | None:
        """Return a whole store of this name, or of the same files in another place: a source may have moved."""
        pattern = self._replace(where="*").path().name
        paths = sorted(_folder().glob(pattern), key=lambda path: not path.name.startswith(self.where))
        return next((store for path in paths if (store := open_store(path)) is not None), None)


def keep(path: Path | None, shape: Shape, build: Build) -> Store:
    """Return the store that `build` fills, kept at `path`; in memory where it cannot be kept, which is said once."""
    if path is not None:
        try:
            _write(path, shape, build)
            kept = open_store(path)
            if kept is not None:
                return kept
        except OSError as error:
            _warn_once(
                f"{path.parent}: cannot keep prepared images here: {error.strerror or error}; "
                "each process holds its own in memory; NAS_CACHE names another folder"
            )
    pixels = torch.empty(shape, dtype=torch.uint8)
    return Store(pixels, *build(pixels))


def open_store(path: Path) -> Store | None:
    """Map the store at `path`, or read it where it cannot be mapped; None if there is none or it is damaged."""
    try:
        return _as_store(_tensors(path), path)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValidationError, KeyError, ValueError) as error:
        _LOG.warning("%s: cannot be used, made anew: %s", path, str(error).partition("\n")[0])
        return None


def remove_superseded(name: Name) -> None:
    """Remove the stores of the same place but of other files; those who have them mapped keep them until they end."""
    for path in _folder().glob(f"{name.where}-*.safetensors"):
        if not path.name.startswith(f"{name.where}-{name.files}-"):
            path.unlink(missing_ok=True)


@contextmanager
def building(path: Path) -> Iterator[None]:
    """Keep others from building stores of the same place meanwhile; what a killed builder left behind is removed."""
    folder, where = path.parent, path.name.partition("-")[0]
    lock = FileLock(folder / f"{where}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Path(lock.lock_file).touch()
    except OSError:  # then nothing can be kept here either, which `keep` says
        yield
        return
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _LOG.info("%s: waiting for another process that prepares these images", path)
        lock.acquire()
    try:
        for left_over in folder.glob(f"{where}-*.partial"):
            left_over.unlink()
        yield
    finally:
        lock.release()


def _folder() -> Path:
    return cache_dir() / "stores"


def _write(path: Path, shape: Shape, build: Build) -> None:
    """Write beside the final name and rename.

    The room is taken before anything is built, so that a full disk shows at once and not, in writing to mapped pages,
    as a killed process.
    """
    partial, count = path.with_suffix(".partial"), shape[0]
    small, size = 2 * 8 * count, prod(shape)
    try:
        with partial.open("w+b") as file:
            _take_room(file, _HEADER_BYTES + small + size)
            mapped = np.memmap(file, np.uint8, "r+", _HEADER_BYTES + small, shape)
            contents = build(torch.from_numpy(mapped))
            mapped.flush()
            facts = contents.facts.model_dump_json().encode()
            file.seek(0)
            file.write(_header(shape, len(facts)))
            for numbers in (contents.labels, contents.places):
                file.write(numbers.numpy().astype("<i8").tobytes())
            file.seek(0, os.SEEK_END)
            file.write(facts)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _take_room(file: BinaryIO, size: int) -> None:
    """Raise OSError if there is no room for `size` bytes; where the system can, they are reserved."""
    if shutil.disk_usage(Path(file.name).parent).free < size:
        raise OSError(ENOSPC, f"no room for {size / 1e6:,.0f} MB")
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _header(shape: Shape, facts_bytes: int) -> bytes:
    """Return a safetensors header (github.com/huggingface/safetensors, "Format"), filled up with spaces.

    `safetensors.save_file` wants the tensors whole in memory; the format is meant to be written by hand.
    """
    count = shape[0]
    entries, end = {}, 0
    for name, dtype, dims, size in (
        ("labels", "I64", (count,), 8 * count),
        ("places", "I64", (count,), 8 * count),
        ("pixels", "U8", shape, prod(shape)),
        ("facts", "U8", (facts_bytes,), facts_bytes),
    ):
        begin, end = end, end + size
        entries[name] = {"dtype": dtype, "shape": dims, "data_offsets": (begin, end)}
    text = json.dumps(entries).encode().ljust(_HEADER_BYTES - 8)
    return len(text).to_bytes(8, "little") + text


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError):
        raise
    except (OSError, RuntimeError) as error:
        tensors = load(path.read_bytes())
        _warn_once(f"{path}: cannot be mapped: {error}; this process reads it into its memory")
        return tensors


def _as_store(tensors: dict[str, Tensor], path: Path) -> Store:
    facts = Facts.model_validate_json(bytes(tensors["facts"].numpy()))
    return Store(tensors["pixels"], tensors["labels"], tensors["places"], facts, path)


@cache
def _warn_once(line: str) -> None:
    _LOG.warning("%s", line)
