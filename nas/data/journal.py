"""Which blocks of a large file are written: what lets a build go on after it was killed at any instant."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RECORD = np.dtype([("done", "u1"), ("checksums", "<u4", (2,))])
_KEY_BYTES = 32

Sums = tuple[int, int]
"""Crc32 of a block, and of what belongs to it elsewhere."""


@dataclass(frozen=True, eq=False)
class Journal:
    """Beside a file of `blocks` blocks: which of them are done, with their checksums.

    A block is noted after it is written. A process that is killed leaves it either way; after a loss of power the pages
    of the two may reach the disk in any order, so that what is noted is checked before it is believed.
    """

    path: Path
    blocks: int

    @classmethod
    def open(cls, path: Path, key: str, blocks: int) -> Journal:
        """Return the journal at `path`; one of another `key`, or of other blocks, is begun anew."""
        identity = hashlib.sha256(f"{key}\0{blocks}".encode()).digest()
        size = _KEY_BYTES + blocks * _RECORD.itemsize
        found = path.read_bytes() if path.exists() and path.stat().st_size == size else b""
        if found[:_KEY_BYTES] != identity:
            path.write_bytes(identity.ljust(size, b"\0"))
        return cls(path, blocks)

    def done(self) -> dict[int, Sums]:
        """Return the checksums of the blocks that are noted."""
        records = np.frombuffer(self.path.read_bytes(), _RECORD, offset=_KEY_BYTES)
        return {int(i): (int(a), int(b)) for i, (a, b) in zip(*_noted(records), strict=True)}

    def verified(self, sums: Callable[[int], Sums]) -> dict[int, Sums]:
        """Return those of `done` whose content, as `sums` gives it, is still what was noted."""
        return {block: noted for block, noted in self.done().items() if sums(block) == noted}

    def note(self, block: int, sums: Sums) -> None:
        """Note that a block is written."""
        record = np.array([(1, sums)], _RECORD).tobytes()
        with self.path.open("r+b") as file:
            file.seek(_KEY_BYTES + block * _RECORD.itemsize)
            file.write(record)

    def remove(self) -> None:
        """Remove the journal: the file is complete, or given up."""
        self.path.unlink(missing_ok=True)


def ranges(count: int, size: int) -> Iterator[range]:
    """Yield 0..count in ranges of `size`, the last one shorter."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def checksum(array: NDArray[np.generic]) -> int:
    """Return the crc32 of the bytes of an array that lies in one piece."""
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


def flush(path: Path) -> None:
    """Bring what was written to `path` to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _noted(records: NDArray[np.void]) -> tuple[NDArray[np.intp], list[Sums]]:
    places = records["done"].nonzero()[0]
    return places, records["checksums"][places].tolist()
