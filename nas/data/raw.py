"""Images as their source has them, and how they come into the order of a store: train nested, then validation."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from nas.data.decode import decode
from nas.data.folder import ImageFile, Listing
from nas.data.images import Source, fingerprint, moments
from nas.data.split import hold_out
from nas.data.store import Build, Contents, Facts, Store
from nas.errors import DataError

_GROUP = 32  # images of a task; at 224 px a task holds 5 MB
_CHUNK = 1_024  # images gathered at a time

Broken = Mapping[int, str]
"""The images that cannot be decoded, by their place in the source, with the names of their files."""


class Written(NamedTuple):
    """What only reading all images tells: the fingerprint of their content, and those that could not be decoded."""

    fingerprint: str
    broken: Broken


@dataclass(frozen=True, eq=False)
class Raw:
    """Images in the order of their source: `labels` int64 (N,), `shape` of one, and those known to be broken.

    `write` fills pixels, uint8 (N, *shape), with the images at the places it is given, int64 (N,), broken ones black.
    """

    classes: tuple[str, ...]
    labels: Tensor
    shape: tuple[int, int, int]
    write: Callable[[Tensor, Tensor], Written]
    broken: Broken = field(default_factory=dict)


class Division(NamedTuple):
    """Which validation split is held out: see `nas.data.split.hold_out`."""

    fraction: float | None
    seed: int


def of_arrays(source: Source) -> Raw:
    """Return images that are in memory already."""
    pixels = source.images.pixels

    def write(into: Tensor, places: Tensor) -> Written:
        _gather(pixels, places, into)
        return Written(source.fingerprint, {})

    channels, *sides = pixels.shape[1:]
    return Raw(source.classes, source.images.labels, (channels, sides[0], sides[1]), write)


def of_store(store: Store) -> Raw:
    """Return the images of another store of the same files and side: nothing is decoded again."""
    facts, rows = store.facts, store.places.argsort()
    sound = facts.train + facts.validation
    broken = dict(zip(store.places[sound:].tolist(), facts.broken, strict=True))

    def write(into: Tensor, places: Tensor) -> Written:
        _gather(store.pixels, rows[places], into)
        return Written(facts.fingerprint, broken)

    channels, *sides = store.pixels.shape[1:]
    return Raw(facts.classes, store.labels[rows], (channels, sides[0], sides[1]), write, broken)


def of_folder(listing: Listing, side: int) -> Raw:
    """Return the files of a folder, which are decoded when they are written."""
    files = listing.files

    def write(into: Tensor, places: Tensor) -> Written:
        rows = places.argsort().tolist()
        broken: dict[int, str] = {}
        content: list[bytes] = []
        for place, (pixels, digest) in enumerate(_decode_all(listing, side)):
            if pixels is None:
                broken[place] = files[place].path
            into[rows[place]] = 0 if pixels is None else pixels
            content.append(files[place].label.to_bytes(4, "little") + digest)
        return Written(fingerprint(listing.classes, content), broken)

    return Raw(listing.classes, torch.tensor([file.label for file in files]), (3, side, side), write)


def build(raw: Raw, division: Division | None, title: str) -> Build:
    """Return what writes `raw` into a store: train and validation as divided, or all of it in the order it has.

    It raises DataError, which begins with `title`, for data that cannot be divided so.
    """

    def arrange(broken: Broken) -> tuple[Tensor, int, int]:
        try:
            return _arrange(raw, division, broken)
        except DataError as error:
            raise DataError(f"{title}: {error}") from error

    def fill(pixels: Tensor) -> Contents:
        places, train, validation = arrange(raw.broken)
        written = raw.write(pixels, places)
        if written.broken.keys() != raw.broken.keys():
            rows = places.argsort()
            places, train, validation = arrange(written.broken)
            _rearrange(pixels, rows[places].tolist())
        facts = Facts(
            classes=raw.classes,
            fingerprint=written.fingerprint,
            train=train,
            validation=validation,
            broken=tuple(written.broken[place] for place in places[train + validation :].tolist()),
            moments=moments(pixels[:train]) if division else ((), ()),
        )
        return Contents(raw.labels[places], places, facts)

    return fill


def _arrange(raw: Raw, division: Division | None, broken: Broken) -> tuple[Tensor, int, int]:
    """Return places in the source in the order of the store, and how many of them are train and validation."""
    is_sound = torch.ones(len(raw.labels), dtype=torch.bool)
    is_sound[list(broken)] = False
    sound, rest = is_sound.nonzero().flatten(), (~is_sound).nonzero().flatten()
    if division is None:
        return torch.cat((sound, rest)), len(sound), 0
    train, validation = hold_out(raw.labels[sound], raw.classes, division.fraction, seed=division.seed)
    return torch.cat((sound[train], sound[validation], rest)), len(train), len(validation)


def _gather(pixels: Tensor, rows: Tensor, into: Tensor) -> None:
    """Copy the images at `rows` into `into`, a few at a time, since both may be larger than memory."""
    for target, chunk in zip(into.split(_CHUNK), rows.split(_CHUNK), strict=True):
        torch.index_select(pixels, 0, chunk, out=target)


def _rearrange(pixels: Tensor, rows: list[int]) -> None:
    """Put the image at ``rows[k]`` at k, for all k, with room for one image: follow each cycle of the permutation."""
    for start in range(len(rows)):
        held, k = pixels[start].clone(), start
        while rows[k] != start:
            source = rows[k]
            pixels[k], rows[k], k = pixels[source], k, source
        pixels[k], rows[k] = held, k


def _decode_all(listing: Listing, side: int) -> Iterator[tuple[Tensor | None, bytes]]:
    """Yield the files of `listing` decoded, in order, with two tasks a core in flight: pixels, sha256 of the file.

    In threads, since Pillow decodes without the interpreter's lock. A task is several files, since for
    thumbnails the hand-over of each costs as much as its decoding.
    """
    files, workers = listing.files, os.cpu_count() or 1
    groups = (files[start : start + _GROUP] for start in range(0, len(files), _GROUP))
    with ThreadPoolExecutor(workers) as pool:

        def submit(count: int) -> list[Future[list[tuple[Tensor | None, bytes]]]]:
            return [pool.submit(_decode_group, listing, group, side) for group in islice(groups, count)]

        ahead = deque(submit(2 * workers))
        while ahead:
            yield from ahead.popleft().result()
            ahead.extend(submit(1))


def _decode_group(listing: Listing, group: tuple[ImageFile, ...], side: int) -> list[tuple[Tensor | None, bytes]]:
    decoded = []
    for file in group:
        path = listing.root / file.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        pixels = decode(content, side)
        decoded.append((None if pixels is None else torch.from_numpy(pixels), hashlib.sha256(content).digest()))
    return decoded
