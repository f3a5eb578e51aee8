"""What the trust meter says besides its numbers, for the terminal and for the page."""

from __future__ import annotations

from nas.report.quantities import plural, quantity
from nas.trust.meter import Trust


def truth_words(trust: Trust) -> str:
    """Return what the scores are held against, and how far that can be trusted itself."""
    if not trust.networks or trust.top_range is None:
        return "no network has a final accuracy yet"
    of = f"{plural(trust.networks, 'network')} with a final accuracy in {plural(trust.bins, 'size bin')}"
    if trust.promoted:
        of += f", {trust.promoted} of them only because these scores promoted them"
    best = f"the top fifth is {plural(trust.top, 'network')} within {100 * trust.top_range:.1f} % of accuracy"
    if trust.noise is None:
        return f"{of}; {best}; what seeds alone do to that is not known, a second seed of any network would tell"
    return f"{of}; {best}, of which seeds alone make {100 * trust.noise.std:.1f} % (one standard deviation)"


def weight_words(trust: Trust) -> str:
    """Return the scores that are mixed, the heaviest first."""
    weights = sorted(trust.weights.items(), key=lambda each: -each[1])
    shares = ", ".join(f"{quantity(name).label} {100 * weight:.0f} %" for name, weight in weights)
    return f"{shares}; earned on networks of this study, so that its own figures are a little too good"
