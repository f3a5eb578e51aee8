"""Genotypes: membership, normal form, decoding, and the exact size of a space."""

from __future__ import annotations

import random
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import SpaceError
from nas.space import Gene, SearchSpace
from nas.space_file import load_space, parse_space, shipped_spaces
from nas.space_size import size
from tests.core.examples import genotypes, members, small_space, spaces

SMALL = small_space()


def _space(stages: str, head: str = "", network: str = "") -> SearchSpace:
    return parse_space(f"[network]\n{network}\n[stem]\nwidth = [8, 16]\n{stages}\n[head]\n{head}")


SIZED = {
    "one member": ('[[stage]]\nwidth = 8\nblock = "separable"', "", "", 2),
    "a family that ignores the expansion": (
        '[[stage]]\nwidth = 8\nblock = ["separable", "nodepth"]\nexpansion = [1, 2, 3]',
        "",
        "",
        2 * (1 + 3),
    ),
    "skip where the shape is kept": (
        '[[stage]]\nwidth = [8, 16]\nblock = "separable"\nskip = [true, false]',
        "",
        "",
        2 * (2 + 1),
    ),
    "skip behind a first block": (
        '[[stage]]\nwidth = 32\ndepth = [1, 2]\nblock = "separable"\nskip = [true, false]',
        "",
        "",
        2 * (1 + 2),
    ),
    "depth with one choice for all blocks": (
        '[[stage]]\nwidth = 8\ndepth = [1, 2, 3]\nblock = "separable"\nkernel = [3, 5]',
        "",
        "",
        2 * 3 * 2,
    ),
    "depth with a choice for each block": (
        '[[stage]]\nwidth = 8\ndepth = [1, 2, 3]\nblock = "separable"\nkernel = [3, 5]\nper_block = ["kernel"]',
        "",
        "",
        2 * (2 + 4 + 8),
    ),
    "a family for each block": (
        '[[stage]]\nwidth = 8\ndepth = 2\nblock = ["separable", "nodepth"]\nexpansion = [1, 2]\nper_block = ["block"]',
        "",
        "",
        2 * (1 + 3 * 2),
    ),
    "one family for the network": (
        "[[stage]]\nwidth = 8\n[[stage]]\nwidth = 8\nexpansion = [1, 2]",
        "",
        'block = ["separable", "nodepth"]',
        2 * (1 + 2),
    ),
    "one family for the network but one stage": (
        '[[stage]]\nwidth = 8\n[[stage]]\nwidth = 8\n[[stage]]\nwidth = 8\nblock = ["separable", "residual"]',
        "",
        'block = ["separable", "nodepth"]',
        2 * 2 * 2,
    ),
    "a head that may be absent": (
        '[[stage]]\nwidth = 8\nblock = "separable"',
        'width = [0, 8, 16]\nactivation = ["relu", "gelu"]',
        "",
        2 * (1 + 2 * 2),
    ),
    "an activation of the network": (
        '[[stage]]\nwidth = 8\nblock = "separable"',
        "width = [0, 8]",
        'activation = ["relu", "gelu", "silu"]',
        2 * 3 * 2,
    ),
    "a stride": (
        '[[stage]]\nwidth = 8\nblock = "separable"\nstride = [1, 2]\nskip = [true, false]',
        "",
        "",
        2 * (1 + 1) + 1,
    ),
}


@pytest.mark.parametrize("name", SIZED)
def test_the_size_is_the_number_worked_out_by_hand(name: str) -> None:
    stages, head, network, expected = SIZED[name]
    space = _space(stages, head, network)
    assert size(space) == expected == len(members(space))


@given(spaces())
def test_the_size_is_the_number_of_members_and_of_networks(space: SearchSpace) -> None:
    found = members(space)
    assert size(space) == len(found) == len({space.decode(member).arch_id for member in found})


