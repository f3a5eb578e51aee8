"""How much accuracy does a trained network lose in int8? Simulated in float: round to the grid, compute as before.

The scheme is the usual one of integer kernels, without retraining (Krishnamoorthi 2018, arXiv 1806.08342, section 3;
ranges after Wu et al. 2020, arXiv 2004.09602): weights symmetric for each output channel, activations affine for each
tensor, at the inputs of convolutions and linear layers, once batch-norms are folded into the convolutions in front of
them. Biases, sums, other norms and activation functions stay in float: a device loses this much or a little more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.data.augment import Normaliser
from nas.data.batches import evaluation_batches
from nas.data.images import Images
from nas.errors import InputError
from nas.records import Plan
from nas.training.loop import evaluate
from nas.training.step import forward

BITS = 8
CLIPPED = 1e-4
"""Share of a layer's inputs that may lie beyond its range, on either side: the 99.99 % percentile of Wu et al."""
CALIBRATION_BATCH = 64
"""Images whose maps are in memory at once; the range of a layer holds those of all batches."""
LEAST_SCALE = 1e-12
"""Of a channel or a tensor that is zero everywhere; torch takes no scale of zero."""


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value that an activation grid has to hold; zero lies between them."""

    low: float = 0.0
    high: float = 0.0

    def including(self, low: float, high: float) -> Range:
        """Return the range that holds `low` and `high` as well."""
        return Range(min(self.low, low), max(self.high, high))


def int8_accuracy(
    network: nn.Module, calibration_images: Images, images: Images, normaliser: Normaliser, plan: Plan
) -> float:
    """Return the accuracy, 0 to 1, of `network` on `images` with weights and activations in 8 bits.

    `calibration_images`, some hundred of the train split, set the ranges of the activations. The network is left as it
    was. Computed in float32 whatever the precision of the plan.
    """
    exact = plan.model_copy(update={"precision": "float32"})
    return evaluate(quantised(network, calibration_images, normaliser, exact), images, normaliser, exact)[1]


def quantised(
    network: nn.Module, calibration_images: Images, normaliser: Normaliser, plan: Plan, *, bits: int = BITS
) -> nn.Module:
    """Return a copy of `network`, in eval mode and norms folded, that rounds its weights and its layers' inputs.

    The weights are rounded once, the inputs by hooks at each call. Ranges are those of the float network; a layer that
    the calibration images do not reach keeps its inputs. InputError for bits outside 2 to 8, and for no images.
    """
    if not 2 <= bits <= BITS:
        raise InputError(f"bits must be from 2 to {BITS}, got {bits}")
    if not len(calibration_images):
        raise InputError("calibration: at least one image is needed, got none")
    simulated = folded(network)
    ranges = _calibrated(simulated, calibration_images, normaliser, plan)
    for name, layer in _layers(simulated):
        layer.weight = nn.Parameter(rounded_weight(layer.weight.detach(), bits), requires_grad=False)
        if name in ranges:
            layer.register_forward_pre_hook(_rounding(ranges[name], bits))
    return simulated


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of `network` in eval mode, each batch-norm folded into the convolution directly in front of it.

    Direct neighbours are those of an `nn.Sequential`, through nested ones: nothing else reads what is between them.
    Elsewhere, as inside of a squeeze-and-excite gate, a norm stays.
    """
    result = copy.deepcopy(network).eval()
    for chain in [module for module in result.modules() if _is_chain(module)]:
        for (inside, at), (behind, place) in list(pairwise(_steps(chain))):
            convolution, norm = inside[at], behind[place]
            if isinstance(convolution, nn.Conv2d) and _is_foldable(norm):
                inside[at], behind[place] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return result


def rounded_weight(weight: Tensor, bits: int = BITS) -> Tensor:
    """Return `weight` (out, ...) on the grid of each output channel: multiples of its largest over 2^(bits-1) - 1.

    The most negative integer is not used, so that the grid is symmetric.
    """
    most = 2 ** (bits - 1) - 1
    scales = (weight.flatten(1).abs().amax(1) / most).clamp_min(LEAST_SCALE)
    zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -most, most)


def rounded_activation(values: Tensor, within: Range, bits: int = BITS) -> Tensor:
    """Return `values` on the affine grid of 2^bits values over the range, clipped to it; zero is on the grid."""
    most = 2**bits - 1
    scale = max((within.high - within.low) / most, LEAST_SCALE)
    zero = min(most, max(0, round(-within.low / scale)))
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, most)


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            yield name, module


def _is_chain(module: nn.Module) -> TypeGuard[nn.Sequential]:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _steps(chain: nn.Sequential) -> Iterator[tuple[nn.Sequential, int]]:
    """Yield where each step of a chain is, in the order of execution, nested chains taken apart."""
    for i, step in enumerate(chain):
        if _is_chain(step):
            yield from _steps(step)
        else:
            yield chain, i


def _is_foldable(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    return isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None


def _calibrated(network: nn.Module, images: Images, normaliser: Normaliser, plan: Plan) -> dict[str, Range]:
    """Return the range of the inputs of each layer that runs, by its name."""
    ranges: dict[str, Range] = {}

    def note(name: str, _layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        ranges[name] = ranges.get(name, Range()).including(*_extremes(args[0]))

    hooks = [layer.register_forward_pre_hook(partial(note, name)) for name, layer in _layers(network)]
    with torch.inference_mode():
        for batch in evaluation_batches(images, CALIBRATION_BATCH, plan.device):
            forward(network, normaliser(batch.pixels), plan)
    for hook in hooks:
        hook.remove()
    return ranges


def _extremes(values: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest of `values` without the share of `CLIPPED` at either end."""
    flat = values.flatten()
    beyond = round(CLIPPED * flat.numel())
    # torch.quantile sorts, and refuses more than 16 million values.
    return flat.kthvalue(beyond + 1).values.item(), flat.kthvalue(flat.numel() - beyond).values.item()


def _rounding(within: Range, bits: int) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
    def hook(_layer: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
        return rounded_activation(args[0], within, bits)

    return hook
