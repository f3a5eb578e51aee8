"""What a store is written on: its pixels block by block, what is noted of each image, and which blocks are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.data.decode import decode, read
from nas.data.journal import Journal, Sums, checksum, ranges

NOTE = np.dtype([("broken", "u1"), ("digest", "u1", (32,))])
"""Of each image: whether it could not be decoded, and the sha256 of its file."""
_BLOCK_BYTES = 2**22
_MOST_ROWS = 128  # so that thumbnails are shared out among workers as well

Shape = tuple[int, int, int, int]
Pixels = NDArray[np.uint8]
Notes = NDArray[np.void]


class Place(NamedTuple):
    """Where pixels, uint8 of `shape`, lie in a file, from byte `start` on; the notes follow them."""

    path: str
    start: int
    shape: Shape

    @property
    def notes_start(self) -> int:
        """The byte at which the notes begin."""
        return self.start + prod(self.shape)

    @property
    def end(self) -> int:
        """The byte behind the notes."""
        return self.notes_start + self.shape[0] * NOTE.itemsize


class Block(NamedTuple):
    """A part of the work: the files whose images go into the rows from `first` on, as squares of `side`."""

    number: int
    first: int
    files: tuple[str, ...]
    side: int


@dataclass(frozen=True, eq=False)
class Canvas:
    """The pixels (N, C, side, side) and notes (N,) of a store that is being written; on disk also with its journal."""

    pixels: Pixels
    notes: Notes
    place: Place | None = None
    journal: Journal | None = None

    @classmethod
    def in_memory(cls, shape: Shape) -> Canvas:
        """Return a canvas that only this process sees."""
        return cls(np.empty(shape, np.uint8), np.zeros(shape[0], NOTE))

    @classmethod
    def on_disk(cls, place: Place, journal: Journal) -> Canvas:
        """Return a canvas in a file that is large enough."""
        return cls(*_map(place), place, journal)

    def finished(self) -> Mapping[int, Sums]:
        """Return the checksums of the blocks that an earlier process has written, as they still are."""
        return {} if self.journal is None else self.journal.verified(self.sums)

    def sums(self, block: int) -> Sums:
        """Return the checksums of a block as it is now: of its pixels and of its notes."""
        return _sums(self.pixels, self.notes, rows_of(block, self.pixels.shape))

    def fill(self, block: Block) -> Sums:
        """Decode a block into its rows."""
        return _fill(self.pixels, self.notes, block)


def fill_at(place: Place, block: Block) -> Sums:
    """Decode a block into a file: what worker processes run."""
    return _fill(*_mapped(place), block)


def block_rows(shape: tuple[int, ...]) -> int:
    """Return how many images of a store of this shape are a block."""
    return max(1, min(_MOST_ROWS, _BLOCK_BYTES // max(1, prod(shape[1:]))))


def blocks(shape: tuple[int, ...]) -> list[range]:
    """Return the rows of each block."""
    return list(ranges(shape[0], block_rows(shape)))


def rows_of(block: int, shape: tuple[int, ...]) -> range:
    """Return the rows of one block."""
    size = block_rows(shape)
    return range(block * size, min((block + 1) * size, shape[0]))


def pixel_sums(pixels: Pixels, tell: Callable[[int], None] = lambda _: None) -> list[int]:
    """Return the checksum of each block of pixels; `tell` hears of the rows that are read."""
    found = []
    for rows in blocks(pixels.shape):
        found.append(checksum(pixels[rows.start : rows.stop]))
        tell(rows.stop)
    return found


def _fill(pixels: Pixels, notes: Notes, block: Block) -> Sums:
    for row, file in enumerate(block.files, start=block.first):
        content, digest = read(file)
        found = decode(content, block.side)
        pixels[row] = 0 if found is None else found
        notes[row] = (found is None, np.frombuffer(digest, np.uint8))
    return _sums(pixels, notes, range(block.first, block.first + len(block.files)))


def _sums(pixels: Pixels, notes: Notes, rows: range) -> Sums:
    part = slice(rows.start, rows.stop)
    return checksum(pixels[part]), checksum(notes[part])


def _map(place: Place) -> tuple[Pixels, Notes]:
    pixels = np.memmap(place.path, np.uint8, "r+", place.start, place.shape)
    notes: Notes = np.memmap(place.path, NOTE, "r+", place.notes_start, (place.shape[0],))
    return pixels, notes


_mapped = cache(_map)
"""For workers, who end with their work: elsewhere it would keep a file's room taken after it is removed."""
