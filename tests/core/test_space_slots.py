"""Stems to choose from, blocks of their own in front of a stage and behind it, and which genotype a network is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture, Head, Stage, Stem
from nas.blocks import Block
from nas.references import reference
from nas.space import SearchSpace
from nas.space_file import load_space, parse_space, shipped_spaces
from nas.space_match import genotype_of, why_not
from nas.space_size import size
from tests.core.examples import genotypes, members
from tests.core.slot_spaces import slot_spaces

TARGET = "[target]\nnum_classes = 10\nresolution = 32\n"


def _space(stages: str, stem: str = "[stem]\nwidth = 8\n") -> SearchSpace:
    return parse_space(f"{TARGET}{stem}{stages}")


def _families(space: SearchSpace, **genotype: object) -> list[list[str]]:
    named = {name.replace("__", "."): value for name, value in genotype.items()}
    return [[block.family for block in stage.blocks] for stage in space.decode(named).stages]  # type: ignore[arg-type]


STAGE = '[[stage]]\nwidth = 16\nblock = "separable"\ndepth = 2\n'
DOWNSAMPLE = 'downsample = { block = ["none", "conv", "inverted"], expansion = [1, 2] }\n'
LAST = 'last = { block = ["none", "sdta"], heads = 4, splits = [2, 3] }\n'


def test_a_block_of_its_own_stands_in_front_of_a_stage_and_one_behind_it() -> None:
    space = _space(STAGE + DOWNSAMPLE + LAST)
    genotype = {"stage1__downsample__block": "conv", "stage1__downsample__expansion": 1}
    genotype |= {"stage1__last__block": "sdta", "stage1__last__splits": 3}
    assert _families(space, **genotype) == [["conv", "separable", "separable", "sdta"]]
    absent = {"stage1__downsample__block": "none", "stage1__last__block": "none"}
    assert _families(space, **genotype | absent) == [["separable", "separable"]]


def test_the_block_in_front_carries_the_stride_and_the_width() -> None:
    space = _space(STAGE + "stride = 2\n" + 'downsample = { block = "patch", norm = "layer" }\n')
    stage = space.decode({}).stages[0]
    assert [(place.in_width, place.out_width, place.stride) for place in stage.places(8)] == [
        (8, 16, 2),
        (16, 16, 1),
        (16, 16, 1),
    ]
    assert stage.blocks[0] == Block(family="patch", norm="layer")


def test_a_stage_that_changes_nothing_has_no_block_in_front() -> None:
    space = _space('[[stage]]\nwidth = [8, 16]\nblock = "separable"\n' + DOWNSAMPLE)
    genotype = {"stage1.width": 8, "stage1.downsample.block": "inverted", "stage1.downsample.expansion": 2}
    assert space.decode(genotype).words().startswith("stem w8 | 1x separable")
    assert space.active(genotype) == {"stage1.width"}
    assert space.active({**genotype, "stage1.width": 16}) == set(genotype)
    assert space.canonical(genotype)["stage1.downsample.block"] == "none"


def test_genes_of_a_block_of_its_own_come_from_the_network_not_from_the_stage() -> None:
    text = (
        '[network]\nactivation = "silu"\n'
        + STAGE
        + 'kernel = 7\nactivation = "gelu"\ndownsample = { block = "conv" }\n'
    )
    first, second, _ = _space(text).decode({}).stages[0].blocks
    assert (first.kernel, first.activation) == (3, "silu")
    assert (second.kernel, second.activation) == (7, "gelu")


def test_stages_give_every_stage_a_block_of_its_own_which_one_may_refuse() -> None:
    space = _space("[stages]\n" + LAST + STAGE + STAGE + 'last = { block = "none" }\n')
    assert [gene.name for gene in space.genes] == ["stage1.last.block", "stage1.last.splits"]
    assert _families(space, stage1__last__block="sdta", stage1__last__splits=2) == [
        ["separable", "separable", "sdta"],
        ["separable", "separable"],
    ]


TWO_STEMS = '[[stem]]\nname = "conv"\nwidth = [8, 16]\n[[stem]]\nname = "patches"\nwidth = 16\nkernel = 4\nstride = 4\n'


def test_a_stem_is_chosen_by_its_name() -> None:
    space = _space(STAGE, TWO_STEMS)
    assert [gene.name for gene in space.genes] == ["stem.name", "stem.conv.width"]
    patches = {"stem.name": "patches", "stem.conv.width": 16}
    assert space.decode(patches).stem == Stem(width=16, kernel=4, stride=4)
    assert space.active(patches) == {"stem.name"}
    assert space.decode({"stem.name": "conv", "stem.conv.width": 8}).stem == Stem(width=8)


SIZED = {
    "a block in front, read where the width changes": (
        '[[stage]]\nwidth = [8, 16]\nblock = "separable"\n' + DOWNSAMPLE,
        1 + (1 + 1 + 2),
    ),
    "a block behind": (STAGE + LAST, 1 + 2),
    "both": (STAGE + DOWNSAMPLE + LAST, (1 + 1 + 2) * (1 + 2)),
    "blocks that are in front only with a stride": (
        '[[stage]]\nwidth = 8\nblock = "separable"\nskip = [true, false]\nstride = [1, 2]\n' + DOWNSAMPLE,
        2 + (1 + 2 * (1 + 2)),
    ),
    "a layer that grows where it has what to grow by": (
        '[[stage]]\nwidth = [8, 16]\nblock = "dense"\nkernel = [3, 5]\n',
        1 + 2,
    ),
}


@pytest.mark.parametrize("name", SIZED)
def test_the_size_is_the_number_worked_out_by_hand(name: str) -> None:
    stages, expected = SIZED[name]
    space = _space(stages)
    assert size(space) == expected == len(members(space))


@settings(max_examples=60)
@given(slot_spaces())
def test_the_size_is_the_number_of_members_and_of_networks(space: SearchSpace) -> None:
    found = members(space)
    assert size(space) == len(found) == len({space.decode(member).arch_id for member in found})


@given(slot_spaces(), st.data())
def test_genes_that_are_not_active_cannot_change_the_network(space: SearchSpace, data: st.DataObject) -> None:
    one, other = data.draw(genotypes(space)), data.draw(genotypes(space))
    mixed = {name: (one if name in space.active(one) else other)[name] for name in one}
    assert space.decode(mixed) == space.decode(one) == space.decode(space.canonical(one))


@given(slot_spaces(), st.data())
def test_a_member_is_found_again_by_its_network(space: SearchSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes(space))
    assert genotype_of(space, space.decode(genotype)) == space.canonical(genotype)


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_member_of_a_shipped_space_is_found_again_by_its_network(name: str) -> None:
    space, rng = load_space(name), random.Random(0)
    for _ in range(20):
        network = space.decode(space.random(rng))
        found = genotype_of(space, network)
        assert found is not None
        assert space.decode(found) == network


HYBRID = ["tinynext_s", "edgenext_xxs", "emov2_1m", "starnet_100"]


@pytest.mark.parametrize(("space_name", "name"), [*(("hybrid", name) for name in HYBRID), ("cifar", "resnet20")])
def test_a_published_network_is_an_exact_member(space_name: str, name: str) -> None:
    space, network = load_space(space_name), reference(name).architecture
    genotype = genotype_of(space, network)
    assert genotype is not None
    assert space.decode(genotype) == network


def test_the_space_for_microcontrollers_has_no_activation_that_integers_cannot_compute() -> None:
    genes = {gene.name: gene.values for gene in load_space("mcu").genes}
    found = {value for name, values in genes.items() if name.endswith("activation") for value in values}
    assert found == {"relu", "relu6", "hardswish"}


def _network(*blocks: Block, stem: int = 8, width: int = 16, **head: object) -> Architecture:
    stages = (Stage(width=width, blocks=blocks),)
    return Architecture(stem=Stem(width=stem), stages=stages, head=Head.model_validate(head))


SEPARABLE, SDTA = Block(family="separable"), Block(family="sdta", heads=4, splits=3)
OUTSIDE = {
    "another width": _network(SEPARABLE, SEPARABLE, width=24),
    "another stem": _network(SEPARABLE, SEPARABLE, stem=12),
    "another head": _network(SEPARABLE, SEPARABLE, hidden=8),
    "too few blocks": _network(SEPARABLE),
    "too many blocks": _network(SEPARABLE, SEPARABLE, SEPARABLE),
    "a gene that is decided otherwise": _network(SEPARABLE, SEPARABLE, SDTA.model_copy(update={"heads": 2})),
    "a value that is no choice": _network(SEPARABLE, SEPARABLE, SDTA.model_copy(update={"splits": 4})),
    "one gene for two blocks": _network(SEPARABLE, Block(family="separable", kernel=5), SDTA),
}


WHY_NOT = {
    "another width": "stage 1: width must be 16, got 24",
    "another stem": "stem: width must be 8, got 12",
    "another head": "head: hidden must be 0, got 8",
    "too few blocks": "stage 1: depth must be 2, got 1",
    "too many blocks": "stage 1: last.block must be one of none, sdta, got separable",
    "a gene that is decided otherwise": "stage 1: last.heads must be 4, got 2",
    "a value that is no choice": "stage 1: last.splits must be one of 2, 3, got 4",
    "one gene for two blocks": "stage 1: kernel is 5, but stage1.kernel, which the space chooses once, is 3",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_no_member_is_told_by_part_and_key(name: str) -> None:
    space = _space(STAGE + "kernel = [3, 5]\n" + LAST)
    assert why_not(space, OUTSIDE[name]) == WHY_NOT[name]
    assert why_not(space, _network(SEPARABLE, SEPARABLE, SDTA)) == ""


def test_what_is_no_member_has_no_genotype() -> None:
    space = _space(STAGE + "kernel = [3, 5]\n" + LAST)
    assert genotype_of(space, _network(SEPARABLE, SEPARABLE, SDTA)) is not None
    assert {name: genotype_of(space, network) for name, network in OUTSIDE.items()} == dict.fromkeys(OUTSIDE)
    two = _network(SEPARABLE, SEPARABLE, SDTA)
    longer = Architecture(stem=two.stem, stages=two.stages * 2, head=two.head)
    assert genotype_of(space, longer) is None


def test_heads_that_were_left_open_are_found_as_such() -> None:
    space = _space(STAGE.replace("16", "[40, 60]") + 'last = { block = "sdta", heads = 0 }\n')
    network = space.decode({"stage1.width": 60})
    assert network.stages[0].blocks[-1].heads == 3
    assert genotype_of(space, network) == {"stage1.width": 60}
