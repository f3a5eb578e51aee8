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
from collections.abc import Callable, Iterator, Sequence
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

from nas.data.canvas import NOTE, Canvas, Place, Shape, blocks, pixel_sums, rows_of
from nas.data.images import Elsewhere, Images, Moments
from nas.data.journal import Journal, checksum
from nas.data.spec import cache_dir
from nas.errors import DataError

FORMAT = 4  # part of every store's name: raise it when the content of a store changes
_HEADER_BYTES = 4_096  # with these in front the pixels begin on a page, or nearly
_CHECKED = 8  # blocks of up to 4 MB, as a store is opened
_LOG = logging.getLogger(__name__)


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
    With `rows`, int64 (N,), the pixels are those of `base`, in its order, and these say where in it the images are.
    """

    pixels: Tensor
    labels: Tensor
    places: Tensor
    facts: Facts
    path: Path | None = None
    rows: Tensor | None = None
    base: Store | None = None

    @property
    def train(self) -> Images:
        """The first part, in nested order."""
        return self._images(slice(self.facts.train))

    @property
    def validation(self) -> Images:
        """The part held out."""
        return self._images(slice(self.facts.train, self.facts.train + self.facts.validation))

    def _images(self, part: slice) -> Images:
        if self.rows is not None:
            return Elsewhere(self.pixels, self.rows[part], self.labels[part])
        return Images(self.pixels[part], self.labels[part])


class Contents(NamedTuple):
    """What belongs to the pixels that a builder has written: see `Store`."""

    labels: Tensor
    places: Tensor
    facts: Facts
    checksums: Sequence[int] | None = None


Build = Callable[[Canvas], Contents]
"""Writes all of the pixels of a canvas, and says what they are; checksums of its blocks only if it knows them."""


class Name(NamedTuple):
    """What a store is named after: where its source lies, which files that has, how it is divided, and the side.

    To find one, `split` and `side` may be patterns.
    """

    where: str
    files: str
    split: str
    side: str

    def path(self, folder: Path | None = None) -> Path:
        """Return where the store of this name lies: in `folder`, or else below the cache folder."""
        return (folder or _folder()) / f"{'-'.join(self)}.safetensors"

    def find(self) -> Store | None:
        """Return a whole store of this name, or of the same files in another place: a source may have moved."""
        return next(self._each(), None)

    def all(self) -> list[Store]:
        """Return all of them."""
        return list(self._each())

    def _each(self) -> Iterator[Store]:
        pattern = self._replace(where="*").path().name
        paths = sorted(_folder().glob(pattern), key=lambda path: not path.name.startswith(self.where))
        return (store for path in paths if (store := open_store(path)) is not None)


def keep(path: Path | None, shape: Shape, build: Build, *, must: bool = False) -> Store:
    """Return the store that `build` fills, kept at `path`; in memory where it cannot be kept, which is said once.

    DataError instead if it `must` be kept.
    """
    if path is not None:
        try:
            _write(path, shape, build)
            kept = open_store(path)
            if kept is not None:
                return kept
        except OSError as error:
            if must:
                raise DataError(f"{path.parent}: cannot keep a store here: {error.strerror or error}") from None
            _warn_once(
                f"{path.parent}: cannot keep prepared images here: {error.strerror or error}; "
                "each process holds its own in memory; NAS_CACHE names another folder"
            )
    if prod(shape) > _memory_bytes() // 2:
        raise DataError(
            f"prepared images take {prod(shape) / 1e9:,.1f} GB, too much for the memory of this machine, and could not "
            f"be kept on disk; NAS_CACHE names a folder with room"
        )
    canvas = Canvas.in_memory(shape)
    contents = build(canvas)
    return Store(torch.from_numpy(canvas.pixels), contents.labels, contents.places, contents.facts)


def open_store(path: Path) -> Store | None:
    """Map the store at `path`, or read it where it cannot be mapped; None if there is none or it is damaged.

    Of a large store, a few blocks are held against their checksums, other ones each time: reading all of it would take
    minutes. `damaged_rows` does.
    """
    try:
        return _as_store(_tensors(path), path)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValidationError, KeyError, ValueError) as error:
        _LOG.warning("%s: cannot be used, made anew: %s", path, str(error).partition("\n")[0])
        return None


def damaged_rows(path: Path, tell: Callable[[int], None] = lambda _: None) -> list[range]:
    """Read all of the store at `path`; return the images whose checksums differ. `tell` hears of the images read."""
    tensors = _tensors(path)
    pixels = tensors["pixels"].numpy()
    found, noted = pixel_sums(pixels, tell), _numbers(tensors["checksums"])
    return [rows_of(i, pixels.shape) for i, (a, b) in enumerate(zip(found, noted, strict=True)) if a != b]


def remove_superseded(name: Name) -> None:
    """Remove the stores of the same place but of other files; those who have them mapped keep them until they end."""
    for path in _folder().glob(f"{name.where}-*.safetensors"):
        if not path.name.startswith(f"{name.where}-{name.files}-"):
            path.unlink(missing_ok=True)


def link(name: Path, store: Path) -> None:
    """Let a store that is kept elsewhere be found by its `name` below the cache folder."""
    scratch = name.with_suffix(f".link{os.getpid()}")
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        scratch.symlink_to(store.absolute())
        scratch.replace(name)
    except OSError as error:
        raise DataError(f"{name.parent}: cannot note where the store is: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)


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
        _clean(folder, where, path.name.split("-")[1])
        yield
    finally:
        lock.release()


def _folder() -> Path:
    return cache_dir() / "stores"


def _clean(folder: Path, where: str, files: str) -> None:
    """Remove what killed builders left, but for what one of the same files has noted: it is gone on from."""
    for left_over in folder.glob(f"{where}-*.partial"):
        journal = left_over.with_suffix(".journal")
        if not (journal.exists() and left_over.name.startswith(f"{where}-{files}-")):
            left_over.unlink()
            journal.unlink(missing_ok=True)


def _write(path: Path, shape: Shape, build: Build) -> None:
    """Write beside the final name and rename.

    The room is taken before anything is built, so that a full disk shows at once and not, in writing to mapped pages,
    as a killed process. What an interrupted build has written stays.
    """
    partial, small = path.with_suffix(".partial"), 2 * 8 * shape[0]
    place = Place(str(partial), _HEADER_BYTES + small, shape)
    journal = path.with_suffix(".journal")
    stays = False
    try:
        if not (journal.exists() and partial.exists() and partial.stat().st_size >= place.end):
            journal.unlink(missing_ok=True)
            with partial.open("wb") as file:
                _take_room(file, place.end)
        noted = Journal.open(journal, f"{FORMAT} {path.name} {shape}", len(blocks(shape)))
        try:
            _finish(Canvas.on_disk(place, noted), build, partial, path)
        except BaseException:
            stays = bool(noted.done())
            raise
    finally:
        if not stays:
            partial.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)


def _finish(canvas: Canvas, build: Build, partial: Path, path: Path) -> None:
    """Fill a canvas, put the rest of a store around its pixels, and give it its name."""
    contents = build(canvas)
    shape: Shape = canvas.pixels.shape
    checksums = np.array(contents.checksums or pixel_sums(canvas.pixels), "<u4").tobytes()
    facts = contents.facts.model_dump_json().encode()
    with partial.open("r+b") as file:
        os.fsync(file.fileno())  # takes minutes for a large one, after which a kill costs little
        file.write(_header(shape, len(checksums), len(facts)))
        for numbers in (contents.labels, contents.places):
            file.write(numbers.numpy().astype("<i8").tobytes())
        file.seek(prod(shape) + canvas.notes.nbytes, os.SEEK_CUR)
        file.truncate()
        file.write(checksums + facts)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _take_room(file: BinaryIO, size: int) -> None:
    """Raise OSError if there is no room for `size` bytes; where the system can, they are reserved."""
    if shutil.disk_usage(Path(file.name).parent).free < size:
        raise OSError(ENOSPC, f"no room for {size / 1e6:,.0f} MB")
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _memory_bytes() -> int:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _header(shape: Shape, checksums_bytes: int, facts_bytes: int) -> bytes:
    """Return a safetensors header (github.com/huggingface/safetensors, "Format"), filled up with spaces.

    `safetensors.save_file` wants the tensors whole in memory; the format is meant to be written by hand.
    """
    count = shape[0]
    entries, end = {}, 0
    for name, dtype, dims, size in (
        ("labels", "I64", (count,), 8 * count),
        ("places", "I64", (count,), 8 * count),
        ("pixels", "U8", shape, prod(shape)),
        ("notes", "U8", (count * NOTE.itemsize,), count * NOTE.itemsize),
        ("checksums", "U8", (checksums_bytes,), checksums_bytes),
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
    pixels, noted = tensors["pixels"].numpy(), _numbers(tensors["checksums"])
    for block in _sample(len(noted)):
        rows = rows_of(block, pixels.shape)
        if checksum(pixels[rows.start : rows.stop]) != noted[block]:
            raise ValueError(f"images {rows.start} to {rows.stop - 1} differ from their checksum")
    return Store(tensors["pixels"], tensors["labels"], tensors["places"], facts, path)


def _numbers(checksums: Tensor) -> list[int]:
    found: list[int] = np.frombuffer(checksums.numpy().tobytes(), "<u4").tolist()
    return found


def _sample(blocks: int) -> list[int]:
    """Return the blocks to check: all of a few, else the first, the last and others drawn anew each time."""
    if blocks <= _CHECKED:
        return list(range(blocks))
    return [0, *np.random.default_rng().integers(1, blocks - 1, _CHECKED - 2).tolist(), blocks - 1]


@cache
def _warn_once(line: str) -> None:
    _LOG.warning("%s", line)
