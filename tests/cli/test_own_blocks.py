"""A block from the folder the command runs in: searched with `--allow-code`, and not touched without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.blocks import FAMILIES
from nas.blocks.own import allow_code
from tests.cli.conftest import SPACE, Nas

MODULE = """
from pathlib import Path
from nas.layers import Act, Conv, Norm, chain

Path(__file__).with_name("imported").touch()


def swift(block, place):
    return chain(
        conv=Conv(place.in_width, place.out_width, block.kernel, place.stride),
        norm=Norm(block.norm, place.out_width),
        act=Act(block.activation, place.out_width),
    )
"""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A space with someone's own block, in the folder that the commands run in."""
    (tmp_path / "swift_blocks.py").write_text(MODULE)
    path = tmp_path / "own.toml"
    text = SPACE.replace('"inverted"]', '"swift"]').replace("[stem]", '[blocks]\nswift = "swift_blocks:swift"\n[stem]')
    path.write_text(text.replace('name = "little"\n', ""))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(FAMILIES)
    yield path
    allow_code(allowed=False)
    sys.modules.pop("swift_blocks", None)
    FAMILIES.clear()
    FAMILIES.update(before)


def _runs(tmp_path: Path) -> bool:
    return (tmp_path / "imported").exists()


@pytest.mark.parametrize("command", [("spaces", "show"), ("spaces", "lint"), ("search", "--space"), ("bench", "cost")])
def test_a_space_file_alone_runs_no_code(nas: Nas, space: Path, command: tuple[str, ...]) -> None:
    arguments = (*command, "--space") if command == ("bench", "cost") else command
    outcome = nas(*arguments, space)
    assert outcome.code == 2
    assert "own.toml" in outcome.err
    assert "'swift' is code of another package (swift_blocks:swift); allow it with `nas --allow-code" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not _runs(space.parent)


def test_a_study_of_an_own_block_is_searched_and_read_when_allowed(nas: Nas, space: Path) -> None:
    where = ("--results", space.parent / "results")
    outcome = nas("--allow-code", "search", "--space", space, "--trials", 3, "--epochs", 1, *where)
    assert outcome.code == 0, outcome.err
    assert _runs(space.parent)
    allow_code(allowed=False)
    refused = nas("front", "own", *where)
    assert refused.code == 2
    assert "allow it with `nas --allow-code" in refused.err
    assert nas("--allow-code", "front", "own", *where).code == 0


def test_a_block_that_is_not_there_is_one_line(nas: Nas, space: Path) -> None:
    space.write_text(space.read_text().replace("swift_blocks:swift", "swift_blocks:slow"))
    outcome = nas("--allow-code", "spaces", "show", space)
    assert outcome.code == 2
    assert "cannot import swift_blocks:slow" in outcome.err
