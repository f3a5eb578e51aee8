"""Scaling a reference into a cap: how full it gets, what it keeps of its design, and what cannot be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import Architecture, Head, Stage, Stem, Task
from nas.blocks import Block
from nas.budget import Budget, cost
from nas.errors import CapError
from nas.references import references
from nas.scaling import By, scale

CAPS = (100_000, 300_000, 500_000, 1_000_000, 1_500_000)
DENSENET = references()["densenet_bc_100_12"]
RESNET = references()["resnet18"]


def _depths(architecture: Architecture) -> list[int]:
    return [len(stage.blocks) for stage in architecture.stages]


def _widths(architecture: Architecture) -> list[int]:
    return [architecture.stem.width, *(stage.width for stage in architecture.stages)]


@pytest.mark.parametrize("by", ["width", "both"])
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", references())
def test_every_reference_fills_every_cap_to_one_per_cent(name: str, cap: int, by: By) -> None:
    source = references()[name]
    assert (
        0.99 * cap <= cost(scale(source.architecture, source.task, Budget(params=cap), by), source.task).params <= cap
    )


@given(
    st.sampled_from(sorted(references())),
    st.integers(60_000, 3_000_000),
    st.sampled_from(["width", "depth", "both"]),
    st.sampled_from([2, 10, 100]),
)
def test_what_comes_out_fits_and_keeps_families_and_strides(name: str, cap: int, by: By, classes: int) -> None:
    source = references()[name].architecture
    task = Task(num_classes=classes, resolution=32)
    try:
        found = scale(source, task, Budget(params=cap), by)
    except CapError:
        assert by == "depth" or cost(source, task).params > cap
        return
    assert cost(found, task).params <= cap
    assert [stage.stride for stage in found.stages] == [stage.stride for stage in source.stages]
    for ours, theirs in zip(found.stages, source.stages, strict=True):
        assert {block.family for block in ours.blocks} <= {block.family for block in theirs.blocks}
        assert (ours.blocks[0].family, ours.blocks[-1].family) == (theirs.blocks[0].family, theirs.blocks[-1].family)


def test_width_keeps_depths_and_depth_keeps_widths() -> None:
    wide = scale(RESNET.architecture, RESNET.task, Budget(params=1_000_000), "width")
    deep = scale(RESNET.architecture, RESNET.task, Budget(params=30_000_000), "depth")
    assert _depths(wide) == _depths(RESNET.architecture)
    assert _widths(deep) == _widths(RESNET.architecture)
    assert min(_depths(deep)) > 2


def test_both_takes_from_width_and_from_depth() -> None:
    found = scale(RESNET.architecture, RESNET.task, Budget(params=1_000_000))
    assert _depths(found) == [1, 1, 1, 1]
    assert max(_widths(found)) < 512
    assert min(_depths(scale(RESNET.architecture, RESNET.task, Budget(params=100_000_000)))) > 2


def test_equal_widths_stay_equal_and_the_order_of_neighbours_stays() -> None:
    for cap in range(100_000, 1_000_000, 90_000):
        stem, first, *rest = _widths(scale(RESNET.architecture, RESNET.task, Budget(params=cap), "width"))
        assert stem == first
        assert [first, *rest] == sorted([first, *rest])


def test_a_network_that_fills_the_cap_is_returned_as_it_is() -> None:
    cap = int(RESNET.params / 0.995)
    for by in ("width", "depth", "both"):
        assert scale(RESNET.architecture, RESNET.task, Budget(params=cap), by) is RESNET.architecture


def test_depth_leaves_no_room_for_one_more_of_the_last_blocks() -> None:
    cap = 20_000_000
    found = scale(RESNET.architecture, RESNET.task, Budget(params=cap), "depth")
    stages = list(found.stages)
    stages[-1] = stages[-1].model_copy(update={"blocks": (*stages[-1].blocks, stages[-1].blocks[-1])})
    deeper = found.model_copy(update={"stages": tuple(stages)})
    assert cost(found, RESNET.task).params <= cap < cost(deeper, RESNET.task).params


def test_a_deeper_densenet_grows_by_as_much_in_each_block() -> None:
    found = scale(DENSENET.architecture, DENSENET.task, Budget(params=2_000_000), "depth")
    places = found.stages[0].places(found.stem.width)
    assert len(places) > len(DENSENET.architecture.stages[0].blocks)
    assert {place.out_width - place.in_width for place in places} == {12}


def test_heads_and_splits_follow_the_width() -> None:
    mixer = Block(family="sdta", heads=4, splits=4)
    source = Architecture(stem=Stem(width=64), stages=(Stage(width=64, blocks=(mixer, mixer)),))
    task = Task(num_classes=10, resolution=32)
    for cap in range(1_500, 6_000, 150):
        found = scale(source, task, Budget(params=cap), "width")
        assert found.stages[0].width % found.stages[0].blocks[0].heads == 0
        assert cost(found, task).params <= cap


def test_every_other_cap_is_kept_too() -> None:
    budget = Budget(params=1_000_000, macs=20_000_000, peak_activation_bytes=2_000_000)
    found = cost(scale(RESNET.architecture, RESNET.task, budget), RESNET.task)
    assert not budget.violations(found)
    assert found.macs > 0.8 * 20_000_000 or found.peak_activation_bytes > 0.8 * 2_000_000


def test_head_and_first_width_are_scaled_where_they_are() -> None:
    source = Architecture(
        stem=Stem(width=32, first_width=16, stride=4),
        stages=(Stage(width=32, blocks=(Block(family="separable"),)),),
        head=Head(width=64, hidden=128),
    )
    task = Task(num_classes=10, resolution=32)
    found = scale(source, task, Budget(params=4 * cost(source, task).params), "width")
    grown = (found.stem.first_width, found.head.width, found.head.hidden)
    assert all(size > before for size, before in zip(grown, (16, 64, 128), strict=True))


@pytest.mark.parametrize("by", ["width", "depth", "both"])
def test_a_cap_below_the_smallest_member_is_refused_in_one_line(by: By) -> None:
    with pytest.raises(
        CapError, match=r"^cap: scaled by \w+, even the smallest member fails: params [\d,]+ exceeds the cap 500$"
    ):
        scale(RESNET.architecture, RESNET.task, Budget(params=500), by)


def test_without_a_cap_on_params_nothing_can_be_filled() -> None:
    with pytest.raises(CapError, match="needs a cap on params"):
        scale(RESNET.architecture, RESNET.task, Budget(params=None, macs=1_000_000))
