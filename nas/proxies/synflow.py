"""`synflow`: how much flow can the paths through an untrained network carry?"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from nas.network.modules import Branches
from nas.proxies.layers import is_activation, is_norm
from nas.proxies.subject import Subject


def synflow(subject: Subject) -> float | None:
    """Return log sum abs(theta dR/dtheta), R the sum of the outputs for one image of ones, parameters made positive.

    Tanaka et al. 2020, Pruning neural networks without any data by iteratively conserving synaptic flow, section 5;
    summed over all parameters, as in Abdelfattah et al. 2021, Zero-Cost Proxies for Lightweight NAS, section 3.2.
    Higher is better: more, and wider, paths. Batch-norms pass on what they are given, as in the code of the latter.

    Ours: so do all other norms and all activations. For a positive flow a ReLU is the identity; a ReLU6 or a hardswish
    would cut it off, a SoLU or a layer norm renormalise it. A product of branches becomes their geometric mean, or each
    block of a star network would square the flow. Gates stay, as the flow saturates them, and so does attention.
    Computed in float64, and the logarithm taken: the sum grows exponentially with depth.
    """
    network = subject.copy().double()
    for module in network.modules():
        if is_norm(module) or is_activation(module):
            module.forward = _pass_on
        elif isinstance(module, Branches) and module.combine == "multiply":
            module.forward = partial(_geometric_mean, module)  # type: ignore[method-assign]
    parameters = [p for p in network.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    output = network(torch.ones_like(subject.images[:1], dtype=torch.float64))
    if not isinstance(output, Tensor):
        return None
    gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    flows = [(p.detach() * g).abs().sum() for p, g in zip(parameters, gradients, strict=True) if g is not None]
    return float(torch.stack(flows).sum().log())


def _pass_on(x: Tensor) -> Tensor:
    return x


def _geometric_mean(branches: nn.ModuleDict, x: Tensor) -> Tensor:
    results = [branch(x).clamp_min(torch.finfo(x.dtype).tiny) for branch in branches.values()]
    return torch.stack(results).log().mean(0).exp()
