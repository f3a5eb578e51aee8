"""The folder of a trained network: which files it has, and the task they are for. Torch is not needed to read it.

`nas.network.folder` writes it and reads the weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from nas.architecture import Architecture, Task, effective_strides
from nas.errors import InputError, SpaceError
from nas.value import Value, explain

ARCHITECTURE, TASK, WEIGHTS, AVERAGED = "architecture.json", "task.json", "model.safetensors", "ema.safetensors"


class TrainedTask(Value):
    """What a network was trained to do: the `classes` in the order of its logits, and what its input must be.

    `resolution` is the side it was trained at, in pixels; `mean` and `std` are per channel, of values in 0..1.
    `data` and `fingerprint` say on which images, as `nas retrain --data` had them; empty where that is not known.
    `blur_pool`: what strides in the network is given blurred maps (`nas.network.blur`).
    """

    classes: tuple[str, ...] = Field(min_length=2)
    resolution: int = Field(ge=1)
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)
    data: str = ""
    fingerprint: str = ""
    blur_pool: bool = False

    @model_validator(mode="after")
    def _one_of_each_channel(self) -> Self:
        if len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ValueError(f"mean and std need one number a channel, std above 0, got {self.mean}, {self.std}")
        return self

    @property
    def task(self) -> Task:
        """The task that the network is built for."""
        return Task(num_classes=len(self.classes), in_channels=len(self.mean), resolution=self.resolution)


@dataclass(frozen=True)
class ModelFolder:
    """The files of a trained network below `path`."""

    path: Path

    @property
    def architecture(self) -> Path:
        """The network's description."""
        return self.path / ARCHITECTURE

    @property
    def task(self) -> Path:
        """What it was trained to do, `TrainedTask`."""
        return self.path / TASK

    @property
    def weights(self) -> Path:
        """The weights that it is judged by."""
        return self.path / WEIGHTS

    @property
    def averaged(self) -> Path:
        """Their exponential moving average, where the recipe has one."""
        return self.path / AVERAGED

    @property
    def recipe(self) -> Path:
        """How it was trained."""
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        """What was measured in training it."""
        return self.path / "metrics.json"

    @property
    def card(self) -> Path:
        """What people read first."""
        return self.path / "MODEL_CARD.md"


def read_description(path: Path) -> tuple[Architecture, TrainedTask]:
    """Return the architecture and the task of the model in the folder `path`; InputError in one line."""
    folder = ModelFolder(path)
    if not path.is_dir():
        raise InputError(f"model {path}: no such folder; expected one that `nas retrain` wrote")
    try:
        architecture = Architecture.from_json(_json(folder.architecture))
    except SpaceError as error:
        raise SpaceError(f"{folder.architecture}: {error}") from None
    try:
        return architecture, TrainedTask.model_validate_json(_json(folder.task))
    except ValidationError as error:
        raise InputError(f"{folder.task}: {explain(error)}") from None


def check_side(architecture: Architecture, task: TrainedTask, side: int) -> None:
    """Raise InputError for images of a `side` below the stride of the network: no pixel would be left of them.

    Strides stay those of the training, whatever the images: with others it would be another network.
    """
    stride = prod(effective_strides(architecture, task.resolution))
    if side < stride:
        raise InputError(f"resolution must be at least the network's stride, {stride} pixels, got {side}")


def _json(path: Path) -> str:
    """Return the text of a JSON file."""
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)  # pydantic's line on what is no JSON at all quotes the whole of it
    except FileNotFoundError:
        raise InputError(f"model {path.parent}: no {path.name} in it; expected a folder of `nas retrain`") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    return text
