"""A depthwise convolution whose backward pass is as fast as its forward pass, on a CPU.

oneDNN (3.12, in torch 2.14) has fast kernels for the forward pass, and for the weight gradient of kernels up to three
columns wide on maps taller than the kernel. The rest falls back to plain loops, so both gradients are put in terms of
what is fast. Milliseconds of the backward pass, batch 128, 32 channels, 16 x 16 pixels, one thread with
AVX-512, torch's own against ours (forward takes 0.1 to 1.1):

    kernel, stride    bfloat16, channels_last    float32, channels_last    float32, contiguous
        3, 1               0.8    0.7                 0.9    -                  3.6    -
        5, 1              21.2    2.3                 9.2    4.2               31.5    7.6
        7, 1              20.9    4.4                15.7    7.2               59.4   11.1
        3, 2              26.1    0.7                 1.1    -                  1.6    -
        5, 2              54.1    1.6                 4.0    3.4                8.9    6.6
        7, 2              71.8    2.5                 6.1    5.3               14.6    8.0

In float32 a 3 x 3 kernel is left to torch, which is as fast or faster. So are a GPU, other strides and paddings, and
whatever is not differentiated, traced or exported. The forward pass always is torch's.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAST_COLUMNS = 3
"""The widest kernel that oneDNN's fast weight gradient takes."""


class Convolution(nn.Conv2d):
    """A convolution that trains fast on a CPU where it is depthwise."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the filtered map."""
        if is_worthwhile(self, input):
            return depthwise(input, self.weight, self.bias, self.stride)
        return super().forward(input)


def is_worthwhile(conv: nn.Conv2d, x: Tensor) -> bool:
    """Return whether `depthwise` may run `conv` on `x`, and trains faster."""
    small, large = min(conv.kernel_size), max(conv.kernel_size)
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and x.device.type == "cpu"
        and (x.dtype == torch.bfloat16 or _is_autocast() or (x.dtype == torch.float32 and large > FAST_COLUMNS))
        and torch.is_grad_enabled()
        and not (torch._C._get_tracing_state() or torch.compiler.is_compiling())
        and small >= FAST_COLUMNS
        and large // 2 < min(x.shape[2:])
        and conv.padding == tuple(size // 2 for size in conv.kernel_size)
        and all(size % 2 for size in conv.kernel_size)
        and max(conv.stride) <= 2
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
    )


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]) -> Tensor:
    """Return `F.conv2d(x, weight, bias, stride, (h // 2, w // 2), groups=C)`, with gradients of the same values.

    `x` (B, C, H, W), `weight` (C, 1, h, w), h and w odd. Under autocast, in its precision.
    """
    if _is_autocast():
        precision = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(precision), weight.to(precision), None if bias is None else bias.to(precision)
    result: Tensor = _Depthwise.apply(x, weight, bias, stride)
    return result


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride, _half(weight), groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=_layout(x))
        return (
            _input_gradient(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None,
            _weight_gradient(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[1] else None,
            gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
        )


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return dL/dx: the gradient, zeros between its values where the stride is not 1, filtered back to front."""
    if stride != (1, 1):
        spread = torch.empty(x.shape, dtype=x.dtype, memory_format=_layout(x)).zero_()
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient = spread
    return F.conv2d(gradient, weight.flip(2, 3), padding=_half(weight), groups=len(weight))


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return dL/dweight, a strip of columns at a time where the kernel is wide."""
    (top, left), (height, width) = _half(weight), weight.shape[2:]
    if width <= FAST_COLUMNS and x.shape[2] > height:
        return _native_weight_gradient(gradient, x, weight, stride, (top, left))
    rows = (gradient.shape[2] - 1) * stride[0] + height
    columns = (gradient.shape[3] - 1) * stride[1] + FAST_COLUMNS
    strips = []
    for first in range(0, width, FAST_COLUMNS):
        start = min(first, width - FAST_COLUMNS)
        met = _moved(x, (rows, columns), down=top, right=left - start)
        strip = _native_weight_gradient(gradient, met, weight[..., start : start + FAST_COLUMNS], stride, (0, 0))
        strips.append(strip[..., first - start :])
    return torch.cat(strips, dim=3)


def _moved(x: Tensor, size: tuple[int, int], *, down: int, right: int) -> Tensor:
    """Return what a window of `size` shows of `x` moved by so many pixels, zeros around it.

    As `F.pad` does; that fills the whole map with zeros first, which takes as long again.
    """
    window = torch.empty((*x.shape[:2], *size), dtype=x.dtype, memory_format=_layout(x))
    from_row, to_row = max(down, 0), min(down + x.shape[2], size[0])
    from_column, to_column = max(right, 0), min(right + x.shape[3], size[1])
    for edge in (window[:, :, :from_row], window[:, :, to_row:], window[..., :from_column], window[..., to_column:]):
        edge.zero_()
    window[:, :, from_row:to_row, from_column:to_column] = x[
        :, :, from_row - down : to_row - down, from_column - right : to_column - right
    ]
    return window


def _native_weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, int]
) -> Tensor:
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), (False, True, False)
    )[1]
    return found


def _is_autocast() -> bool:
    return torch.is_autocast_enabled("cpu")


def _half(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def _layout(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
