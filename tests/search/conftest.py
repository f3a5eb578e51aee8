"""Databases of their own for the tests of the search, and workers that have died."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from PIL import Image
from sqlalchemy.engine import URL, make_url

from nas.records import StudyConfig
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.search.worker_id import worker_id
from tests.core.examples import config
from tests.search.fakes import TINY_SPACE, plain_choice

SERVERS = {
    "postgresql": ("NAS_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "mysql": ("NAS_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306/"),
}
"""By database: the environment variable that says where a server is, and where it is looked for without one."""

MakeStudy = Callable[..., Study]
MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session", params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a new database of each kind; it is dropped when the tests are over."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path_factory.mktemp("storage") / "study.db")
        return
    variable, default = SERVERS[request.param]
    with _database(make_url(os.environ.get(variable, default)), variable) as made:
        yield made


@contextmanager
def _database(server: URL, variable: str) -> Iterator[str]:
    name = f"nas_test_{uuid.uuid4().hex[:12]}"
    try:
        _execute(server, f"CREATE DATABASE {name}")
    except (sqlalchemy.exc.DBAPIError, ImportError) as error:
        reason = f"no server at {server.render_as_string()} ({variable} names another): {str(error).splitlines()[0]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        force = " WITH (FORCE)" if server.get_backend_name() == "postgresql" else ""  # a failed test may be connected
        _execute(server, f"DROP DATABASE {name}{force}")


def _execute(server: URL, statement: str) -> None:
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(statement))
    finally:
        engine.dispose()


@pytest.fixture
def storage(url: str) -> Iterator[RDBStorage]:
    """Give an open storage of each kind."""
    opened = open_storage(url, create=True)
    yield opened
    _close(opened)


@pytest.fixture
def open_again(url: str) -> Iterator[Callable[[], RDBStorage]]:
    """Open the same database once more, as another process would."""
    opened = []

    def open_another() -> RDBStorage:
        opened.append(open_storage(url))
        return opened[-1]

    yield open_another
    for each in opened:
        _close(each)


def _close(opened: RDBStorage) -> None:
    """Close its connections; a garbage collector that has to do it warns."""
    opened.remove_session()
    opened.engine.dispose()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a SQLite file with Optuna's tables and nothing in them: making those takes half a second."""
    path = tmp_path_factory.mktemp("empty") / "study.db"
    opened = open_storage(sqlite_url(path), create=True)
    opened.engine.dispose()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    """Give a SQLite file of the test's own, with tables."""
    return Path(shutil.copy(empty_database, tmp_path / "study.db"))


@pytest.fixture
def make_study(database: Path) -> MakeStudy:
    """Make a study of the small space, or of what a config says, in the test's own file."""

    def make(n_trials: int = 8, given: StudyConfig | None = None, **fields: Any) -> Study:
        return Study.create(open_storage(sqlite_url(database)), given or config(**fields), n_trials)

    return make


@pytest.fixture(scope="session")
def dead_worker() -> str:
    """Give the identity of a process of this host that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return worker_id(ended.pid)


@pytest.fixture
def as_dead_worker(monkeypatch: pytest.MonkeyPatch, dead_worker: str) -> Callable[[], None]:
    """Sign claims with the identity of an ended process; the returned function goes back to the truth."""
    monkeypatch.setattr("nas.search.books.worker_id", lambda: dead_worker)
    return monkeypatch.undo


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write class folders of small images of seeded noise below a folder, and return that."""

    def make(name: str, classes: tuple[str, ...] = ("cat", "dog"), per_class: int = 20, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for class_name in classes:
            (tmp_path / name / class_name).mkdir(parents=True)
            for i in range(per_class):
                noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / name / class_name / f"{i}.png")
        return tmp_path / name

    return make


@pytest.fixture
def tiny_space(tmp_path: Path) -> str:
    """Give the path of the tiny space."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SPACE)
    return str(path)


@pytest.fixture
def one_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in the plainest way, without measuring for seconds which is the fastest."""
    monkeypatch.setattr("nas.search.setup.choose_plan", plain_choice)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test's decoded images to itself."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NAS_CACHE", str(folder))
    return folder
