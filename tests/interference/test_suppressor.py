"""The suppressor: what it adds to the gradients of a network, when, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from nas.interference import statistics, suppression, training_look
from nas.interference.statistics import Features
from nas.interference.suppression import Suppressor, row_overlap
from nas.records import Suppression


def narrowing(*, norm: bool = True) -> nn.Sequential:
    """Return a network with one narrowing and one expanding map, and a classifier."""
    norms = [nn.BatchNorm2d(width) if norm else nn.Identity() for width in (3, 8)]
    for each in norms:
        for parameter in each.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)
    narrow, wide = nn.Conv2d(8, 3, 1), nn.Conv2d(3, 8, 1)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), narrow, norms[0], wide, norms[1], nn.ReLU(), *head)


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(16, 2, 6, 6), torch.arange(16) % 2


def go_back(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    nn.functional.cross_entropy(network(images), labels).backward()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def added(network: nn.Module, how: Suppression, given: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return what the first of three steps, at the full ramp, adds to each gradient."""
    suppressor = Suppressor(network, how, steps=3, seed=0)
    with suppressor.watching():
        go_back(network, *given)
    before = gradients(network)
    suppressor.step()
    return {name: gradient - before[name] for name, gradient in gradients(network).items()}


def expected(network: nn.Sequential, how: Suppression, given: tuple[Tensor, Tensor], at: int) -> Tensor:
    """Return lambda dR/dW of the map `at`, from the statistics, with every position and the norm behind the map."""
    images, labels = given
    module, norm = network[at], network[at + 1]
    inputs = network[:at](images)
    inputs.retain_grad()
    outputs = module(inputs)
    outputs.retain_grad()
    go_back(nn.Sequential(*network[at + 1 :]), outputs, labels)
    reads = module.out_channels > module.in_channels
    activity = outputs if reads else inputs
    rows = activity.detach().movedim(1, -1).flatten(0, -2).double()
    use = (activity.detach() * activity.grad).abs().movedim(1, -1).flatten(0, -2).sum(0).double()
    scales = (norm.weight * (norm.running_var + norm.eps).rsqrt()).detach().double()
    weight = module.weight.detach().flatten(1).double().requires_grad_()
    folded = scales.unsqueeze(1) * weight
    features = Features.from_covariance(folded.T if reads else folded, (rows * scales if reads else rows).T.cov())
    if how.interference == "full":
        ratios = statistics.realised_ratio(features)
    else:
        noise = statistics.independent_interference(features)
        ratios = noise / (statistics.signal(features) + noise)
    shares = use / use.sum() if how.importance == "gradient" else torch.full_like(use, 1 / len(use))
    excess = (ratios @ shares - (1 - 3 / 8)).relu()
    assert excess > 0.01
    return how.strength * torch.autograd.grad(excess, weight)[0].view_as(module.weight)


