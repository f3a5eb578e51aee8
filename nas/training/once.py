"""A line that is worth saying once."""

from __future__ import annotations

from collections.abc import Callable


class Once:
    """Passes a line on unless it has passed one that began alike, up to the first colon."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Pass lines to `tell`."""
        self._tell = tell
        self._said: set[str] = set()

    def __call__(self, line: str) -> None:
        """Say the line, or nothing."""
        subject = line.partition(":")[0]
        if subject not in self._said:
            self._said.add(subject)
            self._tell(line)
