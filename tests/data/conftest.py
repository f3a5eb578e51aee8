"""Small image folders, a cache of one's own, and the shared real data where there is any."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImage = Callable[..., Path]
MakeFolder = Callable[..., Path]

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(values: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes((0, 0, 8, values.ndim)) + sizes + values.astype(np.uint8).tobytes()


def write_mnist(folder: Path, count: int = 40, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / IMAGES).write_bytes(idx(pixels))
    (folder / f"{LABELS}.gz").write_bytes(gzip.compress(idx(np.arange(count) % 10)))
    return pixels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test's cache to itself."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NAS_CACHE", str(folder))
    return folder


@pytest.fixture
def make_image() -> MakeImage:
    """Write one image of seeded noise."""

    def make(path: Path, size: tuple[int, int] = (8, 8), mode: str = "RGB", seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).convert(mode).save(path)
        return path

    return make


@pytest.fixture
def make_folder(tmp_path: Path, make_image: MakeImage) -> MakeFolder:
    """Write class folders of `per_class` PNG files each and return their parent."""

    def make(name: str = "pets", classes: tuple[str, ...] = ("cat", "dog"), per_class: int = 5) -> Path:
        for label, class_name in enumerate(classes):
            for i in range(per_class):
                make_image(tmp_path / name / class_name / f"{i}.png", seed=100 * label + i)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data, from `NAS_DATA` or beside the repository; skip where there is none."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("NAS_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real data: set NAS_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def unpack(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack an archive of the shared data into a folder of its own."""

    def extract(name: str) -> Path:
        target = tmp_path_factory.mktemp("unpacked")
        with tarfile.open(shared / name) as archive:
            archive.extractall(target, filter="data")
        return target

    return extract
