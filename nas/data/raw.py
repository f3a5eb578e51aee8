"""Images as their source has them, and how they come into the order of a store: train nested, then validation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from nas.data.canvas import Block, Canvas, blocks
from nas.data.crew import decode_blocks
from nas.data.folder import Listing
from nas.data.images import Source, fingerprint, moments
from nas.data.split import hold_out
from nas.data.store import Build, Contents, Facts, Store
from nas.errors import DataError

_SAMPLED = 10_000  # images that tell mean and deviation where to read more would take minutes
_CHUNK = 1_024  # images gathered at a time

Broken = Mapping[int, str]
"""The images that cannot be decoded, by their place in the source, with the names of their files."""


class Written(NamedTuple):
    """What only reading all images tells: the fingerprint of their content, and those that could not be decoded.

    `checksums` of the blocks of pixels, where writing them gave these as well.
    """

    fingerprint: str
    broken: Broken
    checksums: Sequence[int] | None = None


@dataclass(frozen=True, eq=False)
class Raw:
    """Images in the order of their source: `labels` int64 (N,), `shape` of one, and those known to be broken.

    `write` fills a canvas of N images with those at the places it is given, int64 (N,), broken ones black.
    """

    classes: tuple[str, ...]
    labels: Tensor
    shape: tuple[int, int, int]
    write: Callable[[Canvas, Tensor], Written]
    broken: Broken = field(default_factory=dict)


@dataclass(frozen=True)
class Decoding:
    """How files are decoded: by threads, or so many `processes`; `progress` hears of images done, of all."""

    processes: int = 0
    progress: Callable[[int, int], None] = lambda _done, _all: None


class Division(NamedTuple):
    """Which validation split is held out: see `nas.data.split.hold_out`."""

    fraction: float | None
    seed: int


def of_arrays(source: Source) -> Raw:
    """Return images that are in memory already."""
    pixels = source.images.pixels

    def write(canvas: Canvas, places: Tensor) -> Written:
        _gather(pixels, places, torch.from_numpy(canvas.pixels))
        return Written(source.fingerprint, {})

    channels, *sides = pixels.shape[1:]
    return Raw(source.classes, source.images.labels, (channels, sides[0], sides[1]), write)


def of_store(store: Store) -> Raw:
    """Return the images of another store of the same files and side: nothing is decoded again."""
    facts, rows, broken = store.facts, store.places.argsort(), _broken(store)

    def write(canvas: Canvas, places: Tensor) -> Written:
        _gather(store.pixels, rows[places], torch.from_numpy(canvas.pixels))
        return Written(facts.fingerprint, broken)

    channels, *sides = store.pixels.shape[1:]
    return Raw(facts.classes, store.labels[rows], (channels, sides[0], sides[1]), write, broken)


def of_folder(listing: Listing, side: int, decoding: Decoding | None = None) -> Raw:
    """Return the files of a folder, which are decoded when they are written: what was decoded before is left."""
    files, how = listing.files, decoding or Decoding()
    labels = torch.tensor([file.label for file in files])

    def write(canvas: Canvas, places: Tensor) -> Written:
        order = places.tolist()
        sums = dict(canvas.finished())
        rows = list(enumerate(blocks(canvas.pixels.shape)))
        done = sum(len(rows[number][1]) for number in sums)
        how.progress(done, len(files))
        work = (_block(listing, order, number, part, side) for number, part in rows if number not in sums)
        with closing(decode_blocks(canvas, work, how.processes)) as decoded:
            for block, found in decoded:
                sums[block.number] = found
                done += len(block.files)
                how.progress(done, len(files))
        return _written(listing, canvas, places, [sums[number][0] for number, _ in rows])

    return Raw(listing.classes, labels, (3, side, side), write)


def _block(listing: Listing, order: Sequence[int], number: int, rows: range, side: int) -> Block:
    paths = tuple(f"{listing.root}{os.sep}{listing.files[order[row]].path}" for row in rows)
    return Block(number, rows.start, paths, side)


def _written(listing: Listing, canvas: Canvas, places: Tensor, checksums: Sequence[int]) -> Written:
    """Return what the notes of a canvas tell, brought into the order of the source."""
    files, notes = listing.files, canvas.notes[places.argsort().numpy()]
    broken = {int(place): files[place].path for place in notes["broken"].nonzero()[0]}
    digests = notes["digest"]
    content = (file.label.to_bytes(4, "little") + digests[i].tobytes() for i, file in enumerate(files))
    return Written(fingerprint(listing.classes, content), broken, checksums)


def rearranged(store: Store, division: Division | None, title: str) -> Store:
    """Return the images of another store of the same files, divided otherwise, without a copy of them.

    DataError, which begins with `title`, for data that cannot be divided so.
    """
    facts, rows, broken = store.facts, store.places.argsort(), _broken(store)
    try:
        places, train, validation = arrangement(store.labels[rows], facts.classes, division, broken)
    except DataError as error:
        raise DataError(f"{title}: {error}") from error
    order = rows[places]
    sampled = order[:train][:: -(-train // _SAMPLED)]
    found = Facts(
        classes=facts.classes,
        fingerprint=facts.fingerprint,
        train=train,
        validation=validation,
        broken=tuple(broken[place] for place in places[train + validation :].tolist()),
        moments=moments(store.pixels[sampled]) if division else ((), ()),
    )
    return replace(store, labels=store.labels[order], places=places, facts=found, rows=order, base=store)


def build(raw: Raw, division: Division | None, title: str) -> Build:
    """Return what writes `raw` into a store: train and validation as divided, or all of it in the order it has.

    It raises DataError, which begins with `title`, for data that cannot be divided so.
    """

    def arrange(broken: Broken) -> tuple[Tensor, int, int]:
        try:
            return arrangement(raw.labels, raw.classes, division, broken)
        except DataError as error:
            raise DataError(f"{title}: {error}") from error

    def fill(canvas: Canvas) -> Contents:
        pixels = torch.from_numpy(canvas.pixels)
        places, train, validation = arrange(raw.broken)
        written = raw.write(canvas, places)
        checksums = written.checksums
        if written.broken.keys() != raw.broken.keys():
            checksums = None
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
        return Contents(raw.labels[places], places, facts, checksums)

    return fill


def arrangement(
    labels: Tensor, classes: Sequence[str], division: Division | None, broken: Iterable[int] = ()
) -> tuple[Tensor, int, int]:
    """Return places in the source in the order of the store, and how many of them are train and validation."""
    is_sound = torch.ones(len(labels), dtype=torch.bool)
    is_sound[list(broken)] = False
    sound, rest = is_sound.nonzero().flatten(), (~is_sound).nonzero().flatten()
    if division is None:
        return torch.cat((sound, rest)), len(sound), 0
    train, validation = hold_out(labels[sound], classes, division.fraction, seed=division.seed)
    return torch.cat((sound[train], sound[validation], rest)), len(train), len(validation)


def _broken(store: Store) -> Broken:
    sound = store.facts.train + store.facts.validation
    return dict(zip(store.places[sound:].tolist(), store.facts.broken, strict=True))


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
