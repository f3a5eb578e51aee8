"""How is interference held down while a network trains?

Ours; an option of a recipe, off by default. Training adds lambda * ramp * R to the loss,

    R = mean over the chosen 1x1 maps of relu( sum_i pi_i r_i - max(0, 1 - d/n) ),

the importance-weighted realised ratio of `statistics` above the floor that the shape forces: between 0 and 1, blind to
the scale of W, differentiable in W alone.

Every `REFRESH`-th step looks at the network: the activity a at `POSITIONS` positions, the same random number from each
image, and abs(a_i dL/da_i) there, which a hook takes from the ordinary backward pass; pi is the moving average of its
shares. A batch-norm right behind a map is folded into the rows of W by its running variance. All of these are constants
to the gradient; so is the norm's gamma, or a gamma driven to zero would pass for less interference. The gradient of R
is taken there as well, from W alone, and added at this step and, unchanged, at those up to the next look: W hardly
moves in between, and one look in four is what keeps the cost low. It is added to `.grad` after the backward pass, which
no averaging over ranks touches.

Given a target, lambda follows by dual ascent on R, with a term in proportion that keeps it from overshooting (Stooke et
al. 2020, arXiv 2007.03964). At each look, e = R - target: u += `DUAL_RATE` * ramp * e, from 0, then lambda = strength *
(u + `GAIN` * e), both u and lambda / strength held between 0 and `MOST`. The target is a limit, not a set point: a loss
that pulls R up again is rare, so R may settle somewhat below it, with lambda at 0. The ramp rises over the first `RISE`
of the steps and is 0 over the last `REST`, in which the network settles without a penalty.

Escapes to watch, which is what the report is for: channels switched off, pi gathering on a few features, interference
moving to maps that are left out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.interference import discovery
from nas.interference.running import hooked
from nas.interference.training_look import Look, Positions, Ranks, Seen, expands
from nas.records import Suppression

REFRESH = 4
MOMENTUM = 0.9
RISE = 0.3
REST = 0.1
DUAL_RATE = 1.0
GAIN = 100.0
MOST = 10.0
DEAD_SHARE = 0.01
"""A feature that varies less than 1 % as much as the map's median feature is switched off: it weighs nothing in R."""


@dataclass(frozen=True)
class SuppressionReport:
    """What suppression did. `excess` is R as interference measures it, whatever was penalised.

    `excess_before` is that of the first step, `excess_suppressed` that of the last look with a penalty, `excess_after`
    that of the last step of all, None before it. `strength` is the last lambda; `projections` counts the maps acted on.
    At the last look, `switched_off` is the share of their features that hardly vary, and `spread` the mean over maps of
    1 / (n sum_i pi_i^2): 1 where all features matter alike, 1/n where one alone does.
    """

    strength: float
    excess_before: float
    excess_suppressed: float
    excess_after: float | None
    projections: int
    switched_off: float
    spread: float


