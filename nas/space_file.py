"""A search space as a TOML file: a list is a choice, a scalar is a decision already made.

    name = "example"
    [target]   dataset, num_classes, in_channels, resolution, cap, macs, peak_activation
    [network]  block genes decided once for the whole network
    [stem]     width, kernel, stride, activation, norm, bias, first_width, max_pool, separable, se_ratio
    [stages]   what every stage starts from
    [[stage]]  width, depth, stride, block, expansion, kernel, activation, …, per_block, downsample, last
    [head]     width (0: none), activation, norm, map_norm, map_activation, pool_norm, hidden (0: none), hidden_norm

- `per_block` lists the keys that are chosen for each block of the stage instead of once for all of them.
- `downsample` and `last` are a block of their own in front of the `depth` blocks and behind them, as a table of block
  genes: `last = { block = ["none", "sdta"], heads = 4 }`. Genes that it does not name are those of [network], not of
  the stage. `downsample` is there where the stage changes width or stride.
- Several `[[stem]]` tables, each with a `name`, are a choice of stems.
- `[blocks]` names blocks of other packages, as `my_block = "package.module:function"`; see `nas.blocks.own`.
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
from nas.blocks import FAMILIES, Block, add_own_family
from nas.errors import CapError, SpaceError, unknown
from nas.space import (
    BLOCK_GENES,
    NO_BLOCK,
    Gene,
    SearchSpace,
    Slot,
    Slots,
    StageSpace,
    Target,
    slot_values,
)
from nas.space_faults import faults
from nas.value import Value, explain

MOST_BLOCKS = 64
STEM_KEYS = tuple(Stem.model_fields)
STAGE_KEYS = ("width", "depth", "stride", *BLOCK_GENES, "per_block", "downsample", "last")
TOP_KEYS = ("name", "description", "target", "blocks", "network", "stem", "stages", "stage", "head")


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
    return _Parser(where, text, _Table("", 0, tables, "")).space()


@dataclass(frozen=True)
class _Table:
    """A table of the file: its header, the how manieth of that name it is (0: the only one), and its keys.

    Keys that it does not give come from `defaults`. The keys of the file itself are the table without a header.
    """

    header: str
    number: int
    given: Mapping[str, Any]
    label: str
    defaults: _Table | None = None

    def home(self, key: str) -> _Table:
        """Return the table that gives `key`; this one when none does."""
        table: _Table | None = self
        while table and key not in table.given:
            table = table.defaults
        return table or self

    def gives(self, key: str) -> bool:
        """Return whether `key` is given here or by a default other than [network]."""
        home = self.home(key)
        return key in home.given and home.header != "network"

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, wherever it is given."""
        return self.home(key).given.get(key, default)


