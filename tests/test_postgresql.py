"""PostgreSQL's connections: one that is waited for, one that says nothing, and turns that are taken."""

import gevent.event
import pytest
from peewee import DataError

import storage
from analyzer.channel import Redis
from storage import DatabaseRefused, postgresql
from storage.errors import StorageError
from storage.postgresql import PostgreSQL


@pytest.fixture
def database(scale, monkeypatch):
    """A database whose pool has two connections, and whose server may be waited for 0.2 s."""
    monkeypatch.setattr(postgresql, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(postgresql, "CONNECT_SECONDS", 0.2)
    bound = storage.database.obj
    storage.database.initialize(database := PostgreSQL(scale.create()["database_url"]))
    yield database
    database.disconnect()
    storage.database.initialize(bound)


def hold(database, statement, times=1):
    with database.connection_context():
        for _ in range(times):
            database.execute_sql(statement)


def test_a_connection_is_waited_for_as_long_as_the_server_answers_those_who_have_one(database):
    holders = [gevent.spawn(hold, database, "SELECT pg_sleep(0.05)", 12) for _ in range(2)]
    gevent.sleep(0)
    waiter = gevent.spawn(hold, database, "SELECT 1")
    gevent.joinall([*holders, waiter], raise_error=True)

    assert waiter.successful()


def test_a_server_that_says_nothing_is_given_up(database, scale, monkeypatch):
    hold(database, "SELECT 1")
    monkeypatch.setattr(postgresql.Connection, "answer_seconds", 0.2)
    scale.postgresql.hang()
    with gevent.Timeout(30), pytest.raises(StorageError, match="wait timeout expired"), storage.connected():
        database.execute_sql("SELECT 1")


def test_a_kept_connection_that_broke_is_taken_anew(database, scale):
    with storage.connected():
        database.execute_sql("SELECT 1")
        scale.postgresql.cut(database.where.rpartition("/")[2])

        @storage.saving
        def write():
            return database.execute_sql("SELECT 2").fetchone()

        assert write() == (2,)


def test_a_connection_that_the_server_closed_while_it_was_idle_is_not_handed_out(database, scale):
    for _ in range(3):
        with storage.connected():
            database.execute_sql("SELECT 1")
        assert scale.postgresql.cut(database.where.rpartition("/")[2])
        with storage.connected():
            assert database.execute_sql("SELECT 2").fetchone() == (2,)


def test_a_greenlet_that_is_killed_while_it_saves_is_dead(database):
    @storage.saving
    def write():
        writes.set()
        database.execute_sql("SELECT pg_sleep(60)")

    writes = gevent.event.Event()
    writer = gevent.spawn(write)
    assert writes.wait(30)
    gevent.sleep(0)

    with gevent.Timeout(30):
        writer.kill()
    assert isinstance(writer.value, gevent.GreenletExit)


def test_those_who_take_a_turn_under_one_name_come_one_after_the_other(database):
    order = []

    def take(name, number):
        with database.connection_context(), database.atomic():
            database.take_turns(name)
            order.append((number, "in"))
            database.execute_sql("SELECT pg_sleep(0.05)")
            order.append((number, "out"))

    gevent.joinall([gevent.spawn(take, "same", number) for number in (1, 2)], raise_error=True)
    assert [what for _, what in order] == ["in", "out", "in", "out"]
    order.clear()
    gevent.joinall([gevent.spawn(take, f"other {number}", number) for number in (1, 2)], raise_error=True)
    assert [what for _, what in order] == ["in", "in", "out", "out"]


def test_a_copy_is_another_database(database, scale):
    name = database.where.rpartition("/")[2]
    identity = storage.identity()
    database.disconnect()
    scale.postgresql.execute(f"CREATE DATABASE copy_of_{name} TEMPLATE {name}")
    storage.connect(scale.postgresql.url(f"copy_of_{name}"))

    assert storage.identity() != identity


def test_what_cannot_be_stored_is_no_failure_of_the_database(database):
    @storage.saving
    def write():
        database.execute_sql("SELECT 1 / 0")

    with pytest.raises(DataError):
        write()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(database, scale, encoding):
    name = f"of_{encoding.lower()}"
    scale.postgresql.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C' ENCODING '{encoding}'")
    database.disconnect()
    storage.connect(scale.postgresql.url(name))

    with pytest.raises(DatabaseRefused, match=f"/{name} has the encoding {encoding}: make the database with"):
        storage.check()


@pytest.mark.parametrize("more", ["?colour=red", "?sslmode=odd"])
def test_an_address_that_cannot_be_is_refused_without_its_password(database, more):
    def connect():
        storage.connect(f"postgresql://precis:secret@127.0.0.1:1/precis{more}")
        storage.identity()

    with pytest.raises((DatabaseRefused, StorageError)) as caught:
        connect()
    assert "secret" not in str(caught.value)


def test_what_is_not_understood_stops_nothing_else(scale):
    heard, listens = [], gevent.event.Event()

    def hear(message):
        heard.append(message)
        if message == ["odd"]:
            raise IndexError
        if message == ["last"]:
            listens.set()

    scale.restore()
    channel = Redis(scale.redis.url)
    channel.start("topic", "name", hear)
    with gevent.Timeout(30):
        while not channel.is_up:
            gevent.sleep(0.01)  # nothing announces that its own beat came back
        for message in (["odd"], ["last"]):
            channel.tell(message)
        assert listens.wait(30)
    assert channel.is_up
    assert ["silence"] not in heard
    channel.stop()
