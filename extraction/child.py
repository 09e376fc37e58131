"""The child process: reads one file from standard input, tells on standard output what is in it, and ends."""

from __future__ import annotations

import encodings
import importlib
import os
import sys
from collections.abc import Callable
from pkgutil import iter_modules

from extraction import Reason, Unreadable
from extraction.limits import confine, shut
from extraction.telling import Tell

MODULES = {"pdf": "pdf", "docx": "word", "html": "web", "mail": "mail", "table": "table"}


def main() -> None:
    """Read the file on standard input, whose format is the first argument."""
    confine()
    read = _load(sys.argv[1])
    shut()
    with open(1, "wb", buffering=65536, closefd=False) as out:
        _tell(read, Tell(out))


def _load(name: str) -> Callable[[bytes, Tell], None]:
    module = importlib.import_module(f"extraction.{MODULES[name]}")
    if name != "pdf":
        # Python loads a codec when a text first names it, and then could not open its file.
        for codec in {module.name for module in iter_modules(encodings.__path__)} - {"mbcs", "oem"}:
            importlib.import_module(f"encodings.{codec}")
    read: Callable[[bytes, Tell], None] = module.read
    return read


def _tell(read: Callable[[bytes, Tell], None], tell: Tell) -> None:
    try:
        read(sys.stdin.buffer.read(), tell)
    except Unreadable as error:
        tell.unreadable(error.reason)
    except RecursionError:
        tell.unreadable(Reason.TOO_MUCH_WORK)
    except MemoryError:
        # As the parsers do that are not Python's: what is left may not be enough for a last word.
        os.abort()
    except Exception as error:
        tell.failed(error)
    else:
        tell.done()
