"""What was measured of a network: per projection, per block, and on average."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

OF_PROJECTIONS = ("cross_talk", "excess_coherence", "redundancy", "importance_weighted", "activation_ratio")
OF_BLOCKS = ("class_overlap", "channel_correlation", "superlinearity", "channel_kurtosis")


@dataclass(frozen=True)
class ProjectionReport:
    """One 1x1 map. What could not be measured is None: everything where fewer than two channels are alive on either
    side (say, behind a batch-norm whose scale starts at zero), `importance_weighted` also without gradients.

    `cross_talk` = log q_ind, `excess_coherence` = log rho, `redundancy` = log(q_full / q_ind), `importance_weighted` =
    sum_i pi_i r_i with pi_i proportional to E abs(a_i dL/da_i): ours, `statistics` has the formulas. `activation_ratio`
    is `contributions.activation_ratio`. `realised` holds r_i of each living feature, in channel order; `dead_channels`
    counts those left out, inputs and outputs together.
    """

    name: str
    out_features: int
    in_features: int
    cross_talk: float | None
    excess_coherence: float | None
    redundancy: float | None
    importance_weighted: float | None
    activation_ratio: float | None
    realised: tuple[float, ...]
    dead_channels: int

    @property
    def expands(self) -> bool:
        """Whether the features are the map's outputs (read) and not its inputs (written)."""
        return self.out_features > self.in_features

    @property
    def packing_floor(self) -> float:
        """max(0, 1 - d/n) of n features in d dimensions: the mean r_i that the shape forces for white activity."""
        return 1 - min(self.out_features, self.in_features) / max(self.out_features, self.in_features)


@dataclass(frozen=True)
class BlockReport:
    """One block's output, after its residual sum if it has one. What could not be measured is None.

    `channel_correlation` needs two living channels; `superlinearity` a branch that gives something (`branch`);
    `class_overlap` is taken in the last third of the blocks alone, and needs gradients. `dead_channels` counts the
    channels that vary too little to be correlated.
    """

    name: str
    channels: int
    channel_correlation: float | None
    superlinearity: float | None
    channel_kurtosis: float | None
    class_overlap: float | None
    dead_channels: int


