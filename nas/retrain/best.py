"""The best weights of a training so far, by the images that are held out: a file that each better epoch replaces."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nas.records import Epoch
from nas.value import Value

_HEADER = "nas"


class Chosen(Value):
    """The epoch, from 1 on, whose weights are kept, and its accuracy on what is held out."""

    epoch: int
    val_accuracy: float


class Best:
    """Keeps the weights of the best epoch in a file, atomically; of equal ones the first."""

    def __init__(self, path: Path) -> None:
        """Go on from what is there."""
        self.path = path
        self.chosen = _read(path)

    def offer(self, network: nn.Module, epoch: Epoch, number: int) -> None:
        """Keep the weights of an epoch if they are better than all before. OSError where they cannot be written."""
        accuracy = epoch.val_accuracy
        if accuracy is None or (self.chosen is not None and accuracy <= self.chosen.val_accuracy):
            return
        found = Chosen(epoch=number, val_accuracy=accuracy)
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            weights = {name: _plain(tensor) for name, tensor in network.state_dict().items()}
            save_file(weights, scratch, {_HEADER: found.model_dump_json()})
            scratch.replace(self.path)
        finally:
            scratch.unlink(missing_ok=True)
        self.chosen = found

    def load(self, network: nn.Module) -> None:
        """Give the network the weights."""
        with safe_open(self.path, framework="pt") as file:
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no mapping


def _read(path: Path) -> Chosen | None:
    """Return whose weights a file holds; None where there is none, or not one of ours."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return Chosen.model_validate_json((file.metadata() or {}).get(_HEADER, ""))
    except (OSError, SafetensorError, ValidationError):
        return None


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
