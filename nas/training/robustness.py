"""How much of its accuracy does a trained network keep when the images are worse than those it was trained on?

The corruptions are four of those of Hendrycks & Dietterich 2019 (Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations); beside them stands one step of the fast gradient sign method (Goodfellow et al. 2015,
section 4). There is one severity of each, ours: for small images, and stronger than theirs for 32 pixels, since
networks of 16 to 32 pixels after a short training lose hardly anything to those. So the figures compare networks
measured here with one another, not with published ones.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from nas.data.augment import Normaliser
from nas.data.batches import evaluation_batches
from nas.data.images import Images
from nas.errors import InputError, unknown
from nas.records import Plan
from nas.training.loop import EVALUATION_BATCH, evaluate
from nas.training.step import forward
from nas.value import derive_seed

NOISE_STD = 0.15
"""Of pixels in 0..1."""
BLUR_SHARE = 1 / 16
"""Standard deviation of the Gaussian over the side of the image: 2 pixels at 32, 1 at 16."""
JPEG_QUALITY = 20
CONTRAST = 0.4
"""Share that is left of each pixel's distance from the mean grey of its image."""
FGSM_LEVELS = 2
"""Grey levels of 255 by which the adversary moves each pixel: its epsilon is 2/255."""
FGSM = "fgsm"

Corruption = Callable[[Tensor], Tensor]
"""uint8 images (N, C, H, W) on the CPU, C 1 or 3, to such images. What is random is drawn from torch's generator."""


def gaussian_noise(pixels: Tensor) -> Tensor:
    """Add independent noise of `NOISE_STD` to each pixel."""
    return _levels(transforms.gaussian_noise(pixels / 255, sigma=NOISE_STD))


def gaussian_blur(pixels: Tensor) -> Tensor:
    """Blur with a Gaussian of `BLUR_SHARE` of the side, cut off at three standard deviations."""
    std = BLUR_SHARE * pixels.shape[-1]
    blurred: Tensor = transforms.gaussian_blur(pixels, kernel_size=[2 * math.ceil(3 * std) + 1] * 2, sigma=[std] * 2)
    return blurred


def jpeg(pixels: Tensor) -> Tensor:
    """Write and read each image as JPEG of `JPEG_QUALITY`, with Pillow: torchvision's own is to be removed."""
    return torch.stack([_through_jpeg(image) for image in pixels])


def contrast(pixels: Tensor) -> Tensor:
    """Draw each image towards its mean grey until `CONTRAST` is left."""
    return _levels(transforms.adjust_contrast(pixels / 255, CONTRAST))


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "gaussian_blur": gaussian_blur,
    "jpeg": jpeg,
    "contrast": contrast,
}


def robustness(
    network: nn.Module, images: Images, normaliser: Normaliser, plan: Plan, seed: int = 0
) -> dict[str, float]:
    """Return the accuracy, 0 to 1, of `network` under each of the `CORRUPTIONS` and under `fgsm`, by name.

    The images are at the resolution that the network takes. Each corruption is seeded by itself.
    """
    changed = {name: corrupted(images, name, seed=seed) for name in CORRUPTIONS}
    changed[FGSM] = fgsm(network, images, normaliser, plan)
    return {name: evaluate(network, each, normaliser, plan)[1] for name, each in changed.items()}


def corrupted(images: Images, name: str, *, seed: int = 0) -> Images:
    """Return the images under one of the `CORRUPTIONS`, on the CPU; InputError for an unknown name."""
    if name not in CORRUPTIONS:
        raise InputError(unknown("corruption", name, CORRUPTIONS))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, name))  # torch.manual_seed reseeds every GPU as well
        return Images(CORRUPTIONS[name](images.pixels.cpu()), images.labels.cpu())


def fgsm(
    network: nn.Module, images: Images, normaliser: Normaliser, plan: Plan, *, levels: int = FGSM_LEVELS
) -> Images:
    """Return the images, on the CPU, each pixel moved by `levels` of 255 in the direction that raises the loss.

    The gradient is that of the network in eval mode, for the true labels. A pixel without a gradient stays; none leaves
    0..255. The network's own gradients are left alone. InputError for fewer than 0 levels.
    """
    if levels < 0:
        raise InputError(f"fgsm: levels must be at least 0, got {levels}")
    was_training = network.training
    network.eval()
    moved = torch.cat(list(_moved(network, images, normaliser, plan, levels)))
    network.train(was_training)
    return Images(moved, images.labels.cpu())


def _through_jpeg(image: Tensor) -> Tensor:
    """Return one image, uint8 (C, H, W), as JPEG gives it back."""
    written: Image.Image = transforms.to_pil_image(image)
    with io.BytesIO() as file:
        written.save(file, format="jpeg", quality=JPEG_QUALITY)
        read: Tensor = transforms.pil_to_tensor(Image.open(file))
    return read


def _levels(values: Tensor) -> Tensor:
    """Return images of 0 to 1 as uint8, rounded: torchvision truncates, which darkens them by half a level."""
    return (values * 255).round().to(torch.uint8)


def _moved(network: nn.Module, images: Images, normaliser: Normaliser, plan: Plan, levels: int) -> Iterator[Tensor]:
    for batch in evaluation_batches(images, EVALUATION_BATCH, plan.device):
        # To normalise divides by a positive number: the sign of the gradient is that at the pixels.
        inputs = normaliser(batch.pixels).requires_grad_()
        logits = forward(network, inputs, plan).float()
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, batch.labels, reduction="sum"), inputs)
        steps = levels * gradient.sign().to(torch.int16)
        yield (batch.pixels + steps).clamp(0, 255).to("cpu", torch.uint8)
