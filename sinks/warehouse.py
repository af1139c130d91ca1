"""The central PostgreSQL: its transactions, its migrations, and what its errors mean to a worker."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_loads
from sqlalchemy import create_engine, make_url
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.engine import Engine

from sinks import migrations
from tillstream.errors import RefusedError, TillstreamError, TransientError, UnreachableError

Statement = str | sql.Composable
CONNECT_TIMEOUT_SECONDS = 10

set_json_loads(msgspec.json.decode)  # a fifth of the time of Python's own


class DataError(TillstreamError):
    """PostgreSQL refused a value: one event of the batch is poison. The worker finds out which."""


class Transaction:
    """One open transaction. Values travel as parameters or through COPY, never inside the text."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._cursor = connection.cursor()

    def execute(self, statement: Statement, parameters: Sequence[Any] | dict[str, Any] | None = None) -> int:
        """The number of rows the statement touched."""
        return self._cursor.execute(_text(statement), parameters).rowcount

    def rows(
        self, statement: Statement, parameters: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        return self._cursor.execute(_text(statement), parameters).fetchall()

    def value(self, statement: Statement, parameters: Sequence[Any] | dict[str, Any] | None = None) -> Any:
        """The first column of the first row, or None where there is none."""
        row = self._cursor.execute(_text(statement), parameters).fetchone()
        return row[0] if row else None

    def copy(self, statement: Statement, rows: Iterable[Sequence[Any]]) -> None:
        with self._cursor.copy(_text(statement)) as copy:
            for row in rows:
                copy.write_row(row)

    def copy_text(self, statement: Statement, chunks: Iterable[bytes]) -> None:
        """COPY of rows that are text already (see sinks/copy_text.py)."""
        with self._cursor.copy(_text(statement)) as copy:
            for chunk in chunks:
                copy.write(chunk)


def _text(statement: Statement) -> Any:
    return statement  # psycopg's types want a LiteralString; ours are files and rendered templates


class Warehouse:
    """A pool of connections to one PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine: Engine = create_engine(
            self.url, pool_size=5, max_overflow=10, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        )

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit at the end of the block, roll back on any error; driver errors come out as ours."""
        with mapped_errors(), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            try:
                yield Transaction(driver)
                driver.commit()
            except BaseException:
                if not driver.closed:
                    driver.rollback()
                raise

    def outside_a_transaction(self, statement: Statement) -> None:
        """For what PostgreSQL does in several transactions of its own."""
        with mapped_errors(), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.autocommit = True
            try:
                driver.execute(_text(statement))
            finally:
                driver.autocommit = False

    def migrate(self) -> list[int]:
        """Bring the bookkeeping schema up to date; returns the versions that were run."""
        done: list[int] = []
        for version, text in migrations.available().items():
            with self.transaction() as tx:
                if version > self._present_version(tx):
                    tx.execute(text)
                    tx.execute("INSERT INTO tillstream.migrations (version) VALUES (%s)", [version])
                    done.append(version)
        return done

    def _present_version(self, tx: Transaction) -> int:
        tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('tillstream migrate', 0))")
        tx.execute("CREATE SCHEMA IF NOT EXISTS tillstream")
        tx.execute(
            "CREATE TABLE IF NOT EXISTS tillstream.migrations"
            " (version int PRIMARY KEY, run_at timestamptz NOT NULL DEFAULT now())"
        )
        present = tx.value("SELECT coalesce(max(version), 0) FROM tillstream.migrations")
        if present > migrations.LATEST:
            raise RefusedError(
                f"the warehouse was migrated to version {present} by a newer Tillstream; this one knows "
                f"{migrations.LATEST}: upgrade it"
            )
        return int(present)

    def check_version(self) -> None:
        """Refuse a warehouse that is not at this program's version."""
        with self.transaction() as tx:
            known = tx.value("SELECT to_regclass('tillstream.migrations')")
            present = tx.value("SELECT max(version) FROM tillstream.migrations") if known else None
        if present != migrations.LATEST:
            raise RefusedError(
                f"the warehouse's schema is at version {present or 'none'}, this program needs "
                f"{migrations.LATEST}: run `tillstream migrate`"
            )

    def dispose(self) -> None:
        self.engine.dispose()


# SQLSTATE classes, https://www.postgresql.org/docs/current/errcodes-appendix.html. Decided by code, never by text.
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})
_DATA_CLASSES = frozenset({"22"})
_REFUSED_CLASSES = frozenset({"28", "2B", "3D", "42", "0A", "25"})


def error_for(error: psycopg.Error) -> TillstreamError | None:
    """Try again, set aside, or refuse? None for what only a mistake of ours can cause."""
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.DataError):  # psycopg itself found that a value cannot be sent
            return DataError(f"the warehouse cannot hold a value: {_first_line(error)}")
        if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return None
        return UnreachableError(f"the warehouse did not answer: {_first_line(error)}")
    kind = state[:2]
    if kind in _TRANSIENT_CLASSES or state == "25006":  # read-only: a failover in progress
        return TransientError(f"the warehouse asks to try again ({state}): {_first_line(error)}")
    if kind in _DATA_CLASSES:
        return DataError(f"the warehouse refuses a value ({state}): {_first_line(error)}")
    if kind in _REFUSED_CLASSES:
        return RefusedError(f"the warehouse refuses ({state}): {_first_line(error)}")
    return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def mapped_errors() -> Iterator[None]:
    """The one border where the driver's errors become ours."""
    try:
        yield
    except sqlalchemy_errors.TimeoutError as error:  # of the pool: no driver has been asked yet
        raise TransientError("all connections to the warehouse are taken") from error
    except Exception as error:
        driver = error if isinstance(error, psycopg.Error) else getattr(error, "orig", None)
        mapped = error_for(driver) if isinstance(driver, psycopg.Error) else None
        if mapped is None:
            raise
        raise mapped from error
