"""How far may a score be trusted in this study? Correlations, the refitted composite, and the gate it has to pass."""

from __future__ import annotations

from nas.trust.composite import Composite
from nas.trust.correlation import Correlation, bootstrap_interval, partial_rank_correlation, rank_correlation
from nas.trust.gate import Verdict, deciding, judge, verdicts
from nas.trust.networks import Network, networks
from nas.trust.scores import Faithfulness, Score, faithfulness

__all__ = [
    "Composite",
    "Correlation",
    "Faithfulness",
    "Network",
    "Score",
    "Verdict",
    "bootstrap_interval",
    "deciding",
    "faithfulness",
    "judge",
    "networks",
    "partial_rank_correlation",
    "rank_correlation",
    "verdicts",
]
