"""The ledger's database: connections, transactions, schema, and its errors in this library's words."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from emotion_triage.errors import LedgerError, LedgerMissing, LedgerUnavailable, MissingExtraError
from emotion_triage.ledger.patience import Patience, make_patient

__all__ = ["Store"]

RETRY_S = 0.02
"""Where SQLite does not wait for its turn by itself, how often to ask again."""
READ_TIMEOUT_S = 0.5
"""How long a call waits for a SQLite file that another process keeps to itself."""
WRITE_TIMEOUT_S = 30.0
"""How long a writer waits for the writers before it: some thousand small transactions, or one compaction."""
SERVER_TIMEOUT_S = 2
"""How long a server may leave a call without an answer, be it frozen or locked: the shortest that libpq knows."""
SQLITE_TURN_S = 0.25
"""How long SQLite waits for its turn before it is asked again, so that a writer that waits can be stopped."""
SLOW_S = 1.0
SILENCE_S = 10.0
"""After an attempt that took so long and failed, for how long nobody is made to wait for another."""
MIGRATION_LOCK = 0x656D6F74
"""Any number that every process of this library agrees on: PostgreSQL's advisory locks are numbered."""
EXISTING = (
    "expected one that exists: check the address and its folder; `ledger record` makes a new one, as does a server "
    "whose configuration has ledger.create = true"
)
EXPECTED = "expected sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"

# SQLite by the start of its error's name, PostgreSQL by the start of its SQLSTATE: what happened, and the fix.
SQLITE_FAULTS = {
    "SQLITE_BUSY": ("is locked by another process", "find who holds a transaction open and end it"),
    "SQLITE_LOCKED": ("is locked by another process", "find who holds a transaction open and end it"),
    "SQLITE_READONLY": ("is read-only", "make the file and its folder writable for this user"),
    "SQLITE_FULL": ("has no room left", "free space on its disk, then go on: what was acknowledged is kept"),
    "SQLITE_CANTOPEN": ("cannot be opened", "check that its folder exists and is yours to read and write"),
    "SQLITE_PERM": ("cannot be opened", "check that its folder exists and is yours to read and write"),
    "SQLITE_IOERR": ("cannot be read or written", "check its disk"),
    "SQLITE_NOTADB": ("is not a SQLite database", "name another file, or move this one away"),
    "SQLITE_CORRUPT": ("is damaged", "restore it from a backup"),
}
POSTGRES_FAULTS = {
    "25006": ("is read-only", "connect to the primary server"),
    "28": ("refuses this user", "check user and password in the URL or in ~/.pgpass"),
    "3D": ("does not exist", "create it: createdb NAME"),
    "42501": ("refuses this user", "grant them create and write on the schema"),
    "53100": ("has no room left", "free space on the server's disk, then go on: what was acknowledged is kept"),
    "53300": ("has no connection left", "raise max_connections or put a pooler before it"),
    "55P03": ("is locked by another process", "find who holds a transaction open (pg_stat_activity) and end it"),
}


