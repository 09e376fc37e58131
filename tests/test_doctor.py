"""The doctor looks through real nginx at a real server, and says what is wrong in each way that it can be."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack

import gevent
import httpx2
import pytest

import doctor
from bench.stalled import Launched
from findings import OK
from tests.nginx import authority, nginx, nginx_version, openssl, shipped_nginx, sign
from tests.precis import ROOT, Precis, free_port
from tests.proxy import Proxy
from views.health import MOST_AT_ONCE

__all__ = ["authority"]

# Longer than the impatient one bears.
SECONDS = 3
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {servers}
    server {{ listen 127.0.0.1:{port}; }}
}}
"""
SERVER = """
    server {{
        listen 127.0.0.1:{port} {listen};
        ssl_certificate {authority}/{certificate}.pem;
        ssl_certificate_key {authority}/{certificate}.key;
        client_max_body_size {largest};
        {server}
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Host {host};
            {location}
        }}
    }}
"""
RIGHT = {
    "listen": "ssl http2" if nginx_version() < (1, 25, 1) else "ssl; http2 on",
    "certificate": "localhost",
    "largest": "16m",
    "server": "",
    "host": "$http_host",
    "location": "",
}
# Each way to be wrong, and what is said of it. {where} is the address that was looked at.
WAYS = {
    "no proxy": (
        None,
        "warning: Nothing is encrypted, and without encryption browsers speak no HTTP/2: a seventh page "
        "that watches an analysis keeps all others waiting. Put a proxy with a certificate in front.",
    ),
    "buffered": (
        {"location": "proxy_ignore_headers X-Accel-Buffering;"},
        "wrong: Nothing of a stream comes before its end: something on the way buffers it. In nginx: "
        "proxy_buffering off, and no proxy_ignore_headers X-Accel-Buffering.",
    ),
    "compressed": (
        {"location": "gzip on; gzip_types text/event-stream;"},
        "warning: A stream is compressed on the way (gzip), which saves little and may hold it back. In "
        "nginx: gzip off, or no text/event-stream in gzip_types.",
    ),
    "impatient": (
        {"location": "proxy_read_timeout 2s;"},
        "wrong: A stream is cut after 2 seconds of silence, and a real one is silent for up to 10. In nginx: "
        "proxy_read_timeout 60s.",
    ),
    "without HTTP/2": (
        {"listen": "ssl"},
        "warning: HTTP/2 is not spoken: a browser then has six connections, and a seventh page that watches "
        "an analysis keeps all others waiting. In nginx: listen 443 ssl http2; since 1.25.1 http2 on.",
    ),
    "without Cache-Control": (
        {"location": "proxy_hide_header Cache-Control;"},
        "warning: A stream's Cache-Control: no-store, no-transform does not arrive, so that what stands "
        "further on may keep or compress it: take out what hides or changes it. In nginx: "
        "proxy_hide_header, expires.",
    ),
    "without policy": (
        {"location": "proxy_hide_header Content-Security-Policy;"},
        "warning: The Content-Security-Policy of Precis does not arrive: take out what hides it. In nginx: "
        "proxy_hide_header.",
    ),
    "another type": (
        {"location": "proxy_hide_header Content-Type; add_header Content-Type text/plain;"},
        "wrong: A stream arrives as text/plain and not as text/event-stream, so that browsers refuse it: "
        "take out what changes Content-Type.",
    ),
    "short forms": (
        {"largest": "1m"},
        "wrong: A form of 12 MB is refused on the way, so that long documents cannot be brought. In nginx: "
        "client_max_body_size 16m, which is as much as Precis takes.",
    ),
    "name without port": (
        {"host": "$host"},
        "wrong: Precis takes its own pages for another site's, so that some browsers can send no form: the "
        "proxy passes on another name or port than the browser's. In nginx: proxy_set_header Host "
        "$http_host.",
    ),
    "another name": (
        {"host": "other.example"},
        "wrong: Precis does not answer to localhost: add it to PRECIS_HOSTS, and let the proxy pass the "
        "name on. In nginx: proxy_set_header Host $http_host.",
    ),
    "Precis dead": (
        {"upstream": "http://127.0.0.1:1"},
        "wrong: The proxy does not reach Precis (status 502): see whether Precis runs, and whether the "
        "proxy looks for it where PRECIS_BIND, or PRECIS_HOST and PRECIS_PORT, say. In nginx: upstream and "
        "proxy_pass.",
    ),
    "another program": (
        {"server": "location /up { return 404; }"},
        "wrong: What answers at {where} is not Precis (status 404): see to which server and location of the "
        "proxy this name leads. In nginx: server_name, location and proxy_pass.",
    ),
    "a sign-in": (
        {"server": "location /up { return 302 /sign-in?to=/up; }"},
        "wrong: {where}/up leads to {where}/sign-in?to=/up: another program answers, or a sign-in in front "
        "of Precis. Let /up and /up/stream through without one.",
    ),
    "in circles": (
        {"server": "location /up { return 301 /up; }"},
        "wrong: {where} leads from one address to the next without end.",
    ),
    "only /up": (
        {"server": "location /up/stream { return 403; }"},
        "wrong: The test stream is refused (status 403): all places may be taken, the proxy may let only /up "
        "through, or this Precis may be older than the doctor.",
    ),
    "expired": (
        {"certificate": "expired"},
        "wrong: The certificate has expired: renew it, and have the proxy reloaded at each renewal.",
    ),
    "ending": (
        {"certificate": "ending"},
        "warning: The certificate ends in 4 days: see whether anything renews it.",
    ),
    "another's certificate": (
        {"certificate": "other"},
        "wrong: The certificate is not for localhost: get one that names it, or go by a name that it is for.",
    ),
    "unknown authority": (
        {"certificate": "stranger"},
        "wrong: The certificate is not trusted (self-signed certificate): let ssl_certificate hold the "
        "whole chain; if an authority of your own has signed it, have the browsers trust that, and name its "
        "file in SSL_CERT_FILE for the doctor.",
    ),
    "old TLS": (
        {"server": "ssl_protocols TLSv1.1; ssl_ciphers DEFAULT:@SECLEVEL=0;"},
        "wrong: No encrypted connection to {where} comes about (TLSV1_ALERT_PROTOCOL_VERSION): the port "
        "speaks plain HTTP, or only TLS before 1.2. In nginx: listen 443 ssl, and ssl_protocols TLSv1.2 "
        "TLSv1.3.",
    ),
    "plain HTTP": (
        {"listen": ""},
        "wrong: No encrypted connection to {where} comes about (WRONG_VERSION_NUMBER): the port speaks "
        "plain HTTP, or only TLS before 1.2. In nginx: listen 443 ssl, and ssl_protocols TLSv1.2 TLSv1.3.",
    ),
}


