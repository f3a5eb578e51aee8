"""A user's mistake is one line on stderr and exit code 2; nothing is written."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.records import SCHEMA_VERSION
from tests.cli.conftest import SPACE, Finished, Nas, Outcome, space_file


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Give a results folder that does not exist."""
    return tmp_path / "results"


def refusal(outcome: Outcome) -> str:
    """Return the one line without its prefix."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("nas: ")
    return line.removeprefix("nas: ")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["search", "--space", "digit"], "unknown space 'digit'; did you mean 'digits'?"),
        (["search", "--space", "some/where.toml"], "space some/where.toml: no such file"),
        (["search", "--data", "fashion"], "unknown data set 'fashion'; did you mean 'fashion_mnist'?"),
        (["search", "--data", "folder:/nowhere"], "folder:/nowhere: no such folder"),
        (["search", "--data", "folder"], "data set 'folder' needs a path: folder:PATH"),
        (["search", "--space", "nodepth"], "--data is missing"),
        (["search", "--cap", "1.5Q"], "--cap: must be a positive count such as 1.5M, 100k or 15000, got '1.5Q'"),
        (["search", "--cap", "100"], "cap: no member of space 'digits' fits under 100 params; its smallest member has"),
        (["search", "--checkpoint-disk", "5Q"], "--checkpoint-disk must be a size such as 500M, 5G or 0, got '5Q'"),
        (["search", "--checkpoint-disk", "-1"], "--checkpoint-disk must be a size such as 500M, 5G or 0, got '-1'"),
        (["search", "--trials", "0"], "--trials must be at least 1, got 0"),
        (["search", "--trials", "many"], "Invalid value for '--trials'"),
        (["search", "--objectives", "val_acc"], "unknown objective 'val_acc'; did you mean 'val_accuracy'?"),
        (["search", "--objectives", "params,params"], "objectives: name at least one, each once"),
        (["search", "--sampler", "grid"], "unknown sampler 'grid'"),
        (["search", "--target", "moon"], "unknown target 'moon'"),
        (["search", "--device", "tpu"], "--device must be cpu, cuda, cuda:N or cuda:N,M, got 'tpu'"),
        (["search", "--device", "cuda:99"], "--device cuda:99: this machine has"),
        (["search", "--workers", "0"], "--workers must be at least 1, got 0"),
        (
            ["search", "--workers", "9"],
            "--workers: at most 8 workers share a SQLite file, got 9; give --storage postgres",
        ),
        (["search", "--plan", "workers=9"], "--workers: at most 8 workers share a SQLite file, got 9"),
        (["search", "--plan", "fast"], "--plan: must be auto or NAME=VALUE,..., got 'fast'"),
        (["search", "--plan", "precision=int8"], "--plan: precision must be float32 or bfloat16, got 'int8'"),
        (["search", "--trials-per-gpu", "0"], "--trials-per-gpu must be at least 1, got 0"),
        (["search", "--max-hours", "0"], "--max-hours must be a number above 0, got 0.0"),
        (["search", "--max-hours", "-1"], "--max-hours must be a number above 0, got -1.0"),
        (["search", "--rungs", "1,3", "--epochs", "9"], "--rungs names the epochs of every rung; leave --epochs out"),
        (["search", "--rungs", "some"], "--rungs"),
        (["search", "--finalists", "-1"], "--finalists must be at least 0, got -1"),
        (["search", "--finalist-seeds", "0"], "--finalist-seeds must be at least 1, got 0"),
        (["worker", "none"], "holds no study"),
        (["search", "--study", "a/b"], "study: the name may hold letters, digits"),
        (["search", "--storage", "nonsense"], "storage: not a database URL"),
        (["studies", "--storage", "nonsense"], "storage: not a database URL"),
        (["studies", "--storage", "sqlite://"], "a database in memory"),
        (["front", "none"], "holds no study"),
        (["status", "none"], "holds no study"),
        (["show", "none", "0"], "holds no study"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    nas: Nas, results: Path, arguments: list[str], fault: str
) -> None:
    assert fault in refusal(nas(*arguments, "--results", results))
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--nothing"], "No such option: --nothing"),
        (["search", "--tirals", "3"], "No such option: --tirals"),
        (["serach"], "No such command 'serach'"),
        (["front"], "Missing argument 'STUDY'"),
        (["show", "study", "first"], "Invalid value for 'TRIAL'"),
        (["spaces", "show", "digit"], "unknown space 'digit'"),
        (["spaces", "lint", "digits", "--cap", "1"], "no member of space 'digits' fits under 1 params"),
        (["bench", "cost", "--members", "0"], "Invalid value for '--members'"),
    ],
)
def test_a_command_that_does_not_exist_is_one_line(nas: Nas, arguments: list[str], fault: str) -> None:
    assert fault in refusal(nas(*arguments))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name = "little"', "name = little", ":2: not valid TOML"),
        ("stride = 2", "stride = 2\nkernel = [3, 4]", ":17: stage 1: `kernel` "),
        ("depth = [1, 2]", "depth = [0, 1]", ":15: stage 1: `depth` must be a whole number from 1 to 64, got 0"),
        ("[8, 12, 16]", "[]", ":14: stage 1: `width` is an empty choice; give at least one value"),
        (
            '"separable", ',
            '"separabel", ',
            ":13: stage 1: `block` unknown block 'separabel'; did you mean 'separable'?",
        ),
        ("stride = 2", 'stride = 2\nactivation = "rleu"', ":17: stage 1: `activation` "),
        ("stride = 2", "stride = 2\nwidht = 3", ":17: stage 1: unknown key 'widht'; did you mean 'width'?"),
        ('cap = "2k"', 'cap = "two"', ":8: target: `cap` must be a positive count"),
        ("[[stage]]", "[stages]", "a space needs at least one [[stage]]"),
    ],
)
def test_a_fault_in_a_space_names_file_line_and_key(
    nas: Nas, results: Path, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    path = tmp_path / "faulty.toml"
    assert old in SPACE
    path.write_text(SPACE.replace(old, new))
    said = refusal(nas("search", "--space", path, "--data", "digits", "--results", results))
    assert fault in said
    assert said.startswith(str(path)) or said.startswith(path.name)
    assert not results.exists()


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give two classes of ten images each, and a cache of their own."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


def search_images(nas: Nas, images: Path, results: Path) -> str:
    arguments = ("--space", space_file(images.parent), "--data", f"folder:{images}", "--results", results)
    said = refusal(nas("search", *arguments))
    assert not results.exists()
    return said


def test_a_folder_without_classes_is_refused(nas: Nas, images: Path, results: Path) -> None:
    for name in ("cat", "dog"):
        shutil.rmtree(images / name)
    assert "no class folders" in search_images(nas, images, results)


def test_a_class_without_images_is_named(nas: Nas, images: Path, results: Path) -> None:
    for path in (images / "dog").iterdir():
        path.unlink()
    assert f"{images / 'dog'}: no images in this class folder" in search_images(nas, images, results)


def test_a_single_class_is_named(nas: Nas, images: Path, results: Path) -> None:
    shutil.rmtree(images / "dog")
    assert "only one class folder, 'cat'" in search_images(nas, images, results)


def test_an_unreadable_image_is_named(nas: Nas, images: Path, results: Path) -> None:
    (images / "cat" / "2.png").write_bytes(b"not an image")
    said = search_images(nas, images, results)
    assert str(images / "cat" / "2.png") in said
    assert "--skip-broken" in said


def test_a_results_folder_that_cannot_be_written_is_named(nas: Nas, results: Path) -> None:
    results.write_text("a file stands here")
    assert f"results folder {results}/digits: cannot be written" in refusal(nas("search", "--results", results))
    assert results.read_text() == "a file stands here"


@pytest.fixture
def copy(finished: Finished, results: Path) -> Path:
    """Give a copy of the finished study's folder."""
    shutil.copytree(finished.results, results)
    return results


