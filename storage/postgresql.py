"""PostgreSQL, for any number of processes on any number of machines: pooled, bounded, on one clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from peewee import DatabaseError, PostgresqlDatabase, __exception_wrapper__  # type: ignore[attr-defined]
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from storage.errors import DatabaseRefused, Reason, causes
from storage.schema import unknown
from storage.search import TextSearch

MOST_CONNECTIONS = 10
CONNECT_SECONDS = 3.0
# Of a statement: a server that hangs, or a network that is cut, says nothing at all.
ANSWER_SECONDS = 10.0
OPTIONS = {
    "connect_timeout": "3",
    # What was sent and is not even acknowledged, as when the network is cut.
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "application_name": "precis",
    # A process that hangs in the middle of a transaction would keep its rows locked for all others.
    "options": "-c lock_timeout=4s -c idle_in_transaction_session_timeout=10s -c timezone=UTC",
}
# Any constant: who migrates holds it.
MIGRATION_LOCK = 0x707265636973

LOCKED = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock time-out
FULL = {"53100", "58030", "25006"}  # disk full, I/O error, read-only
# Shut down by an administrator, by a crash, or still starting; no connection left; idle for too long.
GONE = {"57P01", "57P02", "57P03", "53300", "25P03"}


class Connection(psycopg.Connection[Any]):
    """A connection that is given up when the server does not answer."""

    answer_seconds: float | None = ANSWER_SECONDS
    answered_at = 0.0  # of all of them

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server, so long at most."""
        try:
            answer = super().wait(gen, interval, timeout or self.answer_seconds)
            Connection.answered_at = time.monotonic()
            return answer
        except psycopg.errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError("the server does not answer") from None
        except BaseException:
            # Cut off in the middle of an answer it is of no use: a greenlet was killed, or timed out.
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()
            raise


