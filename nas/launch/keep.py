"""One worker, kept running where a scheduler has put it: what it says, what it died of, and that it starts again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nas.search.workers import USERS_FAULT, reason_of, see_off

QUICK_SECONDS = 30
MOST_QUICK_DEATHS = 3
"""A worker that dies within so many seconds of its start, so many times in a row, is not started again."""
LET_GO = {0, 130}
"""Exit codes of a worker that found nothing left to do, or was interrupted."""

VERDICT = "worker ended: "
_TAIL = 4_000
_MOST_AFTER = 4
"""Lines in which a verdict is looked for: a scheduler adds some of its own."""


class Keeper:
    """Runs `nas` with the arguments of a worker, again when it dies, until it is done, let go, or dies at once.

    The worker ends with this process however that ends, by `--with-parent`: its standard input is a pipe from here. It
    does not hear the signals in `ignores`, which a scheduler sends to every process of a job; only the main thread may
    give any.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        ignores: Sequence[signal.Signals] = (),
    ) -> None:
        self._arguments, self._environment, self._ignores = arguments, environment, ignores
        self._folder = folder if Path(folder).is_dir() else None  # another machine need not have it
        self._process: subprocess.Popen[bytes] | None = None
        self._is_let_go = False

    def said(self) -> Iterator[bytes]:
        """Yield what the worker says as it says it; after an end that was not its own, the verdict as a line."""
        deaths = 0
        while not self._is_let_go:
            started, tail, code = time.monotonic(), b"", 0
            process = self._start()
            while chunk := os.read(_pipe(process), 65_536):
                tail = (tail + chunk)[-_TAIL:]
                yield chunk
            code = process.wait()
            _close(process)
            reason = reason_of(code, tail.decode(errors="replace"))
            deaths = deaths + 1 if time.monotonic() - started < QUICK_SECONDS else 1
            if self._is_let_go or code in LET_GO:
                return
            if code == USERS_FAULT or deaths == MOST_QUICK_DEATHS:
                yield f"{VERDICT}{reason}\n".encode()
                return
            yield f"worker died: {reason}; it starts again\n".encode()

    def let_go(self) -> None:
        """Tell the worker to end; its trial is left to the next one. Safe in a signal handler."""
        self._is_let_go = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Let the worker go, and see to it that it does."""
        self.let_go()
        if self._process is None:
            return
        see_off(self._process)
        _close(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in self._ignores}  # the worker inherits it
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nas", *self._arguments, "--with-parent"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C in a terminal reaches the worker from here alone
            )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._is_let_go:  # by a signal that came while there was no process to pass it to
            self.let_go()
        return self._process


def verdict(log: Path) -> str:
    """Return why a worker ended, by what its keeper wrote last; empty for one that ended by itself."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines[-_MOST_AFTER:] if line.startswith(VERDICT)]
    return said[-1].removeprefix(VERDICT) if said else ""


def _pipe(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return process.stdout.fileno()


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
