"""The fast depthwise convolution against torch's own, and where it is used."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.network import depthwise
from nas.network.depthwise import is_worthwhile
from nas.network.modules import Conv2d

LAYOUTS = [torch.contiguous_format, torch.channels_last]
CASES = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2), (9, 1), ((3, 7), (2, 1)), ((7, 3), 1)]
Pair = int | tuple[int, int]


def _conv(kernel: Pair, stride: Pair = 1, channels: int = 6, *, bias: bool = True) -> Conv2d:
    padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    return Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=bias)


def _plain(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, groups=conv.groups)


def _gradients(y: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return torch.autograd.grad(y, of, weights)


def _exact_gradients(conv: Conv2d, x: Tensor) -> tuple[Tensor, ...]:
    """Return those of x, weight and bias by torch in float64: without AVX-512 its bfloat16 is off by up to 2 %."""
    exact, map_ = copy.deepcopy(conv).double(), x.detach().double().requires_grad_()
    y = _plain(exact, map_)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(x.dtype).double()
    return torch.autograd.grad(y, (map_, exact.weight, exact.bias), weights)


@pytest.mark.parametrize(("kernel", "stride"), CASES)
def test_first_and_second_derivatives_are_right(kernel: Pair, stride: Pair) -> None:
    conv = _conv(kernel, stride, channels=2).double()
    x = torch.randn(2, 2, 6, 9, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return depthwise.depthwise(x, weight, bias, conv.stride)

    assert torch.autograd.gradcheck(run, (x, conv.weight, conv.bias))
    assert torch.autograd.gradgradcheck(run, (x, conv.weight, conv.bias))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [(4, 4), (5, 8), (14, 14)])
@pytest.mark.parametrize(("kernel", "stride"), CASES)
def test_values_are_those_of_torch_and_gradients_exact(
    kernel: Pair, stride: Pair, side: tuple[int, int], dtype: torch.dtype, layout: torch.memory_format
) -> None:
    conv = _conv(kernel, stride).to(dtype)
    x = torch.randn(3, 6, *side).to(dtype).contiguous(memory_format=layout).requires_grad_()
    of = (x, conv.weight, conv.bias)
    ours, plain = depthwise.depthwise(x, conv.weight, conv.bias, conv.stride), _plain(conv, x)
    assert torch.equal(ours, plain)
    assert ours.stride() == plain.stride()
    for found, expected in zip(_gradients(ours, *of), _exact_gradients(conv, x), strict=True):
        assert found.dtype == dtype
        scale = expected.abs().max().item()
        assert torch.allclose(found.double(), expected, rtol=0, atol=scale * (1e-5 if dtype == torch.float32 else 1e-2))


def test_under_autocast_the_gradient_of_a_float32_weight_is_float32() -> None:
    conv, x = _conv(5), torch.randn(4, 6, 8, 8).bfloat16().float().requires_grad_()
    with torch.no_grad():
        conv.weight.copy_(conv.weight.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        ours = conv(x)
    assert ours.dtype == torch.bfloat16
    assert "Depthwise" in type(ours.grad_fn).__name__
    exact = _exact_gradients(conv, x)[:2]
    for found, expected in zip(_gradients(ours, x, conv.weight), exact, strict=True):
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), expected, rtol=0, atol=1e-2 * expected.abs().max().item())


def test_a_gradient_that_is_a_broadcast_scalar_is_taken() -> None:
    conv, x = _conv(5), torch.randn(2, 6, 8, 8)
    ours = torch.autograd.grad(conv(x).sum(), conv.weight)[0]
    assert torch.allclose(ours, torch.autograd.grad(_plain(conv, x).sum(), conv.weight)[0], rtol=1e-4, atol=1e-4)


def test_two_runs_give_the_same_bits() -> None:
    conv, x = _conv(7, 2), torch.randn(16, 6, 16, 16, requires_grad=True)
    first, second = (_gradients(conv(x), x, conv.weight, conv.bias) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("conv", "side"),
    [
        (Conv2d(6, 6, 5, padding=2), 8),
        (Conv2d(6, 12, 5, padding=2, groups=6), 8),
        (_conv(3), 8),
        (_conv(5), 2),
        (Conv2d(6, 6, 5, groups=6), 8),
        (Conv2d(6, 6, 5, 4, 2, groups=6), 8),
        (Conv2d(6, 6, 5, padding=4, dilation=2, groups=6), 8),
        (Conv2d(6, 6, 5, padding=2, groups=6, padding_mode="reflect"), 8),
        (_conv(5).double(), 8),
    ],
    ids=["dense", "widening", "small float32", "small map", "unpadded", "stride 4", "dilated", "reflecting", "float64"],
)
def test_other_convolutions_are_torch_s_own(conv: Conv2d, side: int) -> None:
    assert not is_worthwhile(conv, torch.zeros(2, 6, side, side, dtype=conv.weight.dtype))


def test_where_nothing_is_differentiated_the_convolution_is_torch_s_own() -> None:
    conv, x = _conv(5), torch.zeros(2, 6, 8, 8)
    assert is_worthwhile(conv, x)
    with torch.no_grad():
        assert not is_worthwhile(conv, x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
def test_a_trace_and_an_export_see_a_plain_convolution() -> None:
    conv, x = _conv(5).eval(), torch.zeros(2, 6, 8, 8)
    assert "aten::_convolution" in str(torch.jit.trace(conv, x).inlined_graph)
    targets = [str(node.target) for node in torch.export.export(conv, (x,)).graph.nodes]
    assert "aten.conv2d.default" in targets


def test_a_copy_trains_alike() -> None:
    conv, x = _conv(5), torch.randn(2, 6, 8, 8)
    twin = copy.deepcopy(conv)
    assert torch.equal(_gradients(conv(x), conv.weight)[0], _gradients(twin(x), twin.weight)[0])
