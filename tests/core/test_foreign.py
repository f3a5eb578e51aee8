"""Networks of other libraries: built by name, untrained, from a seed, and refused in one line."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from nas.errors import InputError
from nas.network.foreign import build_foreign, refusing


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put a library of one network in timm's place (importing that takes seconds); give how networks were asked for."""
    asked: list[dict[str, Any]] = []

    def create_model(name: str, **options: Any) -> nn.Module:
        asked.append({"name": name, **options})
        if options["num_classes"] > 5:
            raise RuntimeError("too many\nclasses")
        return nn.Linear(2, options["num_classes"])

    module = SimpleNamespace(
        create_model=create_model, is_model="tinynet".__eq__, list_models=lambda: ["tinynet", "resnet"]
    )
    monkeypatch.setitem(sys.modules, "timm", module)
    return asked


def test_weights_follow_the_seed_and_no_global_state() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_foreign("torchvision", "squeezenet1_1", 4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.features[0].weight, again.features[0].weight)
    assert not torch.equal(first.features[0].weight, other.features[0].weight)


def test_a_network_has_the_classes_asked_for_and_one_output() -> None:
    network = build_foreign("torchvision", "googlenet", 4)  # has two more heads unless told
    assert network.train()(torch.zeros(2, 3, 32, 32)).shape == (2, 4)


def test_timm_is_asked_for_no_pretrained_weights(timm: list[dict[str, Any]]) -> None:
    network = build_foreign("timm", "tinynet", 3)
    assert isinstance(network, nn.Linear)
    assert timm == [{"name": "tinynet", "pretrained": False, "num_classes": 3}]


@pytest.mark.parametrize("name", ["tinynot", "hf-hub:someone/tinynet", ""])
def test_a_name_that_timm_does_not_have_is_never_looked_up(timm: list[dict[str, Any]], name: str) -> None:
    with pytest.raises(InputError, match=r"^timm: unknown network .*\(2 are known\)$"):
        build_foreign("timm", name, 3)
    assert timm == []


def test_near_names_are_named(timm: list[dict[str, Any]]) -> None:  # noqa: ARG001
    with pytest.raises(InputError, match="unknown network 'tinynot'; did you mean 'tinynet'"):
        build_foreign("timm", "tinynot", 3)
    with pytest.raises(InputError, match=r"torchvision: unknown network 'resnet19'; did you mean 'resnet18'"):
        build_foreign("torchvision", "resnet19", 3)


def test_a_library_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="timm:resnet18: timm is not installed"):
        build_foreign("timm", "resnet18", 3)


def test_a_network_that_cannot_be_built_is_one_line(timm: list[dict[str, Any]]) -> None:  # noqa: ARG001
    with pytest.raises(InputError, match=r"^timm:tinynet: cannot be built: too many$"):
        build_foreign("timm", "tinynet", 9)


@pytest.mark.parametrize(
    "error", [RuntimeError("too small\nhere"), AssertionError("too small"), ValueError("too small")]
)
def test_images_that_a_network_does_not_take_are_one_line(error: Exception) -> None:
    with (
        pytest.raises(InputError, match=r"^timm:x at 8 px: too small; another resolution may do$"),
        refusing("timm:x", 8),
    ):
        raise error


def test_an_error_without_words_says_its_kind() -> None:
    with pytest.raises(InputError, match="timm:x at 8 px: AssertionError; "), refusing("timm:x", 8):
        raise AssertionError


def test_a_network_of_timm_takes_rgb_and_gives_logits() -> None:
    network = build_foreign("timm", "mobilenetv4_conv_small_050", 3).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
