"""A provider that says what a script says, over a real socket, in the vendors' own wire formats.

    with ScriptedProvider() as provider:                       inside a test's process
        provider.script(text="Hello there", rate=50)
        OpenAI(base_url=provider.openai_url)
        provider.wait(calls=1, open=0)

    python -m tests.scripted_provider --port 0                 as its own: prints its addresses as JSON
        POST /control {"default": {"text": "Hello"}, "models": {"slow": {"rate": 5}}}
        GET  /control, GET /control/wait?calls=1&open=0&timeout=10

A script is a set of fields of `Script`. A call takes the one whose marker stands in its prompt,
else its model's, else the default.
"""

from __future__ import annotations

import argparse
import json
import resource
import struct
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gevent
from gevent import socket
from gevent.event import AsyncResult, Event
from gevent.hub import get_hub
from gevent.pool import Pool
from gevent.server import StreamServer

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.script import DEFAULT_TEXT, Script
from tests.wire_formats import WIRES, Wire, dumps

__all__ = ["DEFAULT_TEXT", "WIRES", "Script", "ScriptedProvider"]

TICK_SECONDS = 0.005


class Answer:
    """A call being answered: sends what is due; ends as "done", or "cancel" if the client leaves first."""

    def __init__(
        self,
        provider: ScriptedProvider,
        sock: Any,
        plan: tuple[list[float], list[bytes]],
        endless: bool,
        stamped: bool,
    ) -> None:
        self.provider = provider
        self.sock = sock
        self.dues, self.frames = plan
        self.endless = endless
        self.stamped = stamped
        self.sent = 0
        self.pending = b""
        self.start = time.monotonic()
        self.next_due = 0.0
        self.over: AsyncResult = AsyncResult()

    def run(self) -> str:
        self.sock.settimeout(0)
        watcher = get_hub().loop.io(self.sock.fileno(), 1)
        watcher.start(self._readable, watcher)
        try:
            self.emit(self.start)
            if not self.over.ready():
                self.provider.pace(self)
            return self.over.get()
        finally:
            self.over.set("killed")
            watcher.stop()
            watcher.close()
            self.sock.settimeout(None)

    def emit(self, now: float) -> None:
        elapsed = now - self.start
        first = self.sent
        while self.sent < len(self.dues) and self.dues[self.sent] <= elapsed:
            self.sent += 1
        frames = b"".join(self.frames[first : self.sent])
        if self.stamped:
            frames = frames.replace(b"t0000000", b"t%07d" % (time.monotonic_ns() // 100_000 % 10_000_000))
        data = self.pending + frames
        try:
            done = self.sock.send(data) if data else 0
        except BlockingIOError:
            done = 0
        except OSError:
            self.over.set("cancel")
            return
        self.provider.bytes_sent += done
        self.pending = data[done:]
        if self.pending:
            self.next_due = 0.0
        elif self.sent < len(self.dues):
            self.next_due = self.start + self.dues[self.sent]
        else:
            self.next_due = float("inf")
            if not self.endless:
                self.over.set("done")

    def _readable(self, watcher: Any) -> None:
        # A client that has asked has nothing more to say: what can be read is its leaving.
        watcher.stop()
        try:
            if self.sock.recv(1, socket.MSG_PEEK):
                return
        except OSError:
            pass
        if not self.over.ready():
            self.over.set("cancel")


class ScriptedProvider:
    """The server. It counts: `open` are calls being answered, `cancels` those whose client left."""

    def __init__(self, port: int = 0) -> None:
        self._pool = Pool()
        self._server = StreamServer(("127.0.0.1", port), self._serve, backlog=1024, spawn=self._pool)
        self._changed = Event()
        self._paced: list[Answer] = []
        self._pacer: Any = None
        self.key: str | None = None  # the only key that is accepted, if set
        self.known_models: list[str] | None = None  # the only models, if set
        self.reset()

    def reset(self) -> None:
        """Forget scripts and counts; what runs goes on."""
        self.default = Script()
        self.models: dict[str, Script] = {}
        self.markers: dict[str, Script] = {}
        self.calls_by_model: Counter[str] = Counter()
        self.calls = self.finished = self.cancels = self.connections = self.bytes_sent = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=50)
        if not hasattr(self, "open"):
            self.open = 0

    def __enter__(self) -> ScriptedProvider:
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.openai_url = f"{self.url}/v1"
        self.anthropic_url = self.url
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop(timeout=0)
        self._pool.kill()
        if self._pacer:
            self._pacer.kill()

    def serve_forever(self) -> None:
        self._server.serve_forever()

    def script(self, *, model: str | None = None, marker: str | None = None, **fields: Any) -> Script:
        """Set the script of prompts that hold `marker`, or of `model`, or of all the rest."""
        script = Script(**fields)
        if marker is not None:
            self.markers[marker] = script
        elif model is not None:
            self.models[model] = script
        else:
            self.default = script
        return script

    def wait(self, timeout: float = 30, **figures: int) -> ScriptedProvider:
        """Wait until `open` is as given and every other figure at least as given, or raise TimeoutError."""
        with gevent.Timeout(
            timeout, TimeoutError(f"waited for {figures}, have {self.state(requests=False)}")
        ):
            while not all(
                getattr(self, name) == figure if name == "open" else getattr(self, name) >= figure
                for name, figure in figures.items()
            ):
                self._changed.wait()
        return self

    def state(self, requests: bool = True) -> dict[str, Any]:
        names = ("calls", "calls_by_model", "finished", "cancels", "open", "connections", "bytes_sent")
        state = {name: getattr(self, name) for name in names}
        return state | {"requests": list(self.requests)} if requests else state

    def pace(self, answer: Answer) -> None:
        # One clock for all: a timer per token would cost more than sending it.
        self._paced.append(answer)
        if not self._pacer:
            self._pacer = gevent.spawn(self._tick)

    def _tick(self) -> None:
        while self._paced:
            now = time.monotonic()
            for answer in self._paced:
                if answer.next_due <= now and not answer.over.ready():
                    answer.emit(now)
            self._paced = [answer for answer in self._paced if not answer.over.ready()]
            gevent.sleep(TICK_SECONDS)
        self._pacer = None

    def _count(self, **steps: int) -> None:
        for name, step in steps.items():
            setattr(self, name, getattr(self, name) + step)
        changed, self._changed = self._changed, Event()
        changed.set()

    def _serve(self, sock: Any, _address: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        counted = False
        try:
            with sock.makefile("rb") as file:
                while request := self._receive(sock, file):
                    path, headers, body = request
                    if path.startswith("/control"):
                        self._control(sock, path, body)
                        continue
                    if not counted:
                        counted = True
                        self._count(connections=1)
                    if not self._answer(sock, path, headers, json.loads(body or b"{}")):
                        return
        except OSError:
            pass
        finally:
            sock.close()

    def _receive(self, sock: Any, file: Any) -> tuple[str, dict[str, str], bytes] | None:
        first = file.peek(1)[:1]
        if not first.isalpha():  # nothing more, or somebody speaks TLS
            if first:
                sock.sendall(_plain(400, b""))
            return None
        line = file.readline()
        headers: dict[str, str] = {}
        while (header := file.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return line.split()[1].decode(), headers, file.read(int(headers.get("content-length", 0)))

    def _control(self, sock: Any, path: str, body: bytes) -> None:
        path, _, query = path.partition("?")
        status = 200
        try:
            if path == "/control/wait":
                self.wait(**{name: float(value) for name, value in parse_qsl(query)})  # type: ignore[arg-type]
            elif body:
                self._set(json.loads(body))
        except (TimeoutError, AttributeError, TypeError, ValueError) as exc:
            status = 408 if isinstance(exc, TimeoutError) else 400
            body = dumps({"error": str(exc)})
        sock.sendall(_plain(status, body if status != 200 else dumps(self.state())))

    def _set(self, orders: dict[str, Any]) -> None:
        if orders.get("reset"):
            self.reset()
        if "default" in orders:
            self.script(**orders["default"])
        for name, fields in orders.get("models", {}).items():
            self.script(model=name, **fields)
        for marker, fields in orders.get("markers", {}).items():
            self.script(marker=marker, **fields)
        self.key = orders.get("key", self.key)
        self.known_models = orders.get("known_models", self.known_models)

    def _answer(self, sock: Any, path: str, headers: dict[str, str], body: dict[str, Any]) -> bool:
        """Answer one call; return whether the connection goes on."""
        if path not in WIRES:
            sock.sendall(_plain(404, dumps(Wire.refusal(404))))
            return True
        model = str(body.get("model"))
        self.requests.append({"path": path, "headers": headers, "body": body})
        self.calls_by_model[model] += 1
        self._count(calls=1, open=1)
        script = self._script_of(body, model, headers).next()
        outcome = "killed"
        try:
            outcome = self._play(sock, script, path, model)
        finally:
            self._count(open=-1, **({"cancels": 1} if outcome == "cancel" else {"finished": 1}))
        if outcome == "done" and script.fault == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return outcome == "done" and script.fault not in ("fin", "rst")

    def _script_of(self, body: dict[str, Any], model: str, headers: dict[str, str]) -> Script:
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.key is not None and key != self.key:
            return Script(status=401)
        if self.known_models is not None and model not in self.known_models:
            return Script(status=404)
        marked = (script for marker, script in self.markers.items() if _says(body, marker))
        return next(marked, None) or self.models.get(model) or self.default

    def _play(self, sock: Any, script: Script, path: str, model: str) -> str:
        wire = WIRES[path]
        headers = {wire.request_id: f"req_{self.calls}"} | script.headers
        if script.status != 200:
            error = wire.refusal(script.status) if script.error is None else script.error
            data = script.raw or (error.encode() if isinstance(error, str) else dumps(error))
            plan = [script.before_headers], [_plain(script.status, data, headers)]
        elif script.at == -1:
            plan = [script.before_headers], [b""]
        else:
            headers |= {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
            dues, frames = script.plan(path, model)
            plan = [script.before_headers, *dues], [_head(200, headers), *frames]
        endless = script.fault in ("silence", "hold")
        return Answer(self, sock, plan, endless=endless, stamped=script.stamped).run()


def _says(value: Any, marker: str) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(_says(each, marker) for each in value) if isinstance(value, list) else marker in str(value)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1")


def _plain(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    kind = "application/json" if body[:1] in b"{[" else "text/html"
    return _head(status, (headers or {}) | {"Content-Type": kind, "Content-Length": str(len(body))}) + body


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve scripted replies on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=json.loads, default={}, help="the default script, as JSON")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ScriptedProvider(arguments.port) as provider:
        provider.script(**arguments.script)
        addresses = {
            "url": provider.url,
            "openai_url": provider.openai_url,
            "anthropic_url": provider.anthropic_url,
        }
        print(json.dumps(addresses), flush=True)
        provider.serve_forever()


if __name__ == "__main__":
    main()
