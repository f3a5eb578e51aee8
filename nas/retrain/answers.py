"""What a teacher says of the images of a training: asked batch by batch, or looked up where views are fixed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nas.retrain.job import Job
from nas.training.feed import fixed_views, training_data
from nas.training.loop import Answers
from nas.training.ranks import Ranks
from nas.training.teacher import Teacher, TeacherLogits, keep_logits


class Asked:
    """Runs the teacher on each batch, as the network sees it."""

    def __init__(self, teacher: Teacher, mean: tuple[float, ...], std: tuple[float, ...], device: str) -> None:
        """Undo the normalisation of the data for the teacher, which has one of its own."""
        self._teacher = teacher
        self._mean, self._std = (torch.tensor(each, device=device).view(-1, 1, 1) for each in (mean, std))

    def __call__(self, inputs: Tensor, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002 - asked anew each time
        """Return the logits."""
        return self._teacher.logits((inputs * self._std + self._mean) * 255)


class Kept:
    """Looks up what the teacher said of fixed views."""

    def __init__(self, logits: TeacherLogits) -> None:
        """Take the answers."""
        self._logits = logits

    def __call__(self, inputs: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Return the logits."""
        return self._logits.get(indices, epoch % self._logits.views).to(inputs.device)


def answers(job: Job, device: str, ranks: Ranks, tell: Callable[[str], None]) -> Answers | None:
    """Return what the job's teacher says; what it says of fixed views is computed first, once for all seeds."""
    if job.teacher is None:
        return None
    data = job.source.data
    views = fixed_views(job.recipe, data, job.fidelity)
    if views is None:
        return Asked(job.teacher, data.mean, data.std, device)
    if ranks.is_first:
        tell(f"teacher {job.teacher.name}: {views.count} view(s) of {len(data.train):,} images, computed once and kept")
    return Kept(keep_logits(job.teacher, training_data(job.recipe, data, job.fidelity).train, views))
