"""The low-pass filter in front of what strides."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nas.network.blur import blurred, set_blur_pool


def test_a_filtered_map_keeps_its_mean_and_loses_its_checkerboard() -> None:
    board = torch.tensor([[1.0, -1.0] * 4, [-1.0, 1.0] * 4] * 4)[None, None]
    assert blurred(board)[..., 1:-1, 1:-1].abs().max() == 0
    assert torch.allclose(blurred(torch.full((1, 2, 5, 5), 3.0)), torch.full((1, 2, 5, 5), 3.0))


def test_a_blurred_convolution_is_one_at_stride_one_whose_map_is_filtered_and_thinned() -> None:
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
    weight, x = convolution.weight.detach(), torch.randn(2, 4, 12, 12)
    assert set_blur_pool(convolution) == 1
    published = blurred(F.conv2d(x, weight, padding=1))[:, :, ::2, ::2]
    assert torch.allclose(convolution(x)[:, :, 1:-1, 1:-1], published[:, :, 1:-1, 1:-1], atol=1e-5)


def test_images_and_unstrided_maps_stay_sharp() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1, stride=2))
    names = set(network.state_dict())
    assert set_blur_pool(network) == 1
    assert set(network.state_dict()) == names