def edit(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def newer_study(database: Path) -> None:
    old, new = (f'\\"schema_version\\":{version}' for version in (SCHEMA_VERSION, 99))
    edit(database, f"UPDATE study_user_attributes SET value_json = replace(value_json, '{old}', '{new}')")


def newer_tables(database: Path) -> None:
    edit(
        database,
        "UPDATE alembic_version SET version_num = 'v99.0.0.a'",
        "UPDATE version_info SET schema_version = 99, library_version = '99.0'",
    )


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (newer_study, "written by a newer version of nas (schema 99"),
        (newer_tables, "Optuna (schema 99, this one reads "),
    ],
)
@pytest.mark.parametrize("command", [["front", "little"], ["studies"], ["search", "--study", "little"]])
def test_a_database_of_a_newer_version_is_refused(
    nas: Nas, copy: Path, command: list[str], make: object, fault: str
) -> None:
    make(copy / "little" / "study.db")
    before = (copy / "little" / "study.json").read_bytes()
    assert fault in refusal(nas(*command, "--results", copy))
    assert (copy / "little" / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["front", "littel"], "unknown study 'littel'; did you mean 'little'?"),
        (["show", "little", "99"], "study 'little': no trial 99; it has 5, numbered from 0"),
        (["front", "little", "--objectives", "speed"], "unknown objective 'speed'"),
        (["front", "little", "--cap", "lots"], "--cap: must be a positive count"),
        (["search", "--study", "little", "--seed", "4"], "a different seed than it was started with"),
        (["search", "--study", "little", "--space", "digits"], "a different space than it was started with"),
        (["search", "--study", "little", "--cap", "1k"], "a different cap than it was started with"),
        (["search", "--study", "little", "--finalists", "3"], "a different finalists than it was started with"),
        (["search", "--study", "little", "--plan", "threads=7"], "a different plan threads than it was started with"),
        (["worker", "littel"], "unknown study 'littel'; did you mean 'little'?"),
        (["worker", "little", "--device", "tpu"], "--device must be cpu, cuda, cuda:N or cuda:N,M, got 'tpu'"),
        (["worker", "little", "--device", "cuda:99"], "--device cuda:99: this machine has"),
    ],
)
def test_a_mistake_about_a_study_leaves_it_as_it_was(
    nas: Nas, finished: Finished, arguments: list[str], fault: str
) -> None:
    before = {path.name: path.read_bytes() for path in finished.folder.glob("*.*") if "db" not in path.suffix}
    assert fault in refusal(nas(*arguments, "--results", finished.results))
    assert {name: (finished.folder / name).read_bytes() for name in before} == before


def test_a_page_that_cannot_be_written_is_named(nas: Nas, finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    page = tmp_path / "file" / "front.html"
    said = refusal(nas("front", *finished.where, "--html", page))
    assert str(page) in said
    assert "cannot be written" in said
