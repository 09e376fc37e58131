"""Who asks: the one local person, or whom a proxy names."""

import os
import socket
import ssl
import subprocess
import sys

import httpx2
import pytest

from bench.stalled import Launched
from models import User
from tests.nginx import authority, shipped_nginx
from tests.person import HTMX, as_person, bring
from tests.precis import ROOT, Precis

__all__ = ["authority"]


@pytest.fixture
def app(make_app):
    """Precis behind a proxy that signs people in."""
    return make_app(auth="proxy")


def as_sent(name):
    """Return a name as a server hands on its bytes."""
    return name.encode().decode("latin-1")


def test_each_person_has_their_own_documents(app):
    anna, ben = as_person(app, "anna"), as_person(app, "ben")
    document = bring(anna, "A text of Anna's.")
    assert anna.get(document).status_code == 200
    assert ben.get(document).status_code == 404
    assert "A text of Anna" not in ben.get("/").text


def test_the_header_counts_from_the_proxys_addresses_only(make_app):
    app = make_app(auth="proxy", proxy_addresses=("127.0.0.1", "::1", "10.1.0.0/16"))
    anna = as_person(app, "anna")
    document = bring(anna, "A text of Anna's.")
    for address, status in (
        ("127.0.0.1", 200),
        ("::ffff:127.0.0.1", 200),
        ("::1", 200),
        ("10.1.2.3", 200),
        ("10.2.0.1", 401),
        ("192.0.2.1", 401),
        ("::ffff:192.0.2.1", 401),
        ("fe80::1%eth0", 401),
        ("", 200),
    ):
        assert anna.get(document, environ_base={"REMOTE_ADDR": address}).status_code == status, address


def test_the_proxy_is_who_sends_and_not_who_is_said_to(make_app):
    app = make_app(auth="proxy", trusted_proxies=1)
    anna = as_person(app, "anna")
    for sender, said, status in (("192.0.2.1", "127.0.0.1", 401), ("127.0.0.1", "192.0.2.1", 200)):
        answer = anna.get("/", environ_base={"REMOTE_ADDR": sender}, headers={"X-Forwarded-For": said})
        assert answer.status_code == status, sender


@pytest.mark.parametrize("name", ["anna", "anna@staff.example", "Änne Größe", "安娜", "a" * 200, " anna "])
def test_a_name_is_any_text_of_one_line(app, name):
    answer = as_person(app, as_sent(name)).get("/account")
    assert answer.status_code == 200
    assert f"You are signed in as {name.strip()}" in answer.text


@pytest.mark.parametrize(
    "name",
    ["", " ", "anna,ben", ",anna", "anna, anna", "a" * 201, "an\tna", "an\x00na", "an\u202ena", "an\u200bna"],
)
def test_what_is_no_name_is_nobody(app, name):
    assert as_person(app, as_sent(name)).get("/").status_code == 401
    assert as_person(app, "\xe4nne").get("/").status_code == 401, "not UTF-8"


@pytest.mark.parametrize("name", [User.LOCAL, "LOCAL", " Local "])
def test_nobody_who_signs_in_is_the_person_who_was_here_without_sign_in(make_app, name):
    document = bring(make_app().test_client(), "A text of before.")
    app = make_app(auth="proxy", admins=(User.LOCAL,))
    local = as_person(app, name)
    assert local.get(document).status_code == local.get("/").status_code == 401
    assert as_person(app, "locals").get("/").status_code == 200


def test_a_name_is_one_persons_however_it_is_capitalised_and_composed(make_app):
    app = make_app(auth="proxy", admins=("ÄNNE",))
    document = bring(as_person(app, as_sent("Änne")), "A text of Änne's.")
    for name, status in (("änne", 200), ("ÄNNE", 200), ("A\u0308nne", 200), ("anne", 404), ("Ännë", 404)):
        person = as_person(app, as_sent(name))
        assert person.get(document).status_code == status, name
        assert person.get("/events").status_code == status, name
    strasse = bring(as_person(app, as_sent("Straße")), "Another text.")
    assert as_person(app, "strasse").get(strasse).status_code == 404


def test_nobody_gets_a_sentence_and_nothing_else(app):
    nobody = app.test_client()
    answer = nobody.get("/")
    assert answer.status_code == 401
    assert "Nobody has signed in" in answer.text
    assert "<h1>You are not signed in</h1>" in answer.text
    assert "Go to your documents" not in answer.text
    assert "<textarea" not in answer.text
    assert "Sign in by Precis" in nobody.post("/documents/1/analyses", headers=HTMX).text
    assert nobody.get("/session").status_code == nobody.get("/session/new").status_code == 404


