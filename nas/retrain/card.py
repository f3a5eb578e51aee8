"""The model card: what people read first of a trained network."""

from __future__ import annotations

from nas.retrain.job import Job
from nas.training.score import Scores


def model_card(job: Job, seed: int, test: Scores, chosen: int, *, others: tuple[float, ...] = ()) -> str:
    """Return the card of a network as Markdown; `others` are the top-1 of the same network from other seeds."""
    named, recipe, task, cost = job.named, job.recipe, job.task, job.cost
    top5 = "" if test.top5 is None else f", top-5 {_share(test.top5)}"
    seeds = f"Other seeds: {', '.join(map(_share, others))}." if others else "No other seed was trained before it."
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
{task.fingerprint}) at {job.judged_side} px: whole squares, the centre of each image. {seeds}

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


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{each:.4f}" for each in values)
