"""Every block family with every gene value: it builds, it runs both ways, and its closed-form cost is fvcore's.

The default run takes every family x kernel x stride x expansion and every family x activation x norm once; the full
product is marked slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product
from typing import Any

import pytest
import torch

from nas.architecture import Architecture, Head, Stage, Stem, Task
from nas.audit import count
from nas.blocks import FAMILIES, Block
from nas.budget import cost
from nas.layers import ACTIVATIONS, NORMS
from nas.network.build import Network, build
from tests.core.examples import architecture, block

KERNELS = (3, 5, 7)
STRIDES = (1, 2)
EXPANSIONS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
KINDS = list(product(ACTIVATIONS, NORMS))
TASK = Task(num_classes=5, in_channels=3, resolution=16)
Case = tuple[Block, int]
WITH_SE = [name for name in FAMILIES if "se_ratio" in FAMILIES[name].genes]
WITH_LAYER_SCALE = [name for name in FAMILIES if "layer_scale" in FAMILIES[name].genes]


def _shapes(name: str) -> list[tuple[int, int, float]]:
    """Return every kernel, stride and expansion that the family can tell apart."""
    return list(product(KERNELS, STRIDES, EXPANSIONS if "expansion" in FAMILIES[name].genes else (1.0,)))


def _case(name: str, shape: tuple[int, int, float], kind: tuple[str, str]) -> Case:
    kernel, stride, expansion = shape
    return block(name, kernel=kernel, expansion=expansion, activation=kind[0], norm=kind[1]), stride


def _covering(name: str) -> list[Case]:
    """Return as few cases as hold every shape and every kind of the family."""
    pairs = zip(cycle(_shapes(name)), cycle(KINDS), strict=False)
    return [_case(name, *pair) for pair in islice(pairs, max(len(_shapes(name)), len(KINDS)))]


COVERING = [case for name in FAMILIES for case in _covering(name)]


def _name(case: Case) -> str:
    genes, stride = case
    return f"{genes.family}-k{genes.kernel}-s{stride}-e{genes.expansion:g}-{genes.activation}-{genes.norm}"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _run_both_ways(network: Network, task: Task) -> None:
    """Run forward and backward in double precision: squared activations without norms overflow the single one."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, task.in_channels, task.resolution, task.resolution)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    logits = network.double()(images)
    assert logits.shape == (2, task.num_classes)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def _check(design: Architecture, task: Task = TASK) -> None:
    network, expected = build(design, task), cost(design, task)
    params = sum(parameter.numel() for parameter in network.parameters())
    assert count(network, task) == (params, expected.macs)
    assert params == expected.params
    _run_both_ways(network, task)


def _sweep(case: Case) -> None:
    """Check a network with the block where the shape changes and where it is kept."""
    genes, stride = case
    _check(architecture(genes, genes, width=12, stride=stride))


@pytest.mark.parametrize("case", COVERING, ids=_name)
def test_a_block_builds_runs_and_costs_what_the_closed_form_says(case: Case) -> None:
    _sweep(case)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_shape_of_a_family_with_every_kind(name: str, kind: tuple[str, str]) -> None:
    for shape in _shapes(name):
        _sweep(_case(name, shape, kind))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_covering_cases_hold_every_shape_and_every_kind(name: str) -> None:
    cases = [case for case in COVERING if case[0].family == name]
    assert {(genes.kernel, stride, genes.expansion) for genes, stride in cases} == set(_shapes(name))
    assert {(genes.activation, genes.norm) for genes, _ in cases} == set(KINDS)


