"""Where a split lies, and the line that says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.data.files import Split, split_files
from nas.data.spec import DataSpec
from nas.errors import DataError

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def error(text: str, split: Split = "train") -> str:
    with pytest.raises(DataError) as caught:
        split_files(DataSpec.parse(text), split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("given", ["", "FashionMNIST", "FashionMNIST/raw"])
def test_idx_files_are_found_from_any_level(tmp_path: Path, given: str) -> None:
    touch(tmp_path / "FashionMNIST" / "raw", IDX[0], f"{IDX[1]}.gz")
    found = split_files(DataSpec.parse(f"fashion_mnist:{tmp_path / given}"), "train")
    assert [path.name for path in found] == [IDX[0], f"{IDX[1]}.gz"]


def test_published_data_is_looked_for_in_the_cache(cache: Path) -> None:
    touch(cache / "datasets" / "cifar-100-binary", "train.bin", "fine_label_names.txt")
    assert len(split_files(DataSpec.parse("cifar100"), "train")) == 2


def test_missing_path_names_what_is_expected(tmp_path: Path) -> None:
    assert error(f"imagenet:{tmp_path}/no") == (
        f"imagenet:{tmp_path}/no: no such folder; expected train/ and val/, each with one folder of images per class"
    )


def test_missing_files_say_how_to_get_them(cache: Path) -> None:
    line = error("mnist")
    assert line.startswith(f"mnist: the train files are not all below {cache}/datasets; expected the idx files")
    assert line.endswith("fetch them with --download, or say where they are with mnist:PATH")


def test_pickled_cifar_is_not_accepted(tmp_path: Path) -> None:
    touch(tmp_path / "cifar-10-batches-py", "data_batch_1")
    assert "the Python version is pickled and is not read" in error(f"cifar10:{tmp_path}")


def test_class_folders_alone_are_train_without_a_test(tmp_path: Path) -> None:
    touch(tmp_path / "cat")
    assert split_files(DataSpec.parse(f"folder:{tmp_path}"), "train") == (tmp_path,)
    assert "no test split" in error(f"folder:{tmp_path}", "test")


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    touch(tmp_path / "train", "1.jpg")
    touch(tmp_path / "bus", "1.jpg")
    assert split_files(DataSpec.parse(f"folder:{tmp_path}"), "train") == (tmp_path,)


@pytest.mark.parametrize(
    ("kind", "present", "expected"),
    [("folder", ("test", "val"), "test"), ("folder", ("val",), "val"), ("imagenet", ("test", "val"), "val")],
)
def test_test_split_of_folders(tmp_path: Path, kind: str, present: tuple[str, ...], expected: str) -> None:
    for name in ("train", *present):
        touch(tmp_path / name / "cat")
    spec = DataSpec.parse(f"{kind}:{tmp_path}")
    assert split_files(spec, "train") == (tmp_path / "train",)
    assert split_files(spec, "test") == (tmp_path / expected,)


def test_absent_split_folders_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "cat")
    assert "no test or val folder" in error(f"folder:{tmp_path}", "test")
    assert "no val folder" in error(f"imagenet:{tmp_path}", "test")
