"""Zero-cost scores: what an untrained network and one batch say about how well it will train.

Higher is better for each, by its paper; whether that holds for a space, and beyond the size of its networks, is for a
study to measure. `SCORES` has them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor, nn

from nas.interference.running import as_model_takes_them, check_images, check_labels
from nas.proxies.expressivity import expressivity
from nas.proxies.grad_norm import grad_norm
from nas.proxies.patterns import naswot, swap
from nas.proxies.subject import Subject
from nas.proxies.synflow import synflow
from nas.proxies.zen import zen

__all__ = ["SCORES", "zero_cost_scores"]

SCORES: dict[str, Callable[[Subject], float | None]] = {
    "synflow": synflow,
    "naswot": naswot,
    "grad_norm": grad_norm,
    "zen": zen,
    "swap": swap,
    "expressivity": expressivity,
}

MOST_IMAGES = 32
"""With 64 the ranks are the same (Spearman .97 to 1.00 over 40 members of `paper_cast`), and the time is twice this."""


def zero_cost_scores(network: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> dict[str, float]:
    """Return the scores of an untrained `network` by name, from normalised float `images` (B, C, H, W), 2 or more.

    `labels` (B,) are class indices; `seed` is for what a score draws. Images beyond the first `MOST_IMAGES` are not
    looked at. The network is measured on copies and stays as it is. A score that is not finite, or that this network
    does not have, is left out. InputError: images that are no such batch, labels that do not fit them or the network's
    classes.
    """
    check_images(images, positions=1)
    check_labels(labels, images)
    batch = as_model_takes_them(network, images[:MOST_IMAGES])
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(batch.device.type, enabled=False):
        subject = Subject(
            network, batch.detach().clone(), labels[:MOST_IMAGES].to(batch.device, torch.long, copy=True), seed
        )
        subject.look  # noqa: B018 - a network that fails here would fail in training as well
        scores = {name: _value(score, subject) for name, score in SCORES.items()}
    return {name: value for name, value in scores.items() if value is not None and isfinite(value)}


def _value(score: Callable[[Subject], float | None], subject: Subject) -> float | None:
    """Return a score; None where the network cannot run as the score changes it, such as in double precision."""
    try:
        return score(subject)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return None
