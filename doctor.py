"""The stream doctor: looks at Precis from where a browser is, and says in words what is wrong on the way.

It asks for no page and nothing of what it does is kept: it looks at `/up`, and at the ticks of `/up/stream`.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from urllib.parse import urljoin

import httpx2

from findings import Finding, ok, warning, wrong
from views.health import MOST_SECONDS, SILENCE_SECONDS, TICK_SECONDS
from views.helpers.formats import plural
from views.streams import BEAT_SECONDS

PATIENCE_SECONDS = 10.0
CLOCK_SECONDS = 5.0
EXPIRY_DAYS = 14
MOST_REDIRECTS = 5
# As long as the longest paste that Precis takes.
FORM_MEGABYTES = 12
STAMP = re.compile(rb"^data: ([0-9]+\.[0-9]{3})$", re.MULTILINE)
DONE = b"event: done\n"

# In the order in which they are looked for.
FINDINGS = {
    "no address": wrong("{url} is no address: it begins with https:// and a name."),
    "no name": wrong("Nobody knows the name {host}: see whether it is spelt right, and in the DNS."),
    "no answer": wrong(
        "Nothing answers at {where} ({reason}): see whether the proxy runs and listens there, and whether "
        "the firewall lets you through."
    ),
    "no TLS": wrong(
        "No encrypted connection to {where} comes about ({reason}): the port speaks plain HTTP, or only TLS "
        "before 1.2. In nginx: listen 443 ssl, and ssl_protocols TLSv1.2 TLSv1.3."
    ),
    "expired": wrong("The certificate has expired: renew it, and have the proxy reloaded at each renewal."),
    "other name": wrong(
        "The certificate is not for {host}: get one that names it, or go by a name that it is for."
    ),
    "untrusted": wrong(
        "The certificate is not trusted ({reason}): let ssl_certificate hold the whole chain; if an "
        "authority of your own has signed it, have the browsers trust that, and name its file in "
        "SSL_CERT_FILE for the doctor."
    ),
    "expires": warning("The certificate ends in {days}: see whether anything renews it."),
    "trusted": ok("The certificate is trusted, for {days} more."),
    "no HTTP/2": warning(
        "HTTP/2 is not spoken: a browser then has six connections, and a seventh page that watches an "
        "analysis keeps all others waiting. In nginx: listen 443 ssl http2; since 1.25.1 http2 on."
    ),
    "HTTP/2": ok("HTTP/2 is spoken: all pages of a browser share one connection."),
    "redirect": ok("{where} leads to {target}."),
    "redirects": wrong("{url} leads from one address to the next without end."),
    "led away": wrong(
        "{where}/up leads to {target}: another program answers, or a sign-in in front of Precis. Let /up "
        "and /up/stream through without one."
    ),
    "no Precis": wrong(
        "The proxy does not reach Precis (status {status}): see whether Precis runs, and whether the proxy "
        "looks for it where PRECIS_BIND, or PRECIS_HOST and PRECIS_PORT, say. In nginx: upstream and "
        "proxy_pass."
    ),
    "other host": wrong(
        "Precis does not answer to {host}: add it to PRECIS_HOSTS, and let the proxy pass the name on. In "
        "nginx: proxy_set_header Host $http_host."
    ),
    "other program": wrong(
        "What answers at {where} is not Precis (status {status}): see to which server and location of the "
        "proxy this name leads. In nginx: server_name, location and proxy_pass."
    ),
    "Precis": ok("Precis answers at {where}."),
    "plain": warning(
        "Nothing is encrypted, and without encryption browsers speak no HTTP/2: a seventh page that watches "
        "an analysis keeps all others waiting. Put a proxy with a certificate in front."
    ),
    "no policy": warning(
        "The Content-Security-Policy of Precis does not arrive: take out what hides it. In nginx: "
        "proxy_hide_header."
    ),
    "other origin": wrong(
        "Precis takes its own pages for another site's, so that some browsers can send no form: the proxy "
        "passes on another name or port than the browser's. In nginx: proxy_set_header Host $http_host."
    ),
    "origin": ok("A form is taken for Precis' own."),
    "small forms": wrong(
        "A form of {megabytes} MB is refused on the way, so that long documents cannot be brought. In "
        "nginx: client_max_body_size 16m, which is as much as Precis takes."
    ),
    "large forms": ok("A form of {megabytes} MB is let in."),
    "no stream": wrong(
        "The test stream is refused (status {status}): all places may be taken, the proxy may let only /up "
        "through, or this Precis may be older than the doctor."
    ),
    "other type": wrong(
        "A stream arrives as {type} and not as text/event-stream, so that browsers refuse it: take out what "
        "changes Content-Type."
    ),
    "transformable": warning(
        "A stream's Cache-Control: no-store, no-transform does not arrive, so that what stands further on "
        "may keep or compress it: take out what hides or changes it. In nginx: proxy_hide_header, expires."
    ),
    "compressed": warning(
        "A stream is compressed on the way ({encoding}), which saves little and may hold it back. In nginx: "
        "gzip off, or no text/event-stream in gzip_types."
    ),
    "clock": warning("The clock of Precis is {seconds} {direction} the one here: set both by NTP."),
    "buffered": wrong(
        "Nothing of a stream comes before its end: something on the way buffers it. In nginx: "
        "proxy_buffering off, and no proxy_ignore_headers X-Accel-Buffering."
    ),
    "clumps": wrong(
        "A stream comes in clumps and not word by word: something on the way collects it. In nginx: "
        "proxy_buffering off; in HAProxy: option http-no-delay."
    ),
    "word by word": ok("A stream comes word by word."),
    "silence": wrong(
        "A stream is cut after {seconds} of silence, and a real one is silent for up to {beat}. In "
        "nginx: proxy_read_timeout 60s."
    ),
    "cut": wrong(
        "A stream is cut after {seconds}, and not for its silence: something limits how long an "
        "answer may last. Take the limit out, or set it to 15 minutes."
    ),
    "whole": ok(
        "A stream of {seconds} that is silent for {silence} at a time comes through whole; a real "
        "one is silent for up to {beat}."
    ),
}


def found(name: str, **values: object) -> Finding:
    """Make the finding of a name."""
    level, sentence = FINDINGS[name]
    return Finding(level, sentence.format_map(values))


class Blocked(Exception):
    """Behind this finding there is nothing to look at."""

    def __init__(self, name: str, **values: object) -> None:
        super().__init__(name)
        self.finding = found(name, **values)


def examine(url: str, seconds: int) -> Iterator[Finding]:
    """Yield what is found at an address; the last stream lasts `seconds`, at most MOST_SECONDS."""
    try:
        site = httpx2.URL(url)
        if site.scheme not in {"http", "https"} or not site.host:
            raise Blocked("no address", url=url)
        for _ in range(MOST_REDIRECTS):
            visit = Visit(site)
            yield from visit.greet()
            target = yield from visit.arrive()
            if target is None:
                yield from visit.look(min(seconds, MOST_SECONDS))
                return
            site = target
        raise Blocked("redirects", url=url)
    except httpx2.InvalidURL:
        yield found("no address", url=url)
    except Blocked as blocked:
        yield blocked.finding


class Visit:
    """A look at one address."""

    def __init__(self, site: httpx2.URL) -> None:
        self.host = site.host
        self.is_encrypted = site.scheme == "https"
        self.port = site.port or (443 if self.is_encrypted else 80)
        self.netloc = site.netloc.decode()
        self.origin = f"{site.scheme}://{self.netloc}"
        self.is_trusted = True

    def greet(self) -> Iterator[Finding]:
        """Look at the certificate, and at which protocol is chosen."""
        if not self.is_encrypted:
            return
        try:
            end, protocol = self._shake_hands()
        except ssl.SSLCertVerificationError as error:
            yield self._mistrust(error)
            # What else is wrong is worth knowing too, and nothing is sent that nobody may read.
            self.is_trusted = False
            _, protocol = self._shake_hands()
        else:
            days = int((ssl.cert_time_to_seconds(end) - time.time()) // 86_400)
            yield found("expires" if days < EXPIRY_DAYS else "trusted", days=plural(days, "day"))
        yield found("HTTP/2" if protocol == "h2" else "no HTTP/2")

    def _mistrust(self, error: ssl.SSLCertVerificationError) -> Finding:
        # Codes of OpenSSL's x509_vfy.h: expired; another host name, another IP address.
        names = {10: "expired", 62: "other name", 64: "other name"}
        name = names.get(error.verify_code, "untrusted")
        return found(name, host=self.host, reason=error.verify_message)

    def arrive(self) -> Generator[Finding, None, httpx2.URL | None]:
        """Look whether Precis is there; returns where a redirect leads, or None."""
        with self._reaching(), self._client() as client:
            answer = client.get("/up")
        if answer.is_redirect:
            target = httpx2.URL(urljoin(str(answer.url), answer.headers.get("Location", "")))
            if target.path != "/up":
                raise Blocked("led away", where=self.origin, target=target)
            yield found("redirect", where=self.origin, target=str(target).removesuffix("/up"))
            return target
        if answer.status_code in {502, 503, 504}:
            raise Blocked("no Precis", status=answer.status_code)
        if "PRECIS_HOSTS" in answer.text:
            raise Blocked("other host", host=self.host)
        if (answer.status_code, answer.text) != (200, "up\n"):
            raise Blocked("other program", where=self.origin, status=answer.status_code)
        yield found("Precis", where=self.origin)
        if not self.is_encrypted:
            yield found("plain")
        if "Content-Security-Policy" not in answer.headers:
            yield found("no policy")
        return None

    def look(self, seconds: int) -> Iterator[Finding]:
        """Look at what a form meets on the way, and what a stream does."""
        yield self._look_at_origin()
        yield from self._look_at_size()
        short = self._watch(0)
        yield from short.headers()
        yield from short.pace()
        if short.is_whole and not short.is_held:
            yield self._watch(seconds).end(seconds)

    def _look_at_origin(self) -> Finding:
        """Post as a page does: what comes from another site is refused before all else."""
        with self._reaching(), self._client() as client:
            answer = client.post("/up", headers={"Origin": self.origin})
        return found("other origin" if answer.status_code == 403 else "origin")

    def _look_at_size(self) -> Iterator[Finding]:
        """Announce a long form and wait for leave to send it, which is not used."""
        head = (
            f"POST /up HTTP/1.1\r\nHost: {self.netloc}\r\n"
            f"Content-Length: {FORM_MEGABYTES << 20}\r\nExpect: 100-continue\r\n\r\n"
        )
        with self._reaching():
            connection = self._connect()
            if self.is_encrypted:
                connection = self._encrypt(connection, "http/1.1")
            with closing(connection):
                try:
                    connection.sendall(head.encode())
                    status = connection.recv(12)
                except OSError:
                    status = b""
        # Who does not know of leave waits for the form, or hangs up: then nothing is known.
        if status:
            name = "small forms" if status.endswith(b" 413") else "large forms"
            yield found(name, megabytes=FORM_MEGABYTES)

    def _watch(self, seconds: int) -> Watch:
        with self._reaching(), self._client(SILENCE_SECONDS + PATIENCE_SECONDS) as client:
            return Watch(client, f"/up/stream?seconds={seconds}")

    # Connections

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say what keeps a connection from being made; mistrust is left to who asks."""
        try:
            yield
        except ssl.SSLCertVerificationError:
            raise
        except ssl.SSLError as error:
            raise Blocked("no TLS", where=self.origin, reason=error.reason) from None
        except socket.gaierror:
            raise Blocked("no name", host=self.host) from None
        except (OSError, httpx2.TransportError) as error:
            raise Blocked("no answer", where=self.origin, reason=error) from None

    def _shake_hands(self) -> tuple[str, str | None]:
        """Return when a trusted certificate ends, and which protocol the server chose."""
        with self._reaching(), closing(self._encrypt(self._connect(), "h2", "http/1.1")) as connection:
            certificate = connection.getpeercert() or {}
            return str(certificate.get("notAfter", "")), connection.selected_alpn_protocol()

    def _connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), PATIENCE_SECONDS)

    def _encrypt(self, connection: socket.socket, *protocols: str) -> ssl.SSLSocket:
        context = self._context()
        context.set_alpn_protocols(protocols)
        return context.wrap_socket(connection, server_hostname=self.host)

    def _client(self, patience: float = PATIENCE_SECONDS) -> httpx2.Client:
        # A proxy that this machine's environment names is none that all visitors meet.
        return httpx2.Client(base_url=self.origin, verify=self._context(), timeout=patience, trust_env=False)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self.is_trusted:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Watch:
    """The stream of ticks as it came: read to its end, whichever that is."""

    def __init__(self, client: httpx2.Client, path: str) -> None:
        self.sent: list[float] = []
        self.came: list[float] = []
        received = b""
        with client.stream("GET", path) as answer:
            if answer.status_code != 200:
                raise Blocked("no stream", status=answer.status_code)
            self.answer = answer
            self.began = time.time()
            try:
                for part in answer.iter_bytes():
                    received += part
                    self.sent = [float(stamp) for stamp in STAMP.findall(received)]
                    self.came += [time.time()] * (len(self.sent) - len(self.came))
            except httpx2.TransportError:
                pass
            self.ended = time.time()
        self.is_whole = DONE in received

    @property
    def is_held(self) -> bool:
        """Whether many of its messages come together with the one before."""
        together = [gap for gap in _gaps(self.came) if gap < TICK_SECONDS / 4]
        return len(together) > 0.4 * len(self.came)

    def headers(self) -> Iterator[Finding]:
        """Tell what became of its headers."""
        type = self.answer.headers.get("Content-Type", "nothing in particular")
        if not type.startswith("text/event-stream"):
            yield found("other type", type=type)
        if "no-transform" not in self.answer.headers.get("Cache-Control", ""):
            yield found("transformable")
        if encoding := self.answer.headers.get("Content-Encoding"):
            yield found("compressed", encoding=encoding)

    def pace(self) -> Iterator[Finding]:
        """Tell by which clock it was sent, and whether it came as it was sent."""
        if not self.is_whole:
            yield self._cut()
            return
        ahead = max(sent - came for sent, came in zip(self.sent, self.came, strict=True))
        if abs(ahead) > CLOCK_SECONDS:
            direction = "ahead of" if ahead > 0 else "behind"
            yield found("clock", seconds=_words(abs(ahead)), direction=direction)
        if not self.is_held:
            yield found("word by word")
        elif sum(_gaps(self.came)) < sum(_gaps(self.sent)) / 4:
            yield found("buffered")
        else:
            yield found("clumps")

    def end(self, seconds: int) -> Finding:
        """Tell whether it lasted for so many seconds."""
        if not self.is_whole:
            return self._cut()
        silence = f"{min(seconds, SILENCE_SECONDS):g}"
        return found("whole", seconds=_words(seconds), silence=silence, beat=f"{BEAT_SECONDS:g}")

    def _cut(self) -> Finding:
        silence = self.ended - (self.came[-1] if self.came else self.began)
        if silence > max(_gaps(self.came), default=0):
            return found("silence", seconds=_words(silence), beat=f"{BEAT_SECONDS:g}")
        return found("cut", seconds=_words(self.ended - self.began))


def _words(seconds: float) -> str:
    return plural(round(seconds), "second")


def _gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]
