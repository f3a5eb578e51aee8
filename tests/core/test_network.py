"""Networks: weights that depend on their seed alone, and modules against their formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.architecture import Architecture, Stage, Stem, Task
from nas.layers import Act, Conv, Layer, Norm, Parallel, SqueezeExcite, chain, trace
from nas.network.build import build, module
from tests.core.examples import TASK, architecture, block

MAPS = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))


def _weights(seed: int) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in build(architecture(), TASK, seed=seed).parameters()])


def test_weights_depend_on_the_seed_alone() -> None:
    first = _weights(1)
    torch.rand(3)
    assert torch.equal(first, _weights(1))
    assert not torch.equal(first, _weights(2))


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build(architecture(), TASK, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_building_leaves_the_generator_of_the_gpu_alone() -> None:
    before = torch.cuda.get_rng_state()
    build(architecture(), TASK, seed=1)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_the_state_of_a_network_fits_at_every_resolution(resolution: int) -> None:
    design = architecture(block("residual"), block("nodepth"), width=16, stride=2)
    there = build(design, TASK.model_copy(update={"resolution": resolution}), seed=1)
    there.load_state_dict(build(design, TASK, seed=2).state_dict())
    assert there(torch.zeros(2, 3, resolution, resolution)).shape == (2, 10)


def test_forward_is_features_then_head() -> None:
    network = build(architecture(width=16, stride=2), TASK).eval()
    images = torch.randn(2, 3, 16, 16)
    features = network.forward_features(images)
    assert features.shape == (2, 16, 4, 4)
    assert torch.equal(network.forward_head(features), network(images))


def test_block_names_are_the_names_of_modules_in_order() -> None:
    stages = (Stage(width=8, blocks=(block(), block())), Stage(width=8, blocks=(block("nodepth"),)))
    network = build(Architecture(stem=Stem(width=8), stages=stages), TASK)
    assert network.block_names == ["stages.stage1.block1", "stages.stage1.block2", "stages.stage2.block1"]
    assert all(isinstance(network.get_submodule(name), nn.Module) for name in network.block_names)


@pytest.mark.parametrize(("skip", "expected"), [(True, MAPS), (False, torch.zeros_like(MAPS))])
def test_a_block_whose_branch_gives_nothing_passes_on_its_skip(skip: bool, expected: torch.Tensor) -> None:
    network = build(architecture(block("nodepth", skip=skip)), TASK).eval()
    built = network.get_submodule(network.block_names[0])
    for parameter in built.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(built(MAPS), expected)


def test_solu_is_x_times_softmax_over_channels_then_layer_norm() -> None:
    expected = F.layer_norm((MAPS * MAPS.softmax(1)).movedim(1, -1), (8,)).movedim(-1, 1)
    assert torch.allclose(module(Act("solu", 8))(MAPS), expected, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("width", [8, 24])
@pytest.mark.parametrize("layer", ["solu", "layer"])
def test_norms_over_channels_of_a_bfloat16_map_are_computed_in_float32(
    layer: str, width: int, layout: torch.memory_format
) -> None:
    built = module(Act("solu", width) if layer == "solu" else Norm("layer", width))
    maps = torch.randn(2, width, 5, 5).bfloat16().contiguous(memory_format=layout).requires_grad_()
    exact = maps.detach().float().requires_grad_()
    found, expected = built(maps), built(exact)
    assert torch.equal(found, expected.bfloat16())
    weights = torch.randn(2, width, 5, 5).bfloat16()
    (gradient,) = torch.autograd.grad(found, maps, weights)
    assert torch.allclose(gradient, torch.autograd.grad(expected, exact, weights.float())[0].bfloat16(), atol=1e-3)


def test_relu_squared_is_the_square_of_the_positive_part() -> None:
    assert torch.equal(module(Act("relu_squared", 8))(MAPS), MAPS.clamp(min=0) ** 2)


def test_layer_norm_normalises_the_channels_of_each_position() -> None:
    normalised = module(Norm("layer", 8))(MAPS)
    assert torch.allclose(normalised.mean(1), torch.zeros(2, 5, 5), atol=1e-6)
    assert torch.allclose(normalised.var(1, correction=0), torch.ones(2, 5, 5), atol=1e-3)


@pytest.mark.parametrize(("gate", "function"), [("sigmoid", torch.sigmoid), ("hardsigmoid", F.hardsigmoid)])
def test_squeeze_excite_multiplies_channels_by_gates(gate: str, function: type[torch.Tensor]) -> None:
    built = module(SqueezeExcite(8, 4, gate))
    pooled = MAPS.mean((2, 3), keepdim=True)
    expected = MAPS * function(built.expand(F.relu(built.reduce(pooled))))
    assert torch.allclose(built(MAPS), expected)


@pytest.mark.parametrize(("combine", "width"), [("add", 8), ("multiply", 8), ("concat", 16)])
def test_branches_are_combined_as_their_layer_says(combine: str, width: int) -> None:
    layer = Parallel((("one", Conv(8, 8)), ("other", chain())), combine)
    built = module(layer)
    one = built["one"](MAPS)
    expected = {"add": one + MAPS, "multiply": one * MAPS, "concat": torch.cat([one, MAPS], 1)}[combine]
    assert torch.allclose(built(MAPS), expected)
    assert trace(layer, 8, 5).channels == width == built(MAPS).shape[1]


@pytest.mark.parametrize("layer", [Conv(8, 4, 3, 2), Conv(8, 8, 5, groups=8), Norm("group", 8), Act("gelu", 8)])
def test_a_module_gives_the_shape_its_layer_states(layer: Layer) -> None:
    traced = trace(layer, 8, 5)
    assert module(layer)(MAPS).shape == (2, traced.channels, traced.side, traced.side)


def test_a_layer_without_a_module_is_refused() -> None:
    with pytest.raises(TypeError, match="no module for layer str"):
        module("conv")


def test_grey_images_are_taken_where_the_task_says_so() -> None:
    network = build(architecture(), Task(num_classes=10, in_channels=1, resolution=8))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
