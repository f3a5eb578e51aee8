"""The report on whole networks, ours and others'."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from nas.architecture import Task
from nas.errors import InputError
from nas.interference import NULLS, capture, measure, projection_gram
from nas.interference.discovery import guessed_blocks
from nas.network.build import build
from nas.references import reference

OF_THE_FORWARD_PASS = [
    "interference",
    "cross_talk",
    "excess_coherence",
    "redundancy",
    "channel_correlation",
    "superlinearity",
    "channel_kurtosis",
    "activation_ratio",
]
OF_GRADIENTS = ["class_overlap", "importance_weighted"]


def images(count: int = 16, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def labels(count: int = 16, classes: int = 5) -> Tensor:
    return torch.arange(count) % classes


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
    if name in {"mobilenet_v2", "resnet18"}:
        return torchvision.models.get_model(name, weights=None)
    return timm.create_model(name, pretrained=False)


def test_report_has_both_kinds_and_their_averages() -> None:
    report = measure(bottleneck(), images(), blocks=["1", "2"])
    assert [(p.name, p.expands) for p in report.projections] == [("1.0", True), ("2.0", False)]
    assert [(b.name, b.channels) for b in report.blocks] == [("1", 24), ("2", 8)]
    metrics = report.metrics()
    assert list(metrics) == OF_THE_FORWARD_PASS
    assert metrics["cross_talk"] == pytest.approx(sum(p.cross_talk or math.nan for p in report.projections) / 2)
    assert metrics["interference"] == pytest.approx((metrics["cross_talk"] + metrics["excess_coherence"]) / 2)


def test_same_seed_gives_the_same_report_and_another_seed_another() -> None:
    first, again, other = (measure(bottleneck(), images(), positions=64, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_labels_add_the_metrics_of_gradients() -> None:
    report = measure(bottleneck(), images(), labels(), blocks=["1", "2"])
    assert set(report.metrics()) == {*OF_THE_FORWARD_PASS, *OF_GRADIENTS}
    assert [block.class_overlap is None for block in report.blocks] == [True, False]
    assert measure(bottleneck(), images(), blocks=["1", "2"]).metrics().items() <= report.metrics().items()


def test_without_labels_what_needs_them_is_missing() -> None:
    report = measure(bottleneck(), images(), blocks=["1", "2"], trained=True)
    assert report.class_overlap is report.importance_weighted is report.packing_floor is report.topk_drop is None
    assert set(report.metrics()).isdisjoint([*OF_GRADIENTS, "topk_drop"])


def test_network_without_logits_is_measured_without_gradients() -> None:
    model = bottleneck()[:3]
    assert list(measure(model, images(), labels(), blocks=["1"], trained=True).metrics()) == OF_THE_FORWARD_PASS


def test_one_class_has_no_class_overlap() -> None:
    metrics = measure(bottleneck(), images(), torch.zeros(16, dtype=torch.long), blocks=["2"]).metrics()
    assert "class_overlap" not in metrics
    assert "importance_weighted" in metrics


def test_classes_are_compared_in_the_last_third_of_the_blocks() -> None:
    model = build(reference("nodepth_100k").architecture, Task(num_classes=5, resolution=16))
    report = measure(model, images(), labels(), blocks=model.block_names, positions=256)
    measured = [block.class_overlap is not None for block in report.blocks]
    assert measured == [i >= len(measured) - len(measured) // 3 for i in range(len(measured))]


def test_importance_weighted_is_between_the_least_and_the_most_realised() -> None:
    for projection in measure(bottleneck(), images(), labels()).projections:
        assert len(projection.realised) == 24
        assert projection.importance_weighted is not None
        assert 0 <= min(projection.realised) < projection.importance_weighted < max(projection.realised) <= 1
        assert projection.packing_floor == pytest.approx(1 - 8 / 24)


def test_importance_counts_the_features_the_loss_depends_on() -> None:
    model = bottleneck()
    head = model[3][2]
    head.weight.data[:, 1:] = 0
    model[2][0].weight.data[0, 1:] = 0
    (_, contract) = measure(model, images(), labels()).projections
    assert contract.importance_weighted == pytest.approx(contract.realised[0])


def test_order_of_channels_does_not_matter() -> None:
    before = measure(bottleneck(), images(), labels(), blocks=["1", "2"])
    after = measure(permuted(bottleneck()), images(), labels(), blocks=["1", "2"])
    assert after.metrics() == pytest.approx(before.metrics(), abs=1e-5)
    for one, other in zip(before.projections, after.projections, strict=True):
        assert sorted(other.realised) == pytest.approx(sorted(one.realised), abs=1e-6)


def test_gram_of_a_projection_has_a_row_for_each_feature() -> None:
    model = bottleneck()
    expand, contract = capture(model, images()).projections
    gram = projection_gram(contract)
    directions = torch.nn.functional.normalize(model[2][0].weight.detach().double().flatten(1), dim=0)
    assert projection_gram(expand).shape == gram.shape == (24, 24)
    torch.testing.assert_close(gram, directions.T @ directions, rtol=0, atol=1e-4)


def test_scale_of_a_norm_against_the_next_weights_does_not_matter() -> None:
    model, scale = bottleneck(), torch.logspace(-0.5, 0.5, 24)
    before = measure(model, images()).projections[1]
    model[1][1].weight.data *= scale
    model[2][0].weight.data /= scale.view(1, -1, 1, 1)
    after = measure(model, images()).projections[1]
    assert (after.cross_talk, after.redundancy) == pytest.approx((before.cross_talk, before.redundancy), abs=1e-4)
    assert after.realised == pytest.approx(before.realised, abs=1e-4)
    assert after.activation_ratio == pytest.approx(before.activation_ratio, abs=1e-3)


def test_dead_channels_are_left_out_and_counted() -> None:
    model = bottleneck()
    model[1][1].weight.data[:5] = 0
    expand, contract = measure(model, images(), labels()).projections
    assert (expand.dead_channels, contract.dead_channels) == (5, 5)
    assert contract.cross_talk == pytest.approx(0, abs=0.3)
    assert len(contract.realised) == len(expand.realised) == 19
    assert contract.importance_weighted is not None


def test_projection_behind_a_zeroed_norm_is_not_measured() -> None:
    model = bottleneck()
    nn.init.zeros_(model[2][1].weight)
    expand, contract = measure(model, images(), labels()).projections
    assert contract.cross_talk is contract.excess_coherence is contract.redundancy is None
    assert contract.importance_weighted is contract.activation_ratio is None
    assert (contract.realised, contract.dead_channels) == ((), 8 + 24)
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
    metrics = measure(model, images(), blocks=["1"]).metrics()
    assert list(metrics) == ["channel_correlation", "superlinearity", "channel_kurtosis"]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_layer_with_nan_weights_is_named(layer: int) -> None:
    model = bottleneck()
    model[layer][0].weight.data.view(-1)[0] = float("nan")
    with pytest.raises(InputError, match=f"layer '{layer}.0': weights are not finite"):
        measure(model, images(), labels())


def test_kurtosis_counts_a_loud_constant_channel_and_no_silent_one() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
    nn.init.zeros_(model[0].weight)
    model[0].bias.data = torch.tensor([3.0, 1, 1, 1, 0, 0, 0, 0])
    (block,) = measure(model, images(), blocks=["1"]).blocks
    assert block.channel_kurtosis == pytest.approx((84 / 4) / (12 / 4) ** 2)
    assert (block.channel_correlation, block.dead_channels) == (None, 8)


def test_low_precision_changes_little() -> None:
    exact = measure(bottleneck(), images(), labels(), blocks=["1", "2"]).metrics()
    rough = measure(bottleneck().bfloat16(), images(), labels(), blocks=["1", "2"]).metrics()
    assert rough == pytest.approx(exact, abs=0.03)


def test_memory_format_changes_nothing() -> None:
    plain = measure(bottleneck(), images()).metrics()
    model = bottleneck().to(memory_format=torch.channels_last)
    assert measure(model, images().contiguous(memory_format=torch.channels_last)).metrics() == pytest.approx(plain)


@pytest.mark.gpu
def test_device_changes_little() -> None:
    plain = measure(bottleneck(), images(), labels(), trained=True).metrics()
    found = measure(bottleneck().cuda(), images().cuda(), labels().cuda(), trained=True).metrics()
    assert found == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "projections", "blocks"),
    [
        ("mobilenet_v2", 34, 17),
        ("convnext_atto", 24, 12),
        ("edgenext_xx_small", 31, 12),
        ("ghostnet_050", 38, 16),
        ("starnet_s050", 18, 6),
    ],
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


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "convnext_atto", "starnet_s050"])
def test_every_metric_of_a_foreign_network_is_measured(name: str) -> None:
    report = measure(zoo(name), images(count=8, size=32), labels(8), positions=128)
    assert set(report.metrics()) == {*OF_THE_FORWARD_PASS, *OF_GRADIENTS}
    assert all(math.isfinite(value) for value in report.metrics().values())
    assert all(block.superlinearity is not None for block in report.blocks)


@pytest.mark.parametrize("name", ["nodepth_100k", "mobilenetv1_025", "starnet_050", "mobilevit_xxs", "resnet20"])
def test_every_metric_of_our_networks_is_measured(name: str) -> None:
    model = build(reference(name).architecture, Task(num_classes=5, resolution=32))
    report = measure(model, images(count=8, size=32), labels(8), blocks=model.block_names, positions=128)
    assert set(report.metrics()) == {*OF_THE_FORWARD_PASS, *OF_GRADIENTS}
    assert set(report.by_block()) >= set(model.block_names)
    assert report.superlinearity == pytest.approx(NULLS["superlinearity"], abs=0.7)
