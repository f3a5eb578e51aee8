"""Retraining as a further fidelity: how well does each rung of a study order the networks that were retrained?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.records import Fidelity, StudyConfig, TrialRecord
from nas.trust.correlation import FEWEST, Correlation, association
from nas.trust.measured import measured_at
from nas.trust.networks import ACCURACY
from nas.value import Value, derive_seed


class RetrainedTrust(Value):
    """Kendall's tau of the validation accuracy at a rung with the retrained accuracy; None for fewer than five."""

    fidelity: Fidelity
    networks: int
    kendall: Correlation | None

    @property
    def words(self) -> str:
        """It in one line."""
        rung = f"{self.fidelity.epochs} epoch{'s' * (self.fidelity.epochs > 1)} at {self.fidelity.resolution} px"
        if self.kendall is None:
            return f"{rung}: {self.networks} retrained, a rank correlation takes {FEWEST}"
        found = f"{self.kendall.value:.2f} ({self.kendall.low:.2f} to {self.kendall.high:.2f})"
        return f"{rung}: Kendall's tau {found} with the accuracy of {self.networks} retrained networks"


def retrained_trust(
    config: StudyConfig, records: Sequence[TrialRecord], accuracies: Mapping[str, float]
) -> tuple[RetrainedTrust, ...]:
    """Return it for each rung that retrained networks were measured at; `accuracies` are theirs, by `arch_id`."""
    found = []
    for fidelity in config.fidelities:
        pairs = {}
        for record in records:
            measured = measured_at(record, fidelity)
            if record.arch_id in accuracies and measured is not None and ACCURACY in measured.metrics:
                pairs[record.arch_id] = (measured.metrics[ACCURACY], accuracies[record.arch_id])
        if not pairs:
            continue
        proxy, final = np.array(list(pairs.values())).T
        enough = len(pairs) >= FEWEST
        tau = association(proxy, final, seed=derive_seed(config.seed, "retrained", fidelity.epochs)) if enough else None
        found.append(RetrainedTrust(fidelity=fidelity, networks=len(pairs), kendall=tau))
    return tuple(found)
