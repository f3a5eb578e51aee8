"""Attention modules against plain formulas, position by position; stochastic depth; stretched maps.

What timm has as well is compared with timm in `test_reference_outputs.py`.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.architecture import Architecture, Stage, Stem
from nas.attention import SingleHeadAttention, WindowAttention
from nas.layers import AtMultiple, Chain, Conv, residual
from nas.network.attention import fourier_features, from_patches, from_windows, to_patches, to_windows
from nas.network.build import build, module, set_drop_path
from nas.network.modules import Branches
from tests.core.examples import TASK, block


def _maps(channels: int, side: int) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("partition", ["near", "far"])
def test_windows_put_back_are_the_map(partition: str) -> None:
    maps = _maps(3, 12)
    windows = to_windows(maps, 4, partition)
    assert windows.shape == (18, 3, 4, 4)
    assert torch.equal(from_windows(windows, 12, partition), maps)


def test_near_windows_are_neighbours_and_far_ones_are_spread() -> None:
    rows = torch.arange(6.0).expand(1, 1, 6, 6)
    assert to_windows(rows, 3, "near")[0, 0, 0].tolist() == [0, 1, 2]
    assert to_windows(rows, 3, "far")[0, 0, 0].tolist() == [0, 2, 4]


def test_patches_put_back_are_the_map() -> None:
    maps = _maps(3, 6)
    patches = to_patches(maps, 2)
    assert patches.shape == (2, 3, 4, 9)
    assert torch.equal(patches[:, :, 1, 0], maps[:, :, 0, 1])
    assert torch.equal(from_patches(patches, 2, 6), maps)


@torch.no_grad()
def test_single_head_attention_is_its_formula() -> None:
    attention, maps = module(SingleHeadAttention(8)), _maps(8, 5)
    tokens = maps.flatten(2).transpose(1, 2)
    query, value = (tokens @ conv.weight[:, :, 0, 0].T for conv in (attention.query, attention.value))
    expected = F.scaled_dot_product_attention(query, tokens, value).transpose(1, 2).unflatten(2, (5, 5))
    torch.testing.assert_close(attention(maps), expected)


def _members(side: int, window: int, partition: str) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the positions that each position attends to, itself included."""
    stride = side // window

    def group(at: int) -> int:
        return at // window if partition == "near" else at % stride

    cells = list(product(range(side), repeat=2))
    return {a: [b for b in cells if (group(b[0]), group(b[1])) == (group(a[0]), group(a[1]))] for a in cells}


