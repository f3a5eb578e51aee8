"""Fetching the published data sets from where their authors keep them, checked against their md5."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urljoin

from torchvision.datasets import MNIST, FashionMNIST
from torchvision.datasets.utils import download_and_extract_archive, download_url

from nas.data.files import LAYOUTS, Split
from nas.data.spec import DataSpec
from nas.errors import DataError

_CIFAR_ARCHIVES = {
    "cifar10": ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar100": ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
}
_IDX_DATASETS = {"mnist": MNIST, "fashion_mnist": FashionMNIST}


def fetch(spec: DataSpec, split: Split) -> None:
    """Put the files of a split below `spec.root`; raise DataError if they cannot be had.

    A file appears under its own name only when whole and checked. torchvision shows progress on stderr.
    """
    target = spec.root / LAYOUTS[spec.kind].folders[0]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            if spec.kind in _CIFAR_ARCHIVES:
                _fetch_archive(spec.kind, Path(scratch), target)
            else:
                _fetch_idx(spec.kind, split, Path(scratch), target)
    except (OSError, RuntimeError) as error:  # no network, no room; torchvision: a wrong md5
        raise DataError(f"{spec}: cannot download into {target}: {error}") from error


def _fetch_archive(kind: str, scratch: Path, target: Path) -> None:
    """Both splits come in one archive, which is dropped once unpacked."""
    url, md5 = _CIFAR_ARCHIVES[kind]
    download_and_extract_archive(url, scratch, md5=md5)
    (scratch / target.name).replace(target)


def _fetch_idx(kind: str, split: Split, scratch: Path, target: Path) -> None:
    """The .gz files are kept as they are: the reader unpacks them in a fraction of a second."""
    dataset = _IDX_DATASETS[kind]
    target.mkdir(exist_ok=True)
    for name, md5 in dataset.resources:
        if name.removesuffix(".gz") in LAYOUTS[kind].splits[split]:
            download_url(urljoin(dataset.mirrors[0], name), scratch, md5=md5)
            (scratch / name).replace(target / name)
