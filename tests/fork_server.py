"""A process that has imported what Precis imports, and forks servers that have yet to run their first line.

Nine tenths of what the start of a server costs are imports, and the tests start hundreds.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# Whose first imports are the same.
PROGRAMS = [(sys.executable, ROOT / "app.py"), (sys.executable, ROOT / "tests" / "hurried.py")]
MAX_BYTES = 128 * 1024


class ForkServer:
    """Starts programs of ours, the first one when it is asked for it."""

    def __init__(self):
        self._process = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self._process:
            self._orders.close()
            self._process.wait()

    def suits(self, command, environ):
        """Return whether a command is a program on the code that is loaded here, and nothing else."""
        return command in PROGRAMS and "LD_PRELOAD" not in environ

    def start(self, program, environ, log, folder):
        """Start a program whose output goes to a file, in a session of its own; returns the process."""
        if self._process is None:
            self._begin()
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = {"program": str(program), "environ": environ, "log": str(log), "folder": str(folder)}
        with theirs:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs.fileno()])
        return Forked(report)

    def _begin(self):
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                preexec_fn=dying_with_us(signal.SIGKILL),
            )


class Forked:
    """A process that was forked, to be used as one of `subprocess` is."""

    def __init__(self, report):
        self._report = report
        self.pid = int(report.recv(MAX_BYTES))
        self.returncode = None

    def poll(self):
        """Return its exit code, or None while it runs."""
        self._report.settimeout(0)
        try:
            return self.wait()
        except BlockingIOError:
            return None
        finally:
            self._report.settimeout(None)

    def wait(self):
        """Wait until it has ended; returns its exit code."""
        if self.returncode is None:
            self.returncode = int(self._report.recv(MAX_BYTES))
            self._report.close()
        return self.returncode

    def send_signal(self, number):
        """Send it a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def dying_with_us(number):
    """Return what a new process calls first to be sent a signal when this one dies, however that dies."""
    return lambda: LIBC.prctl(PR_SET_PDEATHSIG, number)


def serve(orders):
    """Fork a process for each order, and return in it what it shall run; without more orders return None."""
    # As they are before gevent takes their place: its own begin with a hub, which all would inherit.
    fork, waitpid, handle = os.fork, os.waitpid, signal.signal
    load()
    # The other end is gevent's, which has made it anything but that.
    orders.setblocking(True)
    handle(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, MAX_BYTES, 1)
        if not data:
            return None
        [report] = descriptors
        if not fork():
            break
        os.close(report)
    # Between the two stands who waits for the server and reports how it ended.
    orders.close()
    handle(signal.SIGCHLD, signal.SIG_DFL)
    dying_with_us(signal.SIGKILL)()
    if pid := fork():
        os.write(report, str(pid).encode())
        _, status = waitpid(pid, 0)
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(report)
    return json.loads(data)


def load():
    """Import all that a server does, and leave it out of every collection of what is no longer used."""
    sys.path[0] = str(ROOT)
    import app

    openai = app.openai.OpenAI()
    openai.warm()
    openai.close()
    gc.collect()
    gc.freeze()


def run(program, environ, log, folder):
    """Become the process that `python program` would be."""
    os.setsid()
    dying_with_us(signal.SIGTERM)()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.argv = [program]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    if order := serve(socket.socket(fileno=int(sys.argv[1]))):
        run(**order)
