"""Debian's chromium, driven by Playwright, and tabs that note down what their page shows and does."""

from contextlib import contextmanager
from shutil import which

from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-quic",
]

# Runs before anything else in every page of a tab, and keeps its notes from page to page. What is shown
# is looked at in each animation frame: the text may only grow, unless the page is a new one, which may
# show less of the same.
WITNESS = """
if (location.protocol.startsWith("http")) {
  const kept = sessionStorage.getItem("witness");
  const witness = window.witness = kept ? JSON.parse(kept) :
    {longest: {}, odd: [], focus: [], said: [], refused: [], frames: 0};
  Object.assign(witness, {shifts: [], enter: null, first: null, persisted: null});
  addEventListener("pagehide", () => sessionStorage.setItem("witness", JSON.stringify(witness)));
  addEventListener("pageshow", event => { witness.persisted = event.persisted; });
  addEventListener("securitypolicyviolation", event =>
    witness.refused.push(`${event.violatedDirective} ${event.blockedURI}`));
  addEventListener("keydown", event => {
    if (event.key === "Enter") { witness.enter = performance.now(); witness.first = null; }
  }, true);
  new PerformanceObserver(list => witness.shifts.push(...list.getEntries().map(entry =>
    ({value: entry.value, byInput: entry.hadRecentInput,
      nodes: entry.sources.map(source => source.node?.id || source.node?.nodeName)}))
  )).observe({type: "layout-shift", buffered: true});
  const focused = () => { const element = document.activeElement; return element?.id || element?.nodeName; };
  const note = () => { if (witness.focus.at(-1) !== focused()) witness.focus.push(focused()); };
  addEventListener("focusin", note, true);
  let said = "";
  const look = () => {
    requestAnimationFrame(look);
    witness.frames++;
    note();
    const now = document.getElementById("status")?.textContent ?? said;
    if (now !== said) witness.said.push(said = now);
    const blocks = document.querySelector("[id^=blocks-]");
    if (!blocks) return;
    const id = blocks.id.slice(7);
    const tail = document.getElementById(`tail-${id}`);
    const text = (blocks.textContent + (tail?.textContent ?? "")).replace(/\\s+/g, "");
    const longest = witness.longest[id] ?? "";
    if (text && witness.first === null) witness.first = performance.now();
    if (!(text.startsWith(longest) || longest.startsWith(text))) witness.odd.push([longest, text]);
    if (text.length > longest.length) witness.longest[id] = text;
  };
  requestAnimationFrame(look);
}
"""

DUPLICATE_IDS = """() => {
  const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
  return ids.filter((id, place) => ids.indexOf(id) !== place);
}"""


@contextmanager
def open_chromium():
    """Yield a browser without a window."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        yield browser
        browser.close()


def launch(kind, **options):
    """Start a browser without a window."""
    return kind.launch(executable_path=which("chromium"), args=ARGUMENTS, **options)


class Browser:
    """A person's browser, as new; its tabs share what a person's tabs share."""

    def __init__(self, chromium, **options):
        self.context = chromium.new_context(viewport={"width": 1280, "height": 800}, **options)
        self.context.set_default_timeout(15_000)
        self.context.add_init_script(WITNESS)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.context.close()

    def open(self, url="", **options):
        """Open a tab, at an address, and wait until what wants the focus there has it."""
        tab = Tab(self.context.new_page())
        if url:
            tab.page.goto(url, **options)
            # A page that has loaded is not drawn yet, and only then a key reaches what has `autofocus`.
            tab.page.wait_for_selector("html:not(:has([autofocus])), :focus", state="attached")
        return tab


class Tab:
    """One tab: its `page`, and what came of it."""

    def __init__(self, page):
        self.page = page
        self.complaints = []
        self.requests = []
        page.on("console", lambda it: it.type in ("error", "warning") and self.complaints.append(it.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request))

    def _dialog(self, dialog):
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    # What a person does

    def press_access_key(self, key):
        """Press Alt and a key as the keyboard does: Playwright's own way does not reach access keys."""
        session = self.page.context.new_cdp_session(self.page)
        press = {
            "modifiers": 1,
            "key": key,
            "code": f"Key{key.upper()}",
            "windowsVirtualKeyCode": ord(key.upper()),
            "unmodifiedText": key,
            "text": key,
        }
        session.send("Input.dispatchKeyEvent", {"type": "keyDown", **press})
        session.send("Input.dispatchKeyEvent", {"type": "keyUp", **press})
        session.detach()

    def analyze(self, after=()):
        """Press Enter on the button that has the focus; returns the path of the analysis that comes."""
        assert self.focus() == "Analyze Alt A", self.focus()
        self.page.keyboard.press("Enter")
        return self.analysis(after)

    # What a person sees

    def analysis(self, after=()):
        """Wait for an analysis that is none of those, and return its path."""
        others = "".join(f":not(#analysis-{path.rpartition('/')[2]})" for path in after)
        section = self.page.locator(f"section.analysis{others}")
        section.wait_for()
        return "/analyses/" + section.get_attribute("id").removeprefix("analysis-")

    def wait_for_text(self, length=1):
        """Wait until the answer shows so many characters."""
        self.page.wait_for_function(
            "length => Object.values(witness.longest).some(text => text.length >= length)", arg=length
        )

    def wait_for_status(self, status):
        self.page.locator(f'section.analysis[data-status="{status}"]').wait_for()

    def text(self):
        """Return the answer as it is shown, white space removed."""
        parts = self.page.locator("[id^=blocks-], [id^=tail-]").all_text_contents()
        return "".join("".join(parts).split())

    def focus(self):
        return " ".join(self.page.evaluate("document.activeElement.innerText").split())

    # What it noted

    def witness(self):
        return self.page.evaluate("witness")

    def streams(self):
        """Return the requests for streams, each with its headers."""
        return [request for request in self.requests if request.url.endswith("/stream")]

    def cursors(self):
        """Return the Last-Event-ID of each request for a stream."""
        return [request.headers.get("last-event-id") for request in self.streams()]

    def duplicate_ids(self):
        return self.page.evaluate(DUPLICATE_IDS)

    def assert_shows(self, stored):
        """Assert that it shows the stored text, and in each frame showed a beginning of it."""
        assert self.text() == squeezed(stored)
        self.assert_showed_only(stored)

    def assert_showed_only(self, stored):
        """Assert that in each frame it showed a beginning of the stored text."""
        witness = self.witness()
        assert witness["frames"]
        assert witness["odd"] == []
        (longest,) = witness["longest"].values()
        assert squeezed(stored).startswith(longest)

    def assert_content(self):
        """Assert that the page had nothing to complain of."""
        assert self.complaints == []
        assert self.witness()["refused"] == []


def squeezed(text):
    """Return a text without its white space."""
    return "".join(text.split())
