"""How far do two trainings of one network differ? The noise of a study, and what it leaves undecided.

One standard deviation for all networks of a study, pooled over those with several seeds: three seeds say little of
their own spread (a t-interval of two degrees of freedom is twice as wide as one of twenty), and networks that are close
enough to be compared hardly differ in theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pydantic import Field

from nas.value import Value

LEVEL = 0.95


class SeedNoise(Value):
    """The standard deviation of a value over the seeds of one network, and the degrees of freedom it was found with."""

    std: float = Field(ge=0)
    degrees: int = Field(ge=1)

    def margin(self, *seeds: int) -> float:
        """Return half the 95 % interval (Student's t) of a mean over so many seeds; of a difference with two counts."""
        from scipy.special import stdtrit  # here: reading a study without further seeds needs no scipy

        width = float(stdtrit(self.degrees, (1 + LEVEL) / 2))
        return width * self.std * math.sqrt(sum(1 / count for count in seeds))


def seed_noise(networks: Iterable[Sequence[float]]) -> SeedNoise | None:
    """Return the noise of the values over seeds of some networks; None where none has two."""
    repeated = [values for values in networks if len(values) > 1]
    degrees = sum(len(values) - 1 for values in repeated)
    if not degrees:
        return None
    squares = sum((value - math.fsum(values) / len(values)) ** 2 for values in repeated for value in values)
    return SeedNoise(std=math.sqrt(squares / degrees), degrees=degrees)
