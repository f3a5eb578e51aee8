"""`--launch-option key=value`: which there are for a launcher, and what each may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nas.errors import InputError, unknown

Reader = Callable[[str], object]
"""Returns the value that a text stands for; ValueError, in words of what is allowed, where it stands for none."""


def whole(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("a whole number from 1")
    return int(text)


def share(text: str) -> float:
    """Read a number of processors or GPUs: a part of one, or whole ones."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (value > 1 and not value.is_integer()):
        raise ValueError("a share of one, such as 0.25, or a whole number")
    return value


def text(given: str) -> str:
    """Take any text but none."""
    if not given:
        raise ValueError("a text")
    return given


def read_options(launcher: str, given: Sequence[str], allowed: Mapping[str, Reader]) -> dict[str, object]:
    """Return the options of a launcher by their names; InputError for one that is not `key=value`, or unknown."""
    if given and not allowed:
        raise InputError(f"--launch-option {given[0]}: the {launcher} launcher has none")
    found: dict[str, object] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"--launch-option {each}: must be KEY=VALUE")
        if key not in allowed:
            raise InputError(unknown("option", key, allowed, where=f"--launch-option of {launcher}"))
        if key in found:
            raise InputError(f"--launch-option {key}: given twice")
        try:
            found[key] = allowed[key](value)
        except ValueError as error:
            raise InputError(f"--launch-option {key} must be {error}, got {value!r}") from None
    return found
