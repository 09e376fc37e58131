"""PostgreSQL restarts, hangs, is full, refuses: what runs waits for it or ends in truth, then all goes on."""

import signal
from contextlib import suppress

import gevent
import httpx2
import pytest
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from bench.kill import Client
from tests.fleet import Fleet, wait_until
from tests.network import pipe
from tests.prose import answer

DOCUMENT = "Terms\n\nPay by March."
TEXT, LONG = answer(6), answer(40)
GONE = "Nothing can be saved or read at the moment. Wait a little, then try again."
FULL = "Storage is full: nothing more can be saved."
WHOLE = "SELECT coalesce(string_agg(text, '' ORDER BY position), '') FROM piece"


@pytest.fixture
def fleet(tmp_path, provider, scale):
    provider.script(text=TEXT, rate=50)
    with Fleet(tmp_path, provider, scale) as fleet:
        yield fleet
        scale.restore()


@pytest.fixture
def hurried(fleet):
    fleet.is_hurried = True
    return fleet


@pytest.mark.fault("PostgreSQL restarted")
def test_streams_outlive_a_restart_and_the_loss_of_their_connections(fleet, provider, scale):
    web, _ = fleet.start("web", "worker")
    document = web.bring(DOCUMENT)
    postgresql, outlived = scale.postgresql, 0

    def restart(how):
        postgresql.stop(how)
        postgresql.start()

    for fault in (
        lambda: restart(signal.SIGINT),
        lambda: restart(signal.SIGQUIT),
        lambda: postgresql.cut(fleet.database),
    ):
        clients = [Client(web.ask(document), web) for _ in range(3)]
        for client in clients:
            client.wait(100)

        fault()

        texts = [client.join() for client in clients]
        assert texts == ["".join(web.stored(client.analysis).split()) for client in clients]
        assert not any(client.lost(text) for client, text in zip(clients, texts, strict=True))
        # Cut off in the very moment of its commit nobody can tell whether it was saved: it ends there.
        assert fleet.statuses() <= {"complete", "incomplete"}
        outlived += all(text == "".join(TEXT.split()) for text in texts)
    assert outlived >= 2
    assert provider.calls == 9


@pytest.mark.fault("PostgreSQL hangs")
def test_while_it_hangs_pages_say_so_soon_calls_end_and_then_all_goes_on(hurried, provider, scale):
    provider.script(text=LONG, rate=20)
    web, worker = hurried.start("web", "worker")
    document = web.bring(DOCUMENT)
    clients = [Client(web.ask(document), web) for _ in range(3)]
    for client in clients:
        client.wait(100)

    scale.postgresql.hang()

    # More than there are connections: nobody waits for those who wait.
    ready = [f"{process.url}/ready" for process in (web, worker)]
    asked = Pool(40).imap_unordered(get, [web.url] * 30 + ready)
    with gevent.Timeout(30):
        answers = list(asked)
    assert {answer.status_code for answer in answers} == {503}
    assert sum(GONE in answer.text for answer in answers) >= 30
    assert get(f"{web.url}/up").status_code == 200
    provider.wait(open=0, cancels=3)

    scale.postgresql.resume()

    for client in clients:
        text = client.join()
        assert text == "".join(web.stored(client.analysis).split())
        assert not client.lost(text)
    assert hurried.statuses() <= {"incomplete", "interrupted"}
    wait_until(lambda: {get(url).status_code for url in [web.url, *ready]} == {200})
    provider.script(text=TEXT)
    assert Client(web.ask(document), web).join() == "".join(TEXT.split())
    assert provider.calls == 4


