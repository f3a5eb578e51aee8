"""fvcore's count of a built network: the last word on the cap, and the per-module table."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore imports torch.jit.script, which torch deprecates
    from fvcore.nn import FlopCountAnalysis, parameter_count

from nas.architecture import Architecture, Task
from nas.budget import Budget, Cost, cost
from nas.errors import AuditError
from nas.network.build import build

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
