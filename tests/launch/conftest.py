"""Places to start workers at, each with a database that they reach, and a small study that has not begun."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url

from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.search.conftest import SERVERS, _database
from tests.search.fakes import plain_choice
from tests.search.test_workers import SPACE

TRIALS = 10
PASSWORD = "hush-hush"
"""Of a server that trusts everybody: it must not be seen anywhere all the same."""
SLURM_NODE = Path(__file__).parent / "slurm_node.sh"


@dataclass(frozen=True)
class Place:
    """Where workers are started: the options that say so, and the database."""

    options: tuple[str, ...]
    url: str


@dataclass(frozen=True)
class Begun:
    """A study whose workers a launcher starts."""

    place: Place
    results: Path

    @property
    def logs(self) -> str:
        """What all workers have said so far."""
        return "".join(path.read_text() for path in sorted((self.results / "s" / "workers").glob("*[g,t]")))

    def workers(self) -> list[int]:
        """Return the processes that are its workers."""
        return [pid for pid, line in command_lines().items() if f"nas worker s --results {self.results}" in line]

    def relays(self) -> list[int]:
        """Return the processes that run its workers for submitit."""
        return [
            pid
            for pid, line in command_lines().items()
            if f"-m nas.launch.relay worker s --results {self.results}" in line
        ]

    @contextmanager
    def open(self) -> Iterator[Study]:
        """Give the study while inside."""
        storage = open_storage(self.place.url)
        try:
            yield Study.open(storage, "s")
        finally:
            close(storage)


@dataclass(frozen=True)
class Search:
    """`nas search` in a process of its own."""

    process: subprocess.Popen[str]

    def end(self, timeout: float = 180) -> tuple[int, str]:
        """Wait for the end; return the exit code and what it said."""
        _, said = self.process.communicate(timeout=timeout)
        return self.process.returncode, said


def command_lines() -> dict[int, str]:
    """Return the command line of each process of this machine, as anybody on it can see them."""
    lines = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return {pid: line for pid, line in lines.items() if line}


def close(storage: RDBStorage) -> None:
    """Close the connections to a database; a garbage collector that has to do it warns."""
    storage.remove_session()
    storage.engine.dispose()


def need(library: str) -> None:
    """Skip without a library of the extra `cluster`; CI has installed it, and fails."""
    if not os.environ.get("CI"):
        pytest.importorskip(library)


@pytest.fixture
def server() -> Iterator[str]:
    """Give a database of PostgreSQL, by a URL with a password."""
    variable, default = SERVERS["postgresql"]
    with _database(make_url(os.environ.get(variable, default)), variable) as url:
        yield make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)


@dataclass(frozen=True)
class RayCluster:
    """A cluster of two nodes, in a process of its own."""

    address: str
    process: subprocess.Popen[str]

    def lose_a_node(self) -> None:
        """Take the second node away without warning."""
        assert self.process.stdin is not None
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """Give a Ray cluster of two nodes; to start one takes ten seconds."""
    need("ray")
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.launch.ray_cluster"]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    yield RayCluster(process.stdout.readline().strip(), process)
    process.communicate()


@pytest.fixture(scope="session")
def slurm_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the configuration of a Slurm of one node."""
    if os.geteuid() or not shutil.which("slurmctld"):
        pytest.skip("needs root and Debian's slurmctld, slurmd, slurm-client and munge")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([str(SLURM_NODE), "start", str(folder)], check=True)
    yield folder / "slurm.conf"
    subprocess.run([str(SLURM_NODE), "stop", str(folder)], check=True)


@pytest.fixture(params=["submitit", "ray", pytest.param("slurm", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give each place that workers can be started at."""
    if request.param == "submitit":
        need("submitit")
        return Place(("--launcher", "slurm", "--launch-option", "cluster=local"), sqlite_url(tmp_path / "study.db"))
    url = request.getfixturevalue("server")
    if request.param == "slurm":
        monkeypatch.setenv("SLURM_CONF", str(request.getfixturevalue("slurm_node")))
        return Place(("--launcher", "slurm"), url)
    address = request.getfixturevalue("ray_cluster").address
    return Place(("--launcher", "ray", "--address", address, "--launch-option", "num_cpus=0.5"), url)


@pytest.fixture
def begun(place: Place, tmp_path: Path) -> Begun:
    """Give a study on digits that nothing was done of."""
    (tmp_path / "space.toml").write_text(SPACE)
    asked = {"space": str(tmp_path / "space.toml"), "study": "s", "trials": TRIALS, "epochs": 2, "finalists": 0}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nas.search.setup.choose_plan", plain_choice)
        made = prepare(SearchRequest(tmp_path / "results", storage=place.url, **asked))
    close(made.study.storage)
    return Begun(place, tmp_path / "results")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Search]]:
    """Start searches with two workers at a place."""
    started = []

    def start(begun: Begun, *options: str) -> Search:
        monkeypatch.setenv("NAS_STORAGE", begun.place.url)
        where = ["--study", "s", "--results", str(begun.results), "--workers", "2"]
        command = [sys.executable, "-m", "nas", "search", *where, *begun.place.options, *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return Search(process)

    yield start
    for process in started:
        process.kill()
        process.communicate()
