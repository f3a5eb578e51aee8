"""The report on whole networks, ours and others'."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from nas.errors import InputError
from nas.interference import measure
from nas.interference.discovery import guessed_blocks


def images(count: int = 16, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def bottleneck(wide: int = 24, narrow: int = 8) -> nn.Sequential:
    """Return stem, expanding 1x1 with norm, contracting 1x1 with norm, pooling and a classifier; always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(3, narrow, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(narrow, wide, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)),
            nn.Sequential(nn.Conv2d(wide, narrow, 1), nn.BatchNorm2d(narrow)),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(narrow, 5)),
        )


def permuted(model: nn.Sequential) -> nn.Sequential:
    """Return `bottleneck` with the channels of its wide space in another order."""
    other, order = bottleneck(), torch.randperm(24, generator=torch.Generator().manual_seed(1))
    other.load_state_dict(model.state_dict())
    for tensor in (*other[1].parameters(), other[1][1].running_mean, other[1][1].running_var):
        tensor.data = tensor.data[order]
    other[2][0].weight.data = other[2][0].weight.data[:, order]
    return other


def zoo(name: str) -> nn.Module:
    if name == "mobilenet_v2":
        return torchvision.models.mobilenet_v2(weights=None)
    return timm.create_model(name, pretrained=False)


def test_report_has_both_kinds_and_their_averages() -> None:
    report = measure(bottleneck(), images(), blocks=["1", "2"])
    assert [(p.name, p.expands) for p in report.projections] == [("1.0", True), ("2.0", False)]
    assert [(b.name, b.channels) for b in report.blocks] == [("1", 24), ("2", 8)]
    metrics = report.metrics()
    assert list(metrics) == ["interference", "cross_talk", "excess_coherence", "redundancy", "channel_correlation"]
    assert metrics["cross_talk"] == pytest.approx(sum(p.cross_talk or math.nan for p in report.projections) / 2)
    assert metrics["interference"] == pytest.approx((metrics["cross_talk"] + metrics["excess_coherence"]) / 2)


def test_same_seed_gives_the_same_report_and_another_seed_another() -> None:
    first, again, other = (measure(bottleneck(), images(), positions=64, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_order_of_channels_does_not_matter() -> None:
    before = measure(bottleneck(), images(), blocks=["1", "2"]).metrics()
    after = measure(permuted(bottleneck()), images(), blocks=["1", "2"]).metrics()
    assert after == pytest.approx(before, abs=1e-5)


def test_scale_of_a_norm_against_the_next_weights_does_not_matter() -> None:
    model, scale = bottleneck(), torch.logspace(-0.5, 0.5, 24)
    before = measure(model, images()).projections[1]
    model[1][1].weight.data *= scale
    model[2][0].weight.data /= scale.view(1, -1, 1, 1)
    after = measure(model, images()).projections[1]
    assert (after.cross_talk, after.redundancy) == pytest.approx((before.cross_talk, before.redundancy), abs=1e-4)


def test_dead_channels_are_left_out_and_counted() -> None:
    model = bottleneck()
    model[1][1].weight.data[:5] = 0
    expand, contract = measure(model, images()).projections
    assert (expand.dead_channels, contract.dead_channels) == (5, 5)
    assert contract.cross_talk == pytest.approx(0, abs=0.3)


def test_projection_behind_a_zeroed_norm_is_not_measured() -> None:
    model = bottleneck()
    nn.init.zeros_(model[2][1].weight)
    expand, contract = measure(model, images()).projections
    assert contract.cross_talk is contract.excess_coherence is contract.redundancy is None
    assert measure(model, images()).cross_talk == expand.cross_talk


def test_orthogonal_layer_is_reported_at_the_floor() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1, bias=False), nn.ReLU())
    nn.init.orthogonal_(model[1].weight)
    (projection,) = measure(model, images()).projections
    assert projection.cross_talk == projection.excess_coherence == pytest.approx(math.log(0.01))
    assert projection.redundancy == 0


def test_tiny_activations_are_measured_as_any_others() -> None:
    before = measure(bottleneck(), images()).projections[0]
    model = bottleneck()
    model[0][0].weight.data *= 1e-30
    nn.init.zeros_(model[0][0].bias)
    after = measure(model, images()).projections[0]
    assert (after.dead_channels, after.excess_coherence) == (0, before.excess_coherence)


def test_network_with_nothing_to_measure_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    with pytest.raises(InputError, match="no 1x1 convolution or linear layer acts on a map"):
        measure(model, images())


def test_network_without_projections_reports_its_blocks_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert list(measure(model, images(), blocks=["1"]).metrics()) == ["channel_correlation"]


def test_low_precision_changes_little() -> None:
    exact = measure(bottleneck(), images()).metrics()
    rough = measure(bottleneck().bfloat16(), images()).metrics()
    assert rough == pytest.approx(exact, abs=0.02)


def test_memory_format_changes_nothing() -> None:
    plain = measure(bottleneck(), images()).metrics()
    model = bottleneck().to(memory_format=torch.channels_last)
    assert measure(model, images().contiguous(memory_format=torch.channels_last)).metrics() == pytest.approx(plain)


@pytest.mark.gpu
def test_device_changes_little() -> None:
    plain = measure(bottleneck(), images()).metrics()
    assert measure(bottleneck().cuda(), images().cuda()).metrics() == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "projections", "blocks"),
    [("mobilenet_v2", 34, 17), ("convnext_atto", 24, 12), ("edgenext_xx_small", 31, 12), ("ghostnet_050", 38, 16)],
)
def test_foreign_network_is_chance_at_initialisation(name: str, projections: int, blocks: int) -> None:
    report = measure(zoo(name), images(count=16, size=64), positions=1024)
    assert (len(report.projections), len(report.blocks)) == (projections, blocks)
    assert report.interference == pytest.approx(0, abs=0.06)
    assert report.redundancy == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("mobilenet_v2", "features.1"),
        ("mobilenetv3_small_050", "blocks.0.0"),
        ("resnet18", "layer1.0"),
        ("convnext_atto", "stages.0.blocks.0"),
        ("vit_tiny_patch16_224", "blocks.0"),
        ("starnet_s1", "stages.0.1"),
    ],
)
def test_first_block_of_a_foreign_network_is_found(name: str, first: str) -> None:
    assert next(iter(guessed_blocks(zoo(name)))) == first


def test_network_of_plain_layers_has_no_guessed_blocks() -> None:
    assert guessed_blocks(bottleneck()) == {}
