"""fvcore's count of a built network: the last word on the cap, and the per-module table."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore imports torch.jit.script, which torch deprecates
    from fvcore.nn import FlopCountAnalysis, parameter_count

from nas.architecture import Architecture, Task, walk
from nas.budget import Budget, Cost, cost, cost_table
from nas.errors import AuditError
from nas.layers import Layer
from nas.lint import corners
from nas.network.build import build, module
from nas.space import SearchSpace

COUNTED_OPERATORS = frozenset({"conv", "linear", "addmm", "matmul", "bmm", "einsum"})
"""fvcore's names of the multiply-accumulates we count; it also counts norms, which fold away."""


def count(network: nn.Module, task: Task) -> tuple[int, int]:
    """Return (parameters, multiply-accumulates of one image) of `network` as fvcore counts them by tracing it.

    fvcore calls multiply-accumulates "flops".
    """
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)  # its list of skipped operators
    device = next(network.parameters()).device
    image = torch.zeros(1, task.in_channels, task.resolution, task.resolution, device=device)
    was_training = network.training
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flops = FlopCountAnalysis(network.eval(), image).by_operator()
    network.train(was_training)
    return parameter_count(network)[""], int(sum(flops[name] for name in COUNTED_OPERATORS))


def audit(architecture: Architecture, task: Task, budget: Budget) -> Cost:
    """Return the cost of `architecture` on `task` after fvcore has counted the built network.

    Raises AuditError when fvcore's numbers differ from the closed form, or exceed the caps: such a candidate is never
    trained. The trace runs one real image: on the meta device torch cannot trace a convolution (2.15).
    """
    expected = cost(architecture, task)
    params, macs = count(build(architecture, task), task)
    if (params, macs) != (expected.params, expected.macs):
        raise AuditError(
            f"architecture {architecture.arch_id}: fvcore counts {params:,} params and {macs:,} macs, "
            f"the closed form {expected.params:,} and {expected.macs:,}"
        )
    if violations := budget.violations(expected):
        raise AuditError(f"architecture {architecture.arch_id}: {violations[0]}")
    return expected


def corner_faults(space: SearchSpace) -> list[str]:
    """Return what goes wrong where the parts of the space's corners are built and run for its target, without weights.

    Each part runs on the map that the closed form says it is given, and must give the one that it says.
    """
    task, seen, faults = space.target.task, set(), []
    for architecture in map(space.decode, corners(space)):
        channels, side = task.in_channels, task.resolution
        for (name, layer), (_, step) in zip(walk(architecture, task), cost_table(architecture, task), strict=True):
            part = (layer, channels, side)
            if part not in seen and (fault := _fault(*part, step.channels, step.side)):
                faults.append(f"{name} of {architecture.words()}: {fault}")
            seen.add(part)
            channels, side = step.channels, step.side
    return faults


def _fault(layer: Layer, channels: int, side: int, out_channels: int, out_side: int) -> str:
    """Return in one line why `layer` does not give the map it should; empty when it does."""
    try:
        with torch.device("meta"), torch.no_grad():
            found = tuple(module(layer).eval()(torch.empty(1, channels, side, side)).shape)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return str(error).split("\n")[0]
    expected = (1, out_channels, out_side, out_side)
    return "" if found in {expected, expected[:2]} else f"gives {found} instead of {expected}"
