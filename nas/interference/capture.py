"""What do one forward pass in eval mode, and one backward pass, show of a network's projections and blocks?

The network is any `nn.Module`; nothing is asked of it but that it maps images (B, C, H, W) to a tensor. Hooks note the
inputs of its 1x1 maps, the batch-norms that follow them and the outputs of its blocks, at a seeded sample of
positions, and, where there are labels, the gradients there. The network is left as it was found: no hook, no changed
mode, no gradient, no changed running statistics.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nas.errors import InputError
from nas.interference import discovery
from nas.interference.branch import BlockCall
from nas.interference.running import (
    Args,
    Kwargs,
    as_logits,
    as_map,
    check_classes,
    check_finite,
    check_images,
    check_labels,
    check_weights,
    only_argument,
    run,
    run_with_gradients,
)
from nas.interference.sampling import PositionSampler


@dataclass(frozen=True, eq=False)
class Projection:
    """A 1x1 map as it ran: `weight` (out, in), float64, a following batch-norm folded in; `inputs` (N, in).

    `importance` is E abs(a dL/da), float64: of its inputs (in,), or, where it expands, of its raw outputs (out,). None
    without labels, or where no finite gradient arrives.
    """

    name: str
    weight: Tensor
    inputs: Tensor
    importance: Tensor | None = None

    @property
    def expands(self) -> bool:
        """Whether the features are the map's outputs (read) and not its inputs (written)."""
        return self.weight.shape[0] > self.weight.shape[1]


@dataclass(frozen=True, eq=False)
class BlockOutput:
    """A block's `outputs` (N, C) at the sampled positions, after its residual sum if it has one.

    `profiles` (B, C), float64, is the mean of abs(a dL/da) over an image's sampled positions, or None as `importance`
    is. `call` is how the block was called, for a few images.
    """

    name: str
    outputs: Tensor
    profiles: Tensor | None = None
    call: BlockCall | None = None


@dataclass(frozen=True, eq=False)
class Capture:
    """Everything one forward pass showed, in the order in which it ran; `logits` (B, K), or None if it gave none."""

    projections: tuple[Projection, ...]
    blocks: tuple[BlockOutput, ...]
    logits: Tensor | None


def capture(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    blocks: Sequence[str] | None = None,
    positions: int = 2048,
    seed: int = 0,
) -> Capture:
    """Run `model` once on `images` (B, C, H, W) and return what its projections and blocks saw, on the CPU.

    About `positions` positions are kept of every map, the same number from each image. `labels` (B,) ask for a backward
    pass of the cross-entropy as well. `blocks` names the modules whose outputs to keep; None lets
    `discovery.guessed_blocks` choose. Left out: a projection with one position per image (squeeze-and-excite, the
    classifier), one whose output is the network's own, and all but the first call of a module that runs several times.
    Weights are those stored: a layer that standardises them on the fly is measured without that. InputError: a batch
    that is no batch of images, labels that do not fit it or the network's classes, a block that is not there or gives
    no map, values that are not finite.
    """
    check_images(images, positions)
    check_weights(model)
    wanted = discovery.guessed_blocks(model) if blocks is None else discovery.named_blocks(model, blocks)
    recorder = _Recorder(PositionSampler(len(images), positions, seed), strict_blocks=blocks is not None)
    if labels is None:
        output = run(model, images, lambda: recorder.attach(model, wanted))
    else:
        check_labels(labels, images)
        with run_with_gradients(model, images, lambda: recorder.attach(model, wanted)) as (output, leaf):
            _go_back(output, labels, leaf)
    for name in wanted.keys() - recorder.blocks.keys() if blocks is not None else ():
        raise InputError(f"block {name!r}: the forward pass does not reach it")
    return recorder.captured(output)


