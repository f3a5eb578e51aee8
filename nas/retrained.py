"""What retrained networks came to on the test split, as `nas retrain` left it below a study's folder.

Each has a folder of its own, `retrain/<arch_id>/<recipe>/<seed>/`; it counts from the moment its `metrics.json` is
there, which is written last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nas.trust.noise import seed_noise

RETRAIN, METRICS = "retrain", "metrics.json"


@dataclass(frozen=True)
class Retrained:
    """One network retrained from one seed: shares of the test split in 0..1; `top5` None with five classes or fewer."""

    arch_id: str
    recipe: str
    seed: int
    top1: float
    top5: float | None
    loss: float
    calibration_error: float


@dataclass(frozen=True)
class Accuracy:
    """The mean top-1 of a network over its seeds of one recipe, in 0..1, with half its 95 % interval.

    The interval is from the noise of seeds, pooled over the networks of that recipe; None where none has two seeds.
    """

    recipe: str
    seeds: int
    mean: float
    margin: float | None

    @property
    def words(self) -> str:
        """The accuracy in words: ``92.31 ± 0.20 % (tiny, 3 seeds)``."""
        interval = "" if self.margin is None else f" \N{PLUS-MINUS SIGN} {100 * self.margin:.2f}"
        return f"{100 * self.mean:.2f}{interval} % ({self.recipe}, {self.seeds} seed{'s' * (self.seeds > 1)})"


def folder_of(study: Path, arch_id: str, recipe: str, seed: int) -> Path:
    """Return the folder of a network that is retrained, below that of a study."""
    return study / RETRAIN / arch_id / recipe / str(seed)


def retrained(study: Path) -> dict[str, tuple[Retrained, ...]]:
    """Return what retrained networks came to, by `arch_id`; what cannot be read is passed over."""
    found: dict[str, list[Retrained]] = {}
    for path in sorted(study.glob(f"{RETRAIN}/*/*/*/{METRICS}")):
        try:
            each = _read(path)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.setdefault(each.arch_id, []).append(each)
    return {arch_id: tuple(sorted(each, key=lambda one: (one.recipe, one.seed))) for arch_id, each in found.items()}


def accuracies(found: Mapping[str, Sequence[Retrained]]) -> dict[str, Accuracy]:
    """Return the accuracy of each retrained network, by `arch_id`: all by one recipe, that of most networks.

    A network that was not retrained by it has that of the next commonest recipe.
    """
    by_recipe: dict[str, dict[str, list[float]]] = {}
    for each in _all(found.values()):
        by_recipe.setdefault(each.recipe, {}).setdefault(each.arch_id, []).append(each.top1)
    made: dict[str, Accuracy] = {}
    for recipe, networks in sorted(by_recipe.items(), key=lambda item: (-len(item[1]), item[0])):
        noise = seed_noise(networks.values())
        for arch_id, values in networks.items():
            margin = None if noise is None else noise.margin(len(values))
            made.setdefault(arch_id, Accuracy(recipe, len(values), fmean(values), margin))
    return made


def _all(found: Iterable[Sequence[Retrained]]) -> Iterable[Retrained]:
    return (each for networks in found for each in networks)


def _read(path: Path) -> Retrained:
    arch_id, recipe, seed = path.parts[-4:-1]
    test = json.loads(path.read_text(encoding="utf-8"))["test"]
    top5 = test["top5"]
    return Retrained(
        arch_id=arch_id,
        recipe=recipe,
        seed=int(seed),
        top1=float(test["top1"]),
        top5=None if top5 is None else float(top5),
        loss=float(test["loss"]),
        calibration_error=float(test["calibration_error"]),
    )
