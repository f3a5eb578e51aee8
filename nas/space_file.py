"""A search space as a TOML file: a list is a choice, a scalar is a decision already made.

    name = "example"
    [target]   dataset, num_classes, in_channels, resolution, cap
    [network]  block genes decided once for the whole network
    [stem]     width, kernel, stride, activation, norm
    [stages]   what every stage starts from
    [[stage]]  width, depth, stride, block, expansion, kernel, activation, norm, se_ratio, skip, per_block
    [head]     width (0: none), activation, norm

`per_block` lists the keys that are chosen for each block of the stage instead of once for all of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from nas.architecture import Head, Stage, Stem
from nas.blocks import FAMILIES, Block
from nas.budget import parse_count
from nas.errors import CapError, SpaceError, unknown
from nas.space import BLOCK_GENES, Gene, GeneValue, SearchSpace, Slot, StageSpace, Target
from nas.value import Value, explain

MOST_BLOCKS = 64
STAGE_KEYS = ("width", "depth", "stride", *BLOCK_GENES, "per_block")
TOP_KEYS = ("name", "description", "target", "network", "stem", "stages", "stage", "head")


def spaces_folder() -> Path:
    """Return the folder of the spaces we ship: inside an installed package, beside it in a clone."""
    package = Path(__file__).parent
    installed = package / "search_spaces"
    return installed if installed.is_dir() else package.parent / "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """Return the spaces we ship, by name."""
    return {path.stem: path for path in sorted(spaces_folder().glob("*.toml"))}


def load_space(name_or_path: str) -> SearchSpace:
    """Return the space of a shipped name or a path to a TOML file; SpaceError in one line otherwise."""
    path = shipped_spaces().get(name_or_path, Path(name_or_path))
    if not path.is_file():
        if "/" in name_or_path or name_or_path.endswith(".toml"):
            raise SpaceError(f"space {name_or_path}: no such file")
        raise SpaceError(unknown("space", name_or_path, shipped_spaces()) + "; a path to a TOML file works too")
    try:
        where = path.name if path.stem == name_or_path else name_or_path
        return parse_space(path.read_text(encoding="utf-8"), where=where)
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"space {name_or_path}: cannot be read: {error}") from None


def parse_space(text: str, *, where: str = "space") -> SearchSpace:
    """Return the space that a TOML text describes; SpaceError names file, line and key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        number = line[1] if line else len(text.splitlines())
        raise SpaceError(f"{where}:{number}: not valid TOML: {error}") from None
    return _Parser(where, text, tables).space()