@pytest.mark.fault("out of connections")
def test_without_a_connection_left_pages_say_so_and_none_is_kept(fleet, scale):
    postgresql, database = scale.postgresql, fleet.database
    # The limit concerns nobody who may do everything.
    postgresql.execute("CREATE ROLE staff LOGIN")
    fleet.rows("GRANT ALL ON SCHEMA public TO staff")
    for table in ("schema_migration", '"user"', "document", "analysis", "piece"):
        fleet.rows(f"ALTER TABLE {table} OWNER TO staff")
    url = fleet.settings["PRECIS_DATABASE_URL"].replace("precis@", "staff@")
    web = fleet.start("web", PRECIS_DATABASE_URL=url)

    postgresql.execute(f"ALTER DATABASE {database} CONNECTION LIMIT 0")
    postgresql.cut(database)

    answers = Pool(20).map(get, [web.url] * 20)
    assert {answer.status_code for answer in answers} == {503}
    assert all(GONE in answer.text for answer in answers)
    assert get(f"{web.url}/up").status_code == 200

    postgresql.execute(f"ALTER DATABASE {database} CONNECTION LIMIT 3")
    wait_until(lambda: get(web.url).status_code == 200)
    # Fewer than the process would take: they are shared, and given back.
    assert {answer.status_code for answer in Pool(20).map(get, [web.url] * 60)} == {200}
    held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'staff'"
    assert 1 <= postgresql.execute(held)[0][0] <= 3


@pytest.mark.fault("server read-only")
def test_a_server_that_only_reads_is_told_as_full_and_what_was_shown_is_kept(fleet, provider, scale):
    web, _ = fleet.start("web", "worker")
    document = web.bring(DOCUMENT)
    client = Client(web.ask(document), web)
    client.wait(100)

    refuse_writing(scale.postgresql, fleet.database, "on")

    provider.wait(open=0, cancels=1)
    refused = httpx2.post(f"{web.url}/documents", data={"text": DOCUMENT})
    assert (refused.status_code, FULL in refused.text) == (503, True)
    assert get(f"{web.url}{document}").status_code == 200
    assert fleet.statuses() == {"running"}

    refuse_writing(scale.postgresql, fleet.database, "off")

    text = client.join()
    assert text == "".join(web.stored(client.analysis).split())
    assert not client.lost(text)
    assert fleet.rows("SELECT status, error FROM analysis") == [("incomplete", "StorageFull")]
    assert provider.calls == 1


def refuse_writing(postgresql, database, how):
    """Have all transactions only read, on connections that begin now, as after a fail-over."""
    postgresql.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = {how}")
    (now,) = postgresql.execute("SELECT now()")[0]
    older = "FROM pg_stat_activity WHERE datname = %s AND backend_start <= %s"

    def are_new():
        # Between two transactions: of one that is cut off in its commit nobody can tell whether it was saved.
        idle = f"SELECT pg_terminate_backend(pid, 5000) {older} AND state = 'idle'"
        postgresql.execute(idle, database, now)
        return not postgresql.execute(f"SELECT 1 {older}", database, now)

    wait_until(are_new)


@pytest.mark.fault("answer lost")
def test_what_was_saved_is_kept_even_if_its_own_process_never_heard_so(fleet, provider, scale):
    port, seen = scale.postgresql.port, [""]

    def serve(client, _address):
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", port)) as server:
            there = gevent.spawn(pipe, client, server)
            while data := server.recv(65536):
                if b"COMMIT\0" in data and len(seen[-1]) < 100:
                    before = seen[-1]
                    seen.append(fleet.rows(WHOLE)[0][0])
                    # Whoever looks now may show it.
                    if len(seen[-1]) > max(100, len(before)):
                        break
                client.sendall(data)
            there.kill()

    between = StreamServer(("127.0.0.1", 0), serve, spawn=Pool())
    between.start()
    web = fleet.start("web")
    url = fleet.settings["PRECIS_DATABASE_URL"].replace(str(port), str(between.server_port))
    fleet.start("worker", PRECIS_DATABASE_URL=url)
    client = Client(web.ask(web.bring(DOCUMENT)), web)

    shown = client.join()

    stored = web.stored(client.analysis)
    assert shown == "".join(stored.split())
    assert len(seen[-1]) > 100
    assert stored.startswith(seen[-1])
    assert not client.lost(shown)
    assert fleet.statuses() == {"incomplete"}
    assert (provider.calls, provider.cancels) == (1, 1)
    between.stop(timeout=0)
    between.pool.kill()


def get(url):
    """Ask for a page, however long it takes."""
    return httpx2.get(url, timeout=60)
