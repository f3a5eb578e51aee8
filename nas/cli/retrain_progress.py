"""Progress of a training in full: a bar on a terminal, a line for each epoch elsewhere; always to stderr."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nas.retrain.board import Board
from nas.retrain.job import Job
from nas.training.loop import Progress as Epochs

SECONDS_BETWEEN_LINES = 5.0
"""Where epochs are shorter, not each gets a line."""


class Display:
    """Shows where a training stands, and writes TensorBoard files where that is installed."""

    def __init__(self, job: Job, seed: int) -> None:
        """Show a seed of a job."""
        self._epochs = job.fidelity.epochs
        self._board = Board(job.folder(seed))
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), console=self._console
        )
        self._task = self._bar.add_task(f"seed {seed}", total=float(self._epochs), words="starting")
        self._started, self._said = time.monotonic(), 0.0
        self._first: int | None = None
        self._done = 0

    def __enter__(self) -> Self:
        """Start the bar, if this is a terminal."""
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._console.is_terminal:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def epoch(self, progress: Epochs) -> None:
        """Show an epoch that is done."""
        self._board(progress)
        if self._first is None:
            self._first = progress.epoch - 1
        self._done = progress.epoch
        words = self._words(progress)
        self._bar.update(self._task, completed=float(progress.epoch), words=words)
        now = time.monotonic()
        is_due = now - self._said >= SECONDS_BETWEEN_LINES or progress.epoch == self._epochs
        if not self._console.is_terminal and is_due:
            self._said = now
            self.say(words)

    def steps(self, done: int, steps: int) -> None:
        """Show how far an epoch is."""
        self._bar.update(self._task, completed=self._done + done / steps)

    def _words(self, progress: Epochs) -> str:
        last, taken = progress.last, time.monotonic() - self._started
        accuracy = "" if last.val_accuracy is None else f", held out {100 * last.val_accuracy:.2f} %"
        own = progress.epoch - (self._first or 0)
        left = taken / own * (self._epochs - progress.epoch)
        time_left = (
            f"{left / 3600:.1f} h" if left >= 5400 else f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        )
        return (
            f"epoch {progress.epoch}/{self._epochs}, loss {last.train_loss:.3f}{accuracy}, "
            f"{progress.images_per_second:,.0f} images/s, waited {100 * progress.waited:.1f} %, about {time_left} left"
        )
