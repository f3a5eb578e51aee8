"""Schedules, clipping and Muon against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nas.architecture import Architecture
from nas.network.build import build
from nas.recipe import Recipe
from nas.training.optimizers import (
    MUON_SCALE,
    Muon,
    classifier,
    clip_gradients,
    learning_rate_factor,
    make_optimizer,
    orthogonalised,
)
from tests.training.conftest import DIGITS


def test_a_cosine_falls_from_the_peak_to_zero_behind_the_warm_up() -> None:
    rates = [learning_rate_factor(step, 120, 1 / 6, "cosine") for step in range(121)]
    assert rates[:20] == pytest.approx([(i + 1) / 20 for i in range(20)])
    assert rates[20:] == pytest.approx([(1 + math.cos(math.pi * i / 100)) / 2 for i in range(101)])


@pytest.mark.parametrize(("batch_size", "at"), [(512, 512), (2048, 512)])
def test_a_rate_is_that_of_its_own_batch_size(batch_size: int, at: int) -> None:
    recipe = Recipe(optimizer="sgd", learning_rate=0.5, rate_batch_size=at, batch_size=batch_size)
    assert make_optimizer(nn.Linear(2, 2), recipe).param_groups[0]["lr"] == pytest.approx(0.5 * batch_size / at)


def test_singular_values_become_about_one_and_vectors_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 8, 20), (2, 20, 8)):
        matrices = torch.randn(shape, generator=generator)
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        inside = left.transpose(1, 2) @ orthogonalised(matrices) @ right.transpose(1, 2)
        values = inside.diagonal(dim1=1, dim2=2)
        assert 0.6 < values.min() < values.max() < 1.3
        assert torch.allclose(inside, torch.diag_embed(values), atol=1e-4)


def test_a_step_of_muon_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = nn.Parameter(torch.randn(6, 4, 3, 3, generator=generator))
    before, gradients = kernel.detach().clone(), torch.randn(2, 6, 4, 3, 3, generator=generator)
    optimizer = Muon([{"params": [kernel], "weight_decay": 0.1}], lr=0.5, momentum=0.9)
    momentum = torch.zeros_like(before)
    for gradient in gradients:
        kernel.grad = gradient.clone()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        update = orthogonalised((0.1 * gradient + 0.9 * momentum).flatten(1)[None])[0].view_as(before)
        before = before * (1 - 0.5 * 0.1) - 0.5 * MUON_SCALE * math.sqrt(36) * update
    assert torch.allclose(kernel.detach(), before, atol=1e-5)


def test_muon_takes_the_dense_kernels_and_adamw_the_rest(small: Architecture) -> None:
    network = build(small, DIGITS)
    made = make_optimizer(network, Recipe(optimizer="muon", weight_decay=0.1))
    by_adamw, free, by_muon = (group["params"] for group in made.param_groups)
    names = {id(p): name for name, p in network.named_parameters()}
    last = classifier(network)
    assert last is not None
    grouped = {names[id(p)]: p.shape for p in by_muon}
    assert grouped
    assert all(shape[0] > 1 and shape[1] > 1 for shape in grouped.values())
    assert {p.shape[1] for p in by_adamw if p.ndim == 4} == {1}  # the stem sees grey, a depthwise kernel one channel
    assert any(p is last.weight for p in by_adamw)
    assert len(by_adamw) + len(free) + len(by_muon) == len(names)
    assert all(p.ndim < 2 for p in free)


def test_a_unit_s_gradient_is_clipped_to_its_share_of_the_unit() -> None:
    network = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Linear(2, 2))
    weight, last = network[0].weight, network[2].weight
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    with torch.no_grad():
        weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 0.0]]).view(2, 2, 1, 1))
        network[1].weight.copy_(torch.tensor([30.0, 40.0]))
        network[1].bias.zero_()
    clip_gradients(network, 0.02)
    root = 2**0.5
    assert weight.grad is not None
    assert weight.grad.flatten(1).norm(dim=1).tolist() == pytest.approx([0.02 * 5, 0.02 * 1e-3])
    assert network[1].weight.grad.norm().item() == pytest.approx(0.02 * 50)
    assert network[1].bias.grad.norm().item() == pytest.approx(0.02 * 1e-3)
    assert last.grad is not None
    assert last.grad.flatten().norm().item() == pytest.approx(root * root)


def test_a_gradient_below_its_share_stays_as_it_is() -> None:
    layer, last = nn.Linear(2, 1, bias=False), nn.Linear(1, 1)
    network = nn.Sequential(layer, last)
    layer.weight.data.fill_(1.0)
    layer.weight.grad = torch.full_like(layer.weight, 0.01)
    clip_gradients(network, 0.02)
    assert layer.weight.grad.tolist() == [[pytest.approx(0.01)] * 2]
