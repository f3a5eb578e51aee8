"""Activations against values worked out by hand from their sources."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block, Place
from nas.blocks.star import FAMILY
from nas.interference.branch import BlockCall, superlinearity
from nas.layers import Act
from nas.network.build import module
from nas.network.modules import ACTIVATIONS, Branches, SoLU


def at(name: str, *channels: float) -> list[float]:
    """Return what an activation gives for one position with these channels."""
    with torch.no_grad():
        return ACTIVATIONS[name](len(channels))(as_map(*channels)).flatten().tolist()


def as_map(*channels: float) -> Tensor:
    return torch.tensor(channels, dtype=torch.float32).reshape(1, -1, 1, 1)


def normalised(*values: float, eps: float = 1e-5) -> list[float]:
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    return [(value - mean) / math.sqrt(variance + eps) for value in values]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("relu", (-2, 0, 3), (0, 0, 3)),
        ("relu6", (-2, 3, 7), (0, 3, 6)),
        ("leaky_relu", (-2, 3), (-0.02, 3)),
        ("relu_squared", (-2, 0.5, 3), (0, 0.25, 9)),
        ("identity", (-2, 3), (-2, 3)),
        # x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, section 5.2)
        ("hardswish", (-4, -1, 0, 1, 4), (0, -1 / 3, 0, 2 / 3, 4)),
        # x / (1 + 1/e) and -x / (1 + e) at x = 1
        ("silu", (1, -1), (0.7310586, -0.2689414)),
        # x Phi(x), the exact form: Phi(1) = 0.8413447
        ("gelu", (1, -1, 2), (0.8413447, -0.1586553, 1.9544997)),
        # x tanh(log(1 + e^x)): tanh(log 2) = 0.6, tanh(log 3) = 0.8
        ("mish", (0, math.log(2)), (0, 0.8 * math.log(2))),
    ],
)
def test_values_by_hand(name: str, given: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert at(name, *given) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "products"),
    [
        # softmax(log 3, 0) = (3/4, 1/4)
        ((math.log(3), 0), (0.75 * math.log(3), 0)),
        # softmax(log 2, log 1, log 5) = (2, 1, 5) / 8
        ((math.log(2), 0, math.log(5)), (math.log(2) / 4, 0, 5 * math.log(5) / 8)),
        # softmax(log 3, -log 3) = (9, 1) / 10: a negative channel keeps its sign
        ((math.log(3), -math.log(3)), (0.9 * math.log(3), -0.1 * math.log(3))),
    ],
)
def test_solu_is_x_times_softmax_then_a_layer_norm(given: tuple[float, ...], products: tuple[float, ...]) -> None:
    assert at("solu", *given) == pytest.approx(normalised(*products), abs=1e-5)
    bare = SoLU(len(given))
    bare.norm = nn.Identity()
    assert bare(as_map(*given)).flatten().tolist() == pytest.approx(products, abs=1e-6)


def test_solu_of_two_channels_in_numbers() -> None:
    # (log 3, 0) -> (0.8239592, 0) -> halves of 0.4119796 around the mean, over sqrt(0.4119796^2 + 1e-5)
    assert at("solu", math.log(3), 0) == pytest.approx([0.9999705, -0.9999705], abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e4, -1e4])
def test_solu_of_equal_channels_is_its_shift(value: float) -> None:
    assert at("solu", *[value] * 4) == pytest.approx([0.0] * 4, abs=1e-3)


def test_solu_lets_the_largest_channel_through() -> None:
    bare = SoLU(3)
    bare.norm = nn.Identity()
    assert bare(as_map(100, 1, 2)).flatten().tolist() == pytest.approx([100, 0, 0], abs=1e-6)


def test_the_norm_of_solu_has_a_learned_scale_and_shift() -> None:
    solu = SoLU(2)
    assert {name: tuple(p.shape) for name, p in solu.named_parameters()} == {"norm.weight": (2,), "norm.bias": (2,)}
    assert solu.norm.eps == 1e-5
    with torch.no_grad():
        solu.norm.weight.copy_(torch.tensor([2.0, 3.0]))
        solu.norm.bias.copy_(torch.tensor([10.0, 20.0]))
    one, other = normalised(0.75 * math.log(3), 0)
    assert solu(as_map(math.log(3), 0)).flatten().tolist() == pytest.approx([2 * one + 10, 3 * other + 20], abs=1e-5)


def test_solu_works_at_each_position_alone() -> None:
    solu, x = SoLU(5), torch.randn(2, 5, 3, 3)
    alone = solu(x[1:, :, 2:, 1:2])
    assert torch.allclose(solu(x)[1:, :, 2:, 1:2], alone, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_layer_s_parameters_are_those_of_the_module(name: str) -> None:
    assert sum(p.numel() for p in ACTIVATIONS[name](6).parameters()) == Act(name, 6).params


def star_product() -> Branches:
    """Return the product of the two branches of a star block, without biases and with ReLU."""
    block = module(FAMILY.layers(Block(family="star", expansion=2, activation="relu"), Place(4, 4, 1)))
    (product,) = [part for part in block.modules() if isinstance(part, Branches) and part.combine == "multiply"]
    for name, parameter in product.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return product


def test_doubling_the_input_of_a_star_product_quadruples_it() -> None:
    product, x = star_product(), torch.randn(2, 4, 3, 3)
    assert product(x).abs().max() > 0
    assert torch.allclose(product(2 * x), 4 * product(x), rtol=1e-5)


def exponent(part: nn.Module, x: Tensor) -> float | None:
    """Return d log |f(a x)| / d log a at a = 1."""
    call = BlockCall.of(nn.Sequential(part), (x,), {}, len(x))
    return None if call is None else superlinearity(call)


@pytest.mark.parametrize(
    ("name", "expected"), [("relu", 1), ("leaky_relu", 1), ("relu_squared", 2), ("identity", 1), ("solu", 0)]
)
def test_how_fast_activations_grow(name: str, expected: float) -> None:
    # Channels behind a softmax that is all but decided: only the norm of SoLU is left to see.
    x = torch.tensor([30.0, -2.0, 1.0]).reshape(1, 3, 1, 1).expand(2, 3, 2, 2)
    assert exponent(ACTIVATIONS[name](3), x) == pytest.approx(expected, abs=1e-3)


def test_a_star_product_grows_with_the_square() -> None:
    assert exponent(star_product(), torch.randn(2, 4, 3, 3)) == pytest.approx(2, abs=1e-3)


def test_solu_without_its_norm_grows_faster_than_its_input() -> None:
    # f(a) = a s(a) for channels (a, 0), s the sigmoid: d log f / d log a = 1 + a (1 - s(a)), at 1 it is 1.2689414
    bare = SoLU(2)
    bare.norm = nn.Identity()
    x = as_map(1, 0).expand(2, 2, 2, 2)
    assert exponent(bare, x) == pytest.approx(1.2689414, abs=1e-3)