class Suppressor:
    """Adds the penalty's gradient to that of a network, step by step.

    Around forward and backward: `with suppressor.watching(): ...`; between backward and the optimizer: `step()`. No
    hook outlives the `with`. A network wrapped in `DistributedDataParallel` is seen as a whole: sums over positions are
    reduced over its ranks, which must all be given the same seed and batches of one size, so that each has the same
    penalty to the bit.
    """

    def __init__(self, network: nn.Module, how: Suppression, *, steps: int, seed: int) -> None:
        """Prepare for `steps` steps; which maps there are to act on shows in the first."""
        self._network, self._how, self._steps = network, how, steps
        self._ranks = Ranks(network.process_group if isinstance(network, DistributedDataParallel) else None)
        self._positions = Positions(seed, self._ranks)
        self._maps = {name: m for name, m in discovery.projections(network).items() if _is_chosen(m, how)}
        self._states: dict[str, _State] = {}
        self._gradients: list[tuple[Tensor, Tensor]] = []
        self._look: Look | None = None
        self._at = 0
        self._strength = torch.tensor(how.strength)
        self._dual = torch.tensor(0.0)
        self._excess: dict[str, Tensor] = {}

    def watching(self) -> AbstractContextManager[None]:
        """Return the context of one step's forward and backward pass."""
        self._look = None
        if not self._maps or not self._is_due():
            return nullcontext()
        self._look = look = Look(self._positions, full=self._how.interference == "full")
        return hooked(lambda: look.attach(self._network, self._maps))

    @torch.no_grad()
    def step(self) -> None:
        """Add lambda * ramp * dR/dW to the gradients of the weights."""
        share = ramp(self._at, self._steps)
        if self._look is not None and self._look.seen:
            self._refresh(self._look.finish(self._ranks), share)
        self._look = None
        if share > 0:
            for weight, gradient in self._gradients:
                if weight.grad is not None:
                    weight.grad.add_(gradient, alpha=share)
        self._at += 1

    def report(self) -> SuppressionReport | None:
        """Return what was done; None where there was no map to act on."""
        if not self._states:
            return None
        excess = {name: value.item() for name, value in self._excess.items()}
        states = self._states.values()
        living = torch.cat([state.living for state in states])
        spread = torch.stack([(len(state.shares) * state.shares.square().sum()).reciprocal() for state in states])
        return SuppressionReport(
            strength=self._strength.item(),
            excess_before=excess["before"],
            excess_suppressed=excess["suppressed"],
            excess_after=excess.get("after"),
            projections=len(states),
            switched_off=1 - living.double().mean().item(),
            spread=spread.mean().item(),
        )

    def state(self) -> dict[str, Tensor]:
        """Return all that the steps to come depend on, by name; `load` takes it."""
        found = {"at": torch.tensor(self._at), "strength": self._strength, "dual": self._dual}
        found |= {f"excess.{name}": value for name, value in self._excess.items()}
        if (drawn := self._positions.state()) is not None:
            found["positions"] = drawn
        for i, (name, state) in enumerate(self._states.items()):  # their order is that of sums over them
            found |= {f"map.{i}:{name}:{field}": value for field, value in state.tensors().items()}
        return found | {f"gradient.{i}": gradient for i, (_, gradient) in enumerate(self._gradients)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`; KeyError where it is that of another network."""
        where = next((module.weight.device for module in self._maps.values()), torch.device("cpu"))
        if "positions" in state:
            self._positions.load(state["positions"], where)
        placed = {key: value.to(where) for key, value in state.items()}
        self._at, self._strength, self._dual = int(state["at"]), placed["strength"], placed["dual"]
        self._excess = _below(placed, "excess.")
        fields: dict[tuple[int, str], dict[str, Tensor]] = {}
        for key, value in _below(placed, "map.").items():
            i, _, rest = key.partition(":")
            name, _, field = rest.rpartition(":")
            fields.setdefault((int(i), name), {})[field] = value
        self._states = {name: _State.from_tensors(self._maps[name], fields[i, name]) for i, name in sorted(fields)}
        weights, gradients = [each.weight for each in self._states.values()], _below(placed, "gradient.")
        self._gradients = [(weights[i], gradients[str(i)]) for i in range(len(gradients))]

    @property
    def _rest(self) -> int:
        """The first step without a penalty."""
        return self._steps - round(REST * self._steps)

    def _is_due(self) -> bool:
        is_last = self._at in {self._rest - 1, self._steps - 1}
        return is_last or (self._at < self._rest and self._at % REFRESH == 0)

    def _refresh(self, seen: dict[str, Seen], share: float) -> None:
        for name, each in seen.items():
            self._states[name] = _State.of(each, self._states.get(name))
        states = list(self._states.values())
        excess, gradients = _penalty(states, self._how)
        self._excess.setdefault("before", excess)
        if self._at == self._steps - 1:
            self._excess["after"] = excess
        if self._at >= self._rest:
            return
        self._excess["suppressed"] = excess
        self._strength = self._steered(excess, share)
        self._gradients = [
            (state.weight, (self._strength * gradient).view_as(state.weight))
            for state, gradient in zip(states, gradients, strict=True)
        ]

    def _steered(self, excess: Tensor, share: float) -> Tensor:
        """Return the next lambda."""
        if self._how.target is None:
            return self._strength.to(excess)
        above = excess - self._how.target
        self._dual = (self._dual.to(above) + DUAL_RATE * share * above).clamp(0, MOST)
        return self._how.strength * (self._dual + GAIN * above).clamp(0, MOST)


def ramp(step: int, steps: int) -> float:
    """Return the share of lambda at `step` of `steps`: a rise to 1, then 1, then 0 for the rest."""
    if step >= steps - round(REST * steps):
        return 0.0
    return min(1.0, (step + 1) / max(1, round(RISE * steps)))


def excess_interference(
    vectors: Tensor, variance: Tensor, importance: Tensor, covariance: Tensor | None = None
) -> Tensor:
    """Return relu(sum_i pi_i r_i - max(0, 1 - d/n)) of n features (columns of `vectors`, (d, n)), 0 to 1.

    r_i = N_ind,i / (S_i + N_ind,i) with activity of `variance` (n,), or, given the `covariance` (n, n), with N_i for
    N_ind,i; pi_i is the share of `importance` (n,) >= 0; none at all gives 0. In the precision of the arguments, and
    differentiable where a vector or a variance is zero, which `statistics.importance_weighted` is not made for.
    """
    dims, count = vectors.shape
    tiny = torch.finfo(vectors.dtype).tiny
    # Ratios are blind to both scales, the smallest float32 is not.
    scale = vectors.detach().square().mean().clamp_min(tiny).rsqrt()
    unit = variance.mean().clamp_min(tiny).reciprocal()
    vectors, variance = vectors * scale, variance * unit
    lengths = vectors.square().sum(0)
    mixed = vectors * variance if covariance is None else vectors @ (covariance * unit)
    total = vectors.mul(mixed @ vectors.T @ vectors).sum(0) / lengths.clamp_min(tiny)
    signals = variance * lengths
    if covariance is not None:
        total = total - 2 * vectors.mul(mixed).sum(0) + 2 * signals
    ratios = 1 - signals / total.clamp_min(tiny)
    weights = importance * (lengths > 0)
    return (ratios @ weights / weights.sum().clamp_min(tiny) - max(0.0, 1 - dims / count)).relu()


def row_overlap(weight: Tensor) -> Tensor:
    """Return |U U^T - I|^2 / d for the d rows of `weight` (d, n) at unit length: soft orthogonality, a control.

    Bansal et al. 2018 (arXiv 1810.09102), section 3.1, penalise the sum over W's own products; here per row, and blind
    to scale as R is.
    """
    rows = nn.functional.normalize(weight, dim=1, eps=torch.finfo(weight.dtype).tiny)
    return (rows @ rows.T).square().sum() / len(rows) - 1


@dataclass(frozen=True, eq=False)
class _State:
    """What R needs of a map, all constants to its gradient.

    `scales` (out,) is the norm's, 1 without; `variance` (n,) and `covariance` (n, n) are of the activity behind it,
    `shares` (n,) is pi before the features that are switched off, all but `living`, are taken out.
    """

    weight: Tensor
    reads: bool
    scales: Tensor
    variance: Tensor
    covariance: Tensor | None
    shares: Tensor
    living: Tensor

    @classmethod
    def of(cls, seen: Seen, before: _State | None) -> _State:
        """Return the state after a look; `before` is that of the last one."""
        scales, reads = _norm_scales(seen), expands(seen.module)
        covariance = seen.squares - _outer(seen.total, seen.squares) / seen.count
        covariance = covariance / (seen.count - 1)
        if reads:
            covariance = covariance * _outer(scales, covariance)
        is_full = covariance.ndim == 2
        variance = (covariance.diagonal() if is_full else covariance).clamp_min(0)
        use = torch.ones_like(variance) if seen.use is None else seen.use
        shares = use / use.sum().clamp_min(torch.finfo(use.dtype).tiny)
        if before is not None:
            shares = MOMENTUM * before.shares + (1 - MOMENTUM) * shares
        spread = variance.sqrt()
        living = (spread > 0) & (spread >= DEAD_SHARE * spread.median())
        return cls(seen.module.weight, reads, scales, variance, covariance if is_full else None, shares, living)

    def tensors(self) -> dict[str, Tensor]:
        """Return all but the weight, by field; what is None is left out."""
        found = {name: getattr(self, name) for name in ("scales", "variance", "covariance", "shares", "living")}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_tensors(cls, module: nn.Conv2d | nn.Linear, fields: dict[str, Tensor]) -> _State:
        """Return the state of a map with these `tensors`."""
        scales, variance, shares, living = (fields[name] for name in ("scales", "variance", "shares", "living"))
        return cls(module.weight, expands(module), scales, variance, fields.get("covariance"), shares, living)

    def penalties(self, weight: Tensor, how: Suppression) -> tuple[Tensor, Tensor]:
        """Return R of this map alone, and what is penalised, of a stand-in (out, in) for its weight."""
        folded = weight * self.scales.to(weight).unsqueeze(1)
        excess = excess_interference(
            folded.T if self.reads else folded,
            self.variance.to(weight),
            (self.living * (self.shares if how.importance == "gradient" else 1.0)).to(weight),
            None if self.covariance is None else self.covariance.to(weight),
        )
        if how.kind == "interference":
            return excess, excess
        return excess, row_overlap(weight.T if self.reads else weight)


def _penalty(states: list[_State], how: Suppression) -> tuple[Tensor, list[Tensor]]:
    """Return R and, for each map, the gradient of what is penalised, both averaged over the maps."""
    with torch.enable_grad():
        stand_ins = [state.weight.detach().flatten(1).requires_grad_() for state in states]
        pairs = [state.penalties(weight, how) for state, weight in zip(states, stand_ins, strict=True)]
        penalised = torch.stack([penalty for _, penalty in pairs]).mean()
        gradients = torch.autograd.grad(penalised, stand_ins)
    return torch.stack([excess.detach() for excess, _ in pairs]).mean(), list(gradients)


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _is_chosen(module: nn.Conv2d | nn.Linear, how: Suppression) -> bool:
    outs, ins = module.weight.shape[:2]
    return module.weight.requires_grad and (how.layers == "all" or outs < ins)


def _norm_scales(seen: Seen) -> Tensor:
    """Return gamma / sqrt(var + eps) of the norm behind a map, (out,), float64; 1 without one."""
    if seen.norm_variance is None:
        return seen.total.new_ones(len(seen.module.weight))
    scales: Tensor = (seen.norm_variance + seen.norm.eps).rsqrt()
    return scales if seen.norm.weight is None else scales * seen.norm.weight.detach()


def _outer(vector: Tensor, like: Tensor) -> Tensor:
    """Return the products of a vector's entries, all of them or the squares alone, whichever shape `like` has."""
    return torch.outer(vector, vector) if like.ndim == 2 else vector.square()
