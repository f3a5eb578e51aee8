"""What a space file may not say: combinations of choices that are no network, named by file, line and key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import FAMILIES
from nas.blocks.own import allow_code
from nas.budget import cost
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.space_faults import unread
from nas.space_file import load_space, parse_space, shipped_spaces
from tests.core.examples import all_genotypes, genotypes
from tests.core.slot_spaces import slot_spaces

HEAD = "[target]\nresolution = 32\n[stem]\nwidth = 8\n[[stage]]\n"  # the stage's keys begin on line 6

STAGES = {
    "width = [8, 18]\nblock = 'sdta'\nheads = 4": (
        8,
        "stage 1: `heads` must divide the attention width 18",
    ),
    "width = 8\nblock = 'separable'\nlast = { block = 'sdta', heads = [2, 3] }": (
        8,
        "stage 1: `last.heads` must divide the attention width 8, got 3",
    ),
    "width = 8\nblock = ['separable', 'irmb_hybrid']\nheads = 4\nexpansion = [1, 1.25]\ndepth = 2": (
        8,
        "stage 1: `heads` must divide the attention width 10, got 4",
    ),
    "width = 10\nblock = 'residual_bottleneck'\ngroups = [1, 4]": (
        8,
        "stage 1: `groups` must divide the bottleneck width 10, got 4",
    ),
    "width = 9\nblock = 'sdta'\nsplits = [2, 8]": (
        8,
        "stage 1: `splits` leaves no channels of width 9 for the last slice, got 8",
    ),
    "width = [8, 9]\nblock = 'shuffle'": (
        6,
        "stage 1: `width` does not suit shuffle: the width of a shuffle unit must be even, got 9",
    ),
    "width = 9\nblock = 'separable'\nstride = 2\ndownsample = { block = ['none', 'ghost'] }": (
        6,
        "stage 1: `width` does not suit ghost: the width of a ghost block must be even, got 9",
    ),
    "block = 'irmb_attention'\nwidth = 8\nwindow = [4, 17]": (
        8,
        "stage 1: `window` must fit the largest map of the stage, 16x16, got 17",
    ),
    "block = 'separable'\nwidth = 8\nlast = { block = 'irmb_attention', window = 20 }": (
        8,
        "stage 1: `last.window` must fit the largest map of the stage, 16x16, got 20",
    ),
    "width = 8\nblock = 'separable'\nlast = 'sdta'": (8, "stage 1: `last` must be a table of block genes such as"),
    "width = 8\nblock = 'separable'\nlast = { heads = 4 }": (
        8,
        "stage 1: `last` must be a table of block genes such as",
    ),
    "width = 8\nblock = 'separable'\nlast = { block = 'stda' }": (8, "stage 1: `last.block` unknown block 'stda'"),
    "width = 8\nblock = 'separable'\nlast = { block = 'sdta', kernel = 4 }": (
        8,
        "stage 1: `last.kernel` must be odd, got 4",
    ),
    "width = 8\nblock = 'separable'\ndownsample = { block = 'conv', width = 4 }": (
        8,
        "stage 1: unknown key of downsample 'width'",
    ),
    "width = 8\nblock = 'none'": (7, "stage 1: `block` unknown block 'none'"),
    "width = 8\nblock = 'separable'\n[stage.last]\nblock = 'sdta'\nheads = 3": (
        8,
        "stage 1: `last.heads` must",
    ),
}


def _fault(text: str) -> str:
    with pytest.raises(SpaceError) as caught:
        parse_space(text, where="s.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_choices_are_no_network_is_named_with_its_line(stage: str) -> None:
    line, fault = STAGES[stage]
    assert _fault(HEAD + stage).startswith(f"s.toml:{line}: {fault}")


STAGE = "[[stage]]\nwidth = 8\nblock = 'separable'\n"
STEMS = {
    "[stem]\nwidth = 8\nkernel = [3, 4]\nstride = [2, 4]\n": "s.toml:3: stem: `kernel` makes an invalid stem",
    "[stem]\nwidth = 8\nfirst_width = [0, 8]\nstride = [1, 2]\n": "s.toml:3: stem: `first_width` makes an invalid stem",
    "[[stem]]\nname = 'a'\nwidth = 8\n[[stem]]\nname = 'b'\nwidth = 8\nkernel = 2\nstride = 4\n": (
        "s.toml:7: stem 2: `kernel` makes an invalid stem: kernel must be odd, or the stride for patches, got 2"
    ),
    "[[stem]]\nname = 'a'\nwidth = 8\n[[stem]]\nname = 'a'\nwidth = 8\n": (
        "s.toml:5: stem 2: `name` must be a word that no other stem has, got 'a'"
    ),
    "[[stem]]\nwidth = 8\n": "s.toml:1: stem 1: `name` must be a word that no other stem has, got None",
    "[[stem]]\nname = 'a'\n": "s.toml:1: stem 1: `width` is missing",
    "[[stem]]\nname = 'a'\nwidht = 8\n": "s.toml:3: stem 1: unknown key 'widht'; did you mean 'width'?",
    "stem = [3]\n": "s.toml:1: `stem` must be a table, got 3",
}


@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_that_cannot_be_is_named_with_its_line(stem: str) -> None:
    assert _fault(stem + STAGE).startswith(STEMS[stem])


def test_every_stem_of_a_choice_that_suits_is_accepted() -> None:
    space = parse_space("[stem]\nwidth = 8\nkernel = [3, 7]\nstride = [2, 4]\nmax_pool = [true, false]\n" + STAGE)
    assert {space.decode(genotype).stem.max_pool for genotype in all_genotypes(space)} == {True, False}


def test_a_key_from_stages_or_the_network_is_named_where_it_stands() -> None:
    stage = "[stem]\nwidth = 8\n[[stage]]\nwidth = 18\nblock = 'sdta'\n"
    rule = "`heads` must divide the attention width 18, got 4 (sdta)"
    assert _fault("[stages]\nheads = 4\n" + stage) == f"s.toml:2: stages: {rule}"
    assert _fault("[network]\nheads = 4\n" + stage) == f"s.toml:2: network: {rule}"


def test_a_stage_that_leaves_no_position_is_named() -> None:
    text = (
        "[target]\nresolution = 8\n[stem]\nwidth = 8\nstride = 4\n"
        + STAGE
        + "stride = 2\n"
        + STAGE
        + "stride = [1, 2]\n"
    )
    fault = "stage 2: `stride` leaves no position of 8x8 images: strides up to here multiply to 16"
    assert _fault(text) == f"s.toml:13: {fault}"


def test_a_window_that_nobody_chose_may_be_larger_than_the_map() -> None:
    text = "[target]\nresolution = 8\n[stem]\nwidth = 8\n[[stage]]\nwidth = 8\nblock = 'irmb_attention'"
    assert parse_space(text).decode({}).stages[0].blocks[0].window == 7


@given(slot_spaces(), st.data())
def test_no_member_of_a_space_that_was_read_loses_its_map(space: SearchSpace, data: st.DataObject) -> None:
    """Nor is any refused: `decode` and `cost` would say so."""
    assert cost(space.decode(data.draw(genotypes(space))), space.target.task).params > 0


@given(slot_spaces(most=1_000))
def test_genes_that_nothing_reads_are_those_that_no_genotype_makes_active(space: SearchSpace) -> None:
    read = frozenset().union(*map(space.active, all_genotypes(space)))
    assert set(unread(space)) == {gene.name for gene in space.genes} - read


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_gene_of_a_shipped_space_matters(name: str) -> None:
    assert unread(load_space(name)) == ()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a space with a block of a package of someone else, the families as before afterwards."""
    layers = "from nas.blocks import Family\nfrom nas.layers import Conv\ndef plain(block, place):\n"
    layers += "    return Conv(place.in_width, place.out_width, block.kernel, place.stride)\n"
    layers += "def fault(block, place):\n    return 'no kernel of 5' if block.kernel == 5 else None\n"
    layers += "CHOOSY = Family(plain, frozenset({'kernel'}), fault=fault)\n"
    (tmp_path / "their_space_blocks.py").write_text(layers)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(FAMILIES)
    yield "[blocks]\nfrom_space = 'their_space_blocks:plain'\n[stem]\nwidth = 8\n" + STAGE.replace(
        "separable", "from_space"
    )
    allow_code(allowed=False)
    sys.modules.pop("their_space_blocks", None)
    FAMILIES.clear()
    FAMILIES.update(before)


def test_a_block_of_another_package_is_named_in_the_file_and_imported_when_allowed(package: str) -> None:
    assert _fault(package).startswith(
        "s.toml:2: blocks: block 'from_space' is code of another package (their_space_blocks"
    )
    allow_code()
    assert parse_space(package + "kernel = [3, 5]").decode({"stage1.kernel": 5}).stages[0].blocks[0].kernel == 5


def test_a_rule_of_another_package_that_a_genotype_breaks_is_told_in_one_line(package: str) -> None:
    allow_code()
    text = package.replace("from_space", "choosy").replace(":plain", ":CHOOSY")
    with pytest.raises(SpaceError, match=r"^space space: stage 1: choosy: no kernel of 5$"):
        parse_space(text + "kernel = [3, 5]").decode({"stage1.kernel": 5})


def test_a_block_of_another_package_is_named_by_text() -> None:
    assert _fault("[blocks]\nmine = 3\n").startswith('s.toml:2: blocks: `mine` must be text such as "package.module:')
    assert _fault("blocks = 3\n") == "s.toml:1: `blocks` must be a table, got 3"