def test_without_a_provider_no_cookie_is_set_and_none_is_believed(app):
    anna = as_person(app, "anna")
    anna.set_cookie("precis", "anything")
    for answer in (anna.get("/"), anna.get("/account"), anna.post("/session/deletion")):
        assert "Set-Cookie" not in answer.headers


# Of the real server


def test_a_client_gets_no_name_past_the_server_that_the_proxy_has_not_given(tmp_path):
    with Precis(tmp_path, PRECIS_AUTH="proxy").start() as precis:

        def status(*headers):
            lines = [
                "GET / HTTP/1.1",
                f"Host: 127.0.0.1:{precis.port}",
                "Connection: close",
                *headers,
                "",
                "",
            ]
            with socket.create_connection(("127.0.0.1", precis.port)) as connection:
                connection.sendall("\r\n".join(lines).encode())
                return int(connection.makefile("rb").readline().split()[1])

        assert status("X-Forwarded-User: anna") == status("x-forwarded-USER:anna") == 200
        assert status("X-Forwarded-User: Änne") == 200
        assert status("X_Forwarded_User: anna") == status("X-Forwarded_User: anna") == 401
        assert status("X-Forwarded-User: anna", "X-Forwarded-User: ben") == 401
        assert status("X-Forwarded-User: ", "X-Forwarded-User: anna") == 401
        assert status("X-Forwarded-User: an", " na") == 400
        assert status("X-Forwarded-User : anna") == 400
        assert status("X-Forwarded-User: an\x00na") == 400
        assert status("Remote-User: anna", "Cookie: precis=anna") == 401


@pytest.mark.parametrize("hops", [0, 1])
def test_that_a_client_came_encrypted_is_believed_behind_a_trusted_proxy_only(tmp_path, hops):
    address = "app.config.Settings.address = property(lambda it: ['unix:socket', f'127.0.0.1:{it.port}'])"
    with Launched(tmp_path, None, address, PRECIS_TRUSTED_PROXIES=str(hops)) as precis:
        precis.start()
        for way in (None, str(tmp_path / "socket")):
            transport = httpx2.HTTPTransport(uds=way)
            with httpx2.Client(transport=transport, base_url=f"http://localhost:{precis.port}") as client:
                for header, value, counts in (
                    ("X-Forwarded-Proto", "https", hops == 1),
                    ("X-Forwarded-Proto", "http", False),
                    ("X-Forwarded-Ssl", "on", False),
                    ("X-Forwarded-Protocol", "ssl", False),
                ):
                    told = client.get("/", headers={header: value}).headers
                    assert ("Strict-Transport-Security" in told) is counts, (way, header)


def test_no_header_moves_the_application_to_another_path(tmp_path):
    with Precis(tmp_path).start() as precis:
        for name in ("SCRIPT_NAME", "Script-Name", "PATH_INFO", "Path-Info"):
            answer = httpx2.get(f"{precis.url}/nowhere/search", headers={name: "/nowhere"})
            assert answer.status_code == 404, name
            assert httpx2.get(precis.url, headers={name: "/nowhere"}).status_code == 200, name


def test_nginx_says_who_asks_and_no_client(tmp_path, authority):
    with Precis(tmp_path, PRECIS_AUTH="proxy", PRECIS_TRUSTED_PROXIES="1").start() as precis:
        line = 'proxy_set_header X-Forwarded-User "";'
        for said, status in ((line, 401), (line.replace('""', "anna"), 200)):
            upstream = f"127.0.0.1:{precis.port}"
            with shipped_nginx(tmp_path / str(status), authority, upstream, change=(line, said)) as url:
                tls = ssl.create_default_context(cafile=authority / "ca.pem")
                headers = {"X-Forwarded-User": "root", "X_Forwarded_User": "root"}
                answer = httpx2.get(f"{url}/session", headers=headers, verify=tls)
                assert answer.status_code == 404, "there is no sign-in of its own"
                answer = httpx2.get(f"{url}/account", headers=headers, verify=tls)
            assert answer.status_code == status
            assert "root" not in answer.text
            assert ("You are signed in as anna" in answer.text) is (status == 200)


def test_a_socket_that_it_is_handed_lets_nobody_else_in_without_sign_in(tmp_path):
    precis = Precis(tmp_path)
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        done = subprocess.run(
            ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$1"', sys.executable, ROOT / "app.py"],
            env=os.environ | precis.settings,
            preexec_fn=lambda: os.dup2(holder.fileno(), 3),
            close_fds=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "precis: PRECIS_AUTH is none, and at 0.0.0.0:" in done.stderr
