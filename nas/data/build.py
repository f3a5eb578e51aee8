"""Stores that are built ahead of time: how large they will be, whether there is room, and the building itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from nas.data.canvas import NOTE
from nas.data.files import Split, split_files
from nas.data.folder import Listing, class_names, list_images
from nas.data.load import FOLDERS, folder_origin, reading
from nas.data.prepare import build_store, find_built, partial_bytes
from nas.data.raw import Decoding, Division
from nas.data.spec import DataSpec, cache_dir
from nas.data.store import Store, damaged_rows
from nas.errors import DataError

LEAST_SIDE, MOST_SIDE = 4, 512
_LABEL_BYTES = 16  # label and place of an image
_SPARE = 2**26  # left free beside a store
Progress = Callable[[Split, int, int], None]


@dataclass(frozen=True)
class Part:
    """A split that is to be built: its files, and how it is divided (the test split is not)."""

    split: Split
    listing: Listing
    division: Division | None

    def size_bytes(self, side: int) -> int:
        """Bytes of the store, but for a few thousand."""
        image = 3 * side**2 + _LABEL_BYTES + NOTE.itemsize
        return len(self.listing.files) * image


@dataclass(frozen=True)
class BuildPlan:
    """What `nas data build` is about to do."""

    spec: DataSpec
    side: int
    parts: tuple[Part, ...]
    folder: Path | None

    @property
    def place(self) -> Path:
        """The folder of the stores."""
        return self.folder or cache_dir() / "stores"

    @property
    def images(self) -> int:
        """Number of images, of all parts."""
        return sum(len(part.listing.files) for part in self.parts)

    @property
    def size_bytes(self) -> int:
        """Bytes of all stores."""
        return sum(part.size_bytes(self.side) for part in self.parts)


def plan_build(
    spec: DataSpec,
    side: int,
    *,
    seed: int = 0,
    validation_fraction: float | None = None,
    folder: Path | None = None,
) -> BuildPlan:
    """List the images of train, and of the test split where there is one; nothing is decoded or written.

    `seed` and `validation_fraction` divide train into what is trained on and what is held out, as `load_dataset` does:
    for whoever divides it alike, the images lie in the order they are used in.
    DataError for data that is no folder of images, for splits with different classes, and for a side out of bounds.
    """
    if spec.kind not in FOLDERS:
        raise DataError(f"{spec}: only folders of images are built ahead: folder:PATH or imagenet:PATH")
    if not LEAST_SIDE <= side <= MOST_SIDE:
        raise DataError(f"--side must be from {LEAST_SIDE} to {MOST_SIDE} pixels, got {side}")
    with reading(spec):
        (train,) = split_files(spec, "train")
        classes = class_names(train)
        parts = [Part("train", list_images(train, classes), Division(validation_fraction, seed))]
        if (test := _test_folder(spec)) is not None:
            parts.append(Part("test", list_images(test, classes), None))
    return BuildPlan(spec, side, tuple(parts), folder)


def check_room(plan: BuildPlan) -> int:
    """Return the bytes that are free where the stores are to lie; DataError when they do not fit there."""
    place = next(path for path in (plan.place, *plan.place.parents) if path.exists())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise DataError(f"{plan.place}: cannot be used: {error.strerror}") from None
    needed = 0
    for part in plan.parts:
        origin = folder_origin(plan.spec, part.listing, plan.side)
        if find_built(origin, plan.side, part.division, plan.folder) is None:
            needed += part.size_bytes(plan.side) - partial_bytes(origin, plan.side, part.division, plan.folder)
    if needed and needed + _SPARE > free:
        raise DataError(
            f"{plan.place}: {needed / 1e9:,.2f} GB are needed for {plan.images:,} images at {plan.side} px, "
            f"{free / 1e9:,.2f} GB are free; a smaller --side, or --out DIR on another disk"
        )
    return free


def build_part(plan: BuildPlan, part: Part, processes: int, progress: Progress) -> Store:
    """Return the store of one part, decoded by so many processes; what was decoded before is left."""
    decoding = Decoding(processes, lambda done, whole: progress(part.split, done, whole))
    origin = folder_origin(plan.spec, part.listing, plan.side, decoding)
    with reading(plan.spec):
        return build_store(origin, plan.side, part.division, plan.folder)


def check_stores(plan: BuildPlan, tell: Callable[[int], None]) -> Iterator[tuple[Part, Path, list[range]]]:
    """Read the stores of `plan` whole; yield each with the images that differ from their checksums.

    DataError where one has not been built. `tell` hears of images read.
    """
    for part in plan.parts:
        origin = folder_origin(plan.spec, part.listing, plan.side)
        path = find_built(origin, plan.side, part.division, plan.folder)
        if path is None:
            raise DataError(f"{plan.spec}: no {part.split} store at {plan.side} px; `nas data build` makes one")
        yield part, path, damaged_rows(path, tell)


def images_by_class(store: Store) -> dict[str, int]:
    """Return the number of images of each class, without those that could not be decoded."""
    sound = store.facts.train + store.facts.validation
    counts = store.labels[:sound].bincount(minlength=len(store.facts.classes)).tolist()
    return dict(zip(store.facts.classes, counts, strict=True))


def store_bytes(store: Store) -> int:
    """Return the bytes of a store's pixels."""
    return prod(store.pixels.shape)


def _test_folder(spec: DataSpec) -> Path | None:
    """Return the folder of the test split; None where ``folder:PATH`` has class folders alone."""
    try:
        return split_files(spec, "test")[0]
    except DataError:
        if spec.kind == "imagenet":
            raise
        return None
