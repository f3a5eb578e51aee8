"""Frames, interference and their chance levels, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nas.interference import statistics
from nas.interference.statistics import Features

WIDTHS = (16, 32, 64, 128, 256, 512)


def random_weight(outs: int, ins: int, seed: int) -> Tensor:
    return torch.randn(outs, ins, generator=torch.Generator().manual_seed(seed)) / math.sqrt(ins)


def tight_frame(dims: int, count: int) -> Tensor:
    """Return `count` unit vectors in `dims` (even) dimensions whose overlap meets the Welch bound on average."""
    phases = torch.outer(torch.arange(1, dims // 2 + 1), torch.arange(count)) * 2 * math.pi / count
    return torch.cat([phases.double().cos(), phases.double().sin()]) / math.sqrt(dims / 2)


def image_activations(width: int, seed: int, rows: int = 1024) -> Tensor:
    """Return (rows, width) ReLU activations of two random layers on images with a natural 1/f spectrum."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn(32, 3, 16, 16, generator=generator))
    frequency = torch.hypot(torch.fft.fftfreq(16)[:, None], torch.fft.rfftfreq(16)[None]).clamp_min(1 / 16)
    kernels = torch.randn(width, 3, 3, 3, generator=generator)
    maps = nn.functional.conv2d(torch.fft.irfft2(spectrum / frequency), kernels, padding=1).relu()
    chosen = torch.randperm(32 * 16 * 16, generator=generator)[:rows]
    return (maps.movedim(1, -1).reshape(-1, width)[chosen] @ random_weight(width, width, seed + 1).T).relu()


def features_at_initialisation(outs: int, ins: int, seed: int) -> Features:
    kind = Features.read_by if outs > ins else Features.written_by
    return kind(random_weight(outs, ins, seed + 1000), image_activations(ins, seed))


@pytest.mark.parametrize(("count", "dims"), [(8, 4), (100, 10)])
def test_welch_bound_is_met_by_a_tight_frame(count: int, dims: int) -> None:
    overlap = statistics.mean_squared_cosine(tight_frame(dims, count))
    assert overlap.item() == pytest.approx(statistics.welch_bound(count, dims), abs=1e-12)


def test_welch_bound_is_zero_for_no_more_vectors_than_dimensions() -> None:
    assert statistics.welch_bound(4, 4) == statistics.welch_bound(3, 4) == 0


def test_coherence_ratio_of_a_tight_frame_is_zero_and_its_logarithm_the_floor() -> None:
    ratio = statistics.coherence_ratio(tight_frame(8, 48))
    assert ratio.item() == pytest.approx(0, abs=1e-12)
    assert statistics.log_ratio(ratio).item() == pytest.approx(math.log(statistics.RATIO_FLOOR))


def test_coherence_ratio_of_an_orthogonal_basis_is_zero() -> None:
    assert statistics.coherence_ratio(torch.eye(6)).item() == pytest.approx(0, abs=1e-12)


def test_coherence_ratio_of_a_collapsed_frame_is_the_number_of_vectors() -> None:
    line = torch.outer(random_weight(1, 8, 0)[0], torch.ones(32))
    assert statistics.coherence_ratio(line).item() == pytest.approx(32)


def test_coherence_ratio_is_the_excess_over_welch_in_units_of_chance() -> None:
    vectors = random_weight(6, 20, 0)
    overlap, bound = statistics.mean_squared_cosine(vectors), statistics.welch_bound(20, 6)
    assert statistics.coherence_ratio(vectors).item() == pytest.approx(20 * (overlap.item() - bound) / (1 - bound))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("expansion", [1, 4])
def test_coherence_ratio_of_random_directions_is_one_at_any_width(width: int, expansion: int) -> None:
    ratios = [statistics.coherence_ratio(random_weight(width, expansion * width, seed)) for seed in range(8)]
    assert torch.stack(ratios).mean().item() == pytest.approx(1, abs=0.1)


