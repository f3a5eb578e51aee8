"""Networks of other libraries by name, as they start: built here, never fetched."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from nas.errors import InputError

IN_CHANNELS = 3
"""Of every network here, so that published weights fit: whoever has grey images repeats their channel."""

_NEAR_NAMES = 3
_FAULTS = (RuntimeError, ValueError, TypeError, AssertionError, IndexError, ZeroDivisionError)
"""What the code of other libraries raises for images that are too small, or of another size than it expects."""

_WITHOUT_EXTRA_HEADS: dict[str, dict[str, bool]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def build_foreign(library: str, name: str, num_classes: int, *, seed: int = 0) -> nn.Module:
    """Return the network called `name` of a library (`LIBRARIES`) with `num_classes` classes, for RGB images.

    Its weights are the library's own start, drawn from `seed` alone. InputError for a library that is not installed
    and for a name that it does not have; no name is ever looked up on a network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LIBRARIES[library](name, num_classes)


@contextmanager
def refusing(name: str, resolution: int) -> Iterator[None]:
    """Say in one line that a network of another library cannot run on images of this resolution: InputError."""
    try:
        yield
    except _FAULTS as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{name} at {resolution} px: {reason}; another resolution may do") from error


def _timm(name: str, num_classes: int) -> nn.Module:
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError:
        raise InputError(f"timm:{name}: timm is not installed; `pip install timm` does it") from None
    if not timm.is_model(name):
        raise InputError(_unknown("timm", name, timm.list_models()))
    return _made(f"timm:{name}", lambda: timm.create_model(name, pretrained=False, num_classes=num_classes))


def _torchvision(name: str, num_classes: int) -> nn.Module:
    from torchvision import models  # here, because it takes two seconds to import

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(_unknown("torchvision", name, known))
    more = _WITHOUT_EXTRA_HEADS.get(name, {})
    return _made(f"torchvision:{name}", lambda: models.get_model(name, weights=None, num_classes=num_classes, **more))


def _made(name: str, make: Callable[[], Any]) -> nn.Module:
    try:
        network: nn.Module = make()
    except _FAULTS as error:
        raise InputError(f"{name}: cannot be built: {str(error).splitlines()[0]}") from error
    return network


def _unknown(library: str, name: str, known: Sequence[str]) -> str:
    """Return the line of `nas.errors.unknown`, but with the nearest names in place of up to a thousand."""
    near = get_close_matches(name, known, n=_NEAR_NAMES, cutoff=0.5)
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
    return f"{library}: unknown network {name!r}{hint} ({len(known):,} are known)"


LIBRARIES: dict[str, Callable[[str, int], nn.Module]] = {"timm": _timm, "torchvision": _torchvision}