def look(url, seconds=SECONDS):
    """Return what the doctor says of an address."""
    return [f"{level}: {sentence}" for level, sentence in doctor.examine(url, seconds)]


@pytest.fixture(scope="module")
def certificates(authority):
    """The authority's folder with certificates that are wrong as well; the doctor trusts the authority."""
    sign(authority, "expired", days=-1)
    sign(authority, "ending", days=5)
    sign(authority, "other", host="other.example")
    openssl(authority, "-x509", "-keyout", "stranger.key", "-out", "stranger.pem", "-subj", "/CN=localhost")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        yield authority


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Precis(tmp_path_factory.mktemp("server"), PRECIS_TRUSTED_PROXIES="1") as server:
        yield server.start()


@pytest.fixture(scope="module")
def looks(tmp_path_factory, certificates, server):
    """What the doctor says of each way to be wrong, and its address; all are looked at together."""
    folder, port = tmp_path_factory.mktemp("nginx") / "nginx", free_port()
    urls, servers = {"no proxy": server.url}, ""
    for name, (change, _) in WAYS.items():
        if change is not None:
            own = {"port": free_port(), "authority": certificates, "upstream": server.url}
            urls[name] = f"https://localhost:{own['port']}"
            servers += SERVER.format(**RIGHT | own | change)
    with nginx(folder, port, NGINX.format(folder=folder, port=port, servers=servers)):
        said = {name: gevent.spawn(look, url) for name, url in urls.items()}
        gevent.joinall(said.values(), raise_error=True)
        yield {name: (urls[name], said[name].value) for name in WAYS}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_be_wrong_has_its_sentence(looks, way):
    where, said = looks[way]
    # A busy machine notices late.
    lines = [re.sub("after [2-6] seconds", "after 2 seconds", line) for line in said if line[:3] != "ok:"]
    assert lines == [WAYS[way][1].format(where=where)]