def test_coherence_ratio_of_random_directions_is_one_with_dimensions_to_spare() -> None:
    ratios = [statistics.coherence_ratio(random_weight(64, 32, seed)) for seed in range(8)]
    assert torch.stack(ratios).mean().item() == pytest.approx(1, abs=0.05)


def test_white_activity_realises_one_minus_dimensionality() -> None:
    vectors = random_weight(8, 24, 0)
    features = Features.from_covariance(vectors, torch.eye(24))
    expected = 1 - statistics.dimensionality(vectors)
    torch.testing.assert_close(statistics.realised_ratio(features), expected, rtol=0, atol=1e-6)


def test_white_activity_has_no_redundancy() -> None:
    features = Features.from_covariance(random_weight(8, 24, 0), torch.eye(24))
    torch.testing.assert_close(statistics.interference_ratio(features), statistics.cross_talk_ratio(features))


def test_interference_is_what_the_others_put_on_a_feature() -> None:
    weight, inputs = random_weight(4, 9, 0).double(), image_activations(9, 0).double()
    others = inputs.clone()
    others[:, 2] = 0
    direction = weight[:, 2] / weight[:, 2].norm()
    measured = statistics.interference(Features.written_by(weight, inputs))[2]
    torch.testing.assert_close(measured, (others @ weight.T @ direction).var())


def test_written_features_agree_with_their_covariance() -> None:
    weight, inputs = random_weight(4, 9, 0), image_activations(9, 0)
    by_rows, by_covariance = (
        Features.written_by(weight, inputs),
        Features.from_covariance(weight, inputs.double().T.cov()),
    )
    torch.testing.assert_close(statistics.realised_ratio(by_rows), statistics.realised_ratio(by_covariance))


def test_read_features_are_the_map_s_outputs() -> None:
    weight, inputs = random_weight(9, 4, 0).double(), image_activations(4, 0).double()
    by_outputs = Features.written_by(weight.T, inputs @ weight.T)
    by_inputs = Features.read_by(weight, inputs)
    torch.testing.assert_close(statistics.interference(by_inputs), statistics.interference(by_outputs))
    torch.testing.assert_close(by_inputs.variance, by_outputs.variance)


def test_dropping_dimensions_equals_measuring_without_them() -> None:
    weight, inputs = random_weight(6, 9, 0), image_activations(9, 0)
    kept = torch.tensor([True, False, True, True, False, True])
    part, whole = Features.written_by(weight[kept], inputs), Features.written_by(weight, inputs).within(kept)
    torch.testing.assert_close(statistics.interference(whole), statistics.interference(part))


def test_rescaling_a_feature_against_its_weights_changes_nothing() -> None:
    weight, inputs, scale = random_weight(4, 12, 0), image_activations(12, 0), torch.logspace(-1, 1, 12)
    before, after = Features.written_by(weight, inputs), Features.written_by(weight / scale, inputs * scale)
    torch.testing.assert_close(statistics.realised_ratio(after), statistics.realised_ratio(before), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        statistics.cross_talk_ratio(after), statistics.cross_talk_ratio(before), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["written", "square", "read"])
