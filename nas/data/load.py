"""The entrance to data: a data set for search, without a test split, and the test split by itself."""

from __future__ import annotations

from pathlib import Path

from nas.data.arrays import DIGITS, FASHION, read_cifar, read_digits, read_idx
from nas.data.files import LAYOUTS, Split, split_files
from nas.data.images import Dataset, Images, Source, resize
from nas.data.spec import DataSpec
from nas.data.split import hold_out
from nas.data.store import read_folder
from nas.errors import DataError

_CHIRAL = {"digits", "mnist"}  # a mirrored digit is another shape, or none


def load_dataset(
    spec: DataSpec,
    *,
    seed: int,
    validation_fraction: float | None = None,
    resolution: int | None = None,
    download: bool = False,
    skip_broken: bool = False,
) -> Dataset:
    """Read the train split and hold a validation split out of it; the test split is not opened.

    The validation split is stratified (scikit-learn's `train_test_split`) and depends on `seed` alone; how
    many images it takes, see `nas.data.split.hold_out`. `resolution` is the side in pixels; without it arrays
    keep theirs, and folders follow `nas.data.store.read_folder`. `download` fetches missing files of a
    published data set. Raises DataError in one line.
    """
    source = _read(spec, "train", resolution=resolution, download=download, skip_broken=skip_broken)
    try:
        train, validation = hold_out(source.images.labels, source.classes, validation_fraction, seed=seed)
    except DataError as error:
        raise DataError(f"{spec}: {error}") from error
    return Dataset(
        name=spec.name,
        classes=source.classes,
        train=source.images.select(train),
        validation=source.images.select(validation),
        fingerprint=source.fingerprint,
        mirror=spec.kind not in _CHIRAL,
        skipped=source.skipped,
    )


def load_test(
    spec: DataSpec, *, resolution: int | None = None, download: bool = False, skip_broken: bool = False
) -> Images:
    """Read the test split: for the final number of a retrained network, and for nothing else.

    Pass the data set's `resolution`, since a folder's test images may have another size than those of train.
    Raises DataError in one line, also when there is no test split.
    """
    return _read(spec, "test", resolution=resolution, download=download, skip_broken=skip_broken).images


def _read(spec: DataSpec, split: Split, *, resolution: int | None, download: bool, skip_broken: bool) -> Source:
    """Return a split at `resolution`; what the system refuses to read becomes a DataError."""
    try:
        files = _files(spec, split, download=download)
        match spec.kind:
            case "folder" | "imagenet":
                (train,) = split_files(spec, "train")
                return read_folder(files[0], train, resolution=resolution, skip_broken=skip_broken)
            case "digits":
                source = read_digits(split)
            case "mnist" | "fashion_mnist":
                source = read_idx(files, DIGITS if spec.kind == "mnist" else FASHION)
            case "cifar10" | "cifar100":
                source = read_cifar(files)
    except OSError as error:
        raise DataError(f"{spec}: cannot be read: {error}") from error
    if resolution is None:
        return source
    return Source(resize(source.images, resolution), source.classes, source.fingerprint)


def _files(spec: DataSpec, split: Split, *, download: bool) -> tuple[Path, ...]:
    try:
        return split_files(spec, split)
    except DataError:
        if not download or spec.kind not in LAYOUTS:
            raise
    from nas.data.download import fetch  # here, because torchvision takes two seconds to import

    fetch(spec, split)
    return split_files(spec, split)
