"""What a database says of itself, in the words of each kind: version, clock, connections, and what a user may do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

CLOCKS = {
    "postgresql": "extract(epoch FROM clock_timestamp())",
    "mysql": "unix_timestamp(sysdate(6))",
    "mariadb": "unix_timestamp(sysdate(6))",
}
"""The seconds since 1970 by the clock of a server."""
PER_WORKER = 2
"""Connections of a worker: one holds the lock of the study while the other reads and writes."""
NO_SUCH_TABLE = 1146
"""How MySQL refuses to make a table like one that there is not, to those who may make tables."""


@dataclass(frozen=True)
class Connections:
    """How many connections a server allows, and how many are taken."""

    most: int
    used: int

    @property
    def free(self) -> int:
        """Those that are left."""
        return max(0, self.most - self.used)

    @property
    def workers(self) -> int:
        """How many more workers can be served."""
        return self.free // PER_WORKER


def version(connection: Connection) -> str:
    """Return the kind and version of the database: ``PostgreSQL 15.4``."""
    queries = {
        "sqlite": ("SQLite", "sqlite_version()"),
        "postgresql": ("PostgreSQL", "current_setting('server_version')"),
    }
    name, query = queries.get(connection.dialect.name, ("MySQL", "version()"))
    found = str(connection.execute(text(f"SELECT {query}")).scalar_one())
    connection.rollback()
    return f"{'MariaDB' if 'mariadb' in found.lower() else name} {found.partition(' ')[0].partition('-')[0]}"


def driver(connection: Connection) -> str:
    """Return the driver and its version: ``psycopg 3.2.1``."""
    name = connection.dialect.driver
    package = {"mysqldb": "mysqlclient"}.get(name, name)
    try:
        return f"{name} {version_of(package)}"
    except PackageNotFoundError:
        return name


def connections(connection: Connection) -> Connections:
    """Return how many connections there may be, and are beside this one."""
    if connection.dialect.name == "postgresql":
        most = (
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, "
            "count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        row = connection.execute(text(most)).one()
        found = Connections(int(row[0]), int(row[1]) - 1)
    else:
        most = str(connection.execute(text("SELECT @@max_connections")).scalar_one())
        used = connection.execute(text("SHOW STATUS LIKE 'Threads_connected'")).one()[1]
        found = Connections(int(most), int(used) - 1)
    connection.rollback()
    return found


def try_to_create(connection: Connection, *, is_needed: bool) -> None:
    """Make a table that nobody will see; the caller rolls back. The database's error where that is not allowed."""
    if not is_needed:
        return
    name = f"nas_check_{secrets.token_hex(6)}"
    if connection.dialect.name in {"postgresql", "sqlite"}:  # which take a table back
        connection.execute(text(f"CREATE TABLE {name} (number INTEGER)"))
        return
    try:
        # MySQL would keep it. Like a table that there is not it never comes to be; who may make none hears so first.
        connection.execute(text(f"CREATE TABLE {name} LIKE {name}_none"))
    except DBAPIError as error:
        if getattr(error.orig, "args", (0,))[0] != NO_SUCH_TABLE:
            raise


def try_to_lock(connection: Connection) -> None:
    """Take a lock that nobody else wants, and release it; of a file this was tried when it was examined."""
    key = secrets.randbits(32)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:key), pg_advisory_unlock(:key)"), {"key": key})
    elif connection.dialect.name != "sqlite":
        connection.execute(text("SELECT GET_LOCK(:name, 0), RELEASE_LOCK(:name)"), {"name": f"nas:check:{key}"})


def remedy(connection: Connection) -> str:
    """Return what to do where a user may not do something."""
    if connection.dialect.name == "sqlite":
        return "make the file and its folder writable, or copy both to where they are"
    user, database = connection.engine.url.username, connection.engine.url.database
    if connection.dialect.name == "postgresql":
        return f"as its owner: GRANT ALL ON ALL TABLES, ALL SEQUENCES and CREATE ON SCHEMA public TO {user}"
    return f"as root: GRANT ALL ON {database}.* TO {user}"
