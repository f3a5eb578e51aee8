"""Images that are decoded each time they are wanted: for data that no disk has room for a second time.

They have the labels and the order of the store, and the same pixels: only reading them takes longer.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from nas.data.canvas import Pixels
from nas.data.decode import decode, read
from nas.data.folder import Listing
from nas.data.images import Dataset, Images, moment_step, moments_of, resize_into
from nas.data.raw import Division, arrangement
from nas.data.spec import DataSpec
from nas.errors import DataError
from nas.value import digest

_AHEAD = 3  # batches that are decoded before they are asked for
_TOGETHER = 256  # images of a batch that tells mean and deviation


class FileImages(Images):
    """Images that lie in files; `pixels` has their shape but no content, and whoever touches it gets an error.

    `select` decodes in threads, `expect` says what will be selected next, so that it is decoded meanwhile.
    """

    def __init__(self, listing: Listing, places: Tensor, side: int, decoded: int | None = None) -> None:
        """Take the files at `places`, int64 (N,), of a listing, in that order.

        They are decoded to the side `decoded` and resized from there, as the images of a store are.
        """
        labels = torch.tensor([listing.files[place].label for place in places.tolist()])
        super().__init__(torch.empty((len(places), 3, side, side), dtype=torch.uint8, device="meta"), labels)
        object.__setattr__(self, "_listing", listing)
        object.__setattr__(self, "_places", places)
        object.__setattr__(self, "_decoded", decoded or side)
        object.__setattr__(self, "_expected", deque())
        object.__setattr__(self, "_coming", iter(()))

    _listing: Listing
    _places: Tensor
    _decoded: int
    _expected: deque[tuple[Tensor, list[Future[Pixels]]]]
    _coming: Iterator[Tensor]

    @property
    def device(self) -> torch.device:
        """The CPU: there the indices belong."""
        return self.labels.device

    @property
    def size_bytes(self) -> int:
        """None of the images is in memory."""
        return self.labels.nbytes

    def select(self, indices: Tensor) -> Images:
        """Return the images at `indices`, int64 (M,), decoded; DataError names a file that is broken."""
        if self._expected and torch.equal(self._expected[0][0], indices):
            futures = self._expected.popleft()[1]
            self._look_ahead()
        else:
            futures = self._submit(indices)
        squares = np.stack([future.result() for future in futures])
        return Images(torch.from_numpy(squares), self.labels[indices])

    def expect(self, batches: Iterable[Tensor]) -> None:
        """Decode these batches, the next few of them at a time, before they are selected."""
        self._expected.clear()
        object.__setattr__(self, "_coming", iter(batches))
        self._look_ahead()

    def in_order(self, size: int) -> Iterator[Images]:
        """Yield all images in order, `size` at a time, decoded."""
        rows = torch.arange(len(self)).split(size)
        self.expect(rows)
        return map(self.select, rows)

    def part(self, start: int, stop: int) -> Images:
        """Return the images from `start` to before `stop`, not decoded yet."""
        return FileImages(self._listing, self._places[start:stop], self.resolution, self._decoded)

    def at(self, side: int) -> FileImages:
        """Return the same images at another side."""
        return FileImages(self._listing, self._places, side, self._decoded)

    def to(self, device: torch.device | str) -> Images:  # noqa: ARG002 - they lie on no device
        """Return the images themselves: what is selected from them is moved."""
        return self

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count() or 1)

    def _look_ahead(self) -> None:
        for indices in islice(self._coming, _AHEAD - len(self._expected)):
            self._expected.append((indices, self._submit(indices)))

    def _submit(self, indices: Tensor) -> list[Future[Pixels]]:
        return [self._pool.submit(self._square, place) for place in self._places[indices].tolist()]

    def _square(self, place: int) -> Pixels:
        path = f"{self._listing.root}{os.sep}{self._listing.files[place].path}"
        square = decode(read(path)[0], self._decoded)
        if square is None:
            raise DataError(f"{path}: not a readable image; a store (`nas data build`) can leave such files out")
        if self._decoded == self.resolution:
            return square
        resized = np.empty((1, 3, self.resolution, self.resolution), np.uint8)
        resize_into(torch.from_numpy(resized), torch.from_numpy(square)[None])
        found: Pixels = resized[0]
        return found


def stream(spec: DataSpec, listing: Listing, side: int, division: Division) -> Dataset:
    """Return the data set of listed files, divided as the store divides them, to be decoded on the fly.

    Mean and deviation are those of the store, for which up to 50,000 images are decoded now. The fingerprint follows
    names, sizes and times of files: to know their content, all would have to be read.
    """
    labels = torch.tensor([file.label for file in listing.files])
    places, train, _ = arrangement(labels, listing.classes, division)
    kept, held = FileImages(listing, places[:train], side), FileImages(listing, places[train:], side)
    data = Dataset(
        name=spec.name,
        classes=listing.classes,
        train=kept,
        validation=held,
        fingerprint=digest(listing.digest),
        mirror=True,
    )
    sampled = torch.arange(0, len(kept), moment_step(len(kept))).split(_TOGETHER)
    kept.expect(sampled)
    known = moments_of(kept.select(indices).pixels for indices in sampled)
    return data.stored(known, lambda _, other: (kept.at(other), held.at(other)))
