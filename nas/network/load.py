"""Weights from a file: safetensors and nothing else, and either all of a network's or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nas.errors import InputError

PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""A zip, as torch.save writes it, or a pickle of protocol 2 to 5. Safetensors start with the length of a header."""

_SHOWN = 3
"""Names in a line about many."""
_COUNTERS = "num_batches_tracked"
"""A buffer that only says how long a norm was trained; files often leave it out."""


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill the parameters and buffers of `network` from a safetensors file with the same names and shapes.

    InputError in one line, and the network as it was, for a file that is none, that is a pickle (reading one runs the
    code in it), or that does not fit: names that are missing or unknown, shapes that differ, among them a head with
    another number of classes. Values take the network's own number type.
    """
    found = _read(path)
    own = network.state_dict()
    missing = [name for name in own if name not in found and not name.endswith(_COUNTERS)]
    strange = sorted(found.keys() - own.keys())  # in a file, larger number types come first
    shapes = {
        name: (tuple(found[name].shape), tuple(own[name].shape))
        for name in own
        if name in found and found[name].shape != own[name].shape
    }
    if not missing and not strange and (head := _other_classes(shapes)):
        raise InputError(f"weights {path}: their head has {head[0]} classes, the network's has {head[1]}")
    if missing or strange or shapes:
        raise InputError(f"weights {path}: do not fit the network: {_faults(missing, strange, shapes)}")
    with torch.no_grad():
        for name, tensor in found.items():
            own[name].copy_(tensor)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"weights {path}: cannot be read: {error.strerror or error}") from None
    if path.suffix in PICKLES or start.startswith(_PICKLE_STARTS):
        raise InputError(
            f"weights {path}: a pickle, and reading one runs whatever code is in it; only safetensors files are read"
        )
    try:
        found: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"weights {path}: not a safetensors file: {error}") from None
    return found


Shapes = Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
"""Name -> the shape in the file and the shape in the network."""


def _other_classes(shapes: Shapes) -> tuple[int, int] | None:
    """Return the classes in the file and in the network, where a last layer's outputs are all that differs."""
    inner = {(file[1:], own[1:]) for file, own in shapes.values()}
    outer = {(file[0], own[0]) for file, own in shapes.values() if file and own}
    layers = {name.rpartition(".")[0] for name in shapes}
    if len(outer) != 1 or len(layers) != 1 or any(file != own for file, own in inner):
        return None
    return next(iter(outer))


def _faults(missing: Sequence[str], strange: Sequence[str], shapes: Shapes) -> str:
    sizes = [f"{name} is {_shape(file)}, expected {_shape(own)}" for name, (file, own) in shapes.items()]
    kinds = {"missing": missing, "unknown": strange, "of another shape": sizes}
    return "; ".join(f"{len(names)} {kind} ({_few(names)})" for kind, names in kinds.items() if names)


def _shape(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides)) or "one number"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + ", …" * (len(names) > _SHOWN)
