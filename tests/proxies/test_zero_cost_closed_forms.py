"""Each zero-cost score on networks so small that it can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.network.modules import Branches, ChannelLayerNorm, SoLU
from nas.proxies import zero_cost_scores

ONES = torch.ones(2, 1, 2, 2)
ISOTROPIC = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]).reshape(1, 3, 2, 2)
"""Three channels over four positions: each of mean zero and variance one, no two correlated."""


def _conv(weights: Sequence[Sequence[float]]) -> nn.Conv2d:
    matrix = torch.tensor(weights, dtype=torch.float32)
    conv = _blank_conv(matrix.shape[1], matrix.shape[0])
    with torch.no_grad():
        conv.weight.copy_(matrix[:, :, None, None])
    return conv


def _blank_conv(width: int, out_width: int) -> nn.Conv2d:
    conv: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, width, out_width, 1, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def _scores(*layers: nn.Module, images: Tensor = ONES) -> dict[str, float]:
    """Return the scores of some layers and a classifier of two classes, of ones, behind them."""
    classifier = nn.utils.skip_init(nn.Linear, nn.Sequential(*layers)(images).shape[1], 2, bias=False)
    nn.init.ones_(classifier.weight)
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier)
    return zero_cost_scores(network, images, torch.arange(len(images)) % 2)


class _Block(nn.Module):
    """Two maps that together give each channel times its factor, or all channels alike."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.first, self.second = _conv(weights.tolist()), _conv(torch.eye(len(weights)).tolist())

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x))
        return result


def test_synflow_of_a_chain_is_the_flow_once_for_each_layer() -> None:
    chain = (_conv([[-3], [40]]), nn.BatchNorm2d(2), nn.ReLU6(), _conv([[2, -1]]))
    flow = (3 * 2 + 40 * 1) * 2  # to each of two logits
    assert _scores(*chain)["synflow"] == pytest.approx(log(3 * flow))


def test_synflow_rises_by_the_depth_times_the_log_of_a_scale() -> None:
    chains = [[_conv([[scale]]) for _ in range(5)] for scale in (1.0, 10.0)]
    small, large = (_scores(*chain)["synflow"] for chain in chains)
    assert large - small == pytest.approx(5 * log(10))


def test_synflow_passes_through_what_would_stop_or_renormalise_it() -> None:
    stops = (nn.Hardswish(), nn.ReLU6(), ChannelLayerNorm(1), nn.GroupNorm(1, 1), SoLU(1))
    assert _scores(_conv([[50]]), *stops)["synflow"] == pytest.approx(_scores(_conv([[50]]))["synflow"])


def test_synflow_takes_a_product_of_branches_as_their_geometric_mean() -> None:
    star = Branches({"gate": _conv([[4]]), "value": _conv([[-9]])}, "multiply")
    flow = sqrt(4 * 9) * 2
    assert _scores(star)["synflow"] == pytest.approx(log(2 * flow))  # half for each branch, once for the classifier


def test_a_flow_beyond_double_precision_is_left_out() -> None:
    scores = _scores(*(_conv([[1e20]]) for _ in range(20)))
    assert "synflow" not in scores
    assert "zen" in scores


def _patterns(*images: Sequence[int]) -> dict[str, float]:
    """Return the scores of a network that switches a unit on where the image's value is one."""
    values = torch.tensor(images, dtype=torch.float32) * 2 - 1
    return _scores(nn.ReLU(), images=values[:, None, :, None])


def test_naswot_is_the_log_determinant_of_agreements() -> None:
    assert _patterns([1, 1, 0, 0], [1, 0, 0, 1])["naswot"] == pytest.approx(log(4 * 4 - 2 * 2))


def test_naswot_of_images_with_one_code_is_left_out() -> None:
    scores = _patterns([1, 1, 0, 0], [1, 1, 0, 0])
    assert "naswot" not in scores
    assert scores["swap"] == 2


def test_swap_counts_the_different_patterns_of_units() -> None:
    assert _patterns([1, 1, 0, 0, 1], [1, 0, 0, 1, 1])["swap"] == 4
    assert _patterns([1, 1, 1], [1, 1, 1])["swap"] == 1


@pytest.mark.parametrize("image", [0, 23, 24, 31])
def test_swap_tells_units_apart_that_differ_in_one_image(image: int) -> None:
    images = torch.ones(32, 4, dtype=torch.int64)
    images[image, 3] = 0
    assert _patterns(*images.tolist())["swap"] == 2


def test_patterns_of_all_activations_are_read_together() -> None:
    twice = (nn.ReLU(), _conv([[-1]]), nn.GELU())  # the second is off everywhere
    values = torch.tensor([[1.0, 1, -1], [1, -1, -1]])[:, None, :, None]
    scores = _scores(*twice, images=values)
    assert scores["swap"] == 3  # (1,1), (1,0), (0,0) and nothing new
    assert scores["naswot"] == pytest.approx(log(6 * 6 - 5 * 5))


