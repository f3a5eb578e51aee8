"""What can go wrong, said in one line: what is wrong, what was given, what is allowed, and where."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class NasError(Exception):
    """A failure of a run. The command line prints its one line and exits with `exit_code`."""

    exit_code = 1


class InputError(NasError):
    """A user's input cannot be used; nothing was written."""

    exit_code = 2


class SpaceError(InputError):
    """A search space file, a gene or an architecture is not valid."""


class CapError(InputError):
    """A cap cannot be read, or nothing in the space fits under it."""


class DataError(InputError):
    """A data set cannot be found, read or split."""


class StudyError(InputError):
    """A study does not exist, cannot be opened, or disagrees with what was asked."""


class AuditError(NasError):
    """fvcore's count of the built network disagrees with the closed form, or exceeds the cap."""


class StoppedError(BaseException):
    """The workers of a study were told to stop. Like Ctrl-C it is no failure: what is left goes on another time."""


def unknown(kind: str, given: str, allowed: Iterable[str], *, where: str = "") -> str:
    """Return one line saying that `given` is no known `kind`, with the nearest names first."""
    names = sorted(allowed)
    near = get_close_matches(given, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f"{where}: " if where else ""
    return f"{place}unknown {kind} {given!r}{hint} (known: {', '.join(names)})"
