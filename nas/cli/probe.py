"""`nas probe`: what a second training of a changed network says about it."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.status import Status

from nas.cli.output import count, print_json, print_table
from nas.cli.subject import (
    NetworkRequest,
    Subject,
    check,
    find_architecture,
    load_data,
    proxy_fidelity,
    say,
    training_plan,
)
from nas.data.images import Dataset
from nas.data.spec import DataSpec
from nas.errors import NasError
from nas.records import Fidelity, Plan
from nas.training.plan import describe
from nas.training.probe import SoluDrop, Trained, solu_drop, solu_twin
from nas.training.recipe import default_recipe

EXPLANATION = (
    "SoLU damps channels that are active together: a large drop says that a network leans on features that share "
    "channels (the probe of arXiv 2507.15798)"
)


def solu_command(request: NetworkRequest, seeds: int, epochs: int | None, *, as_json: bool) -> None:
    """Train a network and its SoLU twin; print what the twin loses."""
    subject = find_architecture(request)
    solu_twin(subject.architecture)  # refuses one without a twin before images are read for minutes
    spec, data = load_data(request, subject)
    check(subject, data)
    fidelity, plan = proxy_fidelity(subject, data, epochs), training_plan(subject)
    with _Progress(2 * seeds) as progress:
        try:
            found = solu_drop(
                subject.architecture,
                data,
                default_recipe(data),
                fidelity,
                plan=plan,
                seeds=range(request.seed, request.seed + seeds),
                on_progress=progress,
            )
        except KeyboardInterrupt:
            say(f"stopped after {progress.done} of {2 * seeds} trainings; none is kept.")
            raise
    facts = _facts(subject, spec, data, fidelity, plan)
    if as_json:
        print_json({**facts, **_content(found)})
    else:
        _print(found, facts)
    if found.mean is None:
        raise NasError(f"{subject.name}: no seed of which both trainings ended; see above")


class _Progress:
    """Takes the steps of all trainings: a line for each that ends and, on a terminal, what is running now."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._console = Console(stderr=True)
        self._live = Status("starting", console=self._console)

    def __enter__(self) -> Self:
        """Start the live line, if this is a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._live.stop()

    def __call__(self, step: Trained) -> None:
        """Take one step."""
        name = f"seed {step.seed}, {'SoLU twin' if step.is_twin else 'network'}"
        if step.progress is not None:
            epoch = f"epoch {step.progress.epoch}/{step.progress.epochs}"
            self._live.update(f"{name}: {epoch}, {step.progress.images_per_second:,.0f} images/s")
            return
        self.done += 1
        line = f"[{self.done}/{self.total}] {name}: {_share(step.val_accuracy)}"
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def _facts(subject: Subject, spec: DataSpec, data: Dataset, fidelity: Fidelity, plan: Plan) -> dict[str, object]:
    return {
        "network": subject.name,
        "architecture": subject.architecture.words(),
        "data": str(spec),
        "images": len(data.train),
        "resolution": fidelity.resolution,
        "epochs": fidelity.epochs,
        "train_fraction": fidelity.train_fraction,
        "plan": describe(plan),
    }


def _content(found: SoluDrop) -> dict[str, object]:
    return {
        "params": found.params,
        "twin_params": found.twin_params,
        "norm_params": found.norm_params,
        "seeds": list(found.seeds),
        "val_accuracy": list(found.accuracies),
        "twin_val_accuracy": list(found.twin_accuracies),
        "train_loss": list(found.losses),
        "twin_train_loss": list(found.twin_losses),
        "seeds_that_only_guess": list(found.guessing),
        "drop": list(found.drops),
        "mean_drop": found.mean,
        "std_drop": found.std,
        "interval": found.interval,
        "explanation": EXPLANATION,
    }


def _print(found: SoluDrop, facts: dict[str, object]) -> None:
    print(facts["architecture"])
    title = f"{facts['network']}, {facts['epochs']} epochs on {facts['data']} at {facts['resolution']} px"
    rows = [
        [seed, _share(own), _share(twin), _points(drop)]
        for seed, own, twin, drop in zip(found.seeds, found.accuracies, found.twin_accuracies, found.drops, strict=True)
    ]
    print_table(["seed", "val accuracy", "with SoLU", "drop in points"], rows, title=title)
    print(f"SoLU drop: {_summary(found)}")
    print(
        f"params: {count(found.params)}, its SoLU twin {count(found.twin_params)} "
        f"({found.norm_params:,} more, the LayerNorms that belong to SoLU)"
    )
    if found.guessing:
        print(
            f"seed {', '.join(map(str, found.guessing))}: a training stayed at guessing, so this drop says what can be "
            "trained for so long, not how far features share channels"
        )
    print(EXPLANATION)


def _summary(found: SoluDrop) -> str:
    if found.mean is None:
        return "-"
    words = f"{_points(found.mean)} points"
    if found.std is None or found.interval is None:
        return f"{words} (one seed: no spread is known)"
    low, high = map(_points, found.interval)
    return f"{words}, standard deviation {_points(found.std)}, 95 % interval of the mean {low} to {high}"


def _share(accuracy: float | None) -> str:
    return "diverged" if accuracy is None else f"{100 * accuracy:.2f} %"


def _points(drop: float | None) -> str:
    return "-" if drop is None else f"{100 * drop:.2f}"
