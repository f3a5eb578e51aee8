"""The rules of the house: who imports whom, what is frozen, documented, forbidden and short."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nas
from nas.value import Value
from tests import readme_tree

ROOT = Path(nas.__file__).parent
ORDER = [
    *("errors", "value", "late", "layers", "attention", "blocks", "architecture", "budget", "outline"),
    *("space", "space_size", "space_faults", "space_match", "space_file"),
    *(
        "references",
        "scaling",
        "pricing",
        "feasibility",
        "lint",
        "pareto",
        "recipe",
        "records",
        "effort",
        "members",
        "choices",
        "problem",
        "surrogate",
        "trust",
        "view",
        "results",
        "retrained",
        "model_folder",
    ),
    *("network", "audit", "interference", "proxies", "data", "training", "search", "launch"),
    *("retrain", "export", "report"),
    *("cli", "__main__"),
]
"""Imports point only to the left."""

PURE = ORDER[: ORDER.index("network")]
HOMES = {
    "optuna": ("search",),
    "fvcore": ("audit",),
    "plotly": ("report",),
    "dash": ("report",),
    "pandas": ("report",),
    "typer": ("cli",),
    "rich": ("cli",),
    "ray": ("launch",),
    "submitit": ("launch",),
}
GLOBAL_SEEDS = {"torch.manual_seed", "torch.seed", "random.seed", "np.random.seed", "numpy.random.seed"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save"}
FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 50


def _module_name(path: Path) -> str:
    parts = ("nas", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def _part(module: str) -> str:
    """Return the part of the package a module belongs to: ``nas.blocks.residual`` -> ``blocks``."""
    return module.split(".")[1] if "." in module else ""


def _imports(module: str) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever in the file."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _own_imports(module: str) -> set[str]:
    """Return the modules of `nas` that a module imports."""
    found = (name if name in FILES else name.rpartition(".")[0] for name in _imports(module))
    return {name for name in found if name in FILES and name != module}


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_part_has_its_place_in_the_order() -> None:
    assert {_part(module) for module in FILES} - {""} <= set(ORDER)


def test_no_import_points_to_a_later_part() -> None:
    upward = [
        f"{module} imports {imported}"
        for module in FILES
        for imported in _own_imports(module) - {"nas"}
        if ORDER.index(_part(imported)) > ORDER.index(_part(module))
    ]
    assert upward == []


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    assert _own_imports("nas") == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: _own_imports(module) for module in FILES}
    assert set(TopologicalSorter(graph).static_order()) == set(FILES)  # raises CycleError, which names the circle


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home_alone(library: str) -> None:
    users = {_part(module) for module in FILES if library in {name.split(".")[0] for name in _imports(module)}}
    assert users <= set(HOMES[library])


@pytest.mark.parametrize("library", ["torch", "torchvision", "optuna"])
def test_pure_modules_do_not_name_what_is_slow_to_import(library: str) -> None:
    users = [module for module in FILES if library in {name.split(".")[0] for name in _imports(module)}]
    assert [module for module in users if _part(module) in PURE] == []


def test_pure_modules_do_not_load_what_is_slow_to_import() -> None:
    pure = [module for module in FILES if _part(module) in PURE]
    code = (
        f"import sys, {', '.join(pure)}\nprint(*{{'torch', 'optuna', 'pandas', 'plotly', 'fvcore'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_only_the_command_line_prints() -> None:
    printers = [
        f"{module}:{call.lineno}"
        for module, tree in TREES.items()
        for call in _calls(tree)
        if ast.unparse(call.func) in {"print", "sys.stdout.write", "sys.stderr.write"} and _part(module) != "cli"
    ]
    assert printers == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in TREES.items() if not (ast.get_docstring(tree) or "").strip()]
    assert silent == []


def test_every_package_is_a_package() -> None:
    folders = {path.parent for path in FILES.values()}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_package_is_shipped() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name for name, path in FILES.items() if path.name == "__init__.py"}
    assert packages <= set(project["tool"]["setuptools"]["packages"])


def test_every_pydantic_model_is_frozen() -> None:
    loose = [
        f"{module}.{node.name}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and ("BaseModel" in map(ast.unparse, node.bases) or "model_config" in ast.unparse(node))
        and "frozen=True" not in ast.unparse(node)
    ]
    assert loose == []


def test_values_are_frozen() -> None:
    assert Value.model_config["frozen"] is True
    assert Value.model_config["extra"] == "forbid"


def test_nothing_hides_behind_type_checking() -> None:
    names = {
        module: {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(tree)} for module, tree in TREES.items()
    }
    assert [module for module, found in names.items() if "TYPE_CHECKING" in found] == []


def test_nothing_seeds_a_global_generator() -> None:
    """Where it cannot be avoided the state is kept by `fork_rng` in the same function."""
    seeding = []
    for module, tree in TREES.items():
        forked = {id(call) for f in _functions(tree) if "fork_rng(" in ast.unparse(f) for call in _calls(f)}
        for call in _calls(tree):
            name = ast.unparse(call.func)
            if (name in GLOBAL_SEEDS or name.startswith("torch.cuda.manual_seed")) and id(call) not in forked:
                seeding.append(f"{module}:{call.lineno}: {name}")
    assert seeding == []


def test_nothing_unpickles_or_evaluates() -> None:
    called = [
        f"{module}:{call.lineno}: {ast.unparse(call.func)}"
        for module, tree in TREES.items()
        for call in _calls(tree)
        if ast.unparse(call.func) in FORBIDDEN_CALLS or "allow_pickle" in {keyword.arg for keyword in call.keywords}
    ]
    imported = [m for m in FILES if FORBIDDEN_MODULES & {name.split(".")[0] for name in _imports(m)}]
    assert called + imported == []


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: length for name, length in lengths.items() if length > MOST_FILE_LINES} == {}


def test_functions_are_short() -> None:
    """The signature aside: that of a command is its help."""
    lengths = {
        f"{module}.{function.name}": (function.end_lineno or 0) - function.body[0].lineno + 1
        for module, tree in TREES.items()
        for function in _functions(tree)
    }
    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


def test_the_readme_holds_the_tree_with_one_line_per_file() -> None:
    readme = (ROOT.parent / "README.md").read_text()
    assert readme_tree.tree() in readme, "put the output of `python -m tests.readme_tree` there"
