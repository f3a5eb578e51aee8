"""Caps: how they are read, what exceeds them, and costs that add up over the parts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import Task
from nas.budget import Budget, Cost, cost, cost_table, parse_count
from nas.errors import CapError
from nas.space_file import load_space
from tests.core.examples import TASK, architecture, block

COST = Cost(params=100, macs=2_000, peak_activation_bytes=400, weight_bytes=400)
NODEPTH = load_space("nodepth")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("15000", 15_000),
        ("15k", 15_000),
        ("1.5M", 1_500_000),
        ("1.5m", 1_500_000),
        ("2G", 2_000_000_000),
        (" 500 k ", 500_000),
        ("1,500,000", 1_500_000),
        ("1_500_000", 1_500_000),
        ("1.2345M", 1_234_500),
        ("0.001k", 1),
        ("1.0", 1),
    ],
)
def test_a_count_is_read_exactly(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "1,5M", "15,00", "much", "1e6", "1.5MB", "k", "1 5", "0.0001k", "nan"]
)
def test_what_is_no_positive_whole_count_is_refused(text: str) -> None:
    with pytest.raises(CapError) as caught:
        parse_count(text, what="--cap")
    assert str(caught.value) == f"--cap: must be a positive count such as 1.5M, 100k or 15000, got {text!r}"


def test_a_cost_at_its_cap_fits() -> None:
    assert Budget(params=100, macs=2_000, peak_activation_bytes=400).violations(COST) == []
    assert Budget(params=100).excess(COST) == 1


def test_every_exceeded_cap_is_a_violation() -> None:
    budget = Budget(params=99, macs=1_000, peak_activation_bytes=400)
    assert [str(each) for each in budget.violations(COST)] == [
        "params 100 exceeds the cap 99",
        "macs 2,000 exceeds the cap 1,000",
    ]
    assert budget.excess(COST) == 2


def test_a_cap_that_is_not_set_is_not_exceeded() -> None:
    assert Budget(params=None).violations(COST) == []
    assert Budget(params=None).excess(COST) == 0


def test_the_default_cap_is_a_million_and_a_half_params() -> None:
    assert Budget() == Budget(params=1_500_000, macs=None, peak_activation_bytes=None)


def test_cost_is_the_number_worked_out_by_hand() -> None:
    # 16x16x3; stem 3x3/2 to 8: 8x8x8; separable at 8: 3x3 depthwise, 1x1; pool; classifier of 10
    params = (3 * 8 * 9 + 16) + (8 * 9 + 16) + (8 * 8 + 16) + (8 + 1) * 10
    macs = 3 * 8 * 9 * 64 + 8 * 9 * 64 + 8 * 8 * 64 + 80
    peak = max(3 * 256 + 8 * 64, 3 * 8 * 64)  # the stem; a block's input, held for the skip, with two maps
    expected = Cost(params=params, macs=macs, peak_activation_bytes=4 * peak, weight_bytes=4 * params)
    assert cost(architecture(), TASK) == expected


@given(st.integers(0, 10_000), st.sampled_from([8, 32, 224]))
def test_cost_adds_up_over_the_table(seed: int, resolution: int) -> None:
    network = NODEPTH.decode(NODEPTH.random(random.Random(seed)))
    task = Task(num_classes=100, resolution=resolution)
    total, table = cost(network, task), [step for _, step in cost_table(network, task)]
    assert total.params == sum(step.params for step in table)
    assert total.macs == sum(step.macs for step in table)
    assert total.peak_activation_bytes == 4 * max(step.peak_activation_elements for step in table)
    assert total.weight_bytes == 4 * total.params


def test_the_table_names_the_parts() -> None:
    table = cost_table(architecture(block(), block()), TASK)
    assert [name for name, _ in table] == ["stem", "stage1.block1", "stage1.block2", "head"]
    assert (table[-1][1].params, table[-1][1].side) == (90, 1)


@pytest.mark.parametrize("head", [0, 32])
def test_only_the_classifier_depends_on_the_number_of_classes(head: int) -> None:
    network = architecture(head=head)
    few, many = (cost(network, Task(num_classes=n, resolution=16)) for n in (10, 1000))
    assert many.params - few.params == 990 * ((head or 8) + 1)
    assert many.macs - few.macs == 990 * (head or 8)


def test_only_the_stem_depends_on_the_number_of_image_channels() -> None:
    grey, colour = (cost(architecture(), Task(num_classes=10, in_channels=n, resolution=16)) for n in (1, 3))
    assert colour.params - grey.params == 2 * 8 * 9