def test_what_is_right_is_said_too(tmp_path, certificates, server):
    with shipped_nginx(tmp_path / "nginx", certificates, f"127.0.0.1:{server.port}") as url:
        (plain,) = {
            line.split(":")[1].rstrip(";")
            for line in (tmp_path / "nginx/nginx.conf").read_text().splitlines()
            if "listen 127.0.0.1:" in line and "ssl" not in line
        }
        before = server.rows("SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM analysis)")
        environ = os.environ | {"SSL_CERT_FILE": str(certificates / "ca.pem")}
        command = [sys.executable, ROOT / "app.py", "doctor", f"http://localhost:{plain}", "--seconds", "1"]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert ended.stdout.splitlines() == [
        f"ok       http://localhost:{plain} leads to {url}.",
        "ok       The certificate is trusted, for 29 days more.",
        "ok       HTTP/2 is spoken: all pages of a browser share one connection.",
        f"ok       Precis answers at {url}.",
        "ok       A form is taken for Precis' own.",
        "ok       A form of 12 MB is let in.",
        "ok       A stream comes word by word.",
        "ok       A stream of 1 second that is silent for 1 at a time comes through whole; a real one is "
        "silent for up to 10.",
    ]
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert server.rows("SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM analysis)") == before


def test_what_is_wrong_is_its_exit_code():
    command = [sys.executable, ROOT / "app.py", "doctor", "https://precis.invalid"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.stdout == (
        "wrong    Nobody knows the name precis.invalid: see whether it is spelt right, and in the DNS.\n"
    )
    assert ended.returncode == 1


@pytest.mark.parametrize("url", ["precis.example", "ftp://precis.example", "https://", ""])
def test_what_is_no_address_is_said_to_be_none(url):
    assert look(url) == [f"wrong: {url} is no address: it begins with https:// and a name."]


def test_a_port_where_nothing_listens():
    where = f"https://127.0.0.1:{free_port()}"
    assert look(where) == [
        f"wrong: Nothing answers at {where} ([Errno 111] Connection refused): see whether the proxy runs and "
        "listens there, and whether the firewall lets you through."
    ]


class Collecting(Proxy):
    """A proxy that passes on what has come four times a second."""

    @staticmethod
    def _pipe(source, sink):
        while data := source.recv(65536):
            sink.sendall(data)
            gevent.sleep(0.25)  # the fault itself, not a wait


def test_a_proxy_that_collects(server):
    with Collecting(server.port) as proxy:
        assert look(proxy.url)[-1] == (
            "wrong: A stream comes in clumps and not word by word: something on the way collects it. In "
            "nginx: proxy_buffering off; in HAProxy: option http-no-delay."
        )


def test_a_limit_on_how_long_a_stream_may_last(server):
    with Proxy(server.port) as proxy:
        looking = gevent.spawn(look, proxy.url)
        while not any("/up/stream" in head for head in proxy.heads):
            gevent.sleep(0.02)  # nothing announces that it is asked for
        gevent.sleep(1)  # the limit, not a wait
        proxy.cut()
        assert re.fullmatch(
            "wrong: A stream is cut after [0-9]+ seconds?, and not for its silence: something limits how "
            "long an answer may last. Take the limit out, or set it to 15 minutes.",
            looking.get()[-1],
        )


@pytest.mark.parametrize(("seconds", "direction"), [(90, "ahead of"), (-90, "behind")])
def test_a_clock_that_is_wrong(tmp_path, seconds, direction):
    lines = f"import time; now = time.time; time.time = lambda: now() + {seconds}"
    with Launched(tmp_path, None, lines) as server:
        said = (finding.sentence for finding in doctor.examine(server.start().url, 0))
        assert f"The clock of Precis is 90 seconds {direction} the one here: set both by NTP." in said


def test_one_that_has_no_place_left(tmp_path):
    with Precis(tmp_path) as server, ExitStack() as taken:
        server.start()
        for _ in range(MOST_AT_ONCE):
            taken.enter_context(httpx2.stream("GET", f"{server.url}/up/stream?seconds=100"))
        assert look(server.url)[-1].startswith("wrong: The test stream is refused (status 503): all places")


def test_the_documentation_says_what_the_doctor_says():
    told = (ROOT / "docs/proxies.md").read_text()
    for level, sentence in doctor.FINDINGS.values():
        if level != OK:
            assert f"| {level} | {sentence.replace('{', '*').replace('}', '*')} |" in told