@torch.no_grad()
@pytest.mark.parametrize("attend_first", [True, False])
@pytest.mark.parametrize("partitions", [("near",), ("far",), ("far", "near")])
def test_window_attention_is_its_formula_position_by_position(partitions: tuple[str, ...], attend_first: bool) -> None:
    side, window, heads, width, wide = 6, 3, 2, 4, 8
    layer = WindowAttention(width, wide, heads, window, partitions, "silu", attend_first)
    attention, maps = module(layer), _maps(width, side)
    query, key = attention.query_key(maps).chunk(2, dim=1)

    def widen(x: Tensor) -> Tensor:
        return F.silu(F.conv2d(x, attention.value.weight, attention.value.bias))

    values = maps if attend_first else widen(maps)
    mixed = torch.zeros_like(values)
    for partition in partitions:
        for (i, j), members in _members(side, window, partition).items():
            rows, columns = zip(*members, strict=True)
            for head in range(heads):
                own = slice(head * width // heads, (head + 1) * width // heads)
                part = slice(head * values.shape[1] // heads, (head + 1) * values.shape[1] // heads)
                logits = (query[:, own, i, j, None] * key[:, own, rows, columns]).sum(1) / (width // heads) ** 0.5
                weights = logits.softmax(dim=1)
                mixed[:, part, i, j] += (weights[:, None] * values[:, part, rows, columns]).sum(2)
    torch.testing.assert_close(attention(maps), widen(mixed) if attend_first else mixed)


@torch.no_grad()
def test_maps_are_padded_to_whole_windows() -> None:
    layer = WindowAttention(4, 8, 2, 4, ("near",), "relu", attend_first=False)
    attention, maps = module(layer), _maps(4, 7)
    assert layer.padded(7) == (4, 8)
    torch.testing.assert_close(attention(maps), attention(F.pad(maps, (0, 1, 0, 1)))[:, :, :7, :7])


@torch.no_grad()
def test_a_map_smaller_than_the_window_is_one_window() -> None:
    large, fitting = (WindowAttention(4, 8, 2, window, ("near",), "relu", attend_first=False) for window in (8, 5))
    attention, maps = module(large), _maps(4, 5)
    same = module(fitting)
    same.load_state_dict(attention.state_dict())
    assert large.padded(5) == (5, 5)
    torch.testing.assert_close(attention(maps), same(maps))


@torch.no_grad()
def test_a_stretched_layer_sees_even_sides_and_gives_the_side_it_got() -> None:
    stretched = module(AtMultiple(Conv(3, 3), 2))
    sides: list[int] = []
    stretched.body.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    assert stretched(_maps(3, 5)).shape[-1] == 5
    assert stretched(_maps(3, 6)).shape[-1] == 6
    assert sides == [6, 6]


def test_fourier_features_tell_positions_apart() -> None:
    features = fourier_features(6, torch.zeros(1))[0].flatten(1).T
    assert features.shape == (36, 64)
    assert torch.cdist(features, features)[~torch.eye(36, dtype=torch.bool)].min() > 0.1


def _dropping(rate: float) -> Branches:
    branches = module(residual(Chain((("conv", Conv(4, 4)),))))
    assert isinstance(branches, Branches)
    branches.drop_path = rate
    return branches


@torch.no_grad()
def test_a_dropped_branch_leaves_the_input_and_a_kept_one_is_scaled_up() -> None:
    branches = _dropping(0.5).train()
    maps = torch.randn(64, 4, 3, 3)
    change = branches(maps) - maps
    kept = branches.branch(maps) / 0.5
    dropped = change.flatten(1).abs().sum(1) == 0
    assert 8 < int(dropped.sum()) < 56
    torch.testing.assert_close(change[~dropped], kept[~dropped], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_nothing_is_dropped_in_eval_mode() -> None:
    branches, maps = _dropping(0.9).eval(), _maps(4, 3)
    assert torch.equal(branches(maps), maps + branches.branch(maps))


def test_drop_path_grows_linearly_over_the_residual_blocks() -> None:
    blocks = (block("inverted", expansion=2), block("inverted", skip=False), block("inverted", expansion=2))
    network = build(Architecture(stem=Stem(width=8), stages=(Stage(width=8, blocks=blocks),)), TASK)
    set_drop_path(network, 0.2)
    rates = [part.drop_path for part in network.modules() if isinstance(part, Branches)]
    assert rates == [0.0, 0.2]


def test_a_projected_shortcut_and_a_product_are_never_dropped() -> None:
    blocks = (block("residual"), block("star"))
    stages = (Stage(width=8, blocks=blocks[:1]), Stage(width=16, blocks=blocks), Stage(width=16, blocks=blocks[1:]))
    network = build(Architecture(stem=Stem(width=8), stages=stages), TASK)
    set_drop_path(network, 0.3)
    parts = [part for part in network.modules() if isinstance(part, Branches)]
    assert {part.is_residual for part in parts} == {True, False}
    assert all(part.drop_path == 0 for part in parts if not part.is_residual)


def test_normalisation_free_parameters_are_vectors() -> None:
    """Weight decay acts on what has two axes or more: factors and temperatures must have one."""
    genes = block("sdta", heads=2, layer_scale=1e-6)
    network = build(Architecture(stem=Stem(width=8), stages=(Stage(width=8, blocks=(genes,)),)), TASK)
    named = {name: parameter.ndim for name, parameter in network.named_parameters()}
    assert {ndim for name, ndim in named.items() if name.endswith(("factors", "temperature"))} == {1}
