"""The tree of the README, one line per file: `python -m tests.readme_tree` prints it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
OTHERS = {
    "CLI.md": "every command and option, generated from the commands",
    "docs/DECISIONS.md": "what was decided, why, and what did not help",
    "docs/clusters.md": "workers on Slurm, Ray, Kubernetes and by systemd",
    "docs/data.md": "images decoded once: stores, what may go wrong, trained networks measured",
    "docs/imagenet_mini.md": "the whole path from a folder of images to predictions, with what it gave",
    "docs/interference.md": "the metrics of interference, the NoDepth study, and what predicts what",
    "docs/optuna.md": "a study as Optuna's own: its command line, its dashboard, and without nas",
    "docs/problems.md": "searching what is none of our networks: choices, a cost and an evaluator of your own",
    "benchmarks/imagenet_path.sh": "that path as a script",
    "results/README.md": "what runs write",
    "tests/": "one folder for each part; `test_house.py` holds the rules of the house",
    ".ci/run": "what CI runs",
}


def tree() -> str:
    """Return the tree: packages and modules with the first line of their docstrings, spaces, benchmarks, the rest."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    package = ROOT / "nas"
    for init in sorted(package.rglob("__init__.py"), key=lambda path: (path.parent != package, path)):
        if init.parent != package:
            yield ""
        yield _line(f"{init.parent.relative_to(ROOT)}/", _first_line(init))
        for module in sorted(init.parent.glob("*.py")):
            if module != init:
                yield _line(f"  {module.name}", _first_line(module))
    yield ""
    for space in sorted((ROOT / "search_spaces").glob("*.toml")):
        yield _line(f"search_spaces/{space.name}", tomllib.loads(space.read_text())["description"])
    for benchmark in sorted((ROOT / "benchmarks").glob("*.py")):
        yield _line(f"benchmarks/{benchmark.name}", _first_line(benchmark))
    for name, text in OTHERS.items():
        yield _line(name, text)


def _line(name: str, text: str) -> str:
    return f"{name:31} {text}".rstrip()


def _first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n")[0]


if __name__ == "__main__":
    print(tree())
