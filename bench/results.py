"""The figures that are kept: by command, with where and when it ran, in results.json."""

import json
import os
import platform
import re
import subprocess
import sys
from datetime import date
from math import isnan
from pathlib import Path

from bench import rig

FILE = Path(__file__).resolve().parent / "results.json"

STREAMS = "bench.streams"
ROUNDS = "bench.streams --streams 100 300 --servers chat responses fastapi node floor --rounds 3"
MINUTE = "bench.streams --streams 200 --tokens 3000 --servers chat responses"
VIEWERS = "bench.viewers"
LENGTH = "bench.length"
HISTORY = "bench.history"
BROWSER = "bench.browser"
SCALE = "bench.scale"
SHARED = "bench.scale --streams 100 --servers sqlite one apart --rounds 3"
COMMANDS = (STREAMS, ROUNDS, MINUTE, VIEWERS, LENGTH, HISTORY, SCALE, SHARED, BROWSER)


def read():
    """Return what is kept: by command its date, machine, load average before it, and rows."""
    return json.loads(FILE.read_text())


def keep(rows, load):
    """Keep what this process' command has measured, in the place of what it gave before."""
    module = sys.modules["__main__"].__spec__.name
    command = " ".join([module, *(word for word in sys.argv[1:] if word != "--keep")])
    kept = read()
    kept[command] = {
        "date": str(date.today()),
        "machine": machine(),
        "load": round(load, 1),
        "rows": [{name: _short(value) for name, value in vars(row).items()} for row in rows],
    }
    FILE.write_text("{\n" + ",\n".join(_lines(*each) for each in kept.items()) + "\n}\n")


def machine():
    """Return in a line what everything runs on."""
    processor = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    words = [
        f"{os.cpu_count()} cores ({processor[1] if processor else platform.machine()})",
        f"Linux {'.'.join(platform.release().split('.')[:2])}",
        f"Python {platform.python_version()}",
    ]
    if rig.NODE:
        version = subprocess.run([rig.NODE, "--version"], capture_output=True, text=True, check=True).stdout
        words.append(f"Node {version.strip().lstrip('v')}")
    return ", ".join(words)


def _short(value):
    if not isinstance(value, float):
        return value
    return None if isnan(value) else float(f"{value:.4g}")


def _lines(command, run):
    # A row to a line, so that two versions of the file can be compared.
    rows = ",\n".join(f"    {json.dumps(row)}" for row in run["rows"])
    head = json.dumps(run | {"rows": []}, ensure_ascii=False).removesuffix("]}")
    return f"  {json.dumps(command)}: {head}\n{rows}\n  ]}}"
