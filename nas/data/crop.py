"""Random crops, resized, and erased rectangles: drawn for each image, made for a whole batch at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ASPECT = 4 / 3
"""Most of a crop's aspect ratio, and its reciprocal the least (Szegedy et al. 2015, Going Deeper with Convolutions)."""
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), 3.3
"""Of an erased rectangle, as a share of the image (Zhong et al. 2020, Random Erasing Data Augmentation)."""
_TRIES = 10
"""Shapes drawn for a crop; where none fits the image, it is the whole image."""


class Boxes(NamedTuple):
    """Part of each image, in whole pixels: float (B,) each."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def whole(count: int, side: int, device: torch.device) -> Boxes:
    """Return the boxes of `count` whole images."""
    zero, full = torch.zeros(count, device=device), torch.full((count,), float(side), device=device)
    return Boxes(zero, zero, full, full)


def random_boxes(uniform: Tensor, side: int, least_area: float) -> Boxes:
    """Return a box for each image of a `side`, from draws in 0..1, float (`draws_for_boxes()`, B).

    Area uniform from `least_area` to 1, aspect ratio from 3/4 to 4/3 evenly in its logarithm, place uniform.
    """
    areas, aspects, (down, right) = uniform[:_TRIES], uniform[_TRIES : 2 * _TRIES], uniform[2 * _TRIES :]
    area = (least_area + (1 - least_area) * areas) * side**2
    aspect = ((2 * aspects - 1) * math.log(ASPECT)).exp()
    widths, heights = (area * aspect).sqrt(), (area / aspect).sqrt()
    fits = (widths <= side) & (heights <= side)
    first = fits.int().argmax(0, keepdim=True)
    found = fits.any(0)
    width = torch.where(found, widths.gather(0, first)[0], side)
    height = torch.where(found, heights.gather(0, first)[0], side)
    height, width = height.round().clamp(min=1), width.round().clamp(min=1)
    return Boxes((down * (side - height + 1)).floor(), (right * (side - width + 1)).floor(), height, width)


def draws_for_boxes() -> int:
    """Return how many numbers `random_boxes` takes for an image."""
    return 2 * _TRIES + 2


def resample(pixels: Tensor, boxes: Boxes, side: int, mirrored: Tensor | None = None) -> Tensor:
    """Return what is in the boxes of uint8 images (B, C, H, W), as images of `side`, those `mirrored`, (B,), flipped.

    Bilinear, with antialiasing. On a CPU image by image, by torch's kernel for uint8, ten times as fast as anything in
    float; on a GPU all at once, by a matrix for the rows and one for the columns of each image.
    """
    if pixels.is_cuda:
        return _by_matrices(pixels, boxes, side, mirrored)
    size, flags = (side, side), [False] * len(pixels) if mirrored is None else mirrored.tolist()
    made = []
    for i, (top, left, height, width) in enumerate(torch.stack(boxes, 1).int().tolist()):
        cut = pixels[i : i + 1, :, top : top + height, left : left + width]
        resized = F.interpolate(cut, size, mode="bilinear", antialias=True)
        made.append(resized.flip(3) if flags[i] else resized)  # to choose among all takes longer than to resize
    return torch.cat(made)


def erase(images: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Return normalised images (B, C, H, W), a `share` of them with a rectangle at zero, from draws in 0..1, (5, B)."""
    height, width = images.shape[2:]
    chosen, areas, aspects, downs, rights = uniform
    area = (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * areas) * height * width
    aspect = ((2 * aspects - 1) * math.log(ERASED_ASPECT)).exp()
    tall = (area * aspect).sqrt().clamp(max=height)
    wide = (area / aspect).sqrt().clamp(max=width)
    rows = _covered(height, downs * (height - tall), tall)
    columns = _covered(width, rights * (width - wide), wide)
    gone = rows[:, :, None] & columns[:, None, :] & (chosen < share)[:, None, None]
    return images.masked_fill(gone[:, None], 0)


def _by_matrices(pixels: Tensor, boxes: Boxes, side: int, mirrored: Tensor | None) -> Tensor:
    # half precision holds 255 exactly, and its products are summed in single precision
    kind = torch.float16 if pixels.is_cuda else torch.float32
    rows = _weights(boxes.top, boxes.height, pixels.shape[2], side)
    columns = _weights(boxes.left, boxes.width, pixels.shape[3], side)
    if mirrored is not None:
        columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    found = rows.to(kind)[:, None] @ pixels.to(kind) @ columns.to(kind).transpose(1, 2)[:, None]
    return found.round_().clamp_(0, 255).to(torch.uint8)


def _weights(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """Return how much each of `size` pixels counts in each of `side` ones, float (B, side, size); rows add up to 1.

    The triangle filter of torch's antialiased bilinear resize, on the pixels of the box alone.
    """
    step = (length / side)[:, None, None]
    centres = start[:, None, None] + step * (torch.arange(side, device=start.device)[:, None] + 0.5)
    own = torch.arange(size, device=start.device) + 0.5
    weights = (1 - (own - centres).abs() / step.clamp(min=1)).clamp_(min=0) * _covered(size, start, length)[:, None]
    return weights / weights.sum(2, keepdim=True)


def _covered(size: int, start: Tensor, length: Tensor) -> Tensor:
    """Return bool (B, size): the pixels whose centres lie from `start` on for `length`."""
    centres = torch.arange(size, device=start.device) + 0.5
    return (centres >= start[:, None]) & (centres < (start + length)[:, None])
