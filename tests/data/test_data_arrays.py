"""digits, idx files and binary CIFAR: what is read, what is refused, and what is fetched."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import download
from nas.data.load import load_dataset, load_test
from nas.data.spec import DataSpec
from nas.errors import DataError
from tests.data.conftest import IMAGES, LABELS, idx, write_mnist


def write_cifar(folder: Path, names: dict[str, int], label_bytes: int) -> None:
    """Write records whose last label byte is the record's number modulo 10 and whose pixels all equal it."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = "\n".join(f"class{i}" for i in range(10))
    (folder / ("batches.meta.txt" if label_bytes == 1 else "fine_label_names.txt")).write_text(f"{classes}\n\n")
    for name, count in names.items():
        label = np.arange(count, dtype=np.uint8)[:, None] % 10
        padding = np.full((count, label_bytes - 1), 99, np.uint8)
        (folder / name).write_bytes(np.hstack([padding, label, np.repeat(label, 3072, 1)]).tobytes())


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve ``tmp_path/web`` and return its address."""
    (tmp_path / "web").mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "web")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


CIFAR10 = {f"data_batch_{i}.bin": 10 for i in range(1, 6)} | {"test_batch.bin": 20}


def test_digits_are_scaled_to_bytes() -> None:
    dataset = load_dataset(DataSpec.parse("digits"), seed=0)
    assert (dataset.num_classes, dataset.in_channels, dataset.resolution) == (10, 1, 8)
    assert dataset.train.pixels.unique().tolist() == [round(value * 255 / 16) for value in range(17)]
    assert not dataset.mirror


def test_digits_test_split_is_fixed_and_apart() -> None:
    test = load_test(DataSpec.parse("digits"))
    dataset = load_dataset(DataSpec.parse("digits"), seed=1)
    assert len(test) == 359
    assert len(test) + len(dataset.train) + len(dataset.validation) == 1797
    assert torch.equal(test.pixels, load_test(DataSpec.parse("digits")).pixels)


def test_idx_files_are_read_plain_and_compressed(tmp_path: Path) -> None:
    pixels = write_mnist(tmp_path / "MNIST" / "raw")
    dataset = load_dataset(DataSpec.parse(f"mnist:{tmp_path}"), seed=0)
    both = torch.cat([dataset.train.pixels, dataset.validation.pixels])[:, 0]
    assert sorted(both.sum((1, 2)).tolist()) == sorted(pixels.sum((1, 2)).tolist())


def test_resolution_resizes_arrays_and_keeps_the_fingerprint(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    spec = DataSpec.parse(f"mnist:{tmp_path}")
    small, full = load_dataset(spec, seed=0, resolution=14), load_dataset(spec, seed=0)
    assert small.train.pixels.shape[1:] == (1, 14, 14)
    assert small.fingerprint == full.fingerprint


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda _: b"", lambda data: b"\x01" + data[1:]])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_idx_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], suffix: str) -> None:
    write_mnist(tmp_path)
    whole = (tmp_path / IMAGES).read_bytes()
    (tmp_path / IMAGES).unlink()
    bad = tmp_path / f"{IMAGES}{suffix}"
    bad.write_bytes(damage(gzip.compress(whole) if suffix else whole))
    with pytest.raises(DataError, match=f"{bad}: not a complete idx file; delete it and fetch it again"):
        load_dataset(DataSpec.parse(f"mnist:{tmp_path}"), seed=0)


def test_labels_must_fit_the_images(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(idx(np.arange(39) % 10)))
    with pytest.raises(DataError, match="labels do not fit the images of train-images-idx3-ubyte"):
        load_dataset(DataSpec.parse(f"mnist:{tmp_path}"), seed=0)


def test_binary_cifar10_is_read(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar-10-batches-bin", CIFAR10, label_bytes=1)
    spec = DataSpec.parse(f"cifar10:{tmp_path}")
    dataset = load_dataset(spec, seed=0)
    assert dataset.classes[0] == "class0"
    assert torch.equal(dataset.train.pixels[:, 2, 31, 31].long(), dataset.train.labels)
    assert len(load_test(spec)) == 20


def test_binary_cifar100_uses_the_fine_label(tmp_path: Path) -> None:
    write_cifar(tmp_path, {"train.bin": 50, "test.bin": 10}, label_bytes=2)
    test = load_test(DataSpec.parse(f"cifar100:{tmp_path}"))
    assert test.labels.tolist() == list(range(10))
    assert test.pixels[:, 0, 0, 0].tolist() == list(range(10))


def test_truncated_cifar_file_is_named(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, label_bytes=1)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes(3000))
    with pytest.raises(DataError, match=r"data_batch_3.bin: not a complete CIFAR binary file"):
        load_dataset(DataSpec.parse(f"cifar10:{tmp_path}"), seed=0)


def test_cifar_label_without_a_class_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, label_bytes=1)
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="2 class names, but a label 9"):
        load_dataset(DataSpec.parse(f"cifar10:{tmp_path}"), seed=0)


def test_search_does_not_need_the_test_file(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, label_bytes=1)
    (tmp_path / "test_batch.bin").unlink()
    assert len(load_dataset(DataSpec.parse(f"cifar10:{tmp_path}"), seed=0).train) == 40


def test_fingerprint_ignores_compression_and_follows_labels(tmp_path: Path) -> None:
    write_mnist(tmp_path / "a")
    write_mnist(tmp_path / "b")
    (tmp_path / "b" / IMAGES).rename(tmp_path / "b" / "unpacked")
    (tmp_path / "b" / f"{IMAGES}.gz").write_bytes(gzip.compress((tmp_path / "b" / "unpacked").read_bytes()))
    a, b = (load_dataset(DataSpec.parse(f"mnist:{tmp_path / name}"), seed=0).fingerprint for name in "ab")
    (tmp_path / "b" / f"{LABELS}.gz").write_bytes(gzip.compress(idx(np.arange(40)[::-1] % 10)))
    assert a == b != load_dataset(DataSpec.parse(f"mnist:{tmp_path / 'b'}"), seed=0).fingerprint


def test_cifar_download_is_checked_unpacked_and_read(tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path / "cifar-10-batches-bin", CIFAR10, label_bytes=1)
    archive = tmp_path / "web" / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(download._CIFAR_ARCHIVES, "cifar10", (web + archive.name, md5))
    dataset = load_dataset(DataSpec.parse("cifar10"), seed=0, download=True)
    assert len(dataset.train) + len(dataset.validation) == 50


def test_idx_download_fetches_only_the_asked_split(
    tmp_path: Path, web: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / "web")
    images = gzip.compress((tmp_path / "web" / IMAGES).read_bytes())
    (tmp_path / "web" / f"{IMAGES}.gz").write_bytes(images)
    files = [tmp_path / "web" / f"{name}.gz" for name in (IMAGES, LABELS)]
    resources = [(file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in files]
    monkeypatch.setattr(download.MNIST, "mirrors", [web])
    monkeypatch.setattr(download.MNIST, "resources", [*resources, ("t10k-images-idx3-ubyte.gz", "0" * 32)])
    load_dataset(DataSpec.parse("mnist"), seed=0, download=True)
    assert sorted(path.name for path in (cache / "datasets/MNIST/raw").iterdir()) == [file.name for file in files]


def test_failed_download_is_one_line_and_leaves_nothing(web: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(download._CIFAR_ARCHIVES, "cifar100", (f"{web}no.tar.gz", "0" * 32))
    with pytest.raises(DataError, match="cifar100: cannot download into"):
        load_dataset(DataSpec.parse("cifar100"), seed=0, download=True)
    assert not list((cache / "datasets").iterdir())


def test_fashion_mnist_has_its_60000_images(shared: Path) -> None:
    dataset = load_dataset(DataSpec.parse(f"fashion_mnist:{shared}"), seed=0)
    assert len(dataset.train) + len(dataset.validation) == 60_000
    assert dataset.validation.labels.bincount().tolist() == [1000] * 10
    assert dataset.mean[0] == pytest.approx(0.2860, abs=5e-4)
    assert dataset.std[0] == pytest.approx(0.3530, abs=5e-4)
