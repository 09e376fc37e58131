"""Behind a real nginx that knows nothing of streams: what Precis sends of itself is enough."""

import subprocess
from contextlib import contextmanager
from shutil import which

import gevent
import httpx2
import pytest

from tests.page import Page
from tests.precis import free_port

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    gzip on;
    gzip_types text/event-stream;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; }}
    }}
}}
"""


@contextmanager
def nginx(folder, upstream):
    """Run nginx with its defaults in front of an address; yields its own."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, upstream=upstream))
    process = subprocess.Popen([which("nginx"), "-p", folder, "-c", file], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None
            try:
                httpx2.get(f"{url}/up", headers={"Host": "localhost"})
                break
            except httpx2.TransportError:
                gevent.sleep(0.02)  # nothing announces that a port listens
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.mark.fault("proxy that buffers")
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_each_word_passes_at_once(site, tmp_path, encoding):
    provider = site.provider
    provider.script(text="one two three four five six seven", rate=20)
    headers = {"Host": "localhost", "Accept-Encoding": encoding}
    with nginx(tmp_path, site.url) as url:
        analysis = site.ask(site.bring("Text."))
        page = Page(analysis)
        received, reads = b"", []
        with httpx2.stream("GET", f"{url}{analysis}/stream", headers=headers, timeout=10) as answer:
            # One that was told to compress event streams does so, but holds nothing back for it.
            assert answer.headers.get("content-encoding", "identity") == encoding
            for chunk in answer.iter_bytes():
                received += chunk
                reads.append((b"#tail" in chunk, provider.open))
        page.read(received)

    assert page.done
    assert page.text == "onetwothreefourfivesixseven"
    # While the provider still wrote, its words came one after another.
    assert sum(has_text for has_text, is_open in reads if is_open) > 3
