"""How values are frozen, compared, written as JSON and hashed; and how seeds are derived from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")
_NONE_SET: set[str] = set()


class Value(BaseModel):
    """A frozen, validated record of finite numbers: unknown fields are refused, equality and hash go by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the fields of `update`, validated; pydantic's own would keep stale cached properties."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | dict(update))


V = TypeVar("V", bound=Value)


def trusted(kind: type[V], /, **fields: Any) -> V:
    """Return a value of fields that are valid as they are: as `model_construct`, in a third of the time."""
    made = kind.__new__(kind)
    object.__setattr__(made, "__dict__", fields)
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    object.__setattr__(made, "__pydantic_fields_set__", _NONE_SET)
    return made


class FrozenMap(Mapping[str, T]):
    """A mapping that cannot change, equal and hashed by content; a JSON object on disk."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, T]) -> None:
        """Copy the items."""
        self._items: dict[str, T] = dict(items.items())

    @classmethod
    def owning(cls, items: dict[str, T]) -> Self:
        """Return the mapping of a dict that nobody else has: nothing is copied."""
        made = cls.__new__(cls)
        made._items = items
        return made

    def __getitem__(self, key: str) -> T:
        """Return the value of `key`."""
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys in their order."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        """Return whether there is a value of `key`."""
        return key in self._items

    def items(self) -> ItemsView[str, T]:
        """Return the keys with their values; faster than what `Mapping` would do."""
        return self._items.items()

    def __hash__(self) -> int:
        """Return the hash of the content."""
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        """Return the content as a dict would print it."""
        return repr(self._items)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as a dict of the declared value type, keep frozen, write as a dict."""
        value_type: Any = getattr(source, "__args__", (Any,))[0]
        items = core_schema.dict_schema(core_schema.str_schema(), handler.generate_schema(value_type))
        from_python = core_schema.no_info_before_validator_function(
            lambda given: dict(given) if isinstance(given, Mapping) else given, items
        )
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.json_or_python_schema(items, from_python),
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
        )


def canonical_json(value: Value) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, so equal values give equal text.

    Fields at their defaults are left out: a field that is added later changes no text, and so no id.
    """
    content = value.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def compact_json(value: Value) -> str:
    """Return a short JSON text that gives `value` back: as `canonical_json`, without what is at its default."""
    return value.model_dump_json(exclude_defaults=True)


def digest(text: str, length: int = 12) -> str:
    """Return the first `length` hex digits of the sha256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def derive_seed(*parts: int | str) -> int:
    """Return a 32-bit seed that depends on every part, so that one study seed gives independent streams."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little")


def explain(error: ValidationError) -> str:
    """Return the first fault of a pydantic error as ``field: rule, got value``."""
    first: Any = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if "[" not in str(part))  # that would be a validator of ours
    rule = first["msg"].removeprefix("Value error, ")
    rule = rule[:1].lower() + rule[1:]
    given = "" if first["type"] in {"missing", "value_error"} else f", got {first['input']!r}"
    return f"{place}: {rule}{given}" if place else f"{rule}{given}"
