"""What keeps a worker's hold on its job alive, and tells it at the end of an epoch when it is to leave it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nas.errors import StoppedError

SHORTEST_PAUSE = 1.0
"""Seconds between the end of an epoch and the beat that tells of it, at most, and so between two beats at least."""
LEAST_PAUSE = 0.1


class TakenOverError(BaseException):
    """Another worker has the job: this one was silent for longer than its lease. What it has made is dropped."""


class Heart:
    """Beats in a thread of its own, every so many seconds and soon after every epoch.

    `beat` is given the epochs that are done, and of how many; it returns whether the job is still held. It may fail: a
    database that is away for less than a lease takes no job from anybody.
    """

    def __init__(self, beat: Callable[[int, int], bool], is_stopped: Callable[[], bool], every: float) -> None:
        self._beat, self._is_stopped, self._every = beat, is_stopped, max(every, LEAST_PAUSE)
        self._epoch, self._epochs = 0, 0
        self._wake, self._ended = threading.Event(), threading.Event()
        self._left: BaseException | None = None

    def epoch_done(self, epoch: int, epochs: int) -> None:
        """Let the next beat tell of an epoch; StoppedError or TakenOverError where the last one heard of it."""
        self._epoch, self._epochs = epoch, epochs
        self._wake.set()
        if self._left is not None:
            raise self._left

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat while inside."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._wake.set()
            thread.join()

    def _run(self) -> None:
        while not self._pause():
            try:
                if not self._beat(self._epoch, self._epochs):
                    self._left = TakenOverError()
                elif self._is_stopped():
                    self._left = StoppedError()
            except Exception:  # noqa: BLE001 - whatever a driver raises: the next beat tries again
                pass

    def _pause(self) -> bool:
        """Wait until the next beat; return whether there is to be none."""
        began = time.monotonic()
        self._wake.wait(self._every)
        self._wake.clear()
        return self._ended.wait(max(0.0, began + min(SHORTEST_PAUSE, self._every) - time.monotonic()))
