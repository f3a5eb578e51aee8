"""How is any network run in eval mode and left as it was found?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nas.errors import InputError

Args = tuple[Tensor, ...]
Kwargs = dict[str, Tensor]
Attach = Callable[[], Iterator[RemovableHandle]]
"""Registers hooks one by one and yields their handles."""


def run(model: nn.Module, images: Tensor, attach: Attach) -> object:
    """Return what `model` gives for `images` in eval mode, with hooks for the time of the call, without gradients."""
    with eval_mode(model), hooked(attach), torch.inference_mode(False), torch.no_grad():
        # A copy: a network may work in place on what it is given.
        return model(as_model_takes_them(model, images).clone())


@contextmanager
def run_with_gradients(model: nn.Module, images: Tensor, attach: Attach) -> Iterator[tuple[object, Tensor]]:
    """Run as `run` does, with a graph; yield what the network gives and the images it was given.

    Stand-ins without a gradient take the place of the parameters, so that one backward pass to the images reaches
    the activations alone and costs about a forward pass. Whatever mode the caller is in does not matter.
    """
    with eval_mode(model), hooked(attach), torch.inference_mode(False), torch.enable_grad():
        leaf = as_model_takes_them(model, images).detach().clone().requires_grad_()
        # Copied once more, as a leaf that needs a gradient may not be changed in place.
        yield torch.func.functional_call(model, stand_ins(model), (leaf.clone(),)), leaf


def stand_ins(module: nn.Module) -> dict[str, Tensor]:
    """Return a tensor for each parameter and buffer by name: the same values, no gradient, fit to be saved for one."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: t.detach().clone() if t.is_inference() else t.detach() for name, t in named.items()}


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in eval mode, and each back into its own afterwards (a frozen norm stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def hooked(attach: Attach) -> Iterator[None]:
    """Keep the hooks that `attach` registers until the end, whatever happens."""
    with ExitStack() as hooks:
        for handle in attach():
            hooks.callback(handle.remove)
        yield


def as_model_takes_them(model: nn.Module, images: Tensor) -> Tensor:
    """Return the images on the device and in the floating-point type of the network's first parameter."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), images)
    return images.to(parameter.device, parameter.dtype)


def only_argument(args: Args, kwargs: Kwargs) -> Tensor:
    """Return the first thing a module was given, by position or by name."""
    return next(iter((*args, *kwargs.values())))


def as_logits(output: object) -> Tensor | None:
    """Return a network's output as float logits (B, K), detached or not as it is; None if it is none."""
    if isinstance(output, Tensor) and output.ndim == 2 and output.is_floating_point():
        return output.float()
    return None


def as_map(result: Tensor) -> Tensor:
    """Return a map (B, L, C) or (B, C, H, W) as (B, ..., C).

    Of a square map the two equal sides tell (B, C, H, W) from the (B, H, W, C) of some token networks; where they do
    not, it is (B, C, H, W).
    """
    if result.ndim == 3 or (result.shape[1] == result.shape[2] != result.shape[3]):
        return result
    return result.movedim(1, -1)


def check_images(images: Tensor, positions: int) -> None:
    """InputError unless `images` are a finite float batch (B, C, H, W), B >= 2, and `positions` at least 1."""
    if images.ndim != 4 or not images.is_floating_point():
        raise InputError(f"images: expected a float tensor (B, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if len(images) < 2:
        raise InputError(f"images: a batch needs at least 2 images, got {len(images)}")
    if positions < 1:
        raise InputError(f"positions: must be at least 1, got {positions}")
    check_finite("images", values=images)


def check_labels(labels: Tensor, images: Tensor) -> None:
    """InputError unless there is one integer label for each image."""
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"labels: expected integers (B,), got {labels.dtype}")
    if labels.shape != (len(images),):
        raise InputError(f"labels: expected {len(images)}, one for each image, got shape {tuple(labels.shape)}")


def check_classes(labels: Tensor, logits: Tensor) -> None:
    """InputError for a label that is none of the classes of `logits` (B, K)."""
    least, most = labels.min().item(), labels.max().item()
    if least < 0 or most >= logits.shape[1]:
        wrong = least if least < 0 else most
        raise InputError(f"labels: the network has classes 0 to {logits.shape[1] - 1}, got {wrong}")


def check_weights(model: nn.Module) -> None:
    """InputError naming the first layer with a parameter that is not finite."""
    for name, parameter in model.named_parameters():
        layer, _, kind = name.rpartition(".")
        if parameter.is_floating_point() and parameter.numel():
            check_finite(f"layer {layer!r}", **{{"weight": "weights", "bias": "biases"}.get(kind, kind): parameter})


def check_finite(where: str, **values: Tensor) -> None:
    """InputError saying `where` and which of the `values` are not finite."""
    for what, tensor in values.items():
        # The extremes are NaN where any value is, and a tenth of the cost of looking at each.
        if not torch.stack(tensor.detach().aminmax()).isfinite().all():
            raise InputError(f"{where}: {what} are not finite (NaN or infinite)")
