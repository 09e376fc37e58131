"""What several processes share: real PostgreSQL and Redis servers, to be stopped, killed and hung."""

import os
import pwd
import select
import shutil
import signal
import subprocess
from contextlib import suppress
from itertools import count
from pathlib import Path
from shutil import which
from tempfile import mkdtemp

import gevent
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import storage
from tests.precis import dying_with_us, free_port
from tests.processes import children

# Its input ends when this process does, however that ends; a server may still be writing then.
SWEEP = 'read -r _; until rm -rf "$0"; do sleep 0.1; done'
EMPTY = 'TRUNCATE "user", event RESTART IDENTITY CASCADE'


class Server:
    """A server on a port of its own; what is done to it is done when the method returns."""

    name = ""
    user = None  # who runs it, if not who runs the tests
    ENDING = signal.SIGTERM

    def __init__(self):
        self.folder = Path(mkdtemp(prefix="precis-"))
        self._sweeper = subprocess.Popen(
            ["sh", "-c", SWEEP, self.folder],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.port = free_port()
        self.log = self.folder / "log"
        self.process = None
        if self.user:
            shutil.chown(self.folder, self.user, pwd.getpwnam(self.user).pw_gid)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.process:
            self.kill()
        self._sweeper.communicate()

    def start(self, *options):
        """Start it, with more options of its command line, and wait until it answers."""
        self.process = self._launch([*self._command(), *options])
        with gevent.Timeout(60, AssertionError(f"{self.name} does not answer")):
            while not self.is_up():
                assert self.process.poll() is None, self.log.read_text()
                gevent.sleep(0.01)  # nothing announces that a port listens
        return self

    def stop(self, how=None):
        """Ask it to end, as its service manager does or by another signal, and wait until it has."""
        self.process.send_signal(how or self.ENDING)
        self.process.wait()
        self.process = None

    def kill(self):
        """Kill all its processes at once."""
        self.hang()
        for pid in reversed(self._pids()):
            handle = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            # Until the last one is dead, none can be started in its place.
            select.select([handle], [], [])
            os.close(handle)
        self.process.wait()
        self.process = None

    def hang(self):
        """Let it say nothing more to anybody, while its connections stay open."""
        # The first of them first: it starts no other then.
        self._signal(signal.SIGSTOP)

    def resume(self):
        """Let it go on after it hung."""
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        self.process.send_signal(number)
        for pid in self._pids()[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self):
        return [self.process.pid, *children(self.process.pid)]

    def _launch(self, command):
        group = pwd.getpwnam(self.user).pw_gid if self.user else None
        with self.log.open("a") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self.user,
                group=group,
                extra_groups=() if self.user else None,
                start_new_session=True,
                preexec_fn=dying_with_us(self.ENDING),
            )


class PostgreSQL(Server):
    """PostgreSQL; each database is made with Precis' tables in it, and no rows."""

    name = "PostgreSQL"
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    ENDING = signal.SIGINT  # does not wait for clients

    def __init__(self):
        super().__init__()
        self.data = self.folder / "data"
        self._numbers = count(1)
        made = self._launch([_program("initdb"), *INITDB, "-D", self.data]).wait()
        assert made == 0, self.log.read_text()

    def start(self, *options):
        """See `Server`; at its first start the tables are made."""
        super().start(*options)
        if "tables" not in self.databases():
            self.execute("CREATE DATABASE tables")
            bound = storage.database.obj
            storage.connect(self.url("tables"))
            storage.migrate()
            storage.database.initialize(bound)
        return self

    def url(self, database):
        return f"postgresql://precis@127.0.0.1:{self.port}/{database}"

    def create(self):
        """Make a database that no other test has; returns its URL."""
        database = f"precis{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {database} TEMPLATE tables STRATEGY file_copy")
        self._be_another(database)
        return self.url(database)

    def clear(self):
        """Return the URL of a database in which there is nothing any more, and nobody.

        The same each time, because making one costs five times as much.
        """
        if "precis" not in self.databases():
            self.execute("CREATE DATABASE precis TEMPLATE tables")
        while not self._empty("precis"):
            pass
        self._be_another("precis")
        return self.url("precis")

    def cut(self, database="precis"):
        """End all connections to a database, as an administrator does; returns how many there were."""
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        return len(self.execute(ended, database))

    def databases(self):
        """Return the names of the databases."""
        return {name for (name,) in self.execute("SELECT datname FROM pg_database")}

    def execute(self, statement, *values, database="postgres"):
        """Execute a statement, and return its rows if it has any."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

    def is_up(self):
        """Whether it answers."""
        try:
            return bool(self.execute("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _empty(self, database):
        """Empty all tables, unless somebody is in the way: what the last test left running connects anew."""
        self.cut(database)
        try:
            self.execute("SET lock_timeout = 500; " + EMPTY, database=database)
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _be_another(self, database):
        # The moment at which it was made is what tells a database from others.
        self.execute("UPDATE schema_migration SET applied = clock_timestamp()", database=database)

    def _command(self):
        # What is lost when the machine loses its power is lost; a killed server loses nothing.
        fast = ["fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=32MB"]
        options = [*fast, "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        settings = [word for option in options for word in ("-c", option)]
        return [_program("postgres"), "-D", self.data, "-p", str(self.port), *settings]


INITDB = ["--auth=trust", "--username=precis", "--encoding=UTF8", "--locale=C", "--no-sync"]


class Redis(Server):
    """Redis, which keeps nothing."""

    name = "Redis"

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def clear(self):
        """Return the URL, with nothing counted any more."""
        with self.client() as client:
            client.flushall()
        return self.url

    def client(self):
        """Return a client of its own."""
        return redis.Redis.from_url(self.url, protocol=2, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def is_up(self):
        """Whether it answers."""
        try:
            with self.client() as client:
                return client.ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False

    def _command(self):
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [_program("redis-server"), *place, "--save", "", "--appendonly", "no"]


class Scale:
    """Both servers."""

    def __enter__(self):
        self.postgresql = PostgreSQL()
        self.redis = Redis()
        try:
            self.postgresql.start()
            self.redis.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.postgresql.__exit__()
        self.redis.__exit__()

    def restore(self):
        """Start again what the last test has ended or hung."""
        for server in (self.postgresql, self.redis):
            if server.process:
                server.resume()
            else:
                server.start()

    def clear(self):
        """Return the settings of a process in which nothing is kept, counted or connected any more."""
        self.restore()
        return {"database_url": self.postgresql.clear(), "redis_url": self.redis.clear()}

    def create(self):
        """Return the settings of processes with a database that no other test has."""
        self.restore()
        return {"database_url": self.postgresql.create(), "redis_url": self.redis.url}


def environment(settings):
    """Return what `Scale` returns as environment variables."""
    return {f"PRECIS_{name.upper()}": value for name, value in settings.items()}


def _program(name):
    """Return where a program is: Debian keeps PostgreSQL's out of the PATH."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    return max(found, default=None, key=lambda path: int(Path(path).parts[4])) or which(name) or name
