"""What does one forward pass in eval mode show of a network's projections and blocks?

The network is any `nn.Module`; nothing is asked of it but that it maps images (B, C, H, W) to a tensor. Hooks note the
inputs of its 1x1 maps, the batch-norms that follow them and the outputs of its blocks, at a seeded sample of
positions. The network is left as it was found: no hook, no changed mode, no changed running statistics.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import InputError
from nas.interference import discovery
from nas.interference.sampling import PositionSampler

_Args = tuple[Tensor, ...]
_Kwargs = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Projection:
    """A 1x1 map as it ran: `weight` (out, in), float64, a following batch-norm folded in; `inputs` (N, in)."""

    name: str
    weight: Tensor
    inputs: Tensor


@dataclass(frozen=True, eq=False)
class BlockOutput:
    """A block's `outputs` (N, C) at the sampled positions, after its residual sum if it has one."""

    name: str
    outputs: Tensor


@dataclass(frozen=True, eq=False)
class Capture:
    """Everything one forward pass showed, in the order in which it ran."""

    projections: tuple[Projection, ...]
    blocks: tuple[BlockOutput, ...]


def capture(
    model: nn.Module, images: Tensor, *, blocks: Sequence[str] | None = None, positions: int = 2048, seed: int = 0
) -> Capture:
    """Run `model` once on `images` (B, C, H, W) and return what its projections and blocks saw, on the CPU.

    About `positions` positions are kept of every map, the same number from each image. `blocks` names the modules
    whose outputs to keep; None lets `discovery.guessed_blocks` choose. Left out: a projection with one position per
    image (squeeze-and-excite, the classifier), one whose output is the network's own, and all but the first call of
    a module that runs several times. Weights are those stored: a layer that standardises them on the fly is measured
    without that. InputError: a batch that is no batch of images, a block that is not there or gives no map, values
    that are not finite.
    """
    _check_input(images, positions)
    recorder = _Recorder(PositionSampler(len(images), positions, seed), strict_blocks=blocks is not None)
    wanted = discovery.guessed_blocks(model) if blocks is None else discovery.named_blocks(model, blocks)
    with _eval_mode(model), ExitStack() as hooks, torch.inference_mode(False), torch.no_grad():
        for handle in recorder.attach(model, wanted):
            hooks.callback(handle.remove)
        output = model(_as_model_takes_them(model, images))
    for name in wanted.keys() - recorder.blocks.keys() if blocks is not None else ():
        raise InputError(f"block {name!r}: the forward pass does not reach it")
    return recorder.captured(output)


@dataclass
class _Seen:
    """A projection during the pass; `result` finds its output again without keeping it alive."""

    projection: Projection
    result: weakref.ref[Tensor]
    version: int


