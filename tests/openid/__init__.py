"""A real OpenID provider in a process of its own, and a person's browser that signs in with it."""

import json
import re
import subprocess
import time
from base64 import urlsafe_b64encode
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import gevent
import httpx2
from gevent.pywsgi import WSGIServer
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.precis import ROOT, dying_with_us, free_port

HERE = Path(__file__).parent
PACKAGES = ROOT / "var/openid"
CLIENT = {"oidc_client_id": "precis", "oidc_client_secret": "a secret of the tests"}


class OpenID:
    """The provider, once `start`ed; whoever types a name is that person."""

    def __init__(self):
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        """Start it and wait until it listens."""
        assert (PACKAGES / "node_modules").exists(), "make var/openid/node_modules"
        with (HERE / "provider.mjs").open() as program:
            self.process = subprocess.Popen(
                # From its standard input it looks for packages where it runs.
                ["node", "--input-type=module", "-", str(self.port)],
                stdin=program,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=PACKAGES,
                preexec_fn=dying_with_us(9),
            )
        with gevent.Timeout(60, AssertionError("the provider does not start")):
            assert self.process.stdout.readline() == b"listening\n"
        return self

    def stop(self):
        """Kill it and wait until it is dead."""
        self.process.kill()
        self.process.communicate()

    def ask(self, address, name, cookies=None):
        """Sign in by a name where Precis sends a browser, or cancel for None; returns the way back.

        It asks nothing of whom it knows by the `cookies`, unless Precis wants it to.
        """
        with httpx2.Client(base_url=self.issuer, cookies=cookies, follow_redirects=False) as browser:
            answer = browser.get(address)
            while "Location" in answer.headers:
                where = urljoin(self.issuer, answer.headers["Location"])
                if not where.startswith(self.issuer):
                    if cookies is not None:
                        cookies.update(browser.cookies)
                    return where
                answer = browser.get(where)
                if name is None and (cancel := re.search(r'href="([^"]*/abort)"', answer.text)):
                    answer = browser.get(cancel[1])
                elif form := re.search(r'action="([^"]*/interaction/[^"]*)"', answer.text):
                    data = {"prompt": "login", "login": name, "password": "any"}
                    answer = browser.post(form[1], data=data)
            raise AssertionError(answer.text)


@cache
def make_key(name="first"):
    """Make the key of a name, which takes a while."""
    return RSAKey.generate_key(2048, {"kid": "forged"})


class Forger:
    """What calls itself a provider and says of whoever comes what a test wants; it asks nobody anything."""

    def __init__(self):
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.key = make_key()
        # What it says other than a provider would; None leaves a claim out.
        self.says = {}
        self.header = {"alg": "RS256", "kid": "forged"}
        self.more = {"sub": "anna"}

    def __enter__(self):
        self._server = WSGIServer(("127.0.0.1", self.port), self._answer, log=None)
        self._server.start()
        return self

    def __exit__(self, *exc):
        self._server.stop()

    def sign_in(self, client):
        """Sign in whoever comes; returns Precis' answer to the way back."""
        return come_back(client, self.ask(begin(client)))

    def ask(self, address):
        """Return the way back from where Precis sends a browser."""
        self._nonce = parameter(address, "nonce")
        return f"{parameter(address, 'redirect_uri')}?code=any&state={parameter(address, 'state')}"

    def _answer(self, environ, start_response):
        answers = {
            "/.well-known/openid-configuration": self._describe,
            "/jwks": lambda: {"keys": [self.key.as_dict(private=isinstance(self.key, OctKey))]},
            "/token": lambda: {"access_token": "any", "token_type": "Bearer", "id_token": self._token()},
            "/me": lambda: self.more,
        }
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answers[environ["PATH_INFO"]]()).encode()]

    def _describe(self):
        places = ("authorization_endpoint", "/auth"), ("token_endpoint", "/token"), ("jwks_uri", "/jwks")
        told = {name: self.issuer + path for name, path in (*places, ("userinfo_endpoint", "/me"))}
        listed = ["RS256", "HS256", "none"]
        return told | {"issuer": self.issuer, "id_token_signing_alg_values_supported": listed}

    def _token(self):
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "anna", "aud": "precis", "iat": now, "exp": now + 60}
        claims |= {"nonce": self._nonce} | self.says
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "none":
            parts = (json.dumps(part).encode() for part in (self.header, claims))
            return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        return jwt.encode(self.header, claims, self.key)


def begin(client, **query):
    """Begin to sign in; returns the provider's address that the browser is sent to."""
    answer = client.get("/session/new", query_string=query)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def come_back(client, address):
    """Follow the provider back to Precis; returns its answer."""
    where = urlsplit(address)
    return client.get(f"{where.path}?{where.query}", base_url=f"{where.scheme}://{where.netloc}")


def sign_in(client, openid, name, **query):
    """Sign in by a name; returns the answer to the way back."""
    return come_back(client, openid.ask(begin(client, **query), name))


def parameter(address, name):
    """Return a parameter of an address."""
    return parse_qs(urlsplit(address).query)[name][0]
