"""Can a search use this database? Asked in a way that leaves nothing behind, of what need not be ours to write to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from optuna.storages._rdb.models import SCHEMA_VERSION, BaseModel, VersionInfoModel
from sqlalchemy import Connection, Engine, Table, create_engine, delete, false, insert, inspect, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from nas.errors import StudyError
from nas.search import check_server
from nas.search.catalogue import CONFIG
from nas.search.check_file import FileFacts, examine, said_of_file
from nas.search.faults import advice, first_line
from nas.search.ledger import STUDIES, STUDY_ATTRIBUTES
from nas.search.storage import INSTALL, NOT_A_URL, shown, sqlite_path, timeout_settings

ROUND_TRIPS = 20
PATIENCE_SECONDS = 10
SKEW_SECONDS = 5.0
"""From which on the times of a study are off by enough to say so."""


@dataclass(frozen=True)
class Report:
    """What was found. `problems` keep a search from using it, `warnings` do not; each says what to do."""

    url: str
    database: str = ""
    driver: str = ""
    schema: str = ""
    studies: tuple[str, ...] = ()
    round_trip_seconds: tuple[float, float] | None = None
    clock_skew_seconds: float | None = None
    clock_skew_within_seconds: float | None = None
    allowed: tuple[str, ...] = ()
    file: FileFacts | None = None
    connections: check_server.Connections | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class _Findings:
    """What comes together while a database is asked."""

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def report(self, url: str) -> Report:
        return Report(shown(url), **self.facts, problems=tuple(self.problems), warnings=tuple(self.warnings))


def check(url: str, workers: int = 1) -> Report:
    """Return what keeps `workers` from working in the database at `url`, if anything; StudyError for what is no URL."""
    path, found = sqlite_path(url), _Findings()
    if path is None and make_url(url).get_backend_name() not in INSTALL:
        raise StudyError(f"storage {shown(url)}: a study lives in SQLite, PostgreSQL, MySQL or MariaDB")
    if path is not None:
        found.facts["file"] = examine(path)
        said_of_file(path, found.facts["file"], workers, found.problems, found.warnings)
        if found.facts["file"].integrity != "ok":
            return found.report(url)
    try:
        engine = _engine(url, is_sqlite=path is not None)
    except NoSuchModuleError:
        raise StudyError(NOT_A_URL) from None
    except ImportError as error:
        hint = INSTALL[make_url(url).get_backend_name()]
        found.problems.append(f"its driver is not installed ({error}): {hint}")
        return found.report(url)
    try:
        _ask(engine, found, workers)
    except SQLAlchemyError as error:
        found.problems.append(advice(first_line(error)))
    finally:
        engine.dispose()
    return found.report(url)


def _engine(url: str, *, is_sqlite: bool) -> Engine:
    """Return an engine without the settings of a search, which are written into a SQLite file."""
    if is_sqlite:
        return create_engine(url, connect_args={"timeout": PATIENCE_SECONDS})
    return create_engine(url, connect_args=timeout_settings(url))


def _ask(engine: Engine, found: _Findings, workers: int) -> None:
    """Ask a database that can be reached."""
    with engine.connect() as connection:
        found.facts["database"] = check_server.version(connection)
        found.facts["driver"] = check_server.driver(connection)
        _time(connection, found)
        present = set(inspect(connection).get_table_names()) & set(BaseModel.metadata.tables)
        connection.rollback()
        _look_at_tables(connection, present, found)
        _try(connection, present, found)
        if engine.dialect.name != "sqlite":
            found.facts["connections"] = known = check_server.connections(connection)
            if workers > known.workers:
                found.problems.append(
                    f"{workers} workers need {check_server.PER_WORKER * workers} connections and {known.free} of "
                    f"{known.most} are free, enough for {known.workers}: raise max_connections of the server"
                )


def _time(connection: Connection, found: _Findings) -> None:
    """Measure round trips, and by the shortest of them how far the clock of the server is from this one."""
    clock = check_server.CLOCKS.get(connection.dialect.name)
    query = text(f"SELECT {clock}" if clock else "SELECT count(*) FROM sqlite_master")
    trips: list[tuple[float, float]] = []
    for _ in range(ROUND_TRIPS):
        before, started = time.time(), time.perf_counter()
        answer = float(connection.execute(query).scalar_one())
        seconds = time.perf_counter() - started
        connection.rollback()
        trips.append((seconds, answer - (before + seconds / 2)))
    times = [seconds for seconds, _ in trips]
    found.facts["round_trip_seconds"] = (median(times), max(times))
    if clock is None:
        return  # the file's clock is that of this machine
    seconds, skew = min(trips)
    found.facts |= {"clock_skew_seconds": skew, "clock_skew_within_seconds": seconds / 2}
    if abs(skew) - seconds / 2 > SKEW_SECONDS:
        way = "ahead of" if skew > 0 else "behind"
        found.warnings.append(
            f"its clock is {abs(skew):.1f} s {way} this machine's, and so are some times of a study: set both by NTP"
        )


def _look_at_tables(connection: Connection, present: set[str], found: _Findings) -> None:
    """Say whether this version reads what is there."""
    known = BaseModel.metadata.tables
    if not present:
        found.facts["schema"] = "none yet; the first `nas search` lays it out"
        return
    if missing := sorted(set(known) - present):
        found.problems.append(f"tables of Optuna are missing: {', '.join(missing)}; restore them, or take an empty one")
        return
    info = VersionInfoModel
    row = connection.execute(select(info.schema_version, info.library_version)).first()
    connection.rollback()
    if row is None:
        found.problems.append("its tables do not say which version of Optuna made them; take an empty database")
        return
    found.facts["schema"] = f"{row.schema_version}, by Optuna {row.library_version}; this one reads {SCHEMA_VERSION}"
    if row.schema_version != SCHEMA_VERSION:
        older = row.schema_version < SCHEMA_VERSION
        way = "run `optuna storage upgrade`" if older else "use the Optuna that it was written with"
        found.problems.append(f"laid out by another Optuna (schema {found.facts['schema']}): {way}")
        return
    names = select(STUDIES.c.study_name).join(STUDY_ATTRIBUTES).where(STUDY_ATTRIBUTES.c.key == CONFIG)
    found.facts["studies"] = tuple(connection.execute(names.order_by(STUDIES.c.study_name)).scalars())
    connection.rollback()


def _try(connection: Connection, present: set[str], found: _Findings) -> None:
    """Try what a worker does, on no row, and take it back."""
    tables = [BaseModel.metadata.tables[name] for name in sorted(present)]
    tasks: dict[str, Callable[[], None]] = {
        "read": lambda: _each(tables, lambda table: connection.execute(select(table).where(false()))),
        "write": lambda: _each(tables, lambda table: _write_nothing(connection, table)),
        "create": lambda: check_server.try_to_create(connection, is_needed=not tables),
        "lock": lambda: check_server.try_to_lock(connection),
    }
    allowed, refused = [], dict[str, str]()
    for name, task in tasks.items():
        try:
            task()
        except SQLAlchemyError as error:
            refused[name] = first_line(error)
        else:
            allowed.append(name)
        finally:
            connection.rollback()
    found.facts["allowed"] = tuple(allowed)
    if tables:
        refused.pop("create", None)  # what is there need not be made
    if refused:
        said = next(iter(refused.values()))
        found.problems.append(f"may not {', '.join(refused)} here: {said}; {check_server.remedy(connection)}")


def _each(tables: list[Table], ask: Callable[[Table], object]) -> None:
    for table in tables:
        ask(table)


def _write_nothing(connection: Connection, table: Table) -> None:
    """Insert, update and delete no row: databases refuse that like any row where it is not allowed."""
    names = [column.name for column in table.columns]
    connection.execute(insert(table).from_select(names, select(table).where(false())))
    connection.execute(update(table).where(false()).values({names[0]: table.c[names[0]]}))
    connection.execute(delete(table).where(false()))
