"""A data spec is its text, and says in one line why it is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from nas.data.spec import DataSpec, cache_dir
from nas.errors import DataError


@pytest.mark.parametrize("text", ["digits", "mnist", "cifar10:/x", "folder:/x/y", "imagenet:/i:1", "fashion_mnist:/d"])
def test_text_round_trips(text: str) -> None:
    assert str(DataSpec.parse(text)) == text
    assert DataSpec.parse(str(DataSpec.parse(text))) == DataSpec.parse(text)


def test_json_round_trips() -> None:
    spec = DataSpec.parse("folder:/x")
    assert DataSpec.model_validate_json(spec.model_dump_json()) == spec


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert DataSpec.parse("folder:pets").path == str(tmp_path / "pets")


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert DataSpec.parse("folder:~/pets").path == str(tmp_path / "pets")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cifar", "unknown data set 'cifar'; did you mean 'cifar10'? (known: cifar10, "),
        ("", "unknown data set ''"),
        ("folder", "data set 'folder' needs a path: folder:PATH"),
        ("imagenet:", "data set 'imagenet' needs a path: imagenet:PATH"),
        ("digits:/x", "data set 'digits' takes no path, got '/x'"),
        ("folder:~nobody-of-that-name/x", "cannot expand '~nobody-of-that-name/x': no such home folder"),
    ],
)
def test_refusal_is_one_line(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        DataSpec.parse(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_spec_is_frozen_and_hashable() -> None:
    spec = DataSpec.parse("mnist")
    assert {spec: 1}[DataSpec(kind="mnist")] == 1
    with pytest.raises(ValidationError, match="frozen"):
        spec.path = "/x"  # type: ignore[misc]


def test_cache_follows_the_environment(cache: Path) -> None:
    assert cache_dir() == cache
    assert DataSpec.parse("mnist").root == cache / "datasets"


def test_cache_without_environment_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_CACHE")
    assert cache_dir().name == "nas"


def test_folder_is_named_after_itself() -> None:
    assert DataSpec.parse("folder:/x/pets").name == "pets"
    assert DataSpec.parse("imagenet:/x/y").name == "imagenet"


def test_validating_imports_neither_torch_nor_numpy() -> None:
    heavy = "{'torch', 'numpy', 'sklearn', 'PIL'} & set(sys.modules)"
    code = f"import sys, nas.data.files, nas.data.spec; raise SystemExit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
