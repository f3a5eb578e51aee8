"""Published networks by name: every parameter and every multiply-accumulate must be theirs."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import nn

from nas.audit import count
from nas.budget import cost, cost_table, parse_count
from nas.errors import SpaceError
from nas.network.build import build
from nas.references import reference, references
from tests.core.oracles import ORACLES, oracle

LOGGED = {
    "emo_1m": {
        **{"stem": 2_760, "stage1": 11_504, "stage2": 27_840},
        **{"stage3.block1": 45_024, "stage3.block2": 58_240, "stage3.block8": 58_240},
    },
    "emov2_1m": {
        **{"stem": 912, "stage1.block1": 4_928, "stage1": 10_912, "stage2.block1": 17_392, "stage2": 32_416},
        **{"stage3.block1": 45_104, "stage3.block2": 58_320, "stage3.block8": 58_320},
    },
}
"""Parameters by part in the training logs of EMO and EMOv2, where these give all digits."""


def _shapes(network: nn.Module) -> Counter[tuple[int, ...]]:
    """Return how often each shape of a parameter occurs, a linear layer's like that of a 1x1 convolution."""
    return Counter(tuple(n for n in parameter.shape if n > 1) for parameter in network.parameters())


@pytest.mark.parametrize("name", references())
def test_a_reference_has_its_published_params(name: str) -> None:
    known = reference(name)
    built = build(known.architecture, known.task)
    assert cost(known.architecture, known.task).params == known.params
    assert sum(parameter.numel() for parameter in built.parameters()) == known.params


@pytest.mark.parametrize("name", [name for name, each in references().items() if each.macs])
def test_a_reference_has_its_published_macs(name: str) -> None:
    """Within 5 %: most sources round, some count norms, and MobileNeXt's says 300 million for 311."""
    known = reference(name)
    assert cost(known.architecture, known.task).macs == pytest.approx(known.macs, rel=0.05)


@pytest.mark.parametrize("name", ORACLES)
def test_a_reference_is_the_network_of_its_library_to_the_last_weight(name: str) -> None:
    known, theirs = reference(name), oracle(name)
    ours = cost(known.architecture, known.task)
    assert _shapes(build(known.architecture, known.task)) == _shapes(theirs)
    assert count(theirs, known.task) == (ours.params, ours.macs)


@pytest.mark.parametrize("name", LOGGED)
def test_emo_has_the_params_of_its_training_log_part_by_part(name: str) -> None:
    known = reference(name)
    table = cost_table(known.architecture, known.task)
    ours = {part: sum(trace.params for each, trace in table if each.startswith(part)) for part in LOGGED[name]}
    assert ours == LOGGED[name]


@pytest.mark.parametrize("cap", ["100k", "300k", "500k", "1m", "1m5"])
def test_a_nodepth_network_fills_its_cap(cap: str) -> None:
    limit = parse_count(cap.replace("1m5", "1.5m"))
    assert 0.99 * limit <= reference(f"nodepth_{cap}").params <= limit


def test_an_unknown_reference_names_the_nearest() -> None:
    with pytest.raises(SpaceError, match=r"unknown reference 'resnet19'; did you mean 'resnet18'\?"):
        reference("resnet19")
