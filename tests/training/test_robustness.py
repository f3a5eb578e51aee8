"""Corruptions and the adversary: what they do to pixels, and that nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.data.augment import Normaliser
from nas.data.images import Images
from nas.errors import InputError
from nas.records import Plan
from nas.training import robustness as subject
from nas.training.loop import evaluate
from nas.training.robustness import CORRUPTIONS, FGSM, NOISE_STD, corrupted, fgsm, robustness

PLAN = Plan()
PLAIN = {channels: Normaliser((0.0,) * channels, (1.0,) * channels) for channels in (1, 3)}
"""Leaves the pixels at value / 255."""


def pictures(channels: int = 3, count: int = 12, side: int = 16) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(count) % 2)


def filled(value: int, channels: int = 1, side: int = 32, count: int = 2) -> Images:
    return Images(torch.full((count, channels, side, side), value, dtype=torch.uint8), torch.arange(count) % 2)


class _Brightness(nn.Module):
    """Two logits: minus and plus the sum of the pixels; the brighter, the more class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, 2)."""
        total = self.factor * (x - 0.5).sum((1, 2, 3))
        return torch.stack([-total, total], dim=1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_pixels_and_nothing_else(name: str, channels: int) -> None:
    images = pictures(channels)
    before = images.pixels.clone()
    changed = corrupted(images, name)
    assert changed.pixels.shape == images.pixels.shape
    assert changed.pixels.dtype == torch.uint8
    assert not torch.equal(changed.pixels, images.pixels)
    assert torch.equal(images.pixels, before)
    assert torch.equal(changed.labels, images.labels)


def test_noise_has_the_spread_that_is_stated() -> None:
    noisy = corrupted(filled(128, side=64), "gaussian_noise").pixels.double() / 255
    assert noisy.std().item() == pytest.approx(NOISE_STD, rel=0.05)
    assert noisy.mean().item() == pytest.approx(128 / 255, abs=0.01)


def test_noise_follows_the_seed_and_leaves_the_global_generator_alone() -> None:
    images = pictures()
    state = torch.get_rng_state()
    first, again, other = (corrupted(images, "gaussian_noise", seed=seed).pixels for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_blur_turns_an_edge_into_a_gaussian_slope_of_two_pixels_at_32() -> None:
    edge = filled(0, count=1)
    edge.pixels[..., 16:] = 255
    weights = torch.exp(-0.5 * (torch.arange(-6, 7).double() / 2) ** 2)
    slope = 255 * (weights / weights.sum()).cumsum(0)
    row = corrupted(edge, "gaussian_blur").pixels[0, 0, 7].double()
    assert torch.allclose(row[10:23], slope, atol=0.51)
    assert row[:10].tolist() == [0] * 10


@pytest.mark.parametrize("name", ["gaussian_blur", "jpeg", "contrast"])
def test_an_even_grey_image_has_nothing_to_lose(name: str) -> None:
    grey = filled(128, channels=3)
    assert torch.equal(corrupted(grey, name).pixels, grey.pixels)


def test_contrast_keeps_four_tenths_of_the_distance_from_the_mean() -> None:
    halves = filled(100, count=1)
    halves.pixels[:, :, 16:] = 200
    levels = corrupted(halves, "contrast").pixels.unique().tolist()
    assert levels == [130, 170]  # 150 -/+ 0.4 * 50


def test_an_unknown_corruption_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown corruption 'jpg'; did you mean 'jpeg'\?"):
        corrupted(pictures(), "jpg")


def test_fgsm_moves_every_pixel_two_levels_against_the_label() -> None:
    moved = fgsm(_Brightness(), filled(128), PLAIN[1], PLAN).pixels
    assert moved[0].unique().tolist() == [130]  # class 0 is hurt by more light
    assert moved[1].unique().tolist() == [126]


def test_fgsm_stays_within_the_levels_there_are() -> None:
    assert fgsm(_Brightness(), filled(255), PLAIN[1], PLAN).pixels[0].unique().tolist() == [255]
    assert fgsm(_Brightness(), filled(1), PLAIN[1], PLAN).pixels[1].unique().tolist() == [0]


def test_fgsm_turns_an_answer_that_hangs_on_little() -> None:
    images = Images(
        filled(128).pixels[:1], torch.ones(1, dtype=torch.int64)
    )  # 128 / 255 is just on the side of class 1
    assert evaluate(_Brightness(), images, PLAIN[1], PLAN)[1] == 1
    assert robustness(_Brightness(), images, PLAIN[1], PLAN)[FGSM] == 0


def test_fgsm_of_no_levels_changes_nothing() -> None:
    images = pictures(1)
    assert torch.equal(fgsm(_Brightness(), images, PLAIN[1], PLAN, levels=0).pixels, images.pixels)
    with pytest.raises(InputError, match="levels must be at least 0, got -1"):
        fgsm(_Brightness(), images, PLAIN[1], PLAN, levels=-1)


def test_fgsm_is_taken_in_eval_mode_and_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 16 * 16, 2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fgsm(network, pictures(), PLAIN[3], PLAN)
    assert network.training
    assert network[0].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_fgsm_takes_images_in_batches_without_changing_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = _Brightness(), pictures(1)
    whole = fgsm(network, images, PLAIN[1], PLAN).pixels
    monkeypatch.setattr(subject, "EVALUATION_BATCH", 5)
    assert torch.equal(fgsm(network, images, PLAIN[1], PLAN).pixels, whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_robustness_gives_the_accuracy_under_each_corruption(channels: int) -> None:
    images = pictures(channels)
    network = _Brightness()
    found = robustness(network, images, PLAIN[channels], PLAN, seed=3)
    assert found.keys() == {*CORRUPTIONS, FGSM}
    for name in CORRUPTIONS:
        assert found[name] == evaluate(network, corrupted(images, name, seed=3), PLAIN[channels], PLAN)[1]
