"""Published networks by name: what each one is, what it costs, how well it does, and where that is written.

`references.toml` has one line for each: under the name of its builder, the builder's arguments and the published facts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nas.architecture import Architecture, Task
from nas.errors import SpaceError, unknown
from nas.references import convolutional, former

TABLE = Path(__file__).with_name("references.toml")

BUILDERS: Mapping[str, Callable[..., Architecture]] = {
    "mobilenet_v1": convolutional.mobilenet_v1,
    "mobilenet_v2": convolutional.mobilenet_v2,
    "mobilenet_v3_small": convolutional.mobilenet_v3_small,
    "mobilenet_v4_small": convolutional.mobilenet_v4_small,
    "mobilenext": convolutional.mobilenext,
    "shufflenet_v2": convolutional.shufflenet_v2,
    "ghostnet": convolutional.ghostnet,
    "resnet": convolutional.resnet,
    "resnet_cifar": convolutional.resnet_cifar,
    "densenet_cifar": convolutional.densenet_cifar,
    "convnext": convolutional.convnext,
    "starnet": convolutional.starnet,
    "edgenext": former.edgenext,
    "mobilevit": former.mobilevit,
    "mobilevit_v2": former.mobilevit_v2,
    "emo": former.emo,
    "tinynext": former.tinynext,
    "nodepth": convolutional.nodepth,
}


@dataclass(frozen=True)
class Reference:
    """A published network.

    `params` and `macs` are the published counts for `task`, `top1` the published accuracy in percent; `source` says
    where the parameters are counted: a model of a library, a repository, a table.
    """

    name: str
    title: str
    architecture: Architecture
    task: Task
    params: int
    source: str
    macs: int | None = None
    top1: float | None = None


@lru_cache(maxsize=1)
def references() -> Mapping[str, Reference]:
    """Return all references by name, families together, small ones first."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return MappingProxyType(
        {
            name: _reference(name, BUILDERS[builder], **line)
            for builder, lines in table.items()
            for name, line in lines.items()
        }
    )


def reference(name: str) -> Reference:
    """Return the reference called `name`; SpaceError with the nearest name otherwise."""
    try:
        return references()[name]
    except KeyError:
        raise SpaceError(unknown("reference", name, references())) from None


def _reference(
    name: str,
    build: Callable[..., Architecture],
    *,
    title: str,
    params: int,
    source: str,
    macs: int | None = None,
    top1: float | None = None,
    num_classes: int = 1000,
    resolution: int = 224,
    **arguments: Any,
) -> Reference:
    task = Task(num_classes=num_classes, resolution=resolution)
    return Reference(name, title, build(**arguments), task, params, source, macs, top1)
