"""Real nginx: one with its defaults, or the one that deploy/nginx.conf configures, and who signs for it."""

import getpass
import re
import subprocess
from contextlib import contextmanager
from shutil import which

import gevent
import httpx2
import pytest

from tests.precis import ROOT, free_port

SHIPPED = (ROOT / "deploy/nginx.conf").read_text()
FOLDERS = """
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""
DEFAULTS = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    gzip on;
    gzip_types text/event-stream;
    {settings}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; }}
    }}
}}
"""


@contextmanager
def nginx(folder, port, configuration):
    """Run nginx with a configuration until it listens, and then for as long as the block lasts."""
    folder.mkdir()
    file = folder / "nginx.conf"
    file.write_text(configuration.replace("http {", "http {" + FOLDERS.format(folder=folder), 1))
    command = [which("nginx"), "-p", folder, "-c", file]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None
            try:
                httpx2.get(f"http://127.0.0.1:{port}/up", headers={"Host": "localhost"})
                break
            except httpx2.TransportError:
                gevent.sleep(0.02)  # nothing announces that a port listens
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def default_nginx(folder, upstream, settings=""):
    """Run nginx with its defaults in front of an address; yields its own."""
    port = free_port()
    text = DEFAULTS.format(folder=folder, port=port, upstream=upstream, settings=settings)
    with nginx(folder, port, text):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def shipped_nginx(folder, authority, *servers, change=("", "")):
    """Run nginx with deploy/nginx.conf, names, ports and paths replaced; yields its address."""
    plain, encrypted = free_port(), free_port()
    http2 = ("ssl http2;", "ssl http2;") if nginx_version() < (1, 25, 1) else ("ssl http2;", "ssl;")
    text = f"daemon off;\n{SHIPPED}"
    for old, new in (
        ("user www-data;", f"user {getpass.getuser()};"),
        ("/run/nginx.pid", f"{folder}/nginx.pid"),
        ("/var/log/nginx", f"{folder}"),
        ("        listen [::]:80;\n", ""),
        ("        listen [::]:443 ssl http2;\n", ""),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{encrypted} ssl"),
        http2,
        ("# http2 on;", "# http2 on;" if "http2" in http2[1] else "http2 on;"),
        ("https://precis.example$", f"https://localhost:{encrypted}$"),
        ("server_name precis.example;", "server_name localhost;"),
        ("/etc/letsencrypt/live/precis.example/fullchain.pem", f"{authority}/localhost.pem"),
        ("/etc/letsencrypt/live/precis.example/privkey.pem", f"{authority}/localhost.key"),
        (
            "server unix:/run/precis/precis.sock fail_timeout=2s;",
            "".join(f"server {server} fail_timeout=2s;\n" for server in servers),
        ),
        change,
    ):
        assert old in text, old
        text = text.replace(old, new)
    with nginx(folder, plain, text):
        yield f"https://localhost:{encrypted}"


def nginx_version():
    """Return the version's numbers."""
    told = subprocess.run([which("nginx"), "-v"], capture_output=True, text=True).stderr
    return tuple(int(number) for number in re.search(r"/([0-9.]+)", told)[1].split("."))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A folder with an authority's certificate, ca.pem, and one for localhost that it has signed."""
    return make_authority(tmp_path_factory.mktemp("authority") / "authority")


def make_authority(folder):
    """Make what the fixture is, in a folder that is not there yet."""
    folder.mkdir()
    openssl(folder, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority")
    sign(folder, "localhost")
    return folder


def sign(folder, name, days=30, host="localhost"):
    """Sign a certificate for a host, which ends in so many days."""
    openssl(folder, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}")
    (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}")
    command = (
        f"x509 -req -in {name}.csr -out {name}.pem -days {days} -extfile {name}.ext -CA ca.pem -CAkey ca.key"
    )
    subprocess.run([which("openssl"), *command.split()], cwd=folder, check=True, capture_output=True)


def openssl(folder, *arguments):
    """Have a key made in a folder, and what is asked for with it."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run([which("openssl"), "req", *key, *arguments], cwd=folder, check=True, capture_output=True)
