"""A problem of 36 members, quick to search, and what its tests ask of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from nas.errors import InputError, NasError
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement
from nas.search.loop import Event, Exhausted
from nas.search.problem import solve
from nas.search.samplers.named import SAMPLERS
from nas.space import Genotype

CHOICES = {"depth": (1, 2, 3), "kernel": (3, 5, 7), "act": ("relu", "gelu"), "skip": (True, False)}
QUICK = [name for name in SAMPLERS if name != "gp"]
"""Samplers that ask in milliseconds, for tests that ask often."""
LADDER = tuple(Fidelity(epochs=epochs, resolution=1) for epochs in (1, 3, 9))


def accuracy(genotype: Genotype) -> float:
    return genotype["depth"] + genotype["kernel"] / 10 + (genotype["act"] == "gelu") / 100 + genotype["skip"] / 1_000


def cost(genotype: Genotype) -> Mapping[str, float]:
    return {"params": genotype["depth"] * genotype["kernel"] ** 2, "delay": 0.5 * genotype["depth"]}


def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
    metrics = {"accuracy": accuracy(candidate.genotype), "loss": -accuracy(candidate.genotype)}
    return Measurement(fidelity=fidelity, seed=seed, metrics=metrics)


def measured(**metrics: float) -> Callable[..., Measurement]:
    """Return an evaluator that always measures the same."""
    return lambda _, fidelity, seed: Measurement(fidelity=fidelity, seed=seed, metrics=metrics)


def problem(**given: Any) -> Problem:
    usual = {
        "name": "toy",
        "choices": CHOICES,
        "objectives": {"accuracy": "maximize"},
        "evaluate": evaluate,
        "cost": cost,
        "caps": {"params": 75},
    }
    return Problem(**usual | given)


def refusal(run: Callable[[], object], kind: type[NasError] = InputError) -> str:
    """Return the one line that something is refused with."""
    with pytest.raises(kind) as caught:
        run()
    said = str(caught.value)
    assert "\n" not in said
    return said


def keys(records: Any) -> list[str]:
    return [record.arch_id for record in records]


def endings(run: Problem, n_trials: int, **more: Any) -> tuple[int, list[str]]:
    """Return how many trials a search came to, and why it ended early."""
    events: list[Event] = []
    view = solve(run, n_trials, on_event=events.append, **more)
    return len(view.records), [event.reason for event in events if isinstance(event, Exhausted)]