def test_cross_talk_is_chance_at_initialisation(width: int, kind: str) -> None:
    outs, ins = {"written": (width // 4, width), "square": (width, width), "read": (width, width // 4)}[kind]
    seeds = range(32 if width < 64 else 4)
    ratios = [statistics.cross_talk_ratio(features_at_initialisation(outs, ins, seed)) for seed in seeds]
    assert torch.stack(ratios).log().mean().item() == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize("width", [32, 128, 512])
@pytest.mark.parametrize("kind", ["written", "read"])
def test_redundancy_is_zero_at_initialisation(width: int, kind: str) -> None:
    outs, ins = (width // 4, width) if kind == "written" else (width, width // 4)
    features = [features_at_initialisation(outs, ins, seed) for seed in range(16 if width < 64 else 4)]
    full = torch.stack([statistics.interference_ratio(each) for each in features])
    independent = torch.stack([statistics.cross_talk_ratio(each) for each in features])
    assert (full / independent).log().mean().item() == pytest.approx(0, abs=0.06)


def test_similar_features_that_fire_together_are_redundant() -> None:
    weight, inputs = random_weight(8, 16, 0), image_activations(16, 0)
    doubled = Features.written_by(torch.cat([weight, weight], 1), torch.cat([inputs, inputs], 1))
    assert statistics.interference_ratio(doubled) > 1.3 * statistics.cross_talk_ratio(doubled)


def test_similar_features_that_fire_apart_are_not_redundant() -> None:
    weight, inputs = random_weight(8, 16, 0), image_activations(16, 0)
    opposed = Features.written_by(torch.cat([weight, weight], 1), torch.cat([inputs, -inputs], 1))
    assert statistics.interference_ratio(opposed) < statistics.cross_talk_ratio(opposed)


def test_a_feature_without_a_vector_realises_no_interference() -> None:
    weight = random_weight(4, 8, 0)
    weight[:, 3] = 0
    ratios = statistics.realised_ratio(Features.written_by(weight, image_activations(8, 0)))
    assert ratios[3] == 0
    assert ratios.isfinite().all()


def test_ratios_carry_gradients_to_the_weights() -> None:
    weight = random_weight(4, 8, 0).requires_grad_()
    statistics.realised_ratio(Features.written_by(weight, image_activations(8, 0))).mean().backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_independent_channels_do_not_correlate() -> None:
    noise = torch.randn(1024, 64, generator=torch.Generator().manual_seed(0))
    assert statistics.channel_correlation(noise).item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("channels", [4, 64])
def test_identical_channels_correlate_fully(channels: int) -> None:
    column = torch.randn(32, 1, generator=torch.Generator().manual_seed(0))
    assert statistics.channel_correlation(column * torch.arange(1, channels + 1)).item() == pytest.approx(1)


def test_importance_weights_the_realised_ratios() -> None:
    features = Features.written_by(random_weight(4, 8, 0), image_activations(8, 0))
    ratios = statistics.realised_ratio(features)
    one_hot = torch.zeros(8)
    one_hot[3] = 5
    assert statistics.importance_weighted(features, one_hot).item() == pytest.approx(ratios[3].item())
    assert statistics.importance_weighted(features, torch.ones(8)).item() == pytest.approx(ratios.mean().item())


def test_white_features_of_a_tight_frame_realise_the_packing_floor() -> None:
    features = Features.from_covariance(tight_frame(6, 24), torch.eye(24))
    assert statistics.importance_weighted(features, torch.rand(24)).item() == pytest.approx(1 - 6 / 24)


def test_gram_holds_the_cosines_and_a_missing_vector_none() -> None:
    gram = statistics.gram(torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    half = math.sqrt(0.5)
    torch.testing.assert_close(gram, torch.tensor([[1, half, 0], [half, 1, 0], [0, 0, 0]], dtype=torch.float64))


def test_mean_squared_cosine_is_that_of_the_gram_matrix() -> None:
    vectors = random_weight(4, 9, 0)
    off_diagonal = statistics.gram(vectors).square().sum() - 9
    assert statistics.mean_squared_cosine(vectors).item() == pytest.approx(off_diagonal.item() / 72)


def test_kurtosis_of_equally_strong_channels_is_one() -> None:
    signs = torch.randint(2, (64, 10), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    assert statistics.channel_kurtosis(signs * 3).item() == pytest.approx(1)


def test_kurtosis_of_one_loud_channel_is_the_number_of_channels() -> None:
    outputs = torch.zeros(8, 10)
    outputs[:, 4] = 1e-3
    assert statistics.channel_kurtosis(outputs).item() == pytest.approx(10)


def test_kurtosis_of_two_strengths_is_their_moment_ratio() -> None:
    outputs = torch.tensor([1.0, 2.0]).expand(5, 2)
    assert statistics.channel_kurtosis(outputs).item() == pytest.approx(((1 + 16) / 2) / ((1 + 4) / 2) ** 2)
