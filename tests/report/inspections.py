"""Networks that were looked at, made up: reports with known values, and hostile names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nas.interference import BlockReport, InterferenceReport, ProjectionReport
from nas.report.interference_page import Inspection

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)><b>&lt;img src=x onerror=alert(3)&gt;</b>%{x}"


def projection(name: str, inputs: int, outputs: int, **changes: Any) -> ProjectionReport:
    """Return a projection; all its metrics are at chance unless they are changed."""
    floor = 1 - min(inputs, outputs) / max(inputs, outputs)
    made = ProjectionReport(
        name=name,
        out_features=outputs,
        in_features=inputs,
        cross_talk=0.0,
        excess_coherence=0.0,
        redundancy=0.0,
        importance_weighted=floor,
        activation_ratio=1.0,
        realised=tuple(np.linspace(0.1, 0.9, max(inputs, outputs)).tolist()),
        dead_channels=0,
    )
    return replace(made, **changes)


def block(name: str, **changes: Any) -> BlockReport:
    """Return a block; all its metrics are at chance unless they are changed."""
    made = BlockReport(
        name=name,
        channels=8,
        channel_correlation=0.0,
        superlinearity=1.0,
        channel_kurtosis=1.0,
        class_overlap=1.0,
        dead_channels=0,
    )
    return replace(made, **changes)


def report() -> InterferenceReport:
    """Return two blocks and a map outside of them; the first block has cross-talk far above chance."""
    return InterferenceReport(
        projections=(
            projection("stages.stage1.block1.expand", 4, 12, cross_talk=0.9),
            projection("stages.stage1.block1.project", 12, 4, cross_talk=0.7, importance_weighted=0.9),
            projection("head.widen", 8, 100, excess_coherence=-0.25, importance_weighted=None),
        ),
        blocks=(block("stages.stage1.block1", class_overlap=None), block("stages.stage2.block1", superlinearity=1.5)),
    )


def inspection(name: str = "network", measured: InterferenceReport | None = None) -> Inspection:
    """Return what was found of a network; its features stand at right angles, but for two that are opposite."""
    found = measured or report()
    grams = {}
    for each in found.projections:
        gram = np.eye(max(each.out_features, each.in_features))
        gram[0, 1] = gram[1, 0] = -1
        grams[each.name] = gram
    facts = {"network": name, "params": "1,234", "weights": "untrained (seed 0)"}
    return Inspection(facts, found, grams)


def hostile() -> Inspection:
    """Return a network all of whose names are hostile."""
    names = (HOSTILE, f"{HOSTILE}.expand")
    made = InterferenceReport(projections=(projection(names[1], 4, 8),), blocks=(block(names[0]),))
    found = inspection(HOSTILE, made)
    return replace(found, facts={**found.facts, HOSTILE: HOSTILE})