def test_a_network_without_activations_has_no_patterns() -> None:
    assert {"naswot", "swap"}.isdisjoint(_scores(_conv([[1]])))
    assert {"naswot", "swap"}.isdisjoint(_scores(_conv([[1]]), nn.Sigmoid(), nn.Softmax(dim=1)))


def test_grad_norm_is_that_of_autograd_over_all_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(8, 3, 4, 4, generator=generator), torch.arange(8) % 4
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(20, 4))
    score = zero_cost_scores(network, images, labels)["grad_norm"]
    F.cross_entropy(network.train()(images), labels).backward()
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    assert score == pytest.approx(torch.cat(gradients).norm().item(), rel=1e-5)


def test_an_isotropic_block_has_full_expressivity_and_one_direction_none() -> None:
    images = ISOTROPIC.repeat(2, 1, 1, 1)
    assert _scores(_Block(torch.eye(3)), images=images)["expressivity"] == pytest.approx(1)
    assert _scores(_Block(torch.ones(3, 3)), images=images)["expressivity"] == pytest.approx(0, abs=1e-5)


def test_expressivity_is_the_entropy_of_the_spectrum_over_its_bound() -> None:
    images = ISOTROPIC.repeat(2, 1, 1, 1)
    two_of_three = torch.diag(torch.tensor([7.0, 7, 0]))  # the scale does not matter
    assert _scores(_Block(two_of_three), images=images)["expressivity"] == pytest.approx(log(2) / log(3), abs=1e-5)


def test_expressivity_is_a_mean_over_blocks() -> None:
    blocks = (_Block(torch.eye(3)), _Block(torch.ones(3, 3)))
    assert _scores(*blocks, images=ISOTROPIC.repeat(2, 1, 1, 1))["expressivity"] == pytest.approx(1 / 2, abs=1e-5)


def test_a_silent_block_has_no_expressivity_and_a_network_without_blocks_no_score() -> None:
    images = ISOTROPIC.repeat(2, 1, 1, 1)
    assert _scores(_Block(torch.zeros(3, 3)), images=images)["expressivity"] == 0
    assert "expressivity" not in _scores(_conv([[1]]))


IMAGES = torch.zeros(32, 16, 8, 8)
"""Only their shape matters to `zen`."""


def test_zen_of_one_linear_map_is_the_log_of_its_size() -> None:
    score = _scores(_blank_conv(16, 64), images=IMAGES)["zen"]
    assert score == pytest.approx(log(0.01 * sqrt(16 * 64 * 8 * 8)), abs=0.05)


def test_zen_does_not_look_at_the_weights_that_a_network_has() -> None:
    small, large = _blank_conv(16, 8), _blank_conv(16, 8)
    nn.init.constant_(small.weight, 1e-3)
    nn.init.constant_(large.weight, 1e3)
    assert _scores(small, images=IMAGES)["zen"] == _scores(large, images=IMAGES)["zen"]


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(24), ChannelLayerNorm(24), nn.GroupNorm(1, 24), nn.GroupNorm(4, 24)], ids=repr
)
def test_zen_puts_back_the_scale_that_a_norm_takes_out(norm: nn.Module) -> None:
    chain = [_blank_conv(16, 24), nn.ReLU(), _blank_conv(24, 32)]
    plain = _scores(*chain, images=IMAGES)["zen"]
    assert _scores(chain[0], norm, *chain[1:], images=IMAGES)["zen"] == pytest.approx(plain, abs=0.15)


def test_zen_puts_back_the_scale_of_a_norm_over_tokens() -> None:
    class _Tokens(nn.Module):
        def __init__(self, norm: nn.Module) -> None:
            super().__init__()
            self.first, self.norm, self.second = nn.Linear(16, 24), norm, nn.Linear(24, 32)
            self.classifier = nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.second(self.norm(self.first(x.flatten(2).mT)))
            logits: Tensor = self.classifier(tokens.mean(1))
            return logits

    labels = torch.zeros(32, dtype=torch.int64)
    plain, normed = (
        zero_cost_scores(_Tokens(norm), IMAGES, labels)["zen"] for norm in (nn.Identity(), nn.LayerNorm(24))
    )
    assert normed == pytest.approx(plain, abs=0.15)


def test_zen_grows_with_depth() -> None:
    chains = [[layer for _ in range(n) for layer in (_blank_conv(16, 16), nn.ReLU())] for n in (1, 2, 4)]
    scores = [_scores(*chain, images=IMAGES)["zen"] for chain in chains]
    assert scores == sorted(scores)
