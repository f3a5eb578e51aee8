"""A trained network into a folder and out of it again: JSON for people and machines, safetensors for the weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.errors import InputError, SpaceError
from nas.model_folder import ModelFolder, TrainedTask, read_description
from nas.network.blur import set_blur_pool
from nas.network.build import Network, build
from nas.network.load import load_weights
from nas.results import write_whole


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network in eval mode, with what it is and what it was trained to do."""

    network: Network
    architecture: Architecture
    task: TrainedTask


def save_model(
    path: Path,
    network: nn.Module,
    architecture: Architecture,
    task: TrainedTask,
    *,
    averaged: nn.Module | None = None,
    recipe: str | None = None,
    metrics: Mapping[str, object] | None = None,
) -> ModelFolder:
    """Write a network that `build` gave for `architecture` into the folder `path`, each file whole or not at all.

    `averaged` is the network with the moving average of its weights; `recipe` is the text of its TOML file. InputError
    when the folder cannot be written.
    """
    folder = ModelFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_whole(folder.architecture, architecture.model_dump_json(indent=2) + "\n")
        write_whole(folder.task, task.model_dump_json(indent=2) + "\n")
        if recipe is not None:
            write_whole(folder.recipe, recipe)
        if metrics is not None:
            write_whole(folder.metrics, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        if averaged is not None:
            save_weights(averaged, folder.averaged)
        save_weights(network, folder.weights)  # last: a folder with weights is complete
    except OSError as error:
        raise InputError(f"model {path}: cannot be written: {error.strerror or error}") from None
    return folder


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of `network` as safetensors; a reader finds the old file or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: _plain(tensor) for name, tensor in network.state_dict().items()}, scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def load_model(path: Path, *, averaged: bool = False) -> Model:
    """Return the model in the folder `path`, with the strides it was trained with; `averaged` takes its EMA weights.

    It takes images of other sides too, see `nas.model_folder.check_side`. InputError in one line for a folder that is
    none and for files that do not fit each other.
    """
    architecture, task = read_description(path)
    folder = ModelFolder(path)
    weights = folder.averaged if averaged else folder.weights
    if averaged and not weights.exists():
        raise InputError(f"model {path}: no averaged weights ({weights.name}); it was trained without them")
    try:
        network = build(architecture, task.task)
    except SpaceError as error:
        raise SpaceError(f"model {path} at {task.resolution} px: {error}") from None
    load_weights(network, weights)
    if task.blur_pool:
        set_blur_pool(network)
    return Model(network.eval(), architecture, task)


def _plain(tensor: Tensor) -> Tensor:
    """Return a copy that shares no memory, in the order of its indices, as the format wants it."""
    return tensor.detach().cpu().clone().contiguous()