class Store:
    """One database, at the schema of this library; safe to use from many threads.

    Parameters
    ----------
    url : str
        ``sqlite:///FILE`` or ``postgresql+psycopg://USER@HOST/NAME``.
    must_exist : bool
        Refuse a database that holds no ledger, in place of making one there.

    Attributes
    ----------
    name : str
        The URL without its password.
    made : bool
        Whether there was no ledger before.

    Raises
    ------
    LedgerError
        The database cannot be reached, opened or upgraded, or its schema is newer than this library.
    MissingExtraError
        The URL's driver is not installed.
    """

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        self.name, self._reading = _engine(url, READ_TIMEOUT_S)
        # A writer that begins as a reader cannot wait for its turn: SQLite would refuse it at once.
        self._writing = _engine(url, SQLITE_TURN_S)[1].execution_options(begin="BEGIN IMMEDIATE")
        self._bare = _engine(url, WRITE_TIMEOUT_S)[1].execution_options(begin="")
        given = self._reading.url.query.get("timeout") if self.sqlite else None
        self._write_s = float(given) if isinstance(given, str) else WRITE_TIMEOUT_S
        self._silent_until_s = 0.0
        self._stopped = threading.Event()
        self.made = False
        try:
            with self._translated():
                if must_exist:
                    self._require()
                if self.sqlite:
                    self._keep_log_ahead()
                self._upgrade()
        except LedgerError:
            self.close()
            raise

    @property
    def sqlite(self) -> bool:
        """Whether this is a file of one's own rather than a server."""
        return self._reading.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for what a call waits for; what it reads in one statement is of one moment."""
        asked_s = time.monotonic()
        if asked_s < self._silent_until_s:
            raise LedgerUnavailable(
                f"ledger {self.name}: did not answer just now; check its server and the network to it"
            )
        try:
            patience = Patience(SERVER_TIMEOUT_S, SERVER_TIMEOUT_S, self._stopped)
            with self._connection(self._reading, patience, patience) as connection:
                yield connection
        except LedgerUnavailable:
            # One call has waited long enough; those that follow at once are not to wait as well.
            if time.monotonic() - asked_s > SLOW_S:
                self._silent_until_s = time.monotonic() + SILENCE_S
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction: all of it is durable when the block ends, none where it raises."""
        patience = Patience(self._write_s, self._write_s, self._stopped)
        with self._connection(self._writing, self._connecting(), patience) as connection, connection.begin():
            yield connection

    @contextmanager
    def scan(self) -> Iterator[Connection]:
        """Give a connection to read as much as there is: nobody waits, and an answer may take its time."""
        engine = self._reading if self.sqlite else self._writing
        patience = Patience(None, WRITE_TIMEOUT_S, self._stopped)
        with self._connection(engine, self._connecting(), patience) as connection:
            yield connection

    def compact(self) -> None:
        """Leave no trace of deleted rows in the files of a SQLite database; PostgreSQL vacuums by itself.

        Raises
        ------
        LedgerError
            If another process keeps the files in use; what was deleted stays deleted.
        """
        if not self.sqlite:
            return
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        with self._translated(), self._bare.connect() as connection:
            # secure_delete zeroes what is deleted, but rows that moved between pages may have left copies.
            connection.exec_driver_sql("VACUUM")
            while busy := connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one():
                if time.monotonic() > deadline:
                    break
                time.sleep(RETRY_S)
        if busy:
            raise LedgerError(
                f"ledger {self.name}: deleted rows may still stand in its write-ahead log, which another process "
                "keeps reading; end that, then purge"
            )

    def close(self) -> None:
        """Close every connection; whoever still waits for the database gives up."""
        self._stopped.set()
        self._stopped = threading.Event()
        with self._translated():
            for engine in (self._reading, self._writing, self._bare):
                engine.dispose()

    def _connecting(self) -> Patience:
        return Patience(None, SERVER_TIMEOUT_S, self._stopped)

    @contextmanager
    def _connection(self, engine: Engine, connecting: Patience, patience: Patience) -> Iterator[Connection]:
        with self._translated():
            with connecting.while_connecting():
                connection = engine.connect().execution_options(patience=patience)
            with connection:
                patience.hold(connection)
                yield connection

    def _require(self) -> None:
        """Refuse a database that holds no ledger; nothing is written to it."""
        database = (self._reading.url.database or "").removeprefix("file:").partition("?")[0]
        if self.sqlite and not Path(database).exists():
            raise LedgerMissing(f"ledger {self.name}: there is no such file; {EXISTING}")
        with self._reading.connect() as connection:
            if MigrationContext.configure(connection).get_current_revision() is None:
                raise LedgerMissing(f"ledger {self.name}: holds no ledger; {EXISTING}")

    def _keep_log_ahead(self) -> None:
        """Turn on the write-ahead log, so that who reads waits for nobody."""
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        with self._bare.connect() as connection:
            while connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() != "wal":
                try:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                except OperationalError as error:
                    code = getattr(error.orig, "sqlite_errorname", "")
                    if code.startswith("SQLITE_READONLY"):
                        return
                    if not code.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                        raise
                    time.sleep(RETRY_S)

    def _upgrade(self) -> None:
        with as_file(files("emotion_triage.ledger") / "migrations") as folder:
            script = ScriptDirectory(folder)
            known = {revision.revision for revision in script.walk_revisions()}
            with self.scan() as connection:
                version = MigrationContext.configure(connection).get_current_revision()
            if version == script.get_current_head():
                return
            self.made = version is None
            if version is not None and version not in known:
                raise LedgerError(
                    f"ledger {self.name}: got schema {version}, expected {script.get_current_head()} or older; "
                    "a newer release wrote it: upgrade emotion-triage here too"
                )
            self._apply(folder)

    def _apply(self, folder: Path) -> None:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        with self.write() as connection:
            if not self.sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        # Not chained: a driver's message may quote what was written.
        except DBAPIError as error:
            kind, what, fix = _fault(error)
            raise kind(f"ledger {self.name}: {what}; {fix}") from None
        except SQLAlchemyError as error:
            raise LedgerUnavailable(
                f"ledger {self.name}: cannot be used ({type(error).__name__}); expected a free connection; "
                "close ledgers that are no longer needed, or try again"
            ) from None


