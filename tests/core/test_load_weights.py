"""Weights from a file fill a network whole, or are refused in one line and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nas.errors import InputError
from nas.network.load import load_weights

Weights = dict[str, Tensor]


def made(classes: int = 3, width: int = 4) -> nn.Sequential:
    """Return a small network for 4x4 images; its weights are whatever the generator gives."""
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(4 * width, classes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where the weights lie."""
    return tmp_path / "weights.safetensors"


def test_every_parameter_and_buffer_is_filled(path: Path) -> None:
    source, target = made(), made()
    source(torch.randn(8, 1, 4, 4))  # moves the running statistics of the norm
    save_file(source.state_dict(), path)
    load_weights(target, path)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


def test_other_number_types_and_missing_counters_are_taken(path: Path) -> None:
    source, target = made(), made()
    save_file({name: t.half() for name, t in source.state_dict().items() if "num_batches" not in name}, path)
    load_weights(target, path)
    assert target[0].weight.dtype == torch.float32
    assert torch.allclose(target[0].weight, source[0].weight, atol=1e-3)


def without(name: str) -> Callable[[Weights], Weights]:
    """Return what leaves a tensor out."""
    return lambda weights: {key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("0.bias"), "do not fit the network: 1 missing (0.bias)"),
        (lambda w: {**w, "more": torch.zeros(1)}, "do not fit the network: 1 unknown (more)"),
        (
            lambda w: {f"module.{name}": tensor for name, tensor in w.items()},
            "8 missing (0.weight, 0.bias, 1.weight, …); 9 unknown (module.0.bias, module.0.weight, module.1.bias, …)",
        ),
        (lambda _: made(width=5).state_dict(), "of another shape (0.weight is 5x1x3x3, expected 4x1x3x3, "),
        (lambda _: made(classes=7).state_dict(), "their head has 7 classes, the network's has 3"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(path: Path, change: Callable[[Weights], Weights], fault: str) -> None:
    target = made()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in change(made().state_dict()).items()}, path)
    with pytest.raises(InputError) as refused:
        load_weights(target, path)
    assert "\n" not in str(refused.value)
    assert fault in str(refused.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights.pt", b"anything"),
        ("weights.pth", b""),
        ("weights.safetensors", b"PK\x03\x04 a zip, as torch.save writes"),
        ("weights.safetensors", b"\x80\x02 an old pickle"),
    ],
)
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="a pickle, and reading one runs whatever code is in it; only safetensors"):
        load_weights(made(), tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08\0\0\0\0\0\0\0{broken}"])
def test_what_is_no_safetensors_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"weights {path}: not a safetensors file"):
        load_weights(made(), path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(InputError, match=f"weights {path}: cannot be read: No such file"):
        load_weights(made(), path)