@dataclass(frozen=True)
class _Parser:
    where: str
    text: str
    top: _Table

    def place(self, table: _Table, key: str) -> str:
        """Return file, line and table of a key; without a key, of the table's header."""
        home = table.home(key)
        line = _line_of(self.text, home, key) or _line_of(self.text, home, "")
        file = f"{self.where}:{line}" if line else self.where
        return f"{file}: {home.label}" if home.label else file

    def fail(self, table: _Table, key: str, rule: str) -> SpaceError:
        """Return the error of one key, which may stand inside another one: ``last.heads``."""
        return SpaceError(f"{self.place(table, key.split('.')[0])}: `{key}` {rule}")

    def refuse_unknown(self, table: _Table, known: Iterable[str]) -> None:
        for key in table.given:
            if key not in known:
                raise SpaceError(unknown("key", key, known, where=self.place(table, key)))

    def space(self) -> SearchSpace:
        self.refuse_unknown(self.top, TOP_KEYS)
        self.add_own_blocks()
        network = self.table("network", BLOCK_GENES)
        stems, stages = self.stem_tables(), self.stage_tables(network)
        genes = {key: self.slot(network, key, f"network.{key}", _STAGE_CHECKS[key]) for key in network.given}
        around = {key: slot for key, slot in genes.items() if key in {"activation", "norm"}}
        space = SearchSpace(
            name=self.words("name", Path(self.where).stem),
            description=self.words("description", ""),
            target=self.target(),
            stem=Gene("stem.name", tuple(stems)) if len(stems) > 1 else next(iter(stems)),
            stems={
                name: self.part(table, f"stem.{name}" if name else "stem", Stem, around)
                for name, table in stems.items()
            },
            stages=tuple(self.stage(table, f"stage{i}", genes) for i, table in enumerate(stages, start=1)),
            head=self.part(self.table("head", tuple(Head.model_fields)), "head", Head, around),
            text=self.text,
        )
        for fault in faults(space):
            tables = list(stems.values()) if fault.table == "stem" else stages
            raise self.fail(tables[fault.index - 1], fault.key, fault.rule)
        return space

    def add_own_blocks(self) -> None:
        table = _Table("blocks", 0, self.top.get("blocks", {}), "blocks")
        if not isinstance(table.given, dict):
            raise self.fail(self.top, "blocks", f"must be a table, got {table.given!r}")
        for name, reference in table.given.items():
            if not isinstance(reference, str):
                raise self.fail(table, name, f'must be text such as "package.module:function", got {reference!r}')
            try:
                add_own_family(name, reference)
            except SpaceError as error:
                raise SpaceError(f"{self.place(table, name)}: {error}") from None

    def stem_tables(self) -> dict[str, _Table]:
        """Return the [[stem]] tables by name; a single [stem] has the name ""."""
        given = self.top.get("stem", {})
        if not isinstance(given, list):
            return {"": self.table("stem", STEM_KEYS)}
        found: dict[str, _Table] = {}
        for i, own in enumerate(given, start=1):
            if not isinstance(own, dict):
                raise self.fail(self.top, "stem", f"must be a table, got {own!r}")
            table, name = _Table("stem", i, own, f"stem {i}"), own.get("name")
            if not isinstance(name, str) or not name.isidentifier() or name in found:
                raise self.fail(table, "name", f"must be a word that no other stem has, got {name!r}")
            self.refuse_unknown(table, ("name", *STEM_KEYS))
            found[name] = table
        return found

    def stage_tables(self, network: _Table) -> list[_Table]:
        given = self.top.get("stage", [])
        if not isinstance(given, list) or not given or not all(isinstance(own, dict) for own in given):
            raise SpaceError(f"{self.where}: a space needs at least one [[stage]]")
        defaults = self.table("stages", STAGE_KEYS, network)
        tables = [_Table("stage", i, own, f"stage {i}", defaults) for i, own in enumerate(given, start=1)]
        for table in tables:
            self.refuse_unknown(table, STAGE_KEYS)
        return tables

    def table(self, name: str, known: Iterable[str], defaults: _Table | None = None) -> _Table:
        given = self.top.get(name, {})
        if not isinstance(given, dict):
            raise self.fail(self.top, name, f"must be a table, got {given!r}")
        table = _Table(name, 0, given, name, defaults)
        self.refuse_unknown(table, known)
        return table

    def words(self, key: str, default: str) -> str:
        given = self.top.get(key, default)
        if not isinstance(given, str):
            raise self.fail(self.top, key, f"must be text, got {given!r}")
        return given

    def target(self) -> Target:
        table = self.table("target", Target.model_fields)
        try:
            target = Target.model_validate(dict(table.given), strict=True)
            target.budget()
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            raise self.fail(table, key, explain(error).removeprefix(f"{key}: ")) from None
        except CapError as error:
            key, _, rule = str(error).partition(": ")
            raise self.fail(table, key, rule) from None
        return target

    def part(self, table: _Table, gene: str, model: type[Stem | Head], around: Slots) -> Slots:
        """Return the slots of a stem or the head: what its table says, else the network's, else the default."""
        slots: dict[str, Slot] = {}
        for key, info in model.model_fields.items():
            if table.gives(key):
                slots[key] = self.slot(table, key, f"{gene}.{key}", _field_check(model, key))
            elif info.is_required():
                raise SpaceError(f"{self.place(table, '')}: `{key}` is missing")
            else:
                slots[key] = around.get(key, info.default)
        return slots

    def stage(self, table: _Table, gene: str, network: Slots) -> StageSpace:
        for key in ("width", "block"):
            if key not in table.home(key).given:
                raise SpaceError(f"{self.place(table, '')}: `{key}` is missing")
        per_block = table.get("per_block", [])
        if not isinstance(per_block, list) or not all(key in BLOCK_GENES for key in per_block):
            raise self.fail(table, "per_block", f"must list some of {', '.join(BLOCK_GENES)}, got {per_block!r}")
        if idle := [key for key in per_block if not table.gives(key)]:
            raise self.fail(table, "per_block", f"names {idle[0]!r}, which the stage does not give")

        def slot(key: str, default: Slot, position: str = "") -> Slot:
            return self.slot(table, key, f"{gene}{position}.{key}", _STAGE_CHECKS[key]) if table.gives(key) else default

        genes = {**_BLOCK_DEFAULTS, **network}
        depth = slot("depth", 1)
        shared = {key: slot(key, genes[key]) for key in BLOCK_GENES if key not in per_block}
        positions = range(1, max(map(int, slot_values(depth))) + 1)
        single = ({key: slot(key, genes[key], f".{j}") for key in per_block} for j in positions)
        return StageSpace(
            width=slot("width", 1),
            depth=depth,
            stride=slot("stride", 1),
            blocks=tuple(shared | own if own else shared for own in single),
            downsample=self.own_block(table, gene, "downsample", genes),
            last=self.own_block(table, gene, "last", genes),
        )

    def own_block(self, table: _Table, gene: str, name: str, genes: Slots) -> Slots | None:
        """Return the slots of the stage's `downsample` or `last`; None where it has none."""
        given = table.get(name, {"block": NO_BLOCK})
        if not isinstance(given, dict) or "block" not in given:
            rule = f'must be a table of block genes such as {{ block = ["none", "conv"] }}, got {given!r}'
            raise self.fail(table, name, rule)
        slots = dict(genes)
        for key, value in given.items():
            if key not in BLOCK_GENES:
                raise SpaceError(unknown(f"key of {name}", key, BLOCK_GENES, where=self.place(table, name)))
            check = _known_own_block if key == "block" else _STAGE_CHECKS[key]
            slots[key] = self.choice(table, f"{name}.{key}", value, f"{gene}.{name}.{key}", check)
        return None if slots["block"] == NO_BLOCK else slots

    def slot(self, table: _Table, key: str, gene: str, check: Callable[[Any], object]) -> Slot:
        return self.choice(table, key, table.get(key), gene, check)

    def choice(self, table: _Table, key: str, given: Any, gene: str, check: Callable[[Any], object]) -> Slot:
        """Return the gene of a list, or the value of a scalar, after checking every value."""
        values = given if isinstance(given, list) else [given]
        if not values:
            raise self.fail(table, key, "is an empty choice; give at least one value")
        for value in values:
            try:
                check(value)
            except ValidationError as error:
                raise self.fail(table, key, explain(error)) from None
            except SpaceError as error:
                raise self.fail(table, key, str(error)) from None
        if len(set(values)) < len(values):
            raise self.fail(table, key, f"names a value twice: {values}")
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