@dataclass(frozen=True)
class _Parser:
    where: str
    text: str
    tables: Mapping[str, Any]

    def place(self, table: str, key: str, index: int = 0) -> str:
        """Return file, line and table of a key; without a key, of the table's header."""
        line = _line_of(self.text, table, key, index)
        file = f"{self.where}:{line}" if line else self.where
        label = f"{table} {index}" if index else table
        return f"{file}: {label}" if table else file

    def fail(self, table: str, key: str, rule: str, index: int = 0) -> SpaceError:
        """Return the error of one key; what a stage does not give itself it has from [stages]."""
        if index and key not in self.tables["stage"][index - 1]:
            table, index = "stages", 0
        return SpaceError(f"{self.place(table, key, index)}: `{key}` {rule}")

    def refuse_unknown(self, table: str, given: Iterable[str], known: Iterable[str], index: int = 0) -> None:
        for key in given:
            if key not in known:
                raise SpaceError(unknown("key", key, known, where=self.place(table, key, index)))

    def space(self) -> SearchSpace:
        self.refuse_unknown("", self.tables, TOP_KEYS)
        stage_tables = self.tables.get("stage", [])
        if not isinstance(stage_tables, list) or not stage_tables or not all(isinstance(t, dict) for t in stage_tables):
            raise SpaceError(f"{self.where}: a space needs at least one [[stage]]")
        network = {
            key: self.slot("network", key, value, f"network.{key}", self.block_check(key))
            for key, value in self.table("network", BLOCK_GENES).items()
        }
        around = {key: slot for key, slot in network.items() if key in {"activation", "norm"}}
        return SearchSpace(
            name=self.words("name", Path(self.where).stem),
            description=self.words("description", ""),
            target=self.target(),
            stem=self.part("stem", Stem, around),
            stages=tuple(self.stage(i, table, network) for i, table in enumerate(stage_tables, start=1)),
            head=self.part("head", Head, around),
            text=self.text,
        )

    def words(self, key: str, default: str) -> str:
        given = self.tables.get(key, default)
        if not isinstance(given, str):
            raise self.fail("", key, f"must be text, got {given!r}")
        return given

    def table(self, name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            raise self.fail("", name, f"must be a table, got {table!r}")
        self.refuse_unknown(name, table, known)
        return table

    def target(self) -> Target:
        table = self.table("target", tuple(Target.model_fields))
        try:
            target = Target.model_validate(dict(table), strict=True)
            parse_count(target.cap)
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            raise self.fail("target", key, explain(error).removeprefix(f"{key}: ")) from None
        except CapError as error:
            raise self.fail("target", "cap", str(error).removeprefix("cap: ")) from None
        return target

    def part(self, name: str, model: type[Stem | Head], around: Mapping[str, Slot]) -> dict[str, Slot]:
        """Return the slots of the stem or the head: what its table says, else the network's, else the default."""
        table = self.table(name, tuple(model.model_fields))
        slots: dict[str, Slot] = {}
        for key, info in model.model_fields.items():
            if key in table:
                slots[key] = self.slot(name, key, table[key], f"{name}.{key}", _field_check(model, key))
            elif info.is_required():
                raise SpaceError(f"{self.place(name, '')}: `{key}` is missing")
            else:
                slots[key] = around.get(key, info.default)
        return slots

    def stage(self, index: int, own: Mapping[str, Any], network: Mapping[str, Slot]) -> StageSpace:
        self.refuse_unknown("stage", own, STAGE_KEYS, index)
        table = {**self.table("stages", STAGE_KEYS), **own}
        for key in ("width", *(() if "block" in network else ("block",))):
            if key not in table:
                raise SpaceError(f"{self.place('stage', '', index)}: `{key}` is missing")
        per_block = table.get("per_block", [])
        if not isinstance(per_block, list) or not all(key in BLOCK_GENES for key in per_block):
            rule = f"must list some of {', '.join(BLOCK_GENES)}, got {per_block!r}"
            raise self.fail("stage", "per_block", rule, index)
        if idle := [key for key in per_block if key not in table]:
            raise self.fail("stage", "per_block", f"names {idle[0]!r}, which the stage does not give", index)

        def shape(key: str, default: int) -> Slot:
            return self.slot("stage", key, table.get(key, default), f"stage{index}.{key}", _STAGE_CHECKS[key], index)

        depth = shape("depth", 1)
        positions = max(map(int, depth.values if isinstance(depth, Gene) else (depth,)))
        shared = {key: self.block_slot(index, key, table, network, "") for key in BLOCK_GENES if key not in per_block}
        return StageSpace(
            width=shape("width", 0),
            depth=depth,
            stride=shape("stride", 1),
            blocks=tuple(
                shared | {key: self.block_slot(index, key, table, network, f".{j}") for key in per_block}
                for j in range(1, positions + 1)
            ),
        )

    def block_slot(
        self, index: int, key: str, table: Mapping[str, Any], network: Mapping[str, Slot], position: str
    ) -> Slot:
        if key in table:
            return self.slot("stage", key, table[key], f"stage{index}{position}.{key}", self.block_check(key), index)
        if key in network:
            return network[key]
        default: GeneValue = Block.model_fields[key].default
        return default

    def block_check(self, key: str) -> Callable[[Any], object]:
        return _known_block if key == "block" else _field_check(Block, key)

    def slot(self, table: str, key: str, given: Any, gene: str, check: Callable[[Any], object], index: int = 0) -> Slot:
        """Return the gene of a list, or the value of a scalar, after checking every value."""
        values = given if isinstance(given, list) else [given]
        if not values:
            raise self.fail(table, key, "is an empty choice; give at least one value", index)
        for value in values:
            try:
                check(value)
            except ValidationError as error:
                raise self.fail(table, key, explain(error), index) from None
            except SpaceError as error:
                raise self.fail(table, key, str(error), index) from None
        if len(set(values)) < len(values):
            raise self.fail(table, key, f"names a value twice: {values}", index)
        if len(values) == 1:
            return values[0]  # type: ignore[no-any-return]
        ordered = Gene(gene, tuple(values))
        return Gene(gene, tuple(sorted(values))) if ordered.is_ordered else ordered


def _field_check(model: type[Value], key: str) -> Callable[[Any], object]:
    """Return a check of one field of `model`, strict about types."""
    info = model.model_fields[key]
    annotation: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    adapter: TypeAdapter[object] = TypeAdapter(annotation)
    return lambda value: adapter.validate_python(value, strict=True)


def _known_block(name: Any) -> None:
    if not isinstance(name, str) or name not in FAMILIES:
        raise SpaceError(unknown("block", str(name), FAMILIES))


def _positive_int(most: int) -> Callable[[Any], object]:
    def check(value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise SpaceError(f"must be a whole number from 1 to {most}, got {value!r}")

    return check


_STAGE_CHECKS = {
    "width": _positive_int(8192),
    "depth": _positive_int(MOST_BLOCKS),
    "stride": _field_check(Stage, "stride"),
}


def _line_of(text: str, table: str, key: str, index: int) -> int:
    """Return the line (from 1) where `key` stands in the `index`-th table of that name, 0 when it is not found.

    Without a key, return the line of the table's header.
    """
    header, seen = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.split("#")[0].strip()
        if stripped.startswith("["):
            header = stripped.strip("[]").strip()
            seen += header == table
            if (header == key and not table) or (header == table and not key and seen == max(index, 1)):
                return number
        elif header == table and (not index or seen == index) and stripped.split("=")[0].strip() == key:
            return number
    return 0
