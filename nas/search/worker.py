"""What a worker does: the search until nothing is left of it, then the finalists."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext

import torch

from nas.architecture import Architecture
from nas.search.evaluator import Evaluator
from nas.search.loop import Event, run
from nas.search.study import Study


def complete(
    studies: Sequence[Study],
    evaluate: Evaluator,
    accept: Callable[[Architecture], object],
    on_event: Callable[[Event], None] = lambda _: None,
    *,
    device: str = "cpu",
) -> None:
    """Work on a study until nothing is left: in this thread or, given several objects of it, in one thread for each.

    The threads share the device, each with a CUDA stream of its own, and `on_event`, one call at a time. The first
    that fails, or Ctrl-C, ends all of them after the epoch they are in; their jobs are left to the next process.
    """
    if len(studies) == 1:
        _complete(studies[0], evaluate, accept, on_event)
        return
    stopped, one_at_a_time = threading.Event(), threading.Lock()

    def hear(event: Event) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        with one_at_a_time:
            on_event(event)

    def work(study: Study) -> None:
        with _stream(device):
            _complete(study, evaluate, accept, hear)

    with ThreadPoolExecutor(len(studies)) as pool:
        try:
            done, _ = wait([pool.submit(work, study) for study in studies], return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
    for each in done:
        each.result()


def _complete(
    study: Study, evaluate: Evaluator, accept: Callable[[Architecture], object], on_event: Callable[[Event], None]
) -> None:
    run(study, evaluate, accept, on_event)


def _stream(device: str) -> AbstractContextManager[object]:
    """Return what gives a thread its own queue of work on a GPU, so that kernels of several trainings overlap."""
    return torch.cuda.stream(torch.cuda.Stream(device)) if device.startswith("cuda") else nullcontext()
