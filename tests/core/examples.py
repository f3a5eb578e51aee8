"""Small architectures, spaces and records that the tests of the core are written with."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from nas.architecture import Architecture, Head, Stage, Stem, Task
from nas.blocks import Block
from nas.budget import Budget, Cost
from nas.records import Fidelity, Measurement, Plan, Recipe, StudyConfig, TrialRecord
from nas.space import GeneValue, SearchSpace, Target
from nas.space_file import parse_space

TASK = Task(num_classes=10, in_channels=3, resolution=16)

SMALL_SPACE = """
name = "small"
[target]
num_classes = 10
resolution = 16
cap = "5k"
[network]
activation = ["relu", "gelu"]
[stem]
width = [8, 12]
[[stage]]
width = [8, 16]
depth = [1, 2]
stride = [1, 2]
block = ["nodepth", "separable", "inverted"]
expansion = [0.5, 2]
skip = [true, false]
[head]
width = [0, 8]
"""


def block(family: str = "separable", **genes: Any) -> Block:
    return Block(family=family, **genes)


def architecture(*blocks: Block, stem: int = 8, width: int = 8, stride: int = 1, head: int = 0) -> Architecture:
    """Return a network of one stage."""
    stage = Stage(width=width, stride=stride, blocks=blocks or (block(),))
    return Architecture(stem=Stem(width=stem), stages=(stage,), head=Head(width=head))


def all_genotypes(space: SearchSpace) -> list[dict[str, GeneValue]]:
    """Return every combination of gene values, canonical or not."""
    names = [gene.name for gene in space.genes]
    return [dict(zip(names, values, strict=True)) for values in product(*(gene.values for gene in space.genes))]


def members(space: SearchSpace) -> list[dict[str, GeneValue]]:
    """Return every member of `space`, by enumeration."""
    unique = {tuple(space.canonical(genotype).items()) for genotype in all_genotypes(space)}
    return [dict(items) for items in sorted(unique, key=repr)]


def genotypes(space: SearchSpace) -> st.SearchStrategy[dict[str, GeneValue]]:
    return st.fixed_dictionaries({gene.name: st.sampled_from(gene.values) for gene in space.genes})


BLOCK_VALUES = {
    "block": ['"nodepth"', '"separable"', '"inverted"', '"residual"', '"sandglass"', '"convnext"'],
    "kernel": ["3", "5"],
    "expansion": ["0.5", "1", "2", "4"],
    "activation": ['"relu"', '"solu"'],
    "norm": ['"batch"', '"layer"'],
    "se_ratio": ["0.0", "0.25"],
    "skip": ["true", "false"],
}


def _line(key: str, values: list[str]) -> st.SearchStrategy[str]:
    """Draw `key` with a scalar twice as often as with a list, to keep spaces small enough to enumerate."""
    scalars = st.sampled_from(values).map(lambda value: f"{key} = {value}")
    lists = st.lists(st.sampled_from(values), min_size=2, max_size=3, unique=True)
    return st.one_of(scalars, scalars, lists.map(lambda chosen: f"{key} = [{', '.join(chosen)}]"))


@st.composite
def spaces(draw: st.DrawFn, most: int = 600) -> SearchSpace:
    """Draw a space of at most `most` genotypes, with choices for the network, all stages, one stage and one block."""

    def some(*first: str) -> list[str]:
        keys = draw(st.lists(st.sampled_from(sorted(BLOCK_VALUES)), max_size=2, unique=True))
        return [draw(_line(key, BLOCK_VALUES[key])) for key in dict.fromkeys((*first, *keys))]

    everywhere = draw(st.booleans())
    lines = ["[network]", *some(*["block"] * everywhere), "[stages]", *some(*["block"] * (not everywhere))]
    lines += ["[stem]", draw(_line("width", ["8", "12"]))]
    for _ in range(draw(st.integers(1, 3))):
        own = some()
        lines += ["[[stage]]", draw(_line("width", ["8", "12", "16"])), *own]
        lines += [draw(_line(key, ["1", "2"])) for key in ("depth", "stride")]
        lines += [f'per_block = ["{line.split()[0]}"]' for line in own[:1] if draw(st.booleans())]
    lines += draw(st.sampled_from([[], ["[head]", "width = [0, 8]"], ["[head]", "width = [0, 4]", 'norm = "layer"']]))
    space = parse_space("\n".join(["[target]", "num_classes = 10", "resolution = 16", *lines]))
    assume(prod(len(gene.values) for gene in space.genes) <= most)
    return space


def cost(params: int, macs: int = 0) -> Cost:
    return Cost(params=params, macs=macs, peak_activation_bytes=0, weight_bytes=4 * params)


LOW, HIGH = Fidelity(epochs=1, resolution=8), Fidelity(epochs=4, resolution=8)


def measurement(accuracy: float, fidelity: Fidelity = LOW, *, seed: int = 0, **metrics: float) -> Measurement:
    values = {"val_accuracy": accuracy, **metrics}
    return Measurement(fidelity=fidelity, seed=seed, epochs=(), metrics=values, train_seconds=1)


def diverged(fidelity: Fidelity = LOW) -> Measurement:
    return Measurement(fidelity=fidelity, seed=0, epochs=(), metrics={}, train_seconds=1, diverged=True)


def record(*measurements: Measurement, number: int = 0, params: int = 100, error: str = "") -> TrialRecord:
    return TrialRecord(
        number=number,
        genotype={"stem.width": 8, "stage1.block": "separable", "stage1.skip": True, "stage1.expansion": 0.5},
        architecture=architecture(),
        cost=cost(params),
        measurements=measurements,
        error=error,
    )


def config(**given: Any) -> StudyConfig:
    values: dict[str, Any] = {
        "name": "study",
        "space_name": "small",
        "space_text": SMALL_SPACE,
        "target": Target(dataset="digits", num_classes=10, resolution=16),
        "budget": Budget(params=1_000),
        "data": "digits",
        "data_fingerprint": "0",
        "validation_fraction": 0.2,
        "objectives": ("val_accuracy", "params"),
        "fidelities": (LOW, HIGH),
        "recipe": Recipe(),
        "plan": Plan(),
        "seed": 0,
    }
    return StudyConfig(**{**values, **given})


def small_space() -> SearchSpace:
    return parse_space(SMALL_SPACE)
