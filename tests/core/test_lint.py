"""What is odd about a space: choices that nothing under the caps makes, sizes of members, corners that break."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Task
from nas.audit import corner_faults, count
from nas.budget import Budget, cost
from nas.errors import CapError
from nas.lint import corners, dead_values, histogram, lint
from nas.network.build import build
from nas.pricing import bill
from nas.space import SearchSpace, Target
from nas.space_file import load_space, parse_space, shipped_spaces
from tests.core.examples import all_genotypes
from tests.core.slot_spaces import slot_spaces

TEXT = """
[target]
num_classes = 10
resolution = 16
[stem]
width = [8, 16]
[[stage]]
width = [8, 16, 512]
block = ["separable", "inverted"]
expansion = [1, 2]
"""


@settings(max_examples=20)
@given(slot_spaces(most=1_000), st.integers(500, 20_000))
def test_a_dead_value_is_one_that_no_member_under_the_cap_uses(space: SearchSpace, cap: int) -> None:
    bills = [bill(space, genotype) for genotype in all_genotypes(space)]
    ever = {(name, member.genotype[name]) for member in bills for name in member.active}
    used = {(name, one.genotype[name]) for one in bills if one.cost.params <= cap for name in one.active}
    budget = Budget(params=cap)
    found = {(name, value) for name, values in dead_values(space, budget).items() for value in values}
    assert found == ever - used


def test_a_width_that_is_too_large_for_everything_is_dead() -> None:
    assert dead_values(parse_space(TEXT), Budget(params=5_000)) == {"stage1.width": (512,)}
    assert dead_values(parse_space(TEXT), Budget()) == {}


def test_a_gene_that_nothing_reads_is_not_dead_but_idle() -> None:
    space = parse_space(TEXT.replace('["separable", "inverted"]', '"separable"'))
    assert dead_values(space, Budget()) == {}


def test_bins_of_sizes_have_the_cap_for_an_edge() -> None:
    bins = histogram([99, 100, 101, 141, 142, 400], 100)
    assert [(size.above, size.most, size.members) for size in bins] == [
        (71, 100, 2),
        (100, 141, 2),
        (141, 200, 1),
        (200, 283, 0),
        (283, 400, 1),
    ]


def test_all_sampled_members_are_in_the_bins() -> None:
    assert sum(size.members for size in lint(parse_space(TEXT), Budget()).sizes) == 500


@settings(max_examples=20)
@given(slot_spaces())
def test_corners_hold_both_ends_of_every_gene_and_every_family(space: SearchSpace) -> None:
    found = list(corners(space))
    for gene in space.genes:
        ends = {gene.values[0], gene.values[-1]} if gene.is_ordered else set(gene.values)
        assert {genotype[gene.name] for genotype in found} >= ends


def test_the_corners_of_a_shipped_space_build_and_run() -> None:
    assert corner_faults(load_space("digits")) == []


def test_a_corner_that_gives_another_map_than_the_closed_form_says_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.audit.module", lambda _: torch.nn.Identity())
    faults = corner_faults(parse_space(TEXT))
    assert faults[0].startswith(
        "stem of stem w8 | 1x separable k3 relu w8 s1: gives (1, 3, 16, 16) instead of (1, 8, 8, 8)"
    )


def test_a_corner_that_cannot_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.audit.module", lambda _: torch.nn.Flatten(7))
    assert "Dimension out of range" in corner_faults(parse_space(TEXT))[0]


def test_caps_are_those_of_the_space_unless_another_is_asked_for() -> None:
    target = Target(cap="200k", macs="30M", peak_activation="1M")
    assert target.budget() == Budget(params=200_000, macs=30_000_000, peak_activation_bytes=1_000_000)
    assert target.budget("1k") == Budget(params=1_000, macs=30_000_000, peak_activation_bytes=1_000_000)
    assert Target().budget() == Budget(params=1_500_000)
    with pytest.raises(CapError, match="--cap: must be a positive count"):
        target.budget("much")


def test_a_cap_may_be_a_number_in_the_file() -> None:
    space = parse_space(TEXT.replace("[target]", "[target]\ncap = 5000\nmacs = 90_000\npeak_activation = 64_000"))
    assert space.target.budget() == Budget(params=5_000, macs=90_000, peak_activation_bytes=64_000)


def _runs_both_ways(space: SearchSpace, seed: int) -> None:
    """Check one random member: fvcore counts what the closed form says, and every weight is given a gradient."""
    architecture, target = space.decode(space.random(random.Random(seed))), space.target.task
    network, expected = build(architecture, target), cost(architecture, target)
    assert count(network, target) == (expected.params, expected.macs)
    small = Task(num_classes=target.num_classes, in_channels=target.in_channels, resolution=min(64, target.resolution))
    trained = build(architecture, small)
    logits = trained(torch.randn(2, small.in_channels, small.resolution, small.resolution))
    assert logits.shape == (2, target.num_classes)
    logits.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in trained.parameters())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", shipped_spaces())
def test_a_random_member_is_counted_rightly_and_trains(name: str, seed: int) -> None:
    _runs_both_ways(load_space(name), seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_spaces())
def test_thirty_random_members_are_counted_rightly_and_train(name: str) -> None:
    for seed in range(30):
        _runs_both_ways(load_space(name), seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_spaces())
def test_every_corner_of_a_shipped_space_builds_and_runs(name: str) -> None:
    assert corner_faults(load_space(name)) == []
