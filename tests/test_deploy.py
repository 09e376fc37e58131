"""What is in deploy/: its files name what there is, and do what they say."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from shutil import which

import gevent
import gevent.event
import httpx2
import pytest

import config
import server
from tests.precis import ROOT, Precis, free_port
from tests.test_server import wait_until

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()
# What the tests, the bench and the people who read need, and no server.
NOT_SERVED = {"bench", "deploy", "docs", "tests", "var"}


def test_every_setting_that_is_named_is_one():
    known = {config.name_of(field) for field in config.Settings.model_fields}
    named = {
        (file.name, name)
        for file in DEPLOY.iterdir()
        for name in re.findall(r"\b(?:PRECIS|OPENAI|ANTHROPIC)_[A-Z_]+\b", file.read_text())
    }
    assert {"PRECIS_BIND", "PRECIS_ROLE", "PRECIS_GRACE_SECONDS"} <= {name for _, name in named}
    assert {(file, name) for file, name in named if name not in known} == set()


@pytest.mark.parametrize("several", [False, True])
def test_the_example_of_the_settings_can_be_used(monkeypatch, several):
    lines = (DEPLOY / "precis.env.example").read_text().splitlines()
    for line in lines:
        name, is_set, value = line.removeprefix("#" * several).partition("=")
        if is_set and name.isidentifier():
            monkeypatch.setenv(name, value)
    settings = config.load()
    assert bool(settings.database_file) is not several
    assert bool(settings.redis_url) is several


# systemd


def directives(unit):
    """Return the directives of a unit; of those that stand several times, all values."""
    lines = [line.partition("=") for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w+=", line)]
    return {name: [value for other, _, value in lines if other == name] for name, _, _ in lines}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_gives_what_runs_its_grace_and_each_worker_its_files(unit):
    told = directives(unit)
    environment = dict(value.split("=") for value in told.get("Environment", []))
    grace = float(environment.get("PRECIS_GRACE_SECONDS", config.Settings().grace_seconds))
    assert float(told["TimeoutStopSec"][0]) > grace + 10
    assert (told["KillSignal"], told["KillMode"], told["Restart"]) == (["SIGTERM"], ["mixed"], ["always"])
    assert (int(told["LimitNOFILE"][0]) - 32) // 5 >= server.MAX_CONNECTIONS
    program, *arguments = told["ExecStart"][0].split()
    assert Path(program).is_relative_to(told["WorkingDirectory"][0])
    assert [(ROOT / argument).exists() for argument in arguments] == [True]


@pytest.mark.parametrize("unit", [*UNITS, DEPLOY / "precis.socket"], ids=lambda unit: unit.name)
def test_a_unit_holds_nothing_that_systemd_does_not_know(unit, tmp_path):
    for file in [*UNITS, DEPLOY / "precis.socket"]:
        copy = tmp_path / file.name.replace("@", "@8001")
        copy.write_text(file.read_text().replace("/opt/precis/.venv/bin/python", sys.executable))
    if analyze := which("systemd-analyze"):
        command = [analyze, "verify", "--man=no", tmp_path / unit.name.replace("@", "@8001")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_who_comes_while_it_starts_anew_behind_systemds_socket_is_refused_nothing(tmp_path):
    """systemd holds the socket, and so does this test."""
    precis = Precis(tmp_path)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", precis.port))
        holder.listen(100)

        def activate():
            # As the third descriptor, and named to the process that it becomes.
            return subprocess.Popen(
                ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$1"', sys.executable, ROOT / "app.py"],
                env=os.environ | precis.settings,
                preexec_fn=lambda: os.dup2(holder.fileno(), 3),
                close_fds=False,
                stderr=subprocess.DEVNULL,
                cwd=tmp_path,
            )

        answers = []

        def come_and_go():
            while not over.ready():
                answers.append(httpx2.get(f"{precis.url}/up", timeout=30).status_code)

        over = gevent.event.AsyncResult()
        process = activate()
        try:
            people = [gevent.spawn(come_and_go) for _ in range(5)]
            wait_until(lambda: len(answers) > 20, timeout=60)
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
            before = len(answers)
            process = activate()
            wait_until(lambda: len(answers) > before + 20, timeout=60)
            over.set()
            gevent.joinall(people, raise_error=True)
        finally:
            process.kill()
            process.wait()
    assert set(answers) == {200}


# Containers


def copied():
    """Return what the image has of the repository, and under which names."""
    for line in DOCKERFILE.rpartition("\nFROM ")[2].splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, target = line.split()[1:]
            for file in (file for source in sources for file in ROOT.glob(source)):
                yield file, file.name if target == "./" else target


def test_the_image_has_all_that_is_served_and_nothing_else(tmp_path):
    names = {file.name for file, _ in copied()}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name.isidentifier()}
    assert folders - NOT_SERVED - {"__pycache__"} == {name for name in names if (ROOT / name).is_dir()}
    for file, target in copied():
        copy = shutil.copytree if file.is_dir() else shutil.copy
        copy(file, tmp_path / target)
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    environment = os.environ | {"PRECIS_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "app.py", "check"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_the_image_copies_is_not_ignored():
    allowed = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    sources = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(allowed) == sorted({source for line in sources for source in line.split()})


def test_the_image_runs_as_nobody_and_is_told_in_no_shell():
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", DOCKERFILE, re.MULTILINE)
    for command in re.findall(r"^(?:RUN|ENTRYPOINT|HEALTHCHECK .*CMD) (.*)$", DOCKERFILE, re.MULTILINE):
        assert json.loads(command)
    ours = COMPOSE.partition("\nx-precis:")[2].partition("\n\n")[0]
    for setting in (
        "read_only: true",
        "cap_drop: [ALL]",
        'security_opt: ["no-new-privileges:true"]',
        "init: true",
    ):
        assert f"\n  {setting}\n" in ours
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"_KEY|PASSWORD|SECRET", DOCKERFILE)


def is_healthy(command):
    """Run a health check's command with this Python."""
    done = subprocess.run([sys.executable, *command[1:]], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def test_the_images_health_check_tells_whether_it_answers(site):
    (command,) = re.findall(r"^HEALTHCHECK .*CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert is_healthy(json.loads(command.replace("8000", str(site.port))))
    assert not is_healthy(json.loads(command.replace("8000", str(free_port()))))


def test_over_a_socket_the_health_check_tells_the_same(tmp_path):
    words = re.search(r"^x-ask: &ask >-\n((?:  .*\n)+)", COMPOSE, re.MULTILINE)[1].split("\n")
    command = ["python", "-S", "-c", " ".join(line.strip() for line in words), str(tmp_path / "socket")]
    assert not is_healthy(command)
    with Precis(tmp_path, PRECIS_BIND=f"unix:{tmp_path}/socket") as precis:
        precis.process = precis.launch()
        wait_until(lambda: is_healthy(command))


def test_nginx_in_containers_is_the_shipped_one_before_both_processes(tmp_path):
    script = re.search(r"^      - >-\n((?:        .*\n)+)", COMPOSE, re.MULTILINE)[1]
    script = " ".join(line.strip() for line in script.splitlines()).replace("$$", "$")
    sed, _, run = script.partition(" && ")
    assert run == "exec nginx -c /tmp/nginx.conf -g 'daemon off;'"
    made = tmp_path / "nginx.conf"
    sed = sed.replace("/etc/nginx/precis.conf", str(DEPLOY / "nginx.conf")).replace(
        "/tmp/nginx.conf", str(made)
    )
    subprocess.run(["sh", "-c", sed], env={"DOMAIN": "our.example", "PATH": os.environ["PATH"]}, check=True)
    configuration = made.read_text()
    assert re.findall(
        r"^\s*server unix:(\S+) fail_timeout=2s; server unix:(\S+) ", configuration, re.MULTILINE
    ) == [("/run/precis/web-1.sock", "/run/precis/web-2.sock")]
    assert "our.example" in configuration
    assert "precis.example" not in configuration
    for path in ("web-1", "web-2"):
        assert f'PRECIS_BIND: "unix:/run/precis/{path}.sock"' in COMPOSE
