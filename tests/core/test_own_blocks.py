"""Blocks of other packages: imported when the user allows it, never before; what they do wrong is told in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.architecture import Architecture, Stage, Stem, Task
from nas.audit import audit
from nas.blocks import FAMILIES, Block, Place, add_own_family
from nas.blocks.own import allow_code
from nas.budget import Budget
from nas.errors import SpaceError

MODULE = """
from pathlib import Path
Path(__file__).with_name("imported").touch()

from nas.blocks import Block, Family, Place
from nas.layers import Act, Conv, Norm, chain


def plain(block, place):
    return chain(
        conv=Conv(place.in_width, place.out_width, block.kernel, place.stride),
        norm=Norm(block.norm, place.out_width),
        act=Act(block.activation, place.out_width),
    )


def narrow(block, place):
    return Conv(place.in_width, 1, 1, place.stride)


def broken(block, place):
    return block.depth


def wrong(block, place):
    return "layers"


FAMILY = Family(plain, frozenset({"kernel"}))
NUMBER = 3
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of someone else, and families as they were afterwards."""
    (tmp_path / "their_blocks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(FAMILIES)
    allow_code()
    yield tmp_path
    allow_code(allowed=False)
    sys.modules.pop("their_blocks", None)
    FAMILIES.clear()
    FAMILIES.update(before)


def _network(family: str, **genes: object) -> Architecture:
    stage = Stage(width=12, stride=2, blocks=(Block(family=family, **genes),))
    return Architecture(stem=Stem(width=8), stages=(stage,))


def test_a_function_of_a_package_becomes_a_block() -> None:
    add_own_family("theirs", "their_blocks:plain")
    task = Task(num_classes=10, resolution=16)
    counted = audit(_network("theirs", kernel=5, activation="gelu"), task, Budget())
    assert counted.params == 8 * 3 * 9 + 16 + 8 * 12 * 25 + 24 + 13 * 10


def test_a_family_of_a_package_says_which_genes_it_reads() -> None:
    add_own_family("theirs", "their_blocks:FAMILY")
    assert _network("theirs", activation="gelu") == _network("theirs")
    assert _network("theirs", kernel=5) != _network("theirs")


def test_nothing_is_imported_before_it_is_allowed(package: Path) -> None:
    allow_code(allowed=False)
    with pytest.raises(SpaceError, match=r"'theirs' is code of another package .* allow it with `nas --allow-code"):
        add_own_family("theirs", "their_blocks:plain")
    assert not (package / "imported").exists()
    assert "theirs" not in FAMILIES


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("their_blocks", "must be named as package.module:function, got 'their_blocks'"),
        (":plain", "must be named as package.module:function, got ':plain'"),
        ("no_such_package.blocks:plain", "cannot import no_such_package.blocks:plain"),
        ("their_blocks:absent", "cannot import their_blocks:absent"),
        ("their_blocks:NUMBER", "must be a function or a Family, got int"),
    ],
)
def test_a_block_that_cannot_be_had_is_refused(reference: str, fault: str) -> None:
    with pytest.raises(SpaceError, match=fault):
        add_own_family("theirs", reference)


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("broken", "'theirs' fails at 8 to 12 channels, stride 2: AttributeError"),
        ("wrong", "'theirs': must return layers of nas.layers, got str"),
        ("narrow", "'theirs': must give 12 channels, got layers that give 1"),
    ],
)
def test_a_block_that_misbehaves_is_told_in_one_line(function: str, fault: str) -> None:
    add_own_family("theirs", f"their_blocks:{function}")
    with pytest.raises(SpaceError, match=fault):
        FAMILIES["theirs"].layers(Block(family="theirs"), Place(8, 12, 2))


def test_a_name_of_ours_is_not_given_away() -> None:
    with pytest.raises(SpaceError, match="'inverted' is a block of nas; choose another name"):
        add_own_family("inverted", "their_blocks:plain")


def test_one_name_is_one_block() -> None:
    add_own_family("theirs", "their_blocks:plain")
    add_own_family("theirs", "their_blocks:plain")
    with pytest.raises(SpaceError, match="'theirs' is their_blocks:plain already"):
        add_own_family("theirs", "their_blocks:narrow")
