"""Simulated int8: the grids by hand, folding that changes nothing, and a copy that leaves the network alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.images import Dataset, Images
from nas.errors import InputError
from nas.network.build import build
from nas.records import Fidelity, Plan, Recipe
from nas.training.loop import Normaliser, evaluate, train
from nas.training.quantise import Range, folded, int8_accuracy, quantised, rounded_activation, rounded_weight
from tests.training.conftest import DIGITS, Build

PLAN = Plan()
LEVELS = Normaliser((0.0,), (1 / 255,))
"""Gives the network the uint8 values themselves, 0 to 255."""
RECIPE = Recipe(batch_size=16, learning_rate=2e-2)


def pictures(count: int = 8, side: int = 4) -> Images:
    """Give grey images in which 0 and 255 occur."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, side, side), generator=generator, dtype=torch.uint8)
    pixels[0, 0, 0, :2] = torch.tensor([0, 255])
    return Images(pixels, torch.arange(count) % 2)


def with_unsettled_norms(network: nn.Module) -> nn.Module:
    """Give every batch-norm statistics and factors that are not those it starts with."""
    generator = torch.Generator().manual_seed(1)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                assert values is not None
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    return network.eval()


def family(name: str, norm: str = "batch") -> Architecture:
    block = Block.model_validate({"family": name, "norm": norm})
    return Architecture(stem=Stem(width=8, stride=1), stages=(Stage(width=16, stride=2, blocks=(block,) * 2),))


@pytest.fixture(scope="module")
def trained(few: Dataset, small: Architecture) -> nn.Module:
    """Give a small network that knows its digits somewhat."""
    network = build(small, DIGITS, seed=0)
    return train(network, few, RECIPE, Fidelity(epochs=30, resolution=8), PLAN, seed=0).network


def test_weights_are_rounded_to_the_grid_of_their_own_channel() -> None:
    weight = torch.tensor([[1.27, 0.014, -0.006], [12.7, 0.14, 0.04]])  # grids of 0.01 and 0.1
    assert torch.allclose(rounded_weight(weight), torch.tensor([[1.27, 0.01, -0.01], [12.7, 0.1, 0.0]]))


def test_two_bits_leave_three_values_of_a_weight() -> None:
    weight = torch.tensor([[-0.8, -0.5, -0.3, 0.1, 0.41]])
    assert torch.allclose(rounded_weight(weight, bits=2), torch.tensor([[-0.8, -0.8, 0.0, 0.0, 0.8]]))