@dataclass
class _Recorder:
    """The hooks, and what they have seen."""

    sampler: PositionSampler
    strict_blocks: bool
    projections: dict[str, _Seen] = field(default_factory=dict)
    blocks: dict[str, BlockOutput] = field(default_factory=dict)
    _by_result: dict[int, _Seen] = field(default_factory=dict)

    def attach(self, model: nn.Module, blocks: dict[str, nn.Module]) -> Iterator[torch.utils.hooks.RemovableHandle]:
        """Register the hooks one by one and yield their handles."""
        for name, projection in discovery.projections(model).items():
            yield projection.register_forward_hook(self._projection_hook(name), with_kwargs=True)
        for norm in discovery.norms(model):
            yield norm.register_forward_pre_hook(self._fold, with_kwargs=True)
        for name, block in blocks.items():
            yield block.register_forward_hook(self._block_hook(name))

    def captured(self, output: object) -> Capture:
        """Return what was seen, without a projection whose result is the network's `output`: its classifier."""
        kept = tuple(seen.projection for seen in self.projections.values() if seen.result() is not output)
        return Capture(kept, tuple(self.blocks.values()))

    def _projection_hook(self, name: str) -> Callable[[Any, _Args, _Kwargs, Tensor], None]:
        def hook(module: nn.Conv2d | nn.Linear, args: _Args, kwargs: _Kwargs, result: Tensor) -> None:
            inputs = _channels_last(module, _only_argument(args, kwargs))
            if name in self.projections or not self.sampler.has_positions(inputs):
                return
            weight = module.weight.detach().flatten(1).to("cpu", torch.float64)
            rows = self.sampler.rows(inputs)
            _check_finite(f"layer {name!r}", weights=weight, inputs=rows)
            seen = _Seen(Projection(name, weight, rows), weakref.ref(result), result._version)
            self.projections[name] = self._by_result[id(result)] = seen

        return hook

    def _fold(self, norm: nn.Module, args: _Args, kwargs: _Kwargs) -> None:
        """Fold `norm` into the projection whose untouched result it is given, if there is one."""
        given = _only_argument(args, kwargs)
        seen = self._by_result.pop(id(given), None)
        # An id may be reused after its tensor died, and an activation may have worked in place.
        if seen is None or seen.result() is not given or given._version != seen.version:
            return
        scale = _norm_scale(norm, given)
        _check_finite(f"norm after layer {seen.projection.name!r}", scales=scale)
        seen.projection = replace(seen.projection, weight=seen.projection.weight * scale.unsqueeze(1))

    def _block_hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, result: object) -> None:
            if name in self.blocks:
                return
            outputs = _map_channels_last(result)
            if outputs is not None and self.sampler.has_positions(outputs):
                rows = self.sampler.rows(outputs)
                _check_finite(f"block {name!r}", outputs=rows)
                self.blocks[name] = BlockOutput(name, rows)
            elif self.strict_blocks:
                raise InputError(f"block {name!r}: gives {_describe(result)}, expected a map (B, C, H, W) or (B, L, C)")

        return hook


def _check_input(images: Tensor, positions: int) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise InputError(f"images: expected a float tensor (B, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if len(images) < 2:
        raise InputError(f"images: a batch needs at least 2 images, got {len(images)}")
    if positions < 1:
        raise InputError(f"positions: must be at least 1, got {positions}")
    _check_finite("images", values=images)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in eval mode, and each back into its own afterwards (a frozen norm stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _only_argument(args: _Args, kwargs: _Kwargs) -> Tensor:
    return next(iter((*args, *kwargs.values())))


def _as_model_takes_them(model: nn.Module, images: Tensor) -> Tensor:
    """Return the images on the device and in the floating-point type of the network's first parameter."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), images)
    return images.to(parameter.device, parameter.dtype)


def _channels_last(module: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """Return a projection's inputs as (..., C), only the positions that it reads (a 1x1 may be strided)."""
    if isinstance(module, nn.Linear):
        return inputs
    rows, columns = module.stride
    return inputs.movedim(1, -1)[:, ::rows, ::columns]


def _map_channels_last(result: object) -> Tensor | None:
    """Return a block's map as (B, ..., C), or None if it is none.

    Of a square map the two equal sides tell (B, C, H, W) from the (B, H, W, C) of some token networks; where they do
    not, it is (B, C, H, W).
    """
    if not isinstance(result, Tensor) or result.ndim not in {3, 4}:
        return None
    if result.ndim == 3 or (result.shape[1] == result.shape[2] != result.shape[3]):
        return result
    return result.movedim(1, -1)


def _norm_scale(norm: Any, inputs: Tensor) -> Tensor:
    """Return gamma / sqrt(var + eps), (C,), float64; var is the batch's where the norm keeps none."""
    variance = norm.running_var
    if variance is None:
        variance = inputs.float().movedim(1, -1).flatten(0, -2).var(0, correction=0)
    scale: Tensor = (variance.detach().to("cpu", torch.float64) + norm.eps).rsqrt()
    return scale if norm.weight is None else scale * norm.weight.detach().to("cpu", torch.float64)


def _check_finite(where: str, **values: Tensor) -> None:
    for what, tensor in values.items():
        # The extremes are NaN where any value is, and a tenth of the cost of looking at each.
        if not torch.stack(tensor.aminmax()).isfinite().all():
            raise InputError(f"{where}: {what} are not finite (NaN or infinite)")


def _describe(result: object) -> str:
    return f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