def _go_back(output: object, labels: Tensor, leaf: Tensor) -> None:
    """Send the gradient of the summed cross-entropy from logits to the images; no logits, no gradient.

    The sum, not the mean, so that a large batch does not push gradients out of a low precision's range.
    """
    logits = as_logits(output)
    if logits is None:
        return
    check_classes(labels, logits)
    if logits.requires_grad:
        # Copied, as what was made in inference mode cannot be saved for a backward pass.
        loss = F.cross_entropy(logits, labels.to(logits.device, torch.long, copy=True), reduction="sum")
        torch.autograd.grad(loss, leaf, allow_unused=True)


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
    calls: dict[str, BlockCall] = field(default_factory=dict)
    importance: dict[str, Tensor] = field(default_factory=dict)
    profiles: dict[str, Tensor] = field(default_factory=dict)
    _by_result: dict[int, _Seen] = field(default_factory=dict)

    def attach(self, model: nn.Module, blocks: dict[str, nn.Module]) -> Iterator[RemovableHandle]:
        """Register the hooks one by one and yield their handles."""
        for name, projection in discovery.projections(model).items():
            yield projection.register_forward_hook(self._projection_hook(name), with_kwargs=True)
        for norm in discovery.norms(model):
            yield norm.register_forward_pre_hook(self._fold, with_kwargs=True)
        for name, block in blocks.items():
            yield block.register_forward_pre_hook(self._call_hook(name), with_kwargs=True)
            yield block.register_forward_hook(self._block_hook(name))

    def captured(self, output: object) -> Capture:
        """Return what was seen, without a projection whose result is the network's `output`: its classifier."""
        kept = {name: seen.projection for name, seen in self.projections.items() if seen.result() is not output}
        logits = as_logits(output)
        return Capture(
            tuple(replace(p, importance=_finite(self.importance.get(name))) for name, p in kept.items()),
            tuple(
                replace(block, profiles=_finite(self.profiles.get(name)), call=self.calls.get(name))
                for name, block in self.blocks.items()
            ),
            None if logits is None else logits.detach(),
        )

    def _projection_hook(self, name: str) -> Callable[[Any, Args, Kwargs, Tensor], None]:
        def hook(module: nn.Conv2d | nn.Linear, args: Args, kwargs: Kwargs, result: Tensor) -> None:
            given = only_argument(args, kwargs)
            inputs = _read_by(module, given)
            if name in self.projections or not self.sampler.has_positions(inputs):
                return
            weight = module.weight.detach().flatten(1).to("cpu", torch.float64)
            rows = self.sampler.rows(inputs.detach())
            check_finite(f"layer {name!r}", weights=weight, inputs=rows)
            projection = Projection(name, weight, rows)
            seen = _Seen(projection, weakref.ref(result), result._version)
            self.projections[name] = self._by_result[id(result)] = seen
            if projection.expands:
                self._watch(name, result, lambda values: _channels_last(module, values))
            else:
                self._watch(name, given, lambda values: _read_by(module, values))

        return hook

    def _watch(self, name: str, activity: Tensor, as_rows: Callable[[Tensor], Tensor]) -> None:
        """Keep E abs(a dL/da) of an `activity` once the backward pass reaches it."""
        if not activity.requires_grad:
            return
        values = self.sampler.rows(as_rows(activity.detach()))

        def hook(gradient: Tensor) -> None:
            self.importance[name] = _use(values, self.sampler.rows(as_rows(gradient))).mean(0)

        activity.register_hook(hook)

    def _fold(self, norm: nn.Module, args: Args, kwargs: Kwargs) -> None:
        """Fold `norm` into the projection whose untouched result it is given, if there is one."""
        given = only_argument(args, kwargs)
        seen = self._by_result.pop(id(given), None)
        # An id may be reused after its tensor died, and an activation may have worked in place.
        if seen is None or seen.result() is not given or given._version != seen.version:
            return
        scale = _norm_scale(norm, given)
        check_finite(f"norm after layer {seen.projection.name!r}", scales=scale)
        seen.projection = replace(seen.projection, weight=seen.projection.weight * scale.unsqueeze(1))

    def _call_hook(self, name: str) -> Callable[[nn.Module, tuple[object, ...], dict[str, object]], None]:
        def hook(block: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            if name not in self.calls and (call := BlockCall.of(block, args, kwargs, self.sampler.images)) is not None:
                self.calls[name] = call

        return hook

    def _block_hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, result: object) -> None:
            if name in self.blocks:
                return
            outputs = _map_channels_last(result)
            if outputs is not None and isinstance(result, Tensor) and self.sampler.has_positions(outputs):
                rows = self.sampler.rows(outputs.detach())
                check_finite(f"block {name!r}", outputs=rows)
                self.blocks[name] = BlockOutput(name, rows)
                self._watch_images(name, result)
            elif self.strict_blocks:
                raise InputError(f"block {name!r}: gives {_describe(result)}, expected a map (B, C, H, W) or (B, L, C)")

        return hook

    def _watch_images(self, name: str, output: Tensor) -> None:
        """Keep the mean of abs(a dL/da) over each image's positions once the backward pass reaches a block."""
        values = self.sampler.by_image(as_map(output.detach())) if output.requires_grad else None
        if values is None:
            return

        def hook(gradient: Tensor) -> None:
            self.profiles[name] = _use(values, self.sampler.by_image(as_map(gradient))).mean(1)

        output.register_hook(hook)


def _use(values: Tensor, gradients: Tensor | None) -> Tensor:
    """Return abs(a dL/da), float64: how far the loss moves, to first order, when a is taken away."""
    if gradients is None:
        raise ValueError("a gradient has the shape of its tensor")
    return (values.double() * gradients.double()).abs()


def _finite(values: Tensor | None) -> Tensor | None:
    """Return `values`, or None where a gradient has overflown."""
    return values if values is not None and values.isfinite().all() else None


def _read_by(module: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """Return a projection's inputs as (..., C), only the positions that it reads (a 1x1 may be strided)."""
    if isinstance(module, nn.Linear):
        return inputs
    rows, columns = module.stride
    return _channels_last(module, inputs)[:, ::rows, ::columns]


def _channels_last(module: nn.Conv2d | nn.Linear, values: Tensor) -> Tensor:
    return values if isinstance(module, nn.Linear) else values.movedim(1, -1)


def _map_channels_last(result: object) -> Tensor | None:
    """Return a block's map as (B, ..., C), or None if it is none."""
    return as_map(result) if isinstance(result, Tensor) and result.ndim in {3, 4} else None


def _norm_scale(norm: Any, inputs: Tensor) -> Tensor:
    """Return gamma / sqrt(var + eps), (C,), float64; var is the batch's where the norm keeps none."""
    variance = norm.running_var
    if variance is None:
        variance = inputs.detach().float().movedim(1, -1).flatten(0, -2).var(0, correction=0)
    scale: Tensor = (variance.detach().to("cpu", torch.float64) + norm.eps).rsqrt()
    return scale if norm.weight is None else scale * norm.weight.detach().to("cpu", torch.float64)


def _describe(result: object) -> str:
    return f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
