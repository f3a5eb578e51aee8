"""The entrance to data: a data set for search, without a test split, and the test split by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from nas.data.arrays import DIGITS, FASHION, read_cifar, read_digits, read_idx
from nas.data.decode import common_side
from nas.data.files import LAYOUTS, Split, split_files
from nas.data.folder import Listing, class_names, list_images
from nas.data.images import Dataset, Images, Source, check_resolution, resize
from nas.data.prepare import Origin, prepare, resized
from nas.data.raw import Decoding, Division, Raw, of_arrays, of_folder
from nas.data.spec import DataSpec
from nas.data.store import Facts, Store
from nas.data.stream import stream
from nas.errors import DataError

FOLDERS = {"folder", "imagenet"}
_LOG = logging.getLogger(__name__)
_CHIRAL = {"digits", "mnist"}  # a mirrored digit is another shape, or none


def load_dataset(
    spec: DataSpec,
    *,
    seed: int,
    validation_fraction: float | None = None,
    resolution: int | None = None,
    download: bool = False,
    skip_broken: bool = False,
    on_the_fly: bool = False,
) -> Dataset:
    """Read the train split and hold a validation split out of it; the test split is not opened.

    The validation split is stratified (scikit-learn's `train_test_split`) and depends on `seed` alone; how many images
    it takes, see `nas.data.split.hold_out`. `resolution` is the side in pixels; without it images keep theirs, but
    those of a folder get 64 if they are not square and alike. `download` fetches missing files of a published data set.
    The images are prepared once and kept below the cache folder, see `nas.data.store`;
    `on_the_fly` decodes those of a folder each time they are wanted instead. Raises DataError in one line.
    """
    if on_the_fly:
        return _streamed(spec, resolution, Division(validation_fraction, seed))
    store = _prepared(spec, "train", resolution, Division(validation_fraction, seed), download=download)
    facts = store.facts
    _check_broken(facts, split_files(spec, "train"), skip_broken=skip_broken)

    def at(_: Dataset, side: int) -> tuple[Images, Images]:
        other = resized(store, side)
        return other.train, other.validation

    dataset = Dataset(
        name=spec.name,
        classes=facts.classes,
        train=store.train,
        validation=store.validation,
        fingerprint=facts.fingerprint,
        mirror=spec.kind not in _CHIRAL,
        skipped=len(facts.broken),
    )
    return dataset.stored(facts.moments, at)


def _streamed(spec: DataSpec, resolution: int | None, division: Division) -> Dataset:
    if spec.kind not in FOLDERS:
        raise DataError(f"{spec}: only images in folders are decoded on the fly: folder:PATH or imagenet:PATH")
    if resolution is not None:
        check_resolution(resolution)
    with reading(spec):
        (train,) = split_files(spec, "train")
        listing = list_images(train, class_names(train))
        side = resolution or common_side(train / file.path for file in listing.files)
        return stream(spec, listing, side, division)


def load_test(
    spec: DataSpec, *, resolution: int | None = None, download: bool = False, skip_broken: bool = False
) -> Images:
    """Read the test split: for the final number of a retrained network, and for nothing else.

    Pass the data set's `resolution`, since a folder's test images may have another size than those of train.
    Raises DataError in one line, also when there is no test split.
    """
    return load_test_source(spec, resolution=resolution, download=download, skip_broken=skip_broken).images


def load_test_source(
    spec: DataSpec, *, resolution: int | None = None, download: bool = False, skip_broken: bool = False
) -> Source:
    """Read the test split as `load_test` does, with the names of its classes."""
    if spec.kind in FOLDERS:
        store = _prepared(spec, "test", resolution, None, download=download)
        facts = store.facts
        _check_broken(facts, split_files(spec, "test"), skip_broken=skip_broken)
        return Source(store.train, facts.classes, facts.fingerprint, len(facts.broken))
    with reading(spec):
        source = _arrays(spec, "test", _files(spec, "test", download=download))
    return source if resolution is None else replace(source, images=resize(source.images, resolution))


def _prepared(
    spec: DataSpec, split: Split, resolution: int | None, division: Division | None, *, download: bool
) -> Store:
    if resolution is not None:
        check_resolution(resolution)
    with reading(spec):
        files = _files(spec, split, download=download)
        if spec.kind in FOLDERS:
            origin = _folder(spec, files[0], resolution)
        else:
            origin = _published(spec, split, files, resolution)
        return prepare(origin, resolution, division)


def _published(spec: DataSpec, split: Split, files: tuple[Path, ...], resolution: int | None) -> Origin:
    """Return the origin of a data set of a few files, at their own side until they are read."""

    def read() -> Raw:
        source = _arrays(spec, split, files)
        images = source.images if resolution is None else resize(source.images, resolution)
        return of_arrays(replace(source, images=images))

    stats = [(str(file.relative_to(spec.root)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    content = stats or version("scikit-learn")
    return Origin(str(spec), f"{spec.kind} {split} {spec.root}", f"{spec.kind} {content}", read)


def _folder(spec: DataSpec, root: Path, resolution: int | None) -> Origin:
    """Return the origin of the class folders in `root`, whose classes must be those of train."""
    (train,) = split_files(spec, "train")
    return folder_origin(spec, list_images(root, class_names(train)), resolution)


def folder_origin(spec: DataSpec, listing: Listing, resolution: int | None, decoding: Decoding | None = None) -> Origin:
    """Return the origin of listed files, which are decoded to `resolution`, or to the side they have in common."""

    def own_side() -> int:
        return common_side(listing.root / file.path for file in listing.files)

    def read() -> Raw:
        side = resolution or own_side()
        _LOG.info("decoding %d images below %s once, to %d px", len(listing.files), listing.root, side)
        return of_folder(listing, side, decoding)

    return Origin(str(spec), str(listing.root), listing.digest, read, own_side)


def _arrays(spec: DataSpec, split: Split, files: tuple[Path, ...]) -> Source:
    if spec.kind == "digits":
        return read_digits(split)
    if spec.kind in ("cifar10", "cifar100"):
        return read_cifar(files)
    return read_idx(files, DIGITS if spec.kind == "mnist" else FASHION)


def _check_broken(facts: Facts, files: tuple[Path, ...], *, skip_broken: bool) -> None:
    if facts.broken and not skip_broken:
        more = f" and {len(facts.broken) - 1} more" if len(facts.broken) > 1 else ""
        raise DataError(
            f"{files[0] / facts.broken[0]}{more}: not a readable image; --skip-broken counts and skips such files"
        )


@contextmanager
def reading(spec: DataSpec) -> Iterator[None]:
    """Make a DataError of what the system refuses to read."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{spec}: cannot be read: {error}") from error


def _files(spec: DataSpec, split: Split, *, download: bool) -> tuple[Path, ...]:
    try:
        return split_files(spec, split)
    except DataError:
        if not download or spec.kind not in LAYOUTS:
            raise
    from nas.data.download import fetch  # here, because torchvision takes two seconds to import

    fetch(spec, split)
    return split_files(spec, split)
