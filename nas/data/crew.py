"""Who decodes the blocks of a store: threads of this process, or processes that need neither torch nor each other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice

from nas.data.canvas import Block, Canvas, fill_at
from nas.data.journal import Sums
from nas.errors import NasError


def decode_blocks(canvas: Canvas, work: Iterable[Block], processes: int = 0) -> Generator[tuple[Block, Sums]]:
    """Decode blocks into `canvas`, two a worker in flight, and yield each when it is written and noted.

    Without `processes`, in threads, a worker a core: Pillow decodes without the interpreter's lock. Many threads share
    what is left of Python, so that for a large data set processes pay; they need a canvas on disk.
    """
    pool, decode = _pool(canvas, processes)
    workers = processes or os.cpu_count() or 1

    def submit(count: int) -> list[tuple[Block, Future[Sums]]]:
        return [(block, pool.submit(decode, block)) for block in islice(todo, count)]

    todo = iter(work)
    is_whole = False
    try:
        ahead = deque(submit(2 * workers))
        while ahead:
            block, future = ahead.popleft()
            sums = future.result()
            if canvas.journal is not None:
                canvas.journal.note(block.number, sums)
            ahead.extend(submit(1))
            yield block, sums
        is_whole = True
    except BrokenProcessPool:
        raise NasError(
            "a process that decodes images was killed (out of memory?); what is decoded stays, "
            "the same command goes on from there"
        ) from None
    finally:
        if not is_whole and isinstance(pool, ProcessPoolExecutor):
            _kill(pool)
        pool.shutdown(cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kill the workers of a build that was interrupted: blocks that are not noted are decoded anew in any case.

    The pool's own end asks them to leave; with a second Ctrl-C in the midst of it they were seen to stay for ever.
    """
    for process in list((pool._processes or {}).values()):  # `kill_workers` comes with Python 3.14
        process.kill()


def _pool(canvas: Canvas, processes: int) -> tuple[Executor, Callable[[Block], Sums]]:
    if processes and canvas.place is not None:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(processes, context, _begin), partial(fill_at, canvas.place)
    return ThreadPoolExecutor(os.cpu_count() or 1), canvas.fill


def _begin() -> None:
    """Leave Ctrl-C to the process that hands out the work, and end when that one does, even by kill -9."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
