"""The command line in this process, and a small finished study to read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from nas.cli import run
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.search.fakes import plain_choice

SPACE = """
name = "little"
[target]
dataset = "digits"
num_classes = 10
in_channels = 1
resolution = 8
cap = "2k"
[stem]
width = [4, 8]
stride = 1
[[stage]]
block = ["separable", "inverted"]
width = [8, 12, 16]
depth = [1, 2]
stride = 2
"""
TRIALS = 5


@dataclass(frozen=True)
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Finished:
    """A study that was run by `nas search`, and what that printed."""

    results: Path
    outcome: Outcome

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.results / "little"

    @property
    def where(self) -> tuple[str, ...]:
        """The arguments that lead to the study."""
        return ("little", "--results", str(self.results))

    def open(self) -> Study:
        """Return the study itself."""
        return Study.open(open_storage(sqlite_url(self.folder / "study.db")), "little")


Nas = Callable[..., Outcome]


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    """Run a command."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


def search(results: Path, *arguments: object) -> Outcome:
    """Run `nas search` on digits, with the plainest plan instead of the fastest."""
    given = ["--data", "digits", "--trials", str(TRIALS), "--epochs", "2", "--finalists", "0", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nas.search.setup.choose_plan", plain_choice)
        return captured("search", "--space", space_file(results.parent), *given, "--results", results)


def captured(*arguments: object) -> Outcome:
    """Run a command where no test, and so no `capsys`, is there yet."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def space_file(folder: Path) -> str:
    """Write the space and return its path."""
    path = folder / "little.toml"
    path.write_text(SPACE)
    return str(path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Give a study of a few trials; tests only read it."""
    results = tmp_path_factory.mktemp("finished") / "results"
    return Finished(results, search(results))
