"""Recipes by name: TOML files that come with nas, each with its source and what it gave there, and changes to them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from nas.data.images import Dataset
from nas.errors import InputError, unknown
from nas.recipe import BiasLoss, Distillation, Ramp, Recipe, Suppression
from nas.records import Fidelity
from nas.training.feed import judged_side
from nas.value import Value, explain

_PARTS: dict[str, type[Value]] = {
    "ramp": Ramp,
    "bias_loss": BiasLoss,
    "distillation": Distillation,
    "suppression": Suppression,
}
_OWN, _SUFFIX = ("epochs", "resolution"), ".toml"


class NamedRecipe(Value):
    """A recipe with its length: `resolution` None is that of the images.

    `source` says where it is from, `expected` what it gave there.
    """

    name: str
    source: str
    expected: str
    epochs: int = Field(ge=1)
    resolution: int | None = Field(default=None, ge=1, description="side of the training images, pixels")
    recipe: Recipe

    def for_data(self, data: Dataset) -> tuple[Recipe, Fidelity]:
        """Return the recipe and the fidelity for some images: flipped only where that keeps a label."""
        side = self.resolution or data.resolution
        recipe = self.recipe if data.mirror else self.recipe.model_copy(update={"mirror": False})
        return recipe, Fidelity(epochs=self.epochs, resolution=side)

    def sides(self, own: int) -> list[int]:
        """Return the sides of the images, smallest first, that a network will see, of data at its `own` side."""
        side, ramp = self.resolution or own, self.recipe.ramp
        grown = [side] if ramp is None else [ramp.side(epoch, self.epochs, side) for epoch in range(self.epochs)]
        return sorted({*grown, judged_side(self.recipe, side)})

    def toml(self) -> str:
        """Return the file that gives this recipe back, what is at its default included."""
        return "\n".join(_lines(self.model_dump(exclude_none=True))) + "\n"


def named_recipes() -> dict[str, NamedRecipe]:
    """Return the recipes that come with nas, by name."""
    folder = files("nas.training") / "recipes"
    found = sorted(path.name for path in folder.iterdir() if path.name.endswith(_SUFFIX))
    texts = {name.removesuffix(_SUFFIX): (folder / name).read_text(encoding="utf-8") for name in found}
    return {name: _parsed(text, name, f"{name}{_SUFFIX}") for name, text in texts.items()}


def find_recipe(name: str) -> NamedRecipe:
    """Return the recipe called `name`, or that of a TOML file; InputError in one line."""
    known = named_recipes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix != _SUFFIX:
        raise InputError(unknown("recipe", name, known, where="--recipe") + "; or a FILE.toml")
    try:
        return _parsed(path.read_text(encoding="utf-8"), path.stem, name)
    except OSError as error:
        raise InputError(f"--recipe {name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"--recipe {name}: not a text file") from None


def changed(recipe: NamedRecipe, settings: Sequence[str]) -> NamedRecipe:
    """Return the recipe after changes like ``epochs=600`` and ``ramp.start=0.7``; InputError for one that is wrong.

    ``ramp=none`` takes out a part; setting a field of a part that is not there puts it in.
    """
    content, seen = recipe.model_dump(), set[str]()
    for setting in settings:
        name, equals, text = (each.strip() for each in setting.partition("="))
        if not equals or not text:
            raise InputError(f"--set: must be FIELD=VALUE such as epochs=600, got {setting!r}")
        if name in seen:
            raise InputError(f"--set: {name} is given twice")
        seen.add(name)
        _put(content, name, _value(text))
    try:
        return NamedRecipe.model_validate(content)
    except ValidationError as error:
        raise InputError(f"--set: {explain(error).removeprefix('recipe.').removeprefix('recipe: ')}") from None


def _put(content: dict[str, Any], name: str, value: object) -> None:
    """Put a value where its dotted name says; InputError for a name that there is none of."""
    if name in _OWN:
        content[name] = value
        return
    part, dot, inner = name.partition(".")
    inside = [f"{each}.{field}" for each, kind in _PARTS.items() for field in kind.model_fields]
    known = (*_OWN, *Recipe.model_fields, *inside)
    if name not in known:
        raise InputError(unknown("field", name, known, where="--set"))
    if not dot:
        content["recipe"][name] = value
    else:
        content["recipe"][part] = {**(content["recipe"][part] or {}), inner: value}


def _value(text: str) -> object:
    """Return what a text means in TOML; what means nothing there is a text, ``none`` is None."""
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return {"yes": True, "no": False}.get(text, text)


def _parsed(text: str, name: str, where: str) -> NamedRecipe:
    try:
        return NamedRecipe.model_validate({"name": name, **tomllib.loads(text)})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not TOML: {error}") from None
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error)}") from None


def _lines(content: Mapping[str, object], table: str = "") -> list[str]:
    """Return the lines of a TOML table: its values, then its tables."""
    plain = {key: value for key, value in content.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    lines = [f"{key} = {_text(value)}" for key, value in plain.items()]
    for key, value in tables.items():
        place = f"{table}.{key}" if table else key
        lines += ["", f"[{place}]", *_lines(value, place)]
    return lines


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)
