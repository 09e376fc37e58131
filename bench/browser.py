"""The browser: how much of a core a page takes onto which an answer goes on, against what it shows already.

python -m bench.browser                             onto 0, 5,000 and 20,000 tokens, 100 a second

Chromium has the driver's core. `renderer` is the page's own process, `browser` all of them with the drawing,
which is done without a graphics card; `shift` is how far the layout has shifted (CLS).
"""

import time
from types import SimpleNamespace

from bench import report, rig
from tests.chromium import open_chromium

SHOWN = (0, 5_000, 20_000)
RATE = 100
SETTLE_SECONDS, SECONDS = 3, 20
COLUMNS = {
    "shown": ("shown", "{:>7}"),
    "rate": ("tokens/s", "{:>8.1f}"),
    "renderer": ("renderer %", "{:>10.1f}"),
    "browser": ("browser %", "{:>9.1f}"),
    "shift": ("CLS", "{:>7.4f}"),
}

NOTE_SHIFTS = """window.shift = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true})"""
STAMPS = """() => [...document.querySelectorAll("[id^=blocks-], [id^=tail-]")]
  .map(element => element.textContent).join("").match(/t[0-9]{7}/g)?.length ?? 0"""


def run(provider, shown=SHOWN):
    """Measure one page for each number of tokens that it shows first; yields the figures."""
    with rig.pinned(rig.DRIVER_CORE), open_chromium() as chromium:
        session = chromium.new_browser_cdp_session()
        # The runner cuts off a provider that writes far more than was asked for.
        with rig.precis(provider, PRECIS_MAX_OUTPUT_TOKENS="50000") as server:
            for before, document in zip(shown, server.asked, strict=False):
                provider.script((SETTLE_SECONDS + SECONDS + 5) * RATE, RATE, before)
                page = chromium.new_page()
                page.add_init_script(NOTE_SHIFTS)
                page.goto(f"http://127.0.0.1:{server.port}{document}")
                page.get_by_role("button", name="Analyze").press("Enter")
                while count(page) <= before:
                    page.wait_for_timeout(100)
                page.wait_for_timeout(SETTLE_SECONDS * 1000)
                yield SimpleNamespace(shown=before, **figures(page, session))
                page.close()


def figures(page, session):
    """Return what a page takes that is being written to."""
    tokens, began, used = count(page), time.monotonic(), cpu(session)
    page.wait_for_timeout(SECONDS * 1000)
    renderer, browser = (after - before for before, after in zip(used, cpu(session), strict=True))
    seconds = time.monotonic() - began
    return {
        "rate": (count(page) - tokens) / seconds,
        "renderer": renderer / seconds * 100,
        "browser": browser / seconds * 100,
        "shift": page.evaluate("window.shift"),
    }


def count(page):
    """Return how many tokens a page shows."""
    return page.evaluate(STAMPS) * rig.STAMP_EVERY


def cpu(session):
    """Return the CPU seconds so far of what renders pages, and of all of Chromium."""
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return (
        sum(each["cpuTime"] for each in processes if each["type"] == "renderer"),
        sum(each["cpuTime"] for each in processes),
    )


def main():
    parser = report.parser(__doc__)
    parser.add_argument("--shown", type=int, nargs="+", default=SHOWN)
    report.run(parser, run, COLUMNS)


if __name__ == "__main__":
    main()