class PostgreSQL(TextSearch, PostgresqlDatabase):
    """A PostgreSQL database, which any number of processes share."""

    is_shared = True
    SNAPSHOT = "REPEATABLE READ"  # the transaction that reads one state of everything
    # Not only when it was made, which is the same in a copy, but also where it is.
    IDENTITY = (
        "SELECT concat_ws('/', system_identifier, pg_database.oid, applied) "
        "FROM pg_control_system(), pg_database, schema_migration "
        "WHERE datname = current_database() ORDER BY schema_migration.id LIMIT 1"
    )
    # A row that is about to change is locked first; one that is to be claimed only if nobody else has it.
    LOCKING, SKIPPING = "FOR NO KEY UPDATE", "FOR NO KEY UPDATE SKIP LOCKED"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        named = {
            "host": unquote(parts.hostname or ""),
            "port": str(parts.port or ""),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "dbname": unquote(parts.path.lstrip("/")),
        }
        try:
            self.conninfo = make_conninfo("", **OPTIONS | named | dict(parse_qsl(parts.query)))
        except psycopg.ProgrammingError as error:
            raise DatabaseRefused(f"PRECIS_DATABASE_URL cannot be used: {error}.") from None
        self.where = f"{parts.hostname or 'the local socket'}/{parts.path.lstrip('/')}"
        self._pool: ConnectionPool[Connection] | None = None
        # The server's clock and ours at one moment.
        self._clock: tuple[datetime, float] | None = None
        super().__init__("precis", prefer_psycopg3=True, autoconnect=False)
        # peewee would hold it while a connection is waited for, and giving one back needs it too.
        self._lock = nullcontext()

    # Connections

    def _connect(self) -> Connection:
        while True:
            try:
                return self._open_pool().getconn()
            except PoolTimeout:
                # Many want one at once: that is slow and no fault, as long as the server answers others.
                if time.monotonic() - Connection.answered_at > CONNECT_SECONDS:
                    raise

    def _open_pool(self) -> ConnectionPool[Connection]:
        if self._pool is None:
            # Not before it is needed: a pool has greenlets, which must not be carried over a fork.
            self._pool = ConnectionPool(
                self.conninfo,
                connection_class=Connection,
                kwargs={"autocommit": True},
                min_size=1,
                max_size=MOST_CONNECTIONS,
                timeout=CONNECT_SECONDS,
                reconnect_timeout=CONNECT_SECONDS,
                check=_is_open,
                configure=self._set_clock,
                open=True,
            )
        return self._pool

    def _close(self, conn: Connection) -> None:
        # One that comes from a pool that is closed is no other's.
        with suppress(ValueError):
            if self._pool:
                self._pool.putconn(conn)
                return
        conn.close()

    def disconnect(self) -> None:
        """Close all connections, those in use when they are given back, until the next one is asked for."""
        pool, self._pool = self._pool, None
        if pool:
            pool.close()

    def reserve(self) -> None:
        """Keep a connection for this greenlet, so that it never waits behind all others for one."""
        with suppress(DatabaseError):
            self.connect(reuse_if_open=True)

    def renew(self) -> None:
        """Take another connection in place of one that may be broken."""
        if not self.is_closed():
            self.close()
            self.reserve()

    def insert_many(self, into: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows `into` a table and its columns, in one statement: a statement each costs six times."""
        row = f"({', '.join(['%s'] * len(rows[0]))})"
        values = [value for each in rows for value in each]
        with __exception_wrapper__:
            # Not prepared: there would be one for each number of rows.
            self.cursor().execute(
                f"INSERT INTO {into} VALUES {', '.join([row] * len(rows))}", values, prepare=False
            )

    def read_aside(self, query: str, values: Sequence[object]) -> list[Any]:
        """Run a query that may take long: whoever waits for the server lets all others run."""
        found: list[Any] = self.execute_sql(query, values).fetchall()
        return found

    def take_turns(self, *names: str) -> None:
        """Wait, until the transaction ends, for all others that take a turn under one of these names."""
        turns = ", ".join(["pg_advisory_xact_lock(hashtextextended(%s, 0))"] * len(names))
        self.execute_sql(f"SELECT {turns}", names)

    # The clock: leases and times mean the same on all machines

    def now(self) -> datetime:
        """Return the time as it is stored, by the server's clock: UTC, without a zone."""
        if self._clock is None:
            self.set_clock()
            return self.now()
        theirs, ours = self._clock
        return theirs + timedelta(seconds=time.monotonic() - ours)

    def set_clock(self) -> None:
        """Ask for the time, which between two askings goes by our monotonic clock."""
        with self.connection_context() if self.is_closed() else nullcontext():
            self._set_clock(self.connection())

    def _set_clock(self, connection: Connection) -> None:
        asked = connection.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchone()
        self._clock = asked[0], time.monotonic()  # type: ignore[index]

    # The schema

    def hold(self, _patience_seconds: float) -> nullcontext[None]:
        """Nobody needs to be alone."""
        return nullcontext()

    def check(self) -> None:
        """Refuse a database that cannot hold every text, or in which a newer version has changed too much.

        A migration that only adds lets older processes go on beside newer ones; one that takes
        something away has `contract` in its name, and comes a version after nobody needs it.
        """
        with self.connection_context() if self.is_closed() else nullcontext():
            encoding = self.connection().info.parameter_status("server_encoding")
            # None, if the server has gone meanwhile: the next statement says so.
            if encoding not in ("UTF8", None):
                raise DatabaseRefused(
                    f"{self.where} has the encoding {encoding}: make the database with ENCODING 'UTF8'."
                )
            if not self.table_exists("schema_migration"):
                return
            applied = {name for (name,) in self.execute_sql("SELECT name FROM schema_migration")}
        if contracted := {name for name in unknown(applied) if "contract" in name}:
            raise DatabaseRefused(
                f"{self.where} cannot be used: a newer version of Precis has changed it "
                f"({max(contracted)}); run that version."
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all others from migrating; a statement may now take as long as it takes."""
        connection = self.connection()
        connection.answer_seconds = None
        self.execute_sql("SET lock_timeout = 0")
        self.execute_sql("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            # Looked at again: who was waited for may have been newer.
            self.check()
            yield
        finally:
            self.execute_sql("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
            self.execute_sql("RESET lock_timeout")
            connection.answer_seconds = ANSWER_SECONDS

    # What went wrong

    def as_saved(self, field: Any) -> Any:
        """Select a text as it is: this server takes and gives nothing that is no text."""
        return field

    def reason(self, error: BaseException | None, handled: BaseException | None) -> tuple[str, Reason]:
        """Return what the server, or the way to it, said first and what that means."""
        text, reason = str(error), Reason.OTHER
        for cause in causes(error, handled):
            if isinstance(cause, psycopg.Error):
                text, reason = str(cause), _meaning(cause)
        return text, reason


def _meaning(error: psycopg.Error) -> Reason:
    code = error.sqlstate
    if code in LOCKED:
        return Reason.LOCKED
    if code in FULL:
        return Reason.FULL
    # What never reached the server, or never came back, has no code.
    is_gone = (
        code in GONE
        or (code or "").startswith("08")
        or (code is None and isinstance(error, psycopg.OperationalError | PoolTimeout))
    )
    return Reason.GONE if is_gone else Reason.OTHER


def _is_open(connection: Connection) -> None:
    """Raise if the server has closed a connection while it was idle, without asking the server."""
    for _ in range(2):
        # The first time there may be the server's last words, and only the second time their end.
        connection.pgconn.consume_input()
