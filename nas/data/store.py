"""The in-memory store of a folder of images: decoded once, kept on disk, mapped into memory from then on.

A store is a safetensors file below ``cache_dir()/stores``, named after what it was made from: every file's
relative path, size and modification time, and the side. It is written front to back while images are decoded,
so building one for ImageNet takes no more memory than the few images in flight, and reading it takes only the
pages that are touched.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.data.decode import common_side, decode
from nas.data.folder import ImageFile, Listing, class_names, list_images
from nas.data.images import Images, Source, check_resolution, fingerprint
from nas.data.spec import cache_dir
from nas.errors import DataError

_FORMAT = 1  # part of every store's name: raise it when the content of a store changes
_GROUP = 32  # images of a task; at 224 px a task holds 5 MB
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Store:
    """Decoded images: `pixels` uint8 (N, 3, side, side), `readable` bool (N,), and the content's fingerprint.

    An image that cannot be decoded keeps its place, black.
    """

    pixels: Tensor
    readable: Tensor
    fingerprint: str


class Decoded(NamedTuple):
    """A file's pixels as bytes, None if it cannot be decoded, and the sha256 of the file."""

    pixels: bytes | None
    digest: bytes


def read_folder(root: Path, train: Path, *, resolution: int | None, skip_broken: bool) -> Source:
    """Read the split at `root`, with the classes of the train split at `train`.

    The side is `resolution`, or that of the images if they are square and alike, or 64. Raises DataError for
    an image that cannot be decoded, unless `skip_broken`.
    """
    if resolution is not None:
        check_resolution(resolution)
    listing = list_images(root, class_names(train))
    store = open_store(listing, resolution)
    images = Images(store.pixels, torch.tensor([file.label for file in listing.files]))
    broken = (~store.readable).nonzero().flatten().tolist()
    if not broken:
        return Source(images, listing.classes, store.fingerprint)
    if not skip_broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        first = listing.root / listing.files[broken[0]].path
        raise DataError(f"{first}{more}: not a readable image; --skip-broken counts and skips such files")
    return Source(images.select(store.readable.nonzero().flatten()), listing.classes, store.fingerprint, len(broken))


def open_store(listing: Listing, side: int | None) -> Store:
    """Return the store of `listing`, building it if there is none or if the one on disk is damaged."""
    path = cache_dir() / "stores" / f"{_key(listing, side)}.safetensors"
    try:
        return _load(path)
    except (FileNotFoundError, SafetensorError):
        _build(path, listing, side)
    return _load(path)


def _key(listing: Listing, side: int | None) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, side, listing.classes]).encode())
    for file in listing.files:
        digest.update(f"{file.path}\0{file.label}\0{file.size}\0{file.modified_ns}\0".encode())
    return digest.hexdigest()[:24]


def _load(path: Path) -> Store:
    tensors = load_file(path)
    return Store(tensors["pixels"], tensors["readable"].bool(), bytes(tensors["fingerprint"].tolist()).decode())


def _build(path: Path, listing: Listing, side: int | None) -> None:
    """Write beside the final name and rename, so that a store exists whole or not at all."""
    side = side or common_side(listing.root / file.path for file in listing.files)
    _LOG.info("decoding %d images below %s once, to %d px", len(listing.files), listing.root, side)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            partial = Path(scratch) / path.name
            with partial.open("wb") as file:
                _write(file, listing, side)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot keep decoded images here: {error}; NAS_CACHE names another folder") from error


def _write(file: BinaryIO, listing: Listing, side: int) -> None:
    """Write header, pixels, flags and fingerprint, in the order of the header."""
    count, shape = len(listing.files), (3, side, side)
    black = bytes(prod(shape))
    file.write(_header({"pixels": (count, *shape), "readable": (count,), "fingerprint": (12,)}))
    readable = bytearray()
    content: list[bytes] = []
    for image, (pixels, digest) in zip(listing.files, _decode_all(listing, side), strict=True):
        file.write(black if pixels is None else pixels)
        readable.append(pixels is not None)
        content.append(image.label.to_bytes(4, "little") + digest)
    file.write(readable)
    file.write(fingerprint(listing.classes, content).encode())


def _header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Return a safetensors header of uint8 tensors (github.com/huggingface/safetensors, "Format").

    `safetensors.save_file` wants the tensors whole in memory; the format is meant to be written by hand.
    """
    entries, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + prod(shape)
        entries[name] = {"dtype": "U8", "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _decode_all(listing: Listing, side: int) -> Iterator[Decoded]:
    """Yield the files of `listing` decoded, in order, with two tasks a core in flight.

    In threads, since Pillow decodes without the interpreter's lock. A task is several files, since for
    thumbnails the hand-over of each costs as much as its decoding.
    """
    files, workers = listing.files, os.cpu_count() or 1
    groups = (files[start : start + _GROUP] for start in range(0, len(files), _GROUP))
    with ThreadPoolExecutor(workers) as pool:

        def submit(count: int) -> list[Future[list[Decoded]]]:
            return [pool.submit(_decode_group, listing.root, group, side) for group in islice(groups, count)]

        ahead = deque(submit(2 * workers))
        while ahead:
            yield from ahead.popleft().result()
            ahead.extend(submit(1))


def _decode_group(root: Path, group: tuple[ImageFile, ...], side: int) -> list[Decoded]:
    decoded = []
    for file in group:
        path = root / file.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        pixels = decode(content, side)
        decoded.append(Decoded(None if pixels is None else pixels.tobytes(), hashlib.sha256(content).digest()))
    return decoded