@dataclass(frozen=True)
class InterferenceReport:
    """A network's projections and blocks in the order in which they ran, and the averages over them.

    An average is over the layers that could be measured, and None where there is none. `meaning.NULLS` has the value
    of each that means chance. The Gram matrices of the layers are not kept: `capture` and `statistics.gram` give one.
    """

    projections: tuple[ProjectionReport, ...]
    blocks: tuple[BlockReport, ...]
    topk_drop: float | None = None

    @property
    def cross_talk(self) -> float | None:
        """Mean log q_ind: overlap between directions of active channels; 0 is chance.

        Lower did not mean more accurate: of 63 trained networks the better ones had more, size given
        (`docs/interference.md`).
        """
        return _mean(projection.cross_talk for projection in self.projections)

    @property
    def excess_coherence(self) -> float | None:
        """Mean log rho: how far weight vectors are from spread evenly; 0 is chance.

        Lower did not mean more accurate: as `cross_talk`.
        """
        return _mean(projection.excess_coherence for projection in self.projections)

    @property
    def class_overlap(self) -> float | None:
        """Mean cosine between what classes need of the channels, over that with permuted labels; 1 is chance.

        The one part of the composite with the expected sign: lower went with accuracy beyond size and proxy accuracy.
        """
        return _mean(block.class_overlap for block in self.blocks)

    @property
    def redundancy(self) -> float | None:
        """Mean log(q_full / q_ind): similar channels that fire together; a guard, better networks have more."""
        return _mean(projection.redundancy for projection in self.projections)

    @property
    def importance_weighted(self) -> float | None:
        """Mean of sum_i pi_i r_i, 0 to 1: what suppression acts on; read it beside `packing_floor`.

        Predicted no accuracy given size; given proxy accuracy as well, lower was weakly better.
        """
        return _mean(projection.importance_weighted for projection in self.projections)

    @property
    def packing_floor(self) -> float | None:
        """Mean packing floor of the projections that have an `importance_weighted`; None where none has."""
        return _mean(p.packing_floor for p in self.projections if p.importance_weighted is not None)

    @property
    def channel_correlation(self) -> float | None:
        """Mean debiased squared correlation between the channels of a block's output, 0 to 1.

        Lower went with accuracy beyond size, hardly so among networks of one norm.
        """
        return _mean(block.channel_correlation for block in self.blocks)

    @property
    def superlinearity(self) -> float | None:
        """Mean d log |f(alpha x)| / d log alpha at alpha = 1 of the blocks' branches; 1 is linear.

        Near 0 under LayerNorm, which short trainings disfavour: most of its correlation with accuracy is that.
        """
        return _mean(block.superlinearity for block in self.blocks)

    @property
    def channel_kurtosis(self) -> float | None:
        """Mean of mean(s^4) / mean(s^2)^2 over the channel RMS s of a block's output; 1 if all are equal.

        Tells LayerNorm from batch-norm networks; among the latter it predicted nothing.
        """
        return _mean(block.channel_kurtosis for block in self.blocks)

    @property
    def activation_ratio(self) -> float | None:
        """Mean share of a projection's channels that make all but 10 % of its output, 0 to 1; predicted no accuracy."""
        return _mean(projection.activation_ratio for projection in self.projections)

    @property
    def interference(self) -> float | None:
        """Mean of `cross_talk` and `excess_coherence`: the plain composite of a single network.

        Predicted nothing in the expected direction (`docs/interference.md`). Where there are a study's records,
        `nas.trust.composite` refits it on them from the raw parts, `class_overlap` and the guard on `redundancy`
        included; that one was unrelated to accuracy. Those two stay out of the plain mean: their scales are others.
        """
        if self.cross_talk is None or self.excess_coherence is None:
            return None
        return (self.cross_talk + self.excess_coherence) / 2

    def metrics(self) -> dict[str, float]:
        """Return the averages that could be measured, by the names they have in a record."""
        values = {
            "interference": self.interference,
            "cross_talk": self.cross_talk,
            "excess_coherence": self.excess_coherence,
            "class_overlap": self.class_overlap,
            "redundancy": self.redundancy,
            "importance_weighted": self.importance_weighted,
            "channel_correlation": self.channel_correlation,
            "superlinearity": self.superlinearity,
            "channel_kurtosis": self.channel_kurtosis,
            "topk_drop": self.topk_drop,
            "activation_ratio": self.activation_ratio,
        }
        return {name: value for name, value in values.items() if value is not None}

    def by_block(self) -> dict[str, dict[str, float]]:
        """Return block name -> metric -> value in running order, what could not be measured left out.

        A block has its own metrics and the means over the projections inside it, as their names tell; a projection
        inside no block stands under its own name.
        """
        own = {block.name: _measured(block, OF_BLOCKS) for block in self.blocks}
        inside: dict[str, list[dict[str, float]]] = {name: [] for name in self._places()}
        for projection in self.projections:
            inside[self._place(projection.name)].append(_measured(projection, OF_PROJECTIONS))
        return {name: _means(layers) | own.get(name, {}) for name, layers in inside.items()}

    def _place(self, projection: str) -> str:
        """Return the innermost block that holds a projection, else the projection's own name."""
        holders = [block.name for block in self.blocks if _holds(block.name, projection)]
        return max(holders, key=len, default=projection)

    def _places(self) -> Iterable[str]:
        """Yield blocks and lone projections in running order; a block ends after its projections."""
        waiting = [block.name for block in self.blocks]
        for projection in self.projections:
            place = self._place(projection.name)
            ended = waiting.index(place) + 1 if place in waiting else 0
            yield from waiting[:ended]
            del waiting[:ended]
            yield place
        yield from waiting


def _holds(block: str, layer: str) -> bool:
    return block in {"", layer} or layer.startswith(f"{block}.")


def _measured(layer: ProjectionReport | BlockReport, names: tuple[str, ...]) -> dict[str, float]:
    return {name: value for name in names if (value := getattr(layer, name)) is not None}


def _means(layers: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for layer in layers for name in layer)
    return {name: fmean(layer[name] for layer in layers if name in layer) for name in names}


def _mean(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None
