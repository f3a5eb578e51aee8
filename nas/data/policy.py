"""torchvision's augmentations of whole batches: RandAugment, mixup and cutmix, each draw from a seed that is given.

They draw from torch's own generator on the CPU, which is forked for them, and draw once for all images they are given:
so RandAugment gets a batch in groups. (Cubuk et al. 2020, RandAugment; Zhang et al. 2018, mixup; Yun et al. 2019,
CutMix.)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from nas.value import derive_seed

GROUP = 32
"""Images that share the operations of one draw; with one image each, the launches would take longer than the work."""
OPERATIONS = 2

_DRAWING = threading.Lock()


def rand_augment(pixels: Tensor, magnitude: int, *, seed: int, first: int = 0) -> Tensor:
    """Return uint8 images (B, C, H, W) after two random operations of a `magnitude` from 0 to 30.

    The images are part of a batch, from its place `first` on: groups are counted from the start of the batch.
    """
    from torchvision.transforms import v2  # here, because it takes two seconds to import

    transform = v2.RandAugment(num_ops=OPERATIONS, magnitude=magnitude)
    done, at = [], first
    while at < first + len(pixels):
        end = min((at // GROUP + 1) * GROUP, first + len(pixels))
        with _drawing(derive_seed(seed, at // GROUP)):
            done.append(transform(pixels[at - first : end - first]))
        at = end
    return torch.cat(done)


def mix(
    inputs: Tensor, labels: Tensor, classes: int, *, mixup: float, cutmix: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W) mixed with the one before each, and the share of each class in them, (B, classes).

    `mixup` and `cutmix` are the alphas of their Beta distributions; of two that are not 0 one is drawn.
    """
    from torchvision.transforms import v2

    kinds = [(v2.MixUp, mixup), (v2.CutMix, cutmix)]
    with _drawing(seed):
        wanted = [make(alpha=float(alpha), num_classes=classes) for make, alpha in kinds if alpha]
        chosen = wanted[int(torch.randint(len(wanted), ()))]
        mixed: tuple[Tensor, Tensor] = chosen(inputs, labels)
    return mixed


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Let what is drawn from torch's generator on the CPU depend on `seed` alone, and leave no trace there."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
