"""The command tree: help, version, what is imported for it, and CLI.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nas as package
from nas.cli.reference import reference
from nas.search.samplers.named import DEFAULT_SAMPLER, SAMPLERS
from tests.cli.conftest import Finished, Nas

COMMANDS = (
    *("search", "studies", "status", "front", "show", "enqueue"),
    *("spaces list", "spaces show", "spaces lint", "bench cost"),
)
LARGE = ("torch", "optuna", "rich", "numpy", "sqlalchemy", "plotly", "pandas")
CLI_MD = Path(__file__).parents[2] / "CLI.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(nas: Nas, command: str) -> None:
    outcome = nas(*command.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: nas {command}" in outcome.out
    assert "--json" in outcome.out


@pytest.mark.parametrize("command", COMMANDS[:6])
def test_every_command_on_studies_takes_a_folder_and_a_database(nas: Nas, command: str) -> None:
    text = nas(command, "--help").out
    assert "--results DIR" in text
    assert "--storage URL" in text


def test_the_help_names_every_command(nas: Nas) -> None:
    text = nas("--help").out
    for command in COMMANDS:
        assert f"\n  {command.split()[0]} " in text


def test_the_help_of_a_search_names_every_sampler(nas: Nas) -> None:
    text = " ".join(nas("search", "--help").out.split())
    *names, last = SAMPLERS
    assert f"What proposes: {', '.join(names)} or {last}. [default: {DEFAULT_SAMPLER}]" in text


@pytest.mark.parametrize("group", [[], ["spaces"], ["bench"]])
def test_a_group_alone_shows_its_help(nas: Nas, group: list[str]) -> None:
    outcome = nas(*group)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Usage: nas")
    assert "Commands:\n" in outcome.err


def test_the_version_is_the_package_s(nas: Nas) -> None:
    outcome = nas("--version")
    assert (outcome.code, outcome.out) == (0, f"nas {package.__version__}\n")


def test_the_reference_is_up_to_date() -> None:
    assert CLI_MD.read_text(encoding="utf-8") == reference(), "run: python -m nas.cli.reference > CLI.md"


def test_the_reference_has_every_option_with_its_default() -> None:
    text = reference()
    assert "- `--results DIR`: Folder of all studies. [default: results]" in text
    assert "    nas show [OPTIONS] STUDY TRIAL\n" in text
    assert "- `--members N`: How many random members. [default: 20]" in text
    for command in COMMANDS:
        assert f"## `nas {command}`\n" in text


def loaded(code: str, *names: str) -> set[str]:
    """Return which of the modules a new process has loaded after running the code."""
    asked = f"\nimport sys\nprint('loaded:', *(name for name in {names!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + asked], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_commands_load_none_of_the_large_packages() -> None:
    assert loaded("import nas.cli.app", *LARGE, "pydantic") == set()


def test_help_loads_none_of_the_large_packages() -> None:
    assert loaded("from nas.cli import run\nrun(['--help'])\nrun(['search', '--help'])", *LARGE) == set()


def test_the_front_needs_no_torch(finished: Finished, tmp_path: Path) -> None:
    where = list(finished.where)
    commands = [["front", *where], ["front", *where, "--json", "--html", str(tmp_path / "front.html")]]
    commands += [
        ["status", *where],
        ["studies", "--results", str(finished.results)],
        ["show", "little", "0", *where[1:]],
    ]
    code = f"from nas.cli import run\nassert not any([run(command) for command in {commands!r}])"
    assert loaded(code, "torch", "sklearn", "optuna") == {"optuna"}