def _known_own_block(name: Any) -> None:
    if name != NO_BLOCK:
        _known_block(name)


def _positive_int(most: int) -> Callable[[Any], object]:
    def check(value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise SpaceError(f"must be a whole number from 1 to {most}, got {value!r}")

    return check


_STAGE_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "width": _positive_int(8192),
    "depth": _positive_int(MOST_BLOCKS),
    "stride": _field_check(Stage, "stride"),
    "block": _known_block,
    **{key: _field_check(Block, key) for key in BLOCK_GENES[1:]},
}
_BLOCK_DEFAULTS: Slots = {"block": NO_BLOCK, **{key: Block.model_fields[key].default for key in BLOCK_GENES[1:]}}


def _line_of(text: str, table: _Table, key: str) -> int:
    """Return the line (from 1) where `key` stands in its table, 0 when it is not found.

    Without a key, return the line of the table's header.
    """
    header, seen = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.split("#")[0].strip()
        if stripped.startswith("["):
            header = stripped.strip("[]").strip()
            seen += header == table.header
            is_key = header == (f"{table.header}.{key}" if table.header else key) and seen == table.number
            if is_key or (header == table.header and not key and seen == max(table.number, 1)):
                return number
        elif (header, stripped.split("=")[0].strip()) == (table.header, key) and table.number in {0, seen}:
            return number
    return 0