def _engine(url: str, timeout_s: float) -> tuple[str, Engine]:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerError(f"ledger: got what is no database URL, {EXPECTED}") from None
    name = parsed.render_as_string(hide_password=True)
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise LedgerError(f"ledger {name}: got {backend}, {EXPECTED}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise LedgerError(f"ledger {name}: got a database in memory, which threads cannot share; {EXPECTED}")
    timeouts = (
        {"timeout": timeout_s}
        if backend == "sqlite"
        else {"connect_timeout": SERVER_TIMEOUT_S, "tcp_user_timeout": 1000 * SERVER_TIMEOUT_S}
    )
    arguments = {key: value for key, value in timeouts.items() if key not in parsed.query}
    try:
        engine = create_engine(
            parsed, hide_parameters=True, connect_args=arguments, pool_pre_ping=backend == "postgresql"
        )
    except NoSuchModuleError:
        raise LedgerError(f"ledger {name}: got an unknown driver, {EXPECTED}") from None
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"ledger {name}: the driver {error.name} is not installed; "
            "install the extra 'postgres', see docs/install.md"
        ) from None
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    elif parsed.get_driver_name() == "psycopg":
        make_patient(engine)
    return name, engine


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would begin transactions of its own, too late
    connection.text_factory = _text
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _text(stored: bytes) -> str:
    """Return a text even where it is none: what was written so is not what its seal signs."""
    return stored.decode(errors="replace")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    begin, patience = options.get("begin", "BEGIN"), options.get("patience")
    if patience is not None and begin == "BEGIN IMMEDIATE" and _took_turn(connection, begin, patience):
        return
    if begin:
        connection.exec_driver_sql(begin)


def _took_turn(connection: Connection, begin: str, patience: Patience) -> bool:
    """Return whether a writer's turn came while there was patience."""
    until_s, cursor = patience.until_s(), connection.connection.cursor()
    while not patience.over(until_s):
        try:
            cursor.execute(begin)
            return True
        except sqlite3.OperationalError as error:
            if not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY"):
                return False
        finally:
            cursor.close()
        cursor = connection.connection.cursor()
    return False


def _fault(error: DBAPIError) -> tuple[type[LedgerError], str, str]:
    """Return whether a database can be used later, what happened to it, and the fix."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or ""
    for start, fault in (SQLITE_FAULTS | POSTGRES_FAULTS).items():
        if code.startswith(start):
            return LedgerUnavailable, *fault
    if error.connection_invalidated or isinstance(error, OperationalError):
        return LedgerUnavailable, "cannot be reached", "check that the server runs and that the URL names it"
    refused = f"refused ({type(error.orig).__name__} {code})".rstrip()
    return LedgerError, refused, "restore the schema, or name another database"