OTHER_GENES = [
    *(block(name, expansion=2, se_ratio=ratio) for name in WITH_SE for ratio in (0.05, 0.25, 1.0)),
    *(block("universal_inverted", start_kernel=start, kernel=middle) for start in (1, 3) for middle in (1, 5)),
    *(block("sandglass", expansion=2, start_kernel=start, kernel=kernel) for start in (1, 5) for kernel in (1, 3)),
    *(
        block(name, expansion=expansion, end_kernel=end)
        for name in ("nodepth", "nodepth_dense")
        for expansion in (0.5, 2)
        for end in (3, 5)
    ),
    *(block("residual_bottleneck", expansion=2, groups=groups) for groups in (2, 3, 6)),
    *(
        block(name, heads=heads)
        for name in ("irmb_attention", "irmb_hybrid", "mobilevit", "sdta")
        for heads in (1, 2, 4)
    ),
    *(block(name, window=window) for name in ("irmb_attention", "irmb_hybrid") for window in (2, 5, 16, 20)),
    *(block(name, layers=layers) for name in ("mobilevit", "mobilevitv2") for layers in (1, 3)),
    *(block("sdta", splits=splits, position=position) for splits in (2, 3, 4) for position in (True, False)),
    *(block(name, layer_scale=1e-6) for name in WITH_LAYER_SCALE),
    block("conv", bias=True),
]


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("genes", OTHER_GENES, ids=lambda genes: genes.model_dump_json(exclude_defaults=True))
def test_the_other_genes_cost_what_the_closed_form_says(genes: Block, stride: int) -> None:
    _sweep((genes, stride))


def test_every_gene_of_every_family_is_swept() -> None:
    swept = {"kernel", "expansion", "activation", "norm", "skip"}
    for name, family in FAMILIES.items():
        changed = {gene for genes in OTHER_GENES if genes.family == name for gene in genes.model_fields_set}
        assert family.genes <= swept | changed


@pytest.mark.parametrize("name", FAMILIES)
def test_a_block_without_skip_costs_what_the_closed_form_says(name: str) -> None:
    _sweep((block(name, skip=False), 1))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("resolution", [4, 7, 8, 13, 33])
def test_a_network_with_strides_dropped_costs_what_the_closed_form_says(name: str, resolution: int) -> None:
    stages = tuple(Stage(width=8, stride=2, blocks=(block(name),)) for _ in range(2))
    _check(Architecture(stem=Stem(width=8), stages=stages), TASK.model_copy(update={"resolution": resolution}))


STEMS = [
    *({"kernel": kernel, "stride": stride} for kernel in (1, 3, 7) for stride in (1, 2, 4)),
    *({"kernel": side, "stride": side, "bias": True} for side in (2, 4)),
    *({"first_width": 6, "stride": stride} for stride in (2, 4)),
    *({"max_pool": True, "stride": stride} for stride in (2, 4)),
    *({"separable": True, "se_ratio": ratio} for ratio in (0.0, 1.0)),
]


@pytest.mark.parametrize("resolution", [6, 11, 18])
@pytest.mark.parametrize("stem", STEMS, ids=str)
def test_a_stem_costs_what_the_closed_form_says(stem: dict[str, Any], resolution: int) -> None:
    design = Stem(width=8, activation="solu", norm="layer", **stem)
    stages = (Stage(width=8, blocks=(block(),)),)
    _check(Architecture(stem=design, stages=stages), Task(num_classes=3, resolution=resolution))


HEADS = [
    *({"width": 20, "activation": activation, "norm": norm} for activation, norm in KINDS),
    *({"map_norm": norm, "map_activation": "gelu"} for norm in NORMS),
    {"pool_norm": "layer"},
    *({"hidden": 12, "hidden_norm": norm, "activation": "hardswish"} for norm in ("none", "batch")),
    {"map_norm": "layer", "width": 20, "pool_norm": "layer", "hidden": 12, "hidden_norm": "batch"},
]


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_a_head_costs_what_the_closed_form_says(head: dict[str, Any]) -> None:
    stages = (Stage(width=8, blocks=(block(),)),)
    design = Architecture(stem=Stem(width=8), stages=stages, head=Head(**head))
    _check(design, Task(num_classes=2, in_channels=1, resolution=8))