@given(spaces(), st.data())
def test_the_normal_form_is_its_own_and_decodes_to_the_same_network(space: SearchSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes(space))
    normal = space.canonical(genotype)
    assert space.canonical(normal) == normal
    assert space.decode(normal) == space.decode(genotype)


@given(spaces(), st.data())
def test_genes_that_are_not_active_cannot_change_the_network(space: SearchSpace, data: st.DataObject) -> None:
    one, other = data.draw(genotypes(space)), data.draw(genotypes(space))
    active = space.active(one)
    mixed = {name: (one if name in active else other)[name] for name in one}
    assert space.decode(mixed) == space.decode(one)


@pytest.mark.parametrize("name", shipped_spaces())
def test_random_members_are_canonical_members(name: str) -> None:
    space, rng = load_space(name), random.Random(0)
    for _ in range(50):
        member = space.random(rng)
        assert space.canonical(member) == member


def test_random_members_depend_on_the_generator_alone() -> None:
    drawn = [[SMALL.random(random.Random(seed)) for _ in range(3)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_random_members_reach_the_whole_space() -> None:
    rng = random.Random(0)
    drawn = {tuple(SMALL.random(rng).items()) for _ in range(5_000)}
    assert len(drawn) == size(SMALL)


@pytest.mark.parametrize("name", shipped_spaces())
def test_genotypes_have_a_fixed_length_and_unique_names(name: str) -> None:
    space = load_space(name)
    names = [gene.name for gene in space.genes]
    assert len(set(names)) == len(names)
    assert {tuple(space.random(random.Random(seed))) for seed in range(20)} == {tuple(names)}


def test_inactive_genes_hold_their_first_value() -> None:
    genotype = {**SMALL.random(random.Random(0)), "stage1.block": "separable", "stage1.expansion": 2}
    assert SMALL.canonical(genotype)["stage1.expansion"] == 0.5


def test_decode_puts_every_choice_in_its_place() -> None:
    genotype = {
        "network.activation": "gelu",
        "stem.width": 12,
        "stage1.width": 16,
        "stage1.depth": 2,
        "stage1.stride": 2,
        "stage1.block": "inverted",
        "stage1.expansion": 2,
        "stage1.skip": False,
        "head.width": 8,
    }
    network = SMALL.decode(genotype)
    assert network.words() == "stem w12 | 2x inverted e2 k3 gelu w16 s2 | head w8"
    assert (network.stem.activation, network.head.activation) == ("gelu", "gelu")
    assert [block.skip for block in network.stages[0].blocks] == [True, False]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"stage1.width": 9}, "stage1.width must be one of 8, 16, got 9"),
        ({"stage9.width": 8}, "unknown gene 'stage9.width' (genes: head.width,"),
        ({"stage1.block": "residual"}, "stage1.block must be one of nodepth, separable, inverted, got 'residual'"),
    ],
)
def test_what_is_no_member_is_refused_in_one_line(change: dict[str, int | str], fault: str) -> None:
    genotype = {**SMALL.random(random.Random(0)), **change}
    with pytest.raises(SpaceError) as caught:
        SMALL.decode(genotype)
    assert str(caught.value).startswith(f"space small: {fault}")


def test_a_missing_gene_is_named() -> None:
    genotype = SMALL.random(random.Random(0))
    del genotype["stem.width"]
    with pytest.raises(SpaceError, match=r"space small: missing gene 'stem.width'"):
        SMALL.canonical(genotype)


@pytest.mark.parametrize(
    ("values", "ordered"),
    [((1, 2), True), ((0.5, 2), True), ((True, False), False), (("a", "b"), False), ((1, "a"), False)],
)
def test_only_numbers_are_ordered(values: tuple[int | float | str | bool, ...], ordered: bool) -> None:
    assert Gene("gene", values).is_ordered == ordered


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_has_fewer_members_than_genotypes(name: str) -> None:
    space = load_space(name)
    assert 100_000 < size(space) < prod(len(gene.values) for gene in space.genes)