def test_a_channel_of_zeros_stays_zero() -> None:
    assert torch.equal(rounded_weight(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_activations_are_rounded_and_clipped_to_their_range() -> None:
    values = torch.tensor([-3.0, -0.94, 0.0, 0.26, 1.44, 9.0])
    expected = torch.tensor([-1.0, -1.0, 0.0, 0.5, 1.5, 2.0])  # -1 to 2 in seven steps: 0.5 apart, zero at the third
    assert torch.allclose(rounded_activation(values, Range(-1.0, 2.5), bits=3)[:5], expected[:5])
    assert rounded_activation(values, Range(-1.0, 2.0), bits=8)[5].item() == pytest.approx(2.0, abs=0.02)


def test_zero_is_on_the_grid_whatever_the_range() -> None:
    for low, high in ((-0.37, 1.9), (0.0, 3.3), (-2.2, 0.0), (0.0, 0.0)):
        assert rounded_activation(torch.zeros(1), Range(low, high)).item() == 0


def test_one_layer_gives_what_integers_would() -> None:
    layer = nn.Linear(2, 1)
    layer.weight.data = torch.tensor([[0.5, -0.3]])
    layer.bias.data = torch.tensor([0.1])
    images = Images(torch.tensor([[[[0]]], [[[255]]], [[[100]]]], dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    network = nn.Sequential(nn.Flatten(), _Twice(), layer)
    simulated = quantised(network, images, Normaliser((0.0,), (1.0,)), PLAN)
    # inputs from 0 to 1 in 255 steps, weights in steps of 0.5 / 127: 127 and round(-76.2) = -76
    # 0.6 is 153 steps of the inputs, and 0.25 is 63.75: 64
    expected = (153 * 127 - 64 * 76) * (0.5 / 127) / 255 + 0.1
    assert simulated[2](torch.tensor([[0.6, 0.25]])).item() == pytest.approx(expected, abs=1e-6)


class _Twice(nn.Module):
    """Gives a column twice."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2) of (B, 1)."""
        return x.expand(-1, 2)


def test_a_network_on_the_grid_is_not_changed() -> None:
    convolution = nn.Conv2d(1, 2, 3, padding=1)
    convolution.weight.data = torch.arange(18.0).view(2, 1, 3, 3) * 7 - 60
    convolution.weight.data[:, 0, 0, 0] = 127  # so that the step is one
    images = pictures()
    simulated = quantised(convolution, images, LEVELS, PLAN)
    batch = LEVELS(images.pixels)
    assert torch.equal(simulated.weight, convolution.weight)
    assert torch.equal(simulated(batch), convolution(batch))


@pytest.mark.parametrize(
    "name", ["separable", "inverted", "sandglass", "convnext", "nodepth", "nodepth_dense", "residual"]
)
def test_folding_batch_norms_leaves_the_outputs_equal(name: str) -> None:
    network = with_unsettled_norms(build(family(name), DIGITS, seed=0))
    batch = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    result = folded(network)
    assert torch.allclose(result(batch), network(batch), rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in result.modules())


def test_a_norm_in_a_nested_chain_is_folded_into_the_convolution_before_the_chain() -> None:
    inner = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    network = with_unsettled_norms(nn.Sequential(nn.Sequential(nn.Conv2d(1, 3, 1)), inner))
    batch = torch.rand(2, 1, 4, 4)
    assert torch.allclose(folded(network)(batch), network(batch), atol=1e-6)
    assert isinstance(folded(network)[1][0], nn.Identity)


def test_a_norm_behind_something_else_stays() -> None:
    network = with_unsettled_norms(nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)))
    assert isinstance(folded(network)[2], nn.BatchNorm2d)


def test_a_layer_norm_stays_and_is_no_obstacle() -> None:
    network = build(family("convnext", norm="layer"), DIGITS, seed=0).eval()
    batch = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(folded(network)(batch), network(batch), atol=1e-5)


def test_the_network_itself_is_left_alone(make: Build, few: Dataset) -> None:
    network = make().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quantised(network, few.train, Normaliser(few.mean, few.std), PLAN)
    assert network.training
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_eight_bits_cost_little_and_two_cost_much(trained: nn.Module, few: Dataset) -> None:
    normaliser = Normaliser(few.mean, few.std)
    exact = evaluate(trained, few.validation, normaliser, PLAN)[1]
    coarse = quantised(trained, few.train, normaliser, PLAN, bits=2)
    assert exact > 0.5
    assert abs(int8_accuracy(trained, few.train, few.validation, normaliser, PLAN) - exact) <= 0.05
    assert evaluate(coarse, few.validation, normaliser, PLAN)[1] < exact - 0.2


def test_the_precision_of_the_plan_does_not_matter(trained: nn.Module, few: Dataset) -> None:
    normaliser, half = Normaliser(few.mean, few.std), Plan(precision="bfloat16")
    first, second = (int8_accuracy(trained, few.train, few.validation, normaliser, plan) for plan in (PLAN, half))
    assert first == second


def test_rare_extremes_do_not_widen_the_range() -> None:
    images = Images(torch.full((32, 1, 32, 32), 100, dtype=torch.uint8), torch.zeros(32, dtype=torch.int64))
    images.pixels[0, 0, 0, :3] = 255  # three of 32,768: fewer than one in ten thousand
    simulated = quantised(nn.Conv2d(1, 1, 1, bias=False), images, LEVELS, PLAN)
    simulated.weight.data.fill_(1.0)
    assert simulated(torch.full((1, 1, 1, 1), 255.0)).item() == pytest.approx(100)


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_outside_two_to_eight_are_refused(bits: int, make: Build, few: Dataset) -> None:
    with pytest.raises(InputError, match=f"bits must be from 2 to 8, got {bits}"):
        quantised(make(), few.train, Normaliser(few.mean, few.std), PLAN, bits=bits)


def test_calibration_needs_an_image(make: Build, few: Dataset) -> None:
    none = few.train.select(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(InputError, match="calibration: at least one image is needed, got none"):
        quantised(make(), none, Normaliser(few.mean, few.std), PLAN)