@pytest.mark.parametrize(
    "how",
    [
        Suppression(strength=2, interference=interference, importance=importance)
        for interference, importance in product(["independent", "full"], ["gradient", "uniform"])
    ],
    ids=lambda how: f"{how.interference}-{how.importance}",
)
def test_a_step_adds_the_gradient_of_the_penalty_of_the_narrowing_maps(how: Suppression) -> None:
    network, given = narrowing(), batch()
    network(given[0])
    for norm in (network[3], network[5]):
        norm.momentum = 0.0  # so that running variances stay where they are
    change = added(network, how, given)
    assert {name for name, each in change.items() if each.any()} == {"2.weight"}
    assert torch.allclose(change["2.weight"].double(), expected(network, how, given, 2), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("interference", ["independent", "full"])
def test_expanding_maps_are_acted_on_if_asked_for(interference: str) -> None:
    network, given = narrowing(), batch()
    network(given[0])
    for norm in (network[3], network[5]):
        norm.momentum = 0.0
    how = Suppression(layers="all", interference=interference, importance="uniform")
    change = added(network, how, given)
    assert {name for name, each in change.items() if each.any()} == {"2.weight", "4.weight"}
    for at in (2, 4):  # R is the mean over both
        half = expected(network, how, given, at) / 2
        assert torch.allclose(change[f"{at}.weight"].double(), half, rtol=1e-3, atol=1e-5)


def test_orthogonality_is_a_control_that_looks_at_the_weights_alone() -> None:
    network, given = narrowing(norm=False), batch()
    weight = network[2].weight
    change = added(network, Suppression(kind="orthogonality"), given)
    (wanted,) = torch.autograd.grad(row_overlap(weight.flatten(1)), weight)
    assert torch.allclose(change["2.weight"], wanted, atol=1e-6)


def train(network: nn.Module, suppressor: Suppressor, steps: int, each: Callable[[int], None] = lambda _: None) -> None:
    given = batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for step in range(steps):
        with suppressor.watching():
            go_back(network, *given)
        suppressor.step()
        optimizer.step()
        optimizer.zero_grad()
        each(step)


def test_the_penalty_stays_between_looks_and_ends_before_training_does() -> None:
    network = narrowing()
    suppressor = Suppressor(network, Suppression(), steps=20, seed=0)
    sizes = []
    for _ in range(20):
        with suppressor.watching():
            go_back(network, *batch())
        before = network[2].weight.grad.clone()
        suppressor.step()
        sizes.append((network[2].weight.grad - before).norm().item())
        network.zero_grad()
    assert sizes[1:4] == pytest.approx([2 * sizes[0], 3 * sizes[0], 4 * sizes[0]], rel=1e-3)
    assert all(size > 0 for size in sizes[:18])
    assert sizes[18:] == [0, 0]


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_hooks_are_there_in_a_look_alone() -> None:
    network = narrowing()
    suppressor = Suppressor(network, Suppression(), steps=20, seed=0)
    counts = []
    for _ in range(6):
        with suppressor.watching():
            counts.append(hooks(network))
            go_back(network, *batch())
        assert hooks(network) == 0
        suppressor.step()
    assert [count > 0 for count in counts] == [True, False, False, False, True, False]


def test_no_hook_outlives_an_exception() -> None:
    network = narrowing()
    suppressor = Suppressor(network, Suppression(), steps=20, seed=0)
    with pytest.raises(RuntimeError), suppressor.watching():
        network(torch.randn(2, 5, 6, 6))
    assert hooks(network) == 0
    train(network, suppressor, 1)
    assert suppressor.report() is not None


def test_a_network_in_evaluation_gives_what_it_gave() -> None:
    network, (images, labels) = narrowing(), batch()
    suppressor = Suppressor(network, Suppression(), steps=20, seed=0)
    plain = network(images)
    for norm in (network[3], network[5]):
        norm.reset_running_stats()
    with suppressor.watching():
        assert torch.equal(network(images), plain)
        nn.functional.cross_entropy(network(images), labels).backward()


def test_excess_falls_and_the_report_says_so() -> None:
    reports = []
    for strength in (1e-9, 3.0):
        torch.manual_seed(0)
        network = narrowing()
        suppressor = Suppressor(network, Suppression(strength=strength), steps=60, seed=0)
        train(network, suppressor, 60)
        reports.append(suppressor.report())
    without, suppressed = reports
    assert without.excess_before == suppressed.excess_before > 0.02
    assert suppressed.excess_suppressed < 0.5 * without.excess_suppressed
    assert suppressed.excess_after < 0.5 * without.excess_after
    assert (suppressed.strength, suppressed.projections, suppressed.switched_off) == (3, 1, 0)
    assert 1 / 8 < suppressed.spread <= 1


def test_a_report_counts_the_channels_that_are_switched_off() -> None:
    network = narrowing()
    with torch.no_grad():
        network[0].weight[:2] = 0
        network[0].bias[:2] = 1
    suppressor = Suppressor(network, Suppression(), steps=1, seed=0)
    train(network, suppressor, 1)
    assert suppressor.report().switched_off == 2 / 8


def test_below_its_target_lambda_is_zero_and_the_bits_are_those_without() -> None:
    trained = []
    for how in (Suppression(target=0.9), Suppression(strength=1.0)):
        torch.manual_seed(0)
        network = narrowing()
        suppressor = Suppressor(network, how, steps=20, seed=0)
        train(network, suppressor, 20)
        trained.append((suppressor.report().strength, network[2].weight.detach()))
    torch.manual_seed(0)
    network = narrowing()
    train(network, Suppressor(nn.Identity(), Suppression(), steps=20, seed=0), 20)
    (held, controlled), (_, fixed) = trained
    assert held == 0
    assert torch.equal(controlled, network[2].weight)
    assert not torch.equal(fixed, network[2].weight)


def test_lambda_grows_above_the_target_and_never_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    values: Iterator[float] = iter([0.3, 0.3, 0.9, 0.9, 0.1, 0.0, 0.0])
    real = suppression._penalty

    def fake(states: list[object], how: Suppression) -> tuple[Tensor, list[Tensor]]:
        excess, parts = real(states, how)
        return torch.full_like(excess, next(values)), parts

    monkeypatch.setattr(suppression, "_penalty", fake)
    monkeypatch.setattr(suppression, "REFRESH", 1)
    monkeypatch.setattr(suppression, "GAIN", 10.0)
    monkeypatch.setattr(suppression, "DUAL_RATE", 5.0)
    suppressor = Suppressor(narrowing(), Suppression(strength=2, target=0.2), steps=7, seed=0)
    monkeypatch.setattr(suppression, "ramp", lambda *_: 1.0)
    strengths = []
    train(suppressor._network, suppressor, 6, lambda _: strengths.append(suppressor.report().strength))
    # u = 0.5, 1, 4.5, 8, 7.5, 6.5; lambda = 2 (u + 10 (R - 0.2)), at most 2 * 10
    assert strengths == pytest.approx([3, 4, 20, 20, 13, 9])


def test_the_same_seed_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_look, "POSITIONS", 64)  # of 256, so that it matters which
    trained = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        network = narrowing()
        train(network, Suppressor(network, Suppression(), steps=20, seed=seed), 20)
        trained.append(network[2].weight.detach())
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_maps_that_are_frozen_or_see_one_position_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(2, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 3, 1), nn.Flatten())
    suppressor = Suppressor(network, Suppression(), steps=4, seed=0)
    train(network, suppressor, 4)
    assert suppressor.report() is None
    frozen = narrowing()
    frozen[2].weight.requires_grad_(False)
    suppressor = Suppressor(frozen, Suppression(), steps=4, seed=0)
    train(frozen, suppressor, 4)
    assert suppressor.report() is None


def test_linear_maps_on_tokens_strides_and_norms_without_statistics_are_seen() -> None:
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 4), nn.Flatten(), nn.Linear(8, 2))
    strided = narrowing()
    strided[2] = nn.Conv2d(8, 3, 1, stride=2)
    strided[3] = nn.BatchNorm2d(3, track_running_stats=False)
    for network, maps in ((tokens, 2), (strided, 1)):
        suppressor = Suppressor(network, Suppression(), steps=8, seed=0)
        train(network, suppressor, 8)
        report = suppressor.report()
        assert report.projections == maps
        assert 0 <= report.excess_after < 1


def test_a_loss_that_is_no_number_is_passed_on_and_not_hidden() -> None:
    network = narrowing()
    suppressor = Suppressor(network, Suppression(target=0.01), steps=8, seed=0)
    images, labels = batch()
    with suppressor.watching():
        go_back(network, images * math.nan, labels)
    suppressor.step()
    assert network[2].weight.grad.isnan().any()
