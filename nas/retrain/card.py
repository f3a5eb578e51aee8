"""The model card: what people read first of a trained network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import fmean

from nas.retrain.job import Job
from nas.training.score import Scores

_SEEDS = "Top-1 by seed: "


def model_card(job: Job, seed: int, test: Scores, chosen: int, top1: Mapping[int, float]) -> str:
    """Return the card of a network as Markdown; `top1`, in 0..1, is by seed, this one and what others came to."""
    named, recipe, task, cost = job.named, job.recipe, job.task, job.cost
    top5 = "" if test.top5 is None else f", top-5 {_share(test.top5)}"
    taught = "" if job.teacher is None else f" Taught by {job.teacher.name}."
    side = "x".join([str(task.resolution)] * 2)
    return f"""\
# {job.architecture.arch_id}

{job.title}: {job.architecture.words()}

| | |
|---|---|
| params | {cost.params:,} |
| MACs | {cost.macs:,} at {side} |
| peak activation | {cost.peak_activation_bytes:,} B |
| classes | {len(task.classes):,} |
| input | {len(task.mean)} x {side}, of 0..1, mean {_numbers(task.mean)}, std {_numbers(task.std)} |
| top-1 | {_share(test.top1)}{top5} |
| loss | {test.loss:.4f} |
| calibration error | {_share(test.calibration_error)} |

Measured once, at the end, on the {test.images:,} images of the test split of {task.data} (fingerprint of train
{task.fingerprint}) at {job.judged_side} px: whole squares, the centre of each image.

{_by_seed(top1)}

## How it was trained

Recipe `{named.name}` ({named.source}), {named.epochs} epochs at {job.fidelity.resolution} px, batches of
{recipe.batch_size}, seed {seed}; all of it in `recipe.toml`.{taught} Of train, {_share(job.source.held_out)} was held
out to choose the epoch: {chosen} of {named.epochs}. What was measured in each epoch and of each class is in
`metrics.json`.

## How to use it

    nas evaluate FOLDER --data {task.data}
    nas predict FOLDER IMAGE…

    from pathlib import Path
    from nas.network.folder import load_model

    model = load_model(Path("FOLDER"))  # model.network takes normalised images, model.task says how
"""


def with_seeds(card: str, top1: Mapping[int, float]) -> str:
    """Return a card that names what all seeds came to so far."""
    return re.sub(rf"^{_SEEDS}.*$", _by_seed(top1), card, flags=re.MULTILINE)


def _by_seed(top1: Mapping[int, float]) -> str:
    each = ", ".join(f"{seed}: {_share(value)}" for seed, value in sorted(top1.items()))
    return f"{_SEEDS}{each}; mean {_share(fmean(top1.values()))}."


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{each:.4f}" for each in values)
