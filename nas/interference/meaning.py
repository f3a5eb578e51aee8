"""What does each metric say in one line, and which of its values is what chance gives?"""

from __future__ import annotations

NULLS: dict[str, float] = {
    "interference": 0.0,
    "cross_talk": 0.0,
    "excess_coherence": 0.0,
    "class_overlap": 1.0,
    "redundancy": 0.0,
    "channel_correlation": 0.0,
    "superlinearity": 1.0,
    "channel_kurtosis": 1.0,
    "topk_drop": 0.0,
    "activation_ratio": 1.0,
}
"""The value that random weights, labels or equal channels give, or that means no effect.

`importance_weighted` has none that holds for every network: its null is `InterferenceReport.packing_floor`.
"""

MEANING: dict[str, str] = {
    "interference": "mean of cross-talk and excess coherence of one network; a study refits it from the parts",
    "cross_talk": "log overlap of the directions of active channels, against random directions",
    "excess_coherence": "log overlap of weight vectors above the least possible, against random ones",
    "class_overlap": "how far classes need the same channels late in the network, against permuted labels",
    "redundancy": "log interference gained because similar channels fire together; better networks have more",
    "importance_weighted": "share of interference in what a channel's direction reads, weighted by use to the loss",
    "channel_correlation": "mean squared correlation between the channels of a block's output, 0 to 1",
    "superlinearity": "growth exponent of a block's branch with its input: 1 for ReLU, towards 2 for a product",
    "channel_kurtosis": "how unequal the strengths of a block's channels are: 1 if equal, many if few are far louder",
    "topk_drop": "share of what the network knows beyond chance that is lost with a quarter of the channels",
    "activation_ratio": "share of input channels that make all but 10 % of a 1x1's output, at a mean position",
}
