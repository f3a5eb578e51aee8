"""The store: one copy for all processes, made once, made anew when its source changes, and done without if need be."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from errno import ENOSPC
from pathlib import Path

import pytest
import torch

from nas.data import canvas, load, prepare, raw, store
from nas.data.images import Dataset, resize
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import DataError
from tests.data.conftest import IMAGES, MakeFolder, MakeImage, idx, write_mnist

LOAD = """
import sys, torch
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
data = load_dataset(DataSpec.parse(sys.argv[1]), seed=0)
data.train.pixels.sum(), data.validation.pixels.sum()
"""


def of(root: Path, *, seed: int = 0, resolution: int | None = None, skip_broken: bool = False) -> Dataset:
    """Load a folder of images, or idx files if there are any."""
    spec = DataSpec.parse(f"{'mnist' if (root / IMAGES).exists() else 'folder'}:{root}")
    return load_dataset(spec, seed=seed, resolution=resolution, skip_broken=skip_broken)


def stores(cache: Path) -> list[Path]:
    return sorted((cache / "stores").glob("*.safetensors"))


def same(first: Dataset, second: Dataset) -> bool:
    """Whether both have the same images in the same order, under the same name for their content."""
    parts = [(first.train, second.train), (first.validation, second.validation)]
    equal = all(torch.equal(a.pixels, b.pixels) and torch.equal(a.labels, b.labels) for a, b in parts)
    return equal and first.fingerprint == second.fingerprint and (first.mean, first.std) == (second.mean, second.std)


def fail(*_: object, **__: object) -> None:
    pytest.fail("made again")


@pytest.fixture
def digits_file(tmp_path: Path) -> Path:
    """Write 2,000 random images in idx files: a megabyte and a half."""
    write_mnist(tmp_path / "idx", count=2000)
    return tmp_path / "idx"


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Put the cache on a disk of one megabyte; give what mounts it anew, such as read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small disk")

    mount("size=1m")
    monkeypatch.setenv("NAS_CACHE", str(folder))
    store._warn_once.cache_clear()
    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # its files may still be mapped


@pytest.mark.parametrize("kind", ["digits", "mnist", "folder"])
def test_second_load_opens_no_source(
    tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write_mnist(tmp_path / "mnist")
    make_folder("folder")
    spec = DataSpec.parse("digits" if kind == "digits" else f"{kind}:{tmp_path / kind}")
    first = load_dataset(spec, seed=0)
    for module, name in ((load, "read_digits"), (load, "read_idx"), (canvas, "decode"), (raw, "hold_out")):
        monkeypatch.setattr(module, name, fail)
    assert same(first, load_dataset(spec, seed=0))


def test_another_split_of_a_folder_decodes_nothing(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder()
    (root / "cat" / "1.png").write_bytes(b"broken")
    with pytest.raises(DataError):
        of(root)
    with monkeypatch.context() as patch:
        patch.setattr(canvas, "decode", fail)
        zero, one = (of(root, seed=seed, skip_broken=True) for seed in (0, 1))
    shutil.rmtree(os.environ["NAS_CACHE"])
    assert same(of(root, seed=1, skip_broken=True), one)
    assert one.skipped == 1
    assert not torch.equal(zero.validation.pixels, one.validation.pixels)


@pytest.mark.parametrize("side", [8, 4])
def test_another_split_of_a_large_store_is_a_view_of_it(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, cache: Path, side: int
) -> None:
    root = make_folder(per_class=20)
    (root / "cat" / "1.png").write_bytes(b"broken")
    of(root, skip_broken=True)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "MOST_COPIED", 0)
        view = of(root, seed=1, skip_broken=True).at(side)
        assert len([path for path in stores(cache) if "at4" not in path.name]) == 1
    first = of(root, skip_broken=True).at(side)
    shutil.rmtree(cache)
    assert same(of(root, skip_broken=True).at(side), first)  # whose store the view has resized
    kept = of(root, seed=1, skip_broken=True).at(side)
    for seen, copied in ((view.train, kept.train), (view.validation, kept.validation)):
        assert torch.equal(torch.cat([batch.pixels for batch in seen.in_order(7)]), copied.pixels)
        assert torch.equal(seen.part(2, 9).select(torch.tensor([3])).pixels, copied.pixels[5:6])
        assert torch.equal(seen.labels, copied.labels)
    assert view.fingerprint == kept.fingerprint
    assert view.mean == pytest.approx(kept.mean)


def test_asking_for_the_own_side_makes_no_second_copy(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder()
    assert same(of(root), of(root, resolution=8))
    assert len(stores(cache)) == 1


def test_broken_images_leave_the_rest_as_if_they_were_not_there(make_folder: MakeFolder) -> None:
    root, whole = make_folder(per_class=20), make_folder("whole", per_class=20)
    for name in ("cat/3.png", "cat/17.png", "dog/0.png"):
        (root / name).write_bytes(b"broken")
        (whole / name).unlink()
    first, second = of(root, skip_broken=True), of(whole)
    assert torch.equal(first.train.pixels, second.train.pixels)
    assert torch.equal(first.validation.pixels, second.validation.pixels)
    assert first.mean == second.mean


@pytest.mark.parametrize("content", [b"", b"not a store", None])
@pytest.mark.parametrize("side", [8, 4])
def test_damaged_store_is_rebuilt(make_folder: MakeFolder, cache: Path, content: bytes | None, side: int) -> None:
    root = make_folder()
    first = of(root).at(side)
    path = next(path for path in stores(cache) if (side == 4) == path.stem.endswith("at4"))
    whole = path.read_bytes()
    path.unlink()  # `first` goes on with what it has mapped
    path.write_bytes(whole[:-20] if content is None else content)
    assert same(first, of(root).at(side))
    assert path.read_bytes() == whole


def test_changed_source_is_another_store_in_place_of_the_old_ones(
    make_folder: MakeFolder, make_image: MakeImage, cache: Path
) -> None:
    root, other = make_folder(), make_folder("other")
    make_image(other / "cat" / "0.png", seed=5)
    before = of(root)
    for seed in (0, 1):
        of(root, seed=seed).at(4)
    untouched = set(stores(cache))
    of(other)
    untouched = set(stores(cache)) - untouched
    make_image(root / "cat" / "0.png", size=(16, 16), seed=999)
    changed = of(root, resolution=8)
    assert changed.fingerprint != before.fingerprint
    assert untouched < set(stores(cache))
    assert len(stores(cache)) == 2
    assert before.train.pixels.float().mean() > 0  # still mapped, though its file is gone


def test_changed_idx_file_is_read_again(digits_file: Path, cache: Path) -> None:
    before = of(digits_file)
    (digits_file / IMAGES).write_bytes(idx(write_mnist(digits_file / "new", 2000, seed=1)))
    assert of(digits_file).fingerprint != before.fingerprint
    assert len(stores(cache)) == 1


def test_touched_file_keeps_the_fingerprint(digits_file: Path, cache: Path) -> None:
    before = of(digits_file)
    os.utime(digits_file / IMAGES, ns=(1, 1))
    assert same(before, of(digits_file))
    assert len(stores(cache)) == 1


@pytest.mark.parametrize("side", [4, 12])
def test_another_side_equals_resizing_and_is_kept(
    make_folder: MakeFolder, cache: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    data = of(make_folder())
    other = data.at(side)
    assert torch.equal(other.train.pixels, resize(data.train, side).pixels)
    assert torch.equal(other.validation.pixels, resize(data.validation, side).pixels)
    assert len(stores(cache)) == 2
    monkeypatch.setattr(prepare, "resize_into", fail)
    assert same(other, of(cache.parent / "pets").at(side))


def test_threads_get_one_copy_of_another_side(make_folder: MakeFolder) -> None:
    data = of(make_folder())
    with ThreadPoolExecutor(8) as pool:
        assert len({id(each) for each in pool.map(data.at, [4] * 32)}) == 1


def test_builders_wait_for_each_other_and_one_builds(make_folder: MakeFolder, tmp_path: Path, cache: Path) -> None:
    root, log = make_folder(per_class=30), tmp_path / "decoded"
    counting = f"""
