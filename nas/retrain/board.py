"""TensorBoard files of a training, where `tensorboard` is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from nas.training.loop import Progress

FOLDER = "tensorboard"


class Board:
    """Writes what each epoch came to; without the library, nothing."""

    def __init__(self, folder: Path) -> None:
        """Write below a folder."""
        self._folder = folder
        self._writer: Any = None

    def __call__(self, progress: Progress) -> None:
        """Write an epoch."""
        if importlib.util.find_spec("tensorboard") is None:
            return
        if self._writer is None:
            self._writer = _writer(self._folder / FOLDER, progress.epoch)
        last = progress.last
        values = {"loss/train": last.train_loss, "loss/held out": last.val_loss, "accuracy/held out": last.val_accuracy}
        values |= {"images per second": progress.images_per_second, "waited": progress.waited}
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, progress.epoch)
        self._writer.flush()


def _writer(folder: Path, epoch: int) -> Any:
    """Return what writes from an epoch on: what a killed training wrote of later ones is dropped."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=epoch)
