"""Repair into the caps, and what is known of a space before a search starts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.budget import Budget, cost
from nas.errors import CapError
from nas.feasibility import genotype_cost, preflight, repair
from nas.pricing import bill
from nas.space import GeneValue, SearchSpace
from nas.space_file import load_space, parse_space, shipped_spaces
from nas.space_size import size
from tests.core.examples import genotypes, members, small_space, spaces
from tests.core.slot_spaces import slot_spaces

SMALL = small_space()
COSTS = [genotype_cost(SMALL, member) for member in members(SMALL)]
SPACES = {name: load_space(name) for name in shipped_spaces()}
BUDGETS = st.builds(
    Budget,
    params=st.one_of(st.none(), st.integers(100, 20_000)),
    macs=st.one_of(st.none(), st.integers(1_000, 500_000)),
    peak_activation_bytes=st.one_of(st.none(), st.integers(4_000, 50_000)),
)
NO_CAP = Budget(params=None)


@given(spaces(), st.data(), BUDGETS)
def test_a_repaired_genotype_is_a_canonical_member_under_the_caps(
    space: SearchSpace, data: st.DataObject, budget: Budget
) -> None:
    repaired = repair(space, data.draw(genotypes(space)), budget)
    if repaired is not None:
        assert space.canonical(repaired) == repaired
        assert not budget.violations(genotype_cost(space, repaired))


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 10_000), st.floats(0.5, 1))
def test_every_shipped_space_can_be_repaired_to_half_its_cap(name: str, seed: int, share: float) -> None:
    space = SPACES[name]
    cap = round((space.target.budget().params or 0) * share)
    repaired = repair(space, space.random(random.Random(seed)), Budget(params=cap))
    assert repaired is not None
    assert genotype_cost(space, repaired).params <= cap


@given(st.data())
def test_a_genotype_that_fits_is_left_as_it_is(data: st.DataObject) -> None:
    genotype = data.draw(genotypes(SMALL))
    assert repair(SMALL, genotype, NO_CAP) == SMALL.canonical(genotype)
    at_cap = Budget(params=genotype_cost(SMALL, genotype).params)
    assert repair(SMALL, genotype, at_cap) == SMALL.canonical(genotype)


@given(st.data(), st.integers(100, 5_000))
def test_repair_keeps_the_families(data: st.DataObject, cap: int) -> None:
    genotype = data.draw(genotypes(SMALL))
    repaired = repair(SMALL, genotype, Budget(params=cap))
    assert repaired is None or repaired["stage1.block"] == genotype["stage1.block"]


def test_repair_leaves_a_gene_alone_that_is_to_be_kept() -> None:
    space = parse_space('[stem]\nwidth = 8\n[[stage]]\nwidth = [8, 16]\nblock = "separable"\nkernel = [3, 5]')
    wide = {"stage1.width": 16, "stage1.kernel": 5}
    budget = Budget(params=genotype_cost(space, {**wide, "stage1.width": 8}).params)
    assert repair(space, wide, budget, keep="stage1.kernel") == {**wide, "stage1.width": 8}
    assert repair(space, wide, budget, keep="stage1.width") is None


@given(slot_spaces(), st.data())
def test_the_parts_of_a_bill_are_the_cost_of_the_network(space: SearchSpace, data: st.DataObject) -> None:
    genotype = data.draw(genotypes(space))
    expected = cost(space.decode(genotype), space.target.task)
    assert bill(space, genotype).cost == expected
    assert sum(part.trace.params for part in bill(space, genotype, Budget()).parts) == expected.params
    assert bill(space, genotype).active == space.active(genotype)


@given(slot_spaces(), st.data(), st.sampled_from([None, Budget(), Budget(macs=1)]))
def test_a_changed_bill_is_the_bill_of_the_changed_genotype(
    space: SearchSpace, data: st.DataObject, budget: Budget | None
) -> None:
    genotype, other = data.draw(genotypes(space)), data.draw(genotypes(space))
    names = data.draw(st.lists(st.sampled_from(sorted(other)), min_size=1, max_size=3)) if other else []
    change = {name: other[name] for name in names}
    if change:
        assert bill(space, genotype, budget).changed(change) == bill(space, {**genotype, **change}, budget)


@given(slot_spaces(), st.data(), BUDGETS)
def test_the_excess_of_a_bill_is_that_of_its_cost(space: SearchSpace, data: st.DataObject, budget: Budget) -> None:
    genotype = data.draw(genotypes(space))
    assert bill(space, genotype, budget).excess(budget) == budget.excess(genotype_cost(space, genotype))


@given(slot_spaces(), st.data(), BUDGETS)
def test_blocks_in_front_and_behind_are_repaired_too(space: SearchSpace, data: st.DataObject, budget: Budget) -> None:
    genotype = data.draw(genotypes(space))
    repaired = repair(space, genotype, budget)
    if repaired is not None:
        assert space.canonical(repaired) == repaired
        assert not budget.violations(genotype_cost(space, repaired))
    elif not budget.violations(genotype_cost(space, genotype)):
        pytest.fail("what fits was not repaired")


def _widths(*values: GeneValue) -> SearchSpace:
    text = f"[target]\nnum_classes = 10\nresolution = 16\n[stem]\nwidth = 8\n[[stage]]\nwidth = {list(values)}\n"
    return parse_space(text + 'block = "separable"')


def test_repair_gives_up_as_little_as_the_cap_asks_for() -> None:
    space = _widths(8, 16, 24, 32)
    cap = genotype_cost(space, {"stage1.width": 24}).params
    assert repair(space, {"stage1.width": 32}, Budget(params=cap)) == {"stage1.width": 24}
    assert repair(space, {"stage1.width": 32}, Budget(params=cap - 1)) == {"stage1.width": 16}


def test_of_the_steps_that_fit_the_one_that_gives_up_least_is_taken() -> None:
    text = '[stem]\nwidth = 8\n[[stage]]\nwidth = [8, 16]\nblock = "separable"\nkernel = [3, 5]'
    space, smaller_kernel = parse_space(text), {"stage1.width": 16, "stage1.kernel": 3}
    budget = Budget(params=genotype_cost(space, smaller_kernel).params)
    assert repair(space, {"stage1.width": 16, "stage1.kernel": 5}, budget) == smaller_kernel


def test_what_no_step_can_shrink_under_the_cap_is_given_up() -> None:
    assert repair(_widths(8, 16), {"stage1.width": 16}, Budget(params=10)) is None
    assert repair(_widths(8), {}, Budget(params=10)) is None


@settings(max_examples=20)
@given(spaces())
def test_the_extremes_are_those_of_the_enumerated_space(space: SearchSpace) -> None:
    found = preflight(space, NO_CAP)
    params = [genotype_cost(space, member).params for member in members(space)]
    assert (found.smallest.params, found.largest.params) == (min(params), max(params))


def test_the_smallest_member_of_a_large_space_is_found_behind_families_that_ignore_a_gene() -> None:
    stage = '[[stage]]\nwidth = 32\nblock = ["separable", "sandglass"]\nexpansion = [0.5, 1, 8]\n'
    space = parse_space("[stem]\nwidth = 32\n" + 10 * stage)
    smallest = {gene.name: "sandglass" if gene.name.endswith("block") else 8 for gene in space.genes}
    assert preflight(space, NO_CAP).smallest == genotype_cost(space, smallest)


def test_the_feasible_share_is_that_of_random_members() -> None:
    median = sorted(cost.params for cost in COSTS)[len(COSTS) // 2]
    assert preflight(SMALL, NO_CAP).feasible_share == 1
    share = preflight(SMALL, Budget(params=median)).feasible_share
    assert (
        share
        == sum(
            genotype_cost(SMALL, SMALL.random(rng)).params <= median for rng in [random.Random(0)] for _ in range(500)
        )
        / 500
    )


def test_preflight_counts_the_space_and_depends_on_its_seed_alone() -> None:
    first = preflight(SMALL, NO_CAP, seed=1)
    assert first.size == size(SMALL) == len(COSTS)
    assert first == preflight(SMALL, NO_CAP, seed=1)


def test_the_classifier_share_is_a_share_of_the_cap() -> None:
    space = _widths(8)  # the classifier of 8 channels and 10 classes has 90 parameters
    assert preflight(space, Budget(params=900)).classifier_share == 0.1


def test_genes_that_nothing_reads_are_named() -> None:
    text = '[stem]\nwidth = [8, 16]\n[[stage]]\nwidth = 8\nblock = "separable"\n'
    text += "expansion = [1, 2]\nstride = 2\nskip = [true, false]"
    assert preflight(parse_space(text), Budget()).idle_genes == ("stage1.expansion", "stage1.skip")


def test_an_impossible_cap_is_refused_with_the_smallest_member() -> None:
    smallest = min(cost.params for cost in COSTS)
    assert preflight(SMALL, Budget(params=smallest)).smallest.params == smallest
    with pytest.raises(CapError) as caught:
        preflight(SMALL, Budget(params=smallest - 1))
    assert str(caught.value) == (
        f"cap: no member of space 'small' fits under {smallest - 1:,} params; "
        f"its smallest member has {smallest:,} (counted with 10 classes)"
    )


@pytest.mark.parametrize("name", ["macs", "peak_activation_bytes"])
def test_a_cap_that_the_smallest_member_exceeds_may_still_be_possible(name: str) -> None:
    least = min(getattr(cost, name) for cost in COSTS)
    assert preflight(SMALL, Budget(params=None, **{name: least})).size == len(COSTS)
    with pytest.raises(CapError, match=rf"under {least - 1:,} {name}; its smallest member has {least:,}"):
        preflight(SMALL, Budget(params=None, **{name: least - 1}))
