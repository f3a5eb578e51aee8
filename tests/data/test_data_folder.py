"""Folders of images: classes, order, decoding, the store on disk, and every line of refusal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import canvas
from nas.data.decode import decode
from nas.data.images import Dataset
from nas.data.load import load_dataset, load_test
from nas.data.spec import DataSpec
from nas.errors import DataError

MakeFolder = Callable[..., Path]
MakeImage = Callable[..., Path]


def load(root: Path, *, resolution: int | None = None, skip_broken: bool = False) -> Dataset:
    return load_dataset(DataSpec.parse(f"folder:{root}"), seed=0, resolution=resolution, skip_broken=skip_broken)


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stores(cache: Path) -> list[Path]:
    return sorted((cache / "stores").glob("*.safetensors"))


def test_class_index_is_the_place_among_sorted_names(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(classes=("zebra", "ant", "Bee")))
    assert dataset.classes == ("Bee", "ant", "zebra")
    assert dataset.name == "pets"
    assert dataset.mirror


def test_pixels_are_those_of_the_file(make_folder: MakeFolder) -> None:
    make_folder("pets/train")
    root = make_folder("pets/test").parent
    expected = np.asarray(Image.open(root / "test" / "dog" / "2.png")).transpose(2, 0, 1)
    test = load_test(DataSpec.parse(f"folder:{root}"))
    assert np.array_equal(test.pixels[7].numpy(), expected)
    assert test.labels.tolist() == [0] * 5 + [1] * 5


def test_subfolders_count_and_other_files_do_not(make_folder: MakeFolder, make_image: MakeImage) -> None:
    root = make_folder(per_class=3)
    make_image(root / "cat" / "images" / "deep.PNG")
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (root / "cat" / name).write_text("not an image")
    dataset = load(root)
    assert len(dataset.train) + len(dataset.validation) == 7


@pytest.mark.parametrize(
    ("sizes", "expected"), [([(24, 24), (24, 24)], 24), ([(24, 24), (16, 16)], 64), ([(24, 16), (24, 16)], 64)]
)
def test_side_is_the_common_one_or_64(
    tmp_path: Path, make_image: MakeImage, sizes: list[tuple[int, int]], expected: int
) -> None:
    for name, size in zip(("cat", "dog"), sizes, strict=True):
        for i in range(2):
            make_image(tmp_path / "pets" / name / f"{i}.png", size)
    assert load(tmp_path / "pets").resolution == expected


def test_resolution_wins_over_the_images_side(make_folder: MakeFolder) -> None:
    assert load(make_folder(), resolution=4).train.pixels.shape[1:] == (3, 4, 4)


def test_long_side_is_cut_at_the_centre(tmp_path: Path) -> None:
    stripes = np.repeat(np.array([[10, 80, 80, 10]], np.uint8), 2, axis=0).repeat(8, 0).repeat(8, 1)
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    pixels = decode((tmp_path / "wide.png").read_bytes(), 16)
    assert pixels is not None
    assert np.unique(pixels).tolist() == [80]


@pytest.mark.parametrize(("mode", "suffix"), [("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("LA", "png"), ("1", "bmp")])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, make_image: MakeImage, mode: str, suffix: str) -> None:
    path = make_image(tmp_path / f"x.{suffix}", mode=mode)
    pixels = decode(path.read_bytes(), 8)
    assert pixels is not None
    assert pixels.shape == (3, 8, 8)
    assert np.array_equal(pixels[0], pixels[2]) == (mode in ("L", "LA", "1"))


def test_translucent_palette_raises_no_warning(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8))
    image.putpalette([1, 2, 3] * 256)
    image.save(tmp_path / "x.png", transparency=bytes([0, 128]))
    pixels = decode((tmp_path / "x.png").read_bytes(), 8)
    assert pixels is not None
    assert pixels[:, 0, 0].tolist() == [1, 2, 3]


def test_16_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024).save(tmp_path / "x.png")
    pixels = decode((tmp_path / "x.png").read_bytes(), 8)
    assert pixels is not None
    assert pixels[0].flatten().tolist() == [4 * i for i in range(64)]


def test_moved_folder_keeps_fingerprint_and_store(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder()
    before = load(root).fingerprint
    moved = root.rename(root.with_name("elsewhere"))
    assert load(moved).fingerprint == before
    assert len(stores(cache)) == 1


def test_fingerprint_ignores_resolution_and_times(make_folder: MakeFolder) -> None:
    root = make_folder()
    before = load(root).fingerprint
    os.utime(root / "cat" / "0.png", ns=(1, 1))
    assert load(root).fingerprint == load(root, resolution=4).fingerprint == before


def test_one_changed_image_changes_the_fingerprint(make_folder: MakeFolder, make_image: MakeImage) -> None:
    root = make_folder()
    before = load(root).fingerprint
    make_image(root / "cat" / "0.png", seed=999)
    assert load(root).fingerprint != before


def test_one_changed_label_changes_the_fingerprint(make_folder: MakeFolder) -> None:
    root = make_folder()
    before = load(root).fingerprint
    (root / "cat" / "4.png").rename(root / "dog" / "-1.png")  # the order of the files stays the same
    assert load(root).fingerprint != before


def test_broken_images_are_named_and_counted(make_folder: MakeFolder) -> None:
    root = make_folder()
    (root / "cat" / "1.png").write_bytes((root / "cat" / "1.png").read_bytes()[:60])
    (root / "dog" / "3.png").write_bytes(b"no image")
    line = f"{root}/cat/1.png and 1 more: not a readable image; --skip-broken counts and skips such files"
    assert refusal(root) == line
    dataset = load(root, skip_broken=True)
    assert dataset.skipped == 2
    assert len(dataset.train) + len(dataset.validation) == 8


def test_skipping_needs_no_second_decoding(make_folder: MakeFolder, cache: Path) -> None:
    root = make_folder()
    (root / "cat" / "1.png").write_bytes(b"")
    assert refusal(root).startswith(f"{root}/cat/1.png: not a readable image")
    load(root, skip_broken=True)
    assert len(stores(cache)) == 1


def test_class_without_readable_images_is_named(make_folder: MakeFolder) -> None:
    root = make_folder(per_class=2)
    (root / "dog" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"class 'dog' has 1 readable image\(s\)"):
        load(root, skip_broken=True)


def test_dangling_link_is_named(make_folder: MakeFolder) -> None:
    root = make_folder()
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    assert f"cannot be read: [Errno 2] No such file or directory: '{root}/cat/gone.png'" in refusal(root)


def test_folder_in_place_of_an_image_is_entered(make_folder: MakeFolder, make_image: MakeImage) -> None:
    root = make_folder(per_class=2)
    make_image(root / "cat" / "odd.png" / "1.png")
    assert len(load(root).train) + len(load(root).validation) == 5


def test_empty_class_folder_is_named(make_folder: MakeFolder) -> None:
    root = make_folder()
    (root / "cow").mkdir()
    assert refusal(root).startswith(f"{root}/cow: no images in this class folder (looked for .bmp, ")


def test_folder_without_class_folders_is_refused(tmp_path: Path, make_image: MakeImage) -> None:
    make_image(tmp_path / "flat" / "1.png")
    assert refusal(tmp_path / "flat") == (f"{tmp_path}/flat: no class folders; expected one folder of images per class")


def test_single_class_is_refused(make_folder: MakeFolder) -> None:
    assert "only one class folder, 'cat'; a classifier needs two" in refusal(make_folder(classes=("cat",)))


def test_resolution_of_nothing_is_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match="resolution must be at least 1 pixel, got 0"):
        load(make_folder(), resolution=0)


def test_search_does_not_open_the_test_split(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder("pets/train").parent
    shutil.copytree(root / "train", root / "test")
    (root / "test" / "cat" / "0.png").write_bytes(b"broken")
    opened: list[bytes] = []
    monkeypatch.setattr(canvas, "decode", lambda content, side: opened.append(content) or decode(content, side))
    dataset = load(root)
    assert len(opened) == len(dataset.train) + len(dataset.validation) == 10
    with pytest.raises(DataError, match=r"test/cat/0.png: not a readable image"):
        load_test(DataSpec.parse(f"folder:{root}"))


def test_test_classes_must_be_those_of_train(make_folder: MakeFolder) -> None:
    root = make_folder("pets/train", classes=("ant", "bee", "cat")).parent
    make_folder("pets/test", classes=("bee", "cat"))
    with pytest.raises(DataError, match="class folders differ from those of train: 'ant' is missing here"):
        load_test(DataSpec.parse(f"folder:{root}"))


def test_imagenet_reads_train_and_tests_on_val(make_folder: MakeFolder) -> None:
    root = make_folder("in/train").parent
    make_folder("in/val", per_class=2)
    spec = DataSpec.parse(f"imagenet:{root}")
    dataset = load_dataset(spec, seed=0, resolution=16)
    assert len(dataset.train) + len(dataset.validation) == 10
    assert load_test(spec, resolution=dataset.resolution).pixels.shape == (4, 3, 16, 16)


def test_grey_jpegs_among_rgb_are_read(unpack: Callable[[str], Path]) -> None:
    root = unpack("imagenet_like_mini.tar.gz")
    spec = DataSpec.parse(f"imagenet:{root}")
    dataset = load_dataset(spec, seed=0)
    pixels = torch.cat([dataset.train.pixels, dataset.validation.pixels, load_test(spec).pixels])
    grey = (pixels[:, 0] == pixels[:, 1]).flatten(1).all(1) & (pixels[:, 1] == pixels[:, 2]).flatten(1).all(1)
    assert pixels.shape == (1200, 3, 64, 64)
    assert int(grey.sum()) >= 9


@pytest.mark.slow
def test_cifar10_copy_is_read_whole(unpack: Callable[[str], Path]) -> None:
    spec = DataSpec.parse(f"folder:{unpack('cifar10_jpeg.tar.gz') / 'cifar10_jpeg'}")
    dataset = load_dataset(spec, seed=0)
    assert dataset.classes[0] == "airplane"
    assert (len(dataset.train), len(dataset.validation), len(load_test(spec))) == (40_000, 10_000, 10_000)
    assert dataset.resolution == 32
