"""`grad_norm`: how strongly does the loss of an untrained network pull at its parameters?"""

from __future__ import annotations

from nas.proxies.subject import Subject


def grad_norm(subject: Subject) -> float | None:
    """Return the Euclidean norm of the gradient of the mean cross-entropy of the batch, over all parameters.

    Abdelfattah et al. 2021, Zero-Cost Proxies for Lightweight NAS, section 3.2.1. Higher is better, by the paper's
    benchmarks. Batch-norms use the statistics of the batch. Ours: one norm over all parameters, as the text says; the
    paper's code adds up the norms of the layers' weights, which grows with depth. Dropout is off.
    """
    return subject.look.gradient_norm
