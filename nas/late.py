"""Values that are read from JSON in two steps: what every reader wants at once, the rest when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Self, cast

from pydantic import SerializerFunctionWrapHandler, model_serializer

from nas.value import Value, trusted

_REST = "_rest"
"""Where a value has what reads its other fields: beside those that it has, as cached properties are."""


def _read(self: Late, name: str) -> Any:
    """Return a field that was not read so far; Python calls this where an attribute is missing."""
    rest = self.__dict__.get(_REST)
    if rest is None or name not in type(self).model_fields:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    whole = {**dict(rest()), **self.__dict__}  # in the order of the fields
    del whole[_REST]
    object.__setattr__(self, "__dict__", whole)  # it is the value that it was: nobody could see a field without reading
    return whole[name]


class Late(Value):
    """A value of which some fields may be read later. It equals, and is written as, one that has all of them."""

    @classmethod
    def late(cls, rest: Callable[[], Value], **known: Any) -> Self:
        """Return a value with the fields that are `known`, valid as they are; `rest` gives a value with all others.

        `rest` is called once, when one of the others is asked for, and what it raises is raised then.
        """
        return trusted(cls, **known, **{_REST: rest})

    __getattr__ = _read  # not a method: type checkers would let every name pass

    def _whole(self) -> Self:
        """Return the value with all of its fields read."""
        if _REST in self.__dict__:
            _read(self, next(iter(type(self).model_fields)))
        return self

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        """Iterate over the fields and their values."""
        yield from ((name, getattr(self, name)) for name in type(self).model_fields)

    def __eq__(self, other: object) -> bool:
        """Return whether the type and all fields are equal."""
        return super(Late, self._whole()).__eq__(other._whole() if isinstance(other, Late) else other)

    def __hash__(self) -> int:
        """Return the hash of the content."""
        return hash(tuple(value for _, value in self))

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return cast(dict[str, Any], write(self._whole()))
