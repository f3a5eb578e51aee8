"""The search sees train and a validation split held out of it; the test split stays unread."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.data import load
from nas.data.arrays import read_digits
from nas.data.spec import DataSpec
from nas.errors import DataError
from nas.search.loop import run
from nas.search.request import SearchRequest
from nas.search.setup import Prepared, prepare
from tests.search.conftest import MakeFolder

pytestmark = pytest.mark.usefixtures("one_plan")


class _TestSplitReadError(AssertionError):
    """Somebody asked for test images."""


def search(results: Path, space: str, data: str) -> Prepared:
    prepared = prepare(SearchRequest(results=results, space=space, data=data, trials=2, epochs=1))
    run(prepared.study, prepared.evaluator, prepared.accept)
    return prepared


@pytest.fixture
def no_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise when the test split of digits is read, or that of any data is looked for."""

    def read(split: str) -> object:
        if split == "test":
            raise _TestSplitReadError
        return read_digits(split)

    def files(spec: DataSpec, split: str) -> tuple[Path, ...]:
        if split == "test":
            raise _TestSplitReadError(spec)
        return ()

    monkeypatch.setattr(load, "read_digits", read)
    monkeypatch.setattr(load, "split_files", files)


@pytest.mark.usefixtures("no_test_split")
def test_a_search_does_not_read_the_test_split(tmp_path: Path, tiny_space: str) -> None:
    prepared = search(tmp_path / "results", tiny_space, "digits")
    assert len(prepared.study.view().front) >= 1
    with pytest.raises(_TestSplitReadError):
        load.load_test(DataSpec(kind="digits"))


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_search_does_not_open_test_images(
    tmp_path: Path, tiny_space: str, make_folder: MakeFolder, name: str
) -> None:
    make_folder("pets/train")
    for odd_class in ("cat", "unknown"):
        folder = tmp_path / "pets" / name / odd_class
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(b"not an image")
    spec = f"folder:{tmp_path / 'pets'}"
    prepared = search(tmp_path / "results", tiny_space, spec)
    assert prepared.evaluator.data.skipped == 0
    assert len(prepared.study.view().front) >= 1
    with pytest.raises(DataError):
        load.load_test(DataSpec.parse(spec))


def test_validation_images_are_not_trained_on(tmp_path: Path, tiny_space: str) -> None:
    data = search(tmp_path / "results", tiny_space, "digits").evaluator.data
    train = {image.numpy().tobytes() for image in data.train.pixels}
    held_out = [image.numpy().tobytes() for image in data.validation.pixels]
    assert len(data.validation) == 288
    assert not train & set(held_out)
