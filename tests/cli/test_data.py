"""`nas data`: stores are built ahead, found by every command, gone on with after a kill, and checked."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import canvas
from nas.data.load import load_dataset, load_test
from nas.data.spec import DataSpec
from tests.cli.conftest import Nas

Change = Callable[[Path], None] | None
CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a small ImageNet: photographs of 20x12 in three modes, one of them a PNG by the wrong name."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 4)):
        for name in CLASSES:
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(generator.integers(0, 256, (12, 20, 3), dtype=np.uint8))
                image = image.convert(("RGB", "L", "CMYK")[i % 3])
                image.save(folder / f"{i}.JPEG", format="PNG" if i == 4 else "JPEG")
    return tmp_path / "data"


def spec(root: Path) -> str:
    return f"imagenet:{root}"


def test_a_built_store_is_what_data_finds(nas: Nas, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = nas("data", "build", spec(root), "--side", 8, "--workers", 1, "--json")
    assert built.code == 0, built.err
    assert "72 images of 3 classes at 8 px take" in built.err
    train, test = json.loads(built.out)["splits"]
    assert train["classes"] == dict.fromkeys(CLASSES, 20)
    assert (test["images"], test["broken"]) == (12, 0)
    straight = load_dataset(DataSpec.parse(spec(root)), seed=0, resolution=8)
    monkeypatch.setattr(canvas, "decode", None)
    for side in (8, 4):
        data = load_dataset(DataSpec.parse(spec(root)), seed=0, resolution=side)
        assert torch.equal(data.train.labels, straight.train.labels)
        assert torch.equal(data.train.pixels, straight.at(side).train.pixels)
        assert load_test(DataSpec.parse(spec(root)), resolution=side).labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    for side in (8, 5):
        other = load_dataset(DataSpec.parse(spec(root)), seed=1, resolution=side)
        assert not torch.equal(other.train.pixels, straight.at(side).train.pixels)


def test_the_store_is_the_images_decoded_directly(nas: Nas, root: Path, tmp_path: Path) -> None:
    direct = load_dataset(DataSpec.parse(spec(root)), seed=0, resolution=8)
    assert nas("data", "build", spec(root), "--side", 8, "--workers", 2, "--out", tmp_path / "out").code == 0
    (kept,) = (tmp_path / "cache" / "stores").glob("*px.safetensors")
    kept.unlink()
    found = load_dataset(DataSpec.parse(spec(root)), seed=0, resolution=8)
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 2
    assert torch.equal(found.train.pixels, direct.train.pixels)
    assert found.fingerprint == direct.fingerprint


def test_a_second_build_decodes_nothing(nas: Nas, root: Path) -> None:
    nas("data", "build", spec(root), "--side", 8, "--workers", 1)
    assert nas("data", "build", spec(root), "--side", 8).out.count("built before") == 2


def test_broken_files_are_listed_and_refused_or_left_out(nas: Nas, root: Path) -> None:
    broken = root / "train" / "dog" / "7.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    refused = nas("data", "build", spec(root), "--side", 8, "--workers", 1)
    assert refused.code == 2
    assert f"broken: {broken}" in refused.err
    assert refused.err.splitlines()[-1].startswith("nas: 1 of the images cannot be decoded, the first is")
    skipped = nas("data", "build", spec(root), "--side", 8, "--skip-broken")
    assert skipped.code == 0
    assert "19 to 20" in skipped.out
    assert len(load_dataset(DataSpec.parse(spec(root)), seed=0, resolution=8, skip_broken=True).train) == 59 - 12


def test_a_damaged_store_is_named(nas: Nas, root: Path, tmp_path: Path) -> None:
    nas("data", "build", spec(root), "--side", 8, "--workers", 1)
    assert nas("data", "check", spec(root), "--side", 8).out.count("none") == 2
    (path,) = [each for each in (tmp_path / "cache" / "stores").glob("*.safetensors") if each.stat().st_size > 12_000]
    with path.open("r+b") as file:
        file.seek(4096 + 16 * 60 + 100)
        file.write(b"rot")
    found = nas("data", "check", spec(root), "--side", 8, "--json")
    assert found.code == 1
    assert [each["damaged"] for each in json.loads(found.out)] == [[[0, 59]], []]
    assert "damaged; delete it" in found.err


def lose_a_class(root: Path) -> None:
    shutil.rmtree(root / "val" / "dog")


def lose_val(root: Path) -> None:
    shutil.rmtree(root / "val")


@pytest.mark.parametrize(
    ("change", "arguments", "fault"),
    [
        (lose_a_class, (), "class folders differ from those of train: 'dog' is missing here"),
        (lose_val, (), "no val folder"),
        (None, ("--side", 3), "--side must be from 4 to 512 pixels, got 3"),
        (None, ("--out", "{root}/val/cat/0.JPEG"), "0.JPEG: cannot keep a store here: Not a directory"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    nas: Nas, root: Path, change: Change, arguments: tuple[object, ...], fault: str
) -> None:
    if change:
        change(root)
    refused = nas(
        "data", "build", spec(root), "--workers", 1, "--side", 8, *(str(each).format(root=root) for each in arguments)
    )
    assert refused.code == 2
    assert fault in refused.err.splitlines()[-1]


def test_a_store_that_does_not_fit_is_refused_before_anything_is_written(
    nas: Nas, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.data.build.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    refused = nas("data", "build", spec(root), "--side", 8)
    assert refused.code == 2
    assert "0.00 GB are free; a smaller --side, or --out DIR" in refused.err
    assert not list((tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGINT, signal.SIGINT]])
def test_a_build_that_was_stopped_goes_on(root: Path, tmp_path: Path, signals: list[signal.Signals]) -> None:
    for i in range(400):  # four blocks more
        shutil.copy(root / "train" / "cat" / "0.JPEG", root / "train" / "cat" / f"more{i}.JPEG")
    command = [sys.executable, "-m", "nas", "data", "build", spec(root), "--side", "256", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    stores = tmp_path / "cache" / "stores"
    until = time.monotonic() + 60
    while time.monotonic() < until and not _noted(stores):
        time.sleep(0.005)
    for each in signals:
        process.send_signal(each)
        time.sleep(0.05)
    process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT, -signal.SIGKILL}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "train: going on after" in done.stderr
    assert not list(stores.glob("*.partial"))


def _noted(stores: Path) -> bool:
    return any(any(journal.read_bytes()[32:]) for journal in stores.glob("*.journal"))
