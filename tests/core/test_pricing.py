"""Prices of parts that are remembered: they are those that would be counted anew."""

from __future__ import annotations

import random

import pytest

from nas import pricing
from nas.budget import Budget, cost
from nas.members import NetworkMembers
from nas.pricing import bill
from nas.space import SearchSpace
from nas.space_file import load_space, shipped_spaces


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_remembered_price_is_the_one_that_is_counted(name: str) -> None:
    space, rng = load_space(name), random.Random(0)
    for genotype in [space.random(rng) for _ in range(30)] * 2:
        architecture = space.decode(genotype)
        found = bill(space, genotype)
        assert found.cost == cost(architecture, space.target.task)
        assert found.depth == sum(len(stage.blocks) for stage in architecture.stages)


def test_prices_with_and_without_a_map_are_told_apart() -> None:
    space, budget = load_space("nodepth"), Budget(params=1_000_000)
    genotype = space.random(random.Random(1))
    assert bill(space, genotype, budget).parts[1].trace.macs == 0
    assert bill(space, genotype).parts[1].trace.macs > 0
    assert bill(space, genotype, budget).parts[1].trace.macs == 0


def test_no_more_prices_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "MOST_PRICED", 3)
    space, rng = load_space("nodepth"), random.Random(0)
    genotypes = [space.random(rng) for _ in range(5)]
    assert [bill(space, each).cost for each in genotypes] == [
        cost(space.decode(each), space.target.task) for each in genotypes
    ]
    assert len(space.prices) <= 3


def test_costs_and_loads_need_no_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    members = NetworkMembers(load_space("nodepth"), Budget())
    genotype = members.random(random.Random(0))
    monkeypatch.setattr(SearchSpace, "decode", lambda *_: pytest.fail("an architecture was made"))
    assert members.costs(genotype).keys() == set(members.cost_names)
    assert members.load(genotype) > 0
    assert members.fit(genotype) is not None
