"""How faithful is each score of the proxy training? Its rank correlations with final accuracy, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from nas.trust.correlation import Correlation
from nas.trust.gate import correlations
from nas.trust.networks import Network, fullest_bin, with_seeds
from nas.value import Value

SCORES = (
    *("val_accuracy", "val_loss", "train_loss", "interference", "cross_talk", "excess_coherence", "class_overlap"),
    *("importance_weighted", "redundancy", "channel_correlation", "superlinearity", "channel_kurtosis"),
    *("activation_ratio", "params", "macs", "depth"),
)
"""The scores in the order in which they are listed; only those that were measured are."""


class Score(Value):
    """A score and its rank correlations with final accuracy; None where one has no meaning.

    `overall` is over all networks with a final accuracy, `in_bin` and `partial` over those of the size bin with enough
    seeds; `partial` given log params, depth and proxy accuracy.
    """

    name: str
    overall: Correlation | None
    in_bin: Correlation | None
    partial: Correlation | None


class Faithfulness(Value):
    """What the networks of a study say about its scores.

    `networks` have a final accuracy; `in_bin` of them, of `sizes` params (the least and the most), were trained from
    `seeds` seeds or more and share the size bin that has the most such networks.
    """

    seeds: int
    networks: int
    in_bin: int
    sizes: tuple[int, int] | None
    scores: tuple[Score, ...]


def faithfulness(found: Sequence[Network], *, seeds: int, seed: int = 0) -> Faithfulness:
    """Return the table over the networks of a study; a size bin holds those trained from at least `seeds` seeds."""
    final = sorted((each for each in found if each.final_accuracy is not None), key=lambda each: each.number)
    trained = with_seeds(final, seeds)
    size_bin = fullest_bin(trained)
    members = [each for each in trained if each.size_bin == size_bin]
    rows = []
    for name in SCORES:
        if any(name in each.scores for each in final):
            overall, _ = correlations(final, name, seed=seed)
            in_bin, partial = correlations(members, name, seed=seed)
            rows.append(Score(name=name, overall=overall, in_bin=in_bin, partial=partial))
    params = [each.params for each in members]
    return Faithfulness(
        seeds=seeds,
        networks=len(final),
        in_bin=len(members),
        sizes=(min(params), max(params)) if params else None,
        scores=tuple(rows),
    )