from nas.data import canvas
decode = canvas.decode
canvas.decode = lambda *given: (open({str(log)!r}, "a").write("x"), decode(*given))[1]
"""
    command = [sys.executable, "-c", counting + LOAD, f"folder:{root}"]
    for process in [subprocess.Popen(command) for _ in range(2)]:
        assert process.wait() == 0
    assert log.read_text() == "x" * 60
    assert len(stores(cache)) == 1


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's account of pages")
def test_processes_share_one_copy(tmp_path: Path) -> None:
    write_mnist(tmp_path / "idx", count=10_000)
    data = of(tmp_path / "idx")
    data.train.pixels.sum(), data.validation.pixels.sum()
    measure = """
lines = open("/proc/self/smaps").read().split("VmFlags")
ours = next(part for part in lines if ".safetensors" in part and "Rss:" in part)
field = lambda name: int(ours.split(f"\\n{name}:")[1].split()[0])
print(field("Rss"), field("Pss"))
"""
    command = [sys.executable, "-c", LOAD + measure, f"mnist:{tmp_path / 'idx'}"]
    resident, share = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert resident * 1024 >= 10_000 * 28 * 28
    assert share <= 0.55 * resident


def test_what_a_killed_builder_left_is_removed(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder()
    of(root)
    (path,) = stores(cache)
    left_over = path.with_name(f"{path.name.split('-')[0]}-x.partial")
    left_over.write_bytes(b"half")
    of(root, resolution=4)
    assert not left_over.exists()


def test_failed_build_leaves_nothing_behind(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder()
    (root / "cat" / "1.png").unlink()
    (root / "cat" / "1.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match="cannot be read"):
        of(root)
    assert stores(cache) == list((cache / "stores").glob("*.partial")) == []


def test_without_room_the_data_stays_in_memory(
    digits_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = of(digits_file)
    shutil.rmtree(cache / "stores")

    def full(*_: object) -> None:
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr(store, "_take_room", full)
    for _ in range(2):
        assert same(of(digits_file), kept)
        assert same(of(digits_file).at(14), kept.at(14))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{cache / 'stores'}: cannot keep prepared images here: No space left on device; ")
    assert list((cache / "stores").glob("*[!k]")) == []  # but for locks


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_full_is_done_without(digits_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = of(digits_file)
    assert len(data.train) == 1600
    small = data.at(7)
    assert torch.equal(small.train.pixels, resize(data.train, 7).pixels)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.endswith("each process holds its own in memory; NAS_CACHE names another folder")


def test_a_read_only_cache_serves_what_it_has(
    tmp_path: Path, small_disk: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    write_mnist(tmp_path / "idx")
    before = of(tmp_path / "idx")
    small_disk("remount,ro")
    assert same(before, of(tmp_path / "idx"))
    assert caplog.records == []
    assert torch.equal(before.at(7).train.pixels, resize(before.train, 7).pixels)
    assert "cannot keep prepared images here: Read-only file system" in caplog.text
    write_mnist(tmp_path / "idx", seed=1)
    assert of(tmp_path / "idx").fingerprint != before.fingerprint


def test_a_cache_that_cannot_be_made_is_done_without(
    digits_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    assert len(of(digits_file).train) == 1600
    assert "cannot keep prepared images here" in caplog.text


@pytest.mark.parametrize("fault", [OSError(19, "No such device"), RuntimeError("unable to mmap 1 bytes")])
def test_store_that_cannot_be_mapped_is_read(
    digits_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    mapped = of(digits_file)

    def refuse(_: Path) -> None:
        raise fault

    monkeypatch.setattr(store, "load_file", refuse)
    monkeypatch.setattr(load, "read_idx", fail)
    for _ in range(2):
        assert same(mapped, of(digits_file))
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"cannot be mapped: {fault}; this process reads it into its memory" in said
    assert caplog.records[0].levelno == logging.WARNING
