"""`naswot` and `swap`: how differently do images switch the activations of an untrained network on and off?

A unit is one value of an activation's input, at one channel and position; it is on for an image where that input is
above zero. For ReLU this is the paper's linear region; for SiLU, GELU, hardswish and SoLU it is which side of the bend
an image is on, as they all pass what is positive and hold back the rest. Gates and the softmax of an attention have no
such side and are left out, as is an activation that is a function and no module.
"""

from __future__ import annotations

import torch

from nas.proxies.subject import Subject


def naswot(subject: Subject) -> float | None:
    """Return log abs det K, K_ij = N - d_H(c_i, c_j): the units on which the codes of images i and j agree.

    Mellor et al. 2021, Neural Architecture Search without Training, section 3, equations 1 and 2. Higher is better:
    images that the network tells apart at the start are easier to learn. Ours: all activations of the house, not ReLU
    alone.
    """
    patterns = subject.look.patterns
    if patterns.both is None:
        return None
    on = patterns.both.diagonal()
    agreeing = 2 * patterns.both - on[:, None] - on[None, :] + patterns.units
    return float(torch.linalg.slogdet(agreeing).logabsdet)


def swap(subject: Subject) -> float | None:
    """Return how many distinct patterns over the images the units of all activations show.

    Peng et al. 2024, SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS, definitions 3.2 and 3.3, without the
    regularisation by size of section 3.3. Higher is better: the network is more expressive. At most 2^B for B images,
    and at most the number of units. Ours: all activations of the house, not ReLU alone.
    """
    codes = subject.look.patterns.codes
    return float(len(torch.unique(torch.cat(codes)))) if codes else None
