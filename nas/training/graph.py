"""A CUDA stream for each thread, and a training step that is replayed from a CUDA graph.

A small network's step is some hundred kernels of a few microseconds: launching them one by one takes longer than
running them. A replay launches all of them at once, and leaves the interpreter to the other trainings on the GPU.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from nas.training.memory import is_out_of_memory
from nas.training.step import Step

WARM_UP = 3
"""Steps made one by one first, in which libraries choose their kernels and the optimizer makes its state."""

_CAPTURING = threading.Lock()
"""One capture at a time: while one is under way, the device must not be synchronised by another that begins."""
_OF_THREAD = threading.local()
_DONE: dict[int, list[torch.cuda.CUDAGraph]] = {}
"""By stream, graphs that are not replayed any more. The next one captured there takes over the memory of one of them:
left to itself, torch would give it back no sooner than when there is none left."""


class GraphedStep:
    """Makes the steps of a `Step`: the first ones by themselves, the others by replaying what one of them launched.

    Batches must be of one size. Where a step cannot be captured all are made one by one, which `tell` hears of.
    """

    def __init__(self, step: Step, tell: Callable[[str], None]) -> None:
        """Take over from `step`."""
        self._step, self._tell = step, tell
        self._taken = 0
        self._batch: tuple[Tensor, ...] = ()
        self._replay: Callable[[], None] | None = None

    def __call__(self, inputs: Tensor, labels: Tensor, teacher: Tensor | None = None) -> None:
        """Make the next step."""
        batch = (inputs, labels) if teacher is None else (inputs, labels, teacher)
        if self._taken == WARM_UP:
            self._capture(batch)
        self._taken += 1
        if self._replay is None:
            self._step(*batch)
            return
        for own, given in zip(self._batch, batch, strict=True):
            own.copy_(given)
        self._replay()

    def _capture(self, batch: tuple[Tensor, ...]) -> None:
        self._batch = tuple(each.clone() for each in batch)
        try:
            self._replay = capture(self._step, *self._batch)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
            self._tell(f"a step cannot be captured in a CUDA graph, so its kernels are launched one by one: {reason}")


class Replay:
    """Makes a captured step, on whatever the captured tensors hold."""

    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        """Keep the graph."""
        self._graph = graph

    def __call__(self) -> None:
        """Launch it."""
        self._graph.replay()


def capture(step: Step, *batch: Tensor) -> Callable[[], None]:
    """Return what makes a step on whatever the `batch` then holds, as a step takes it; the capture itself runs nothing.

    Errors of this thread alone end a capture: others may allocate and wait meanwhile.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(step.generator)
    stream = torch.cuda.current_stream().cuda_stream
    with _CAPTURING:
        done = _DONE.setdefault(stream, [])
        before = done.pop() if done else None  # alive until this one has taken over its memory
        graph.capture_begin(pool=before.pool() if before is not None else None, capture_error_mode="thread_local")
        try:
            step(*batch)
        finally:
            graph.capture_end()
    replay = Replay(graph)
    weakref.finalize(replay, done.append, graph).atexit = False
    return replay


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Run on a CUDA stream that is this thread's own, behind what was launched before; on a CPU, just run."""
    if not device.startswith("cuda"):
        yield
        return
    with torch.cuda.device(device):
        before, stream = torch.cuda.current_stream(), _stream()
        stream.wait_stream(before)
        with torch.cuda.stream(stream):
            yield
        before.wait_stream(stream)


def free_memory(device: str) -> None:
    """Give back the memory of what is no longer used, cycles included."""
    gc.collect()
    if device.startswith("cuda"):
        with _CAPTURING:
            torch.cuda.empty_cache()


def _stream() -> torch.cuda.Stream:
    """Return the thread's stream on the current device: one, since what it frees only it can use again."""
    streams: dict[int, torch.cuda.Stream] = _OF_THREAD.__dict__.setdefault("streams", {})
    device = torch.cuda.current_device()
    if device not in streams:
        streams[device] = torch.cuda.Stream()
    return streams[device]
