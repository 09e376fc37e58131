"""Pictures of every page in every state, for eyes to judge.

    python -m tests.screenshots FOLDER [--axe axe.min.js] [--look NAME] [--stream FILE]

Each state is taken in light, dark and at 320 pixels. With axe-core's file each is also checked against
WCAG 2.2 AA and axe's best practices. `--stream` takes only the README's picture of a running stream.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import tempfile  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from pathlib import Path  # noqa: E402

from tests.chromium import Browser, open_chromium  # noqa: E402
from tests.precis import Precis  # noqa: E402
from tests.scripted_provider import ScriptedProvider  # noqa: E402

LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"color_scheme": "light", "narrow": True},
    "narrow-dark": {"color_scheme": "dark", "narrow": True},
}

CONTRACT = """\
Office lease: 14 Lindenhof

This lease is made on 3 March 2027 between Harbour Properties Ltd ("the Landlord") and Northwind
Studio LLP ("the Tenant") for the second floor of 14 Lindenhof, 410 square metres, with six
parking spaces.

The term is five years from 1 May 2027. The Tenant may extend it once, by three years, with
written notice that reaches the Landlord no later than 31 October 2031.

The rent is 11,400 EUR a month, payable in advance by the third working day. From the second
year it follows the consumer price index, but never by more than 4 % in a year.

The Tenant pays a deposit of three months' rent before the keys are handed over. The Landlord
returns it within six months of the end of the lease, less what is owed.

Service charges are shared by floor area. The Landlord accounts for them by 30 September of the
following year; a claim that is made later is lost.

The Tenant may end this lease at the end of the third year with nine months' notice and a
payment of four months' rent.

The Tenant keeps the interior in repair and redecorates every five years. The Landlord keeps the
roof, the structure and the lifts in repair.

The Tenant may sublet up to a third of the floor with the Landlord's consent, which may be
refused only for good cause and within four weeks; silence counts as consent.

At the end the Tenant removes what was built in and restores the floor, unless the Landlord says
in writing that it may stay.

Changes to this lease are made in writing. The law of the place of the building applies.
"""

ANSWER = """\
This is a **five-year office lease** between Harbour Properties Ltd and Northwind Studio LLP for
410 m² at 14 Lindenhof, starting on 1 May 2027 [¶2, 3]. It was written by the Landlord's side
and leans its way on money, less so on flexibility.

## What matters most

1. **The rent is capped as it rises.** 11,400 EUR a month in advance, indexed from the second
   year, at most 4 % a year [¶4].
2. **There is one way out early**: at the end of year three, with nine months' notice and four
   months' rent, 45,600 EUR at today's rent [¶7].
3. **The extension must be asked for in time.** Written notice has to arrive by 31 October 2031,
   or the option is gone [¶3].
4. **Late service charges are lost.** What the Landlord has not claimed by 30 September of the
   following year need not be paid [¶6].
5. **Subletting is realistic.** Up to a third of the floor; if the Landlord is silent for four
   weeks, that is a yes [¶9].

## What to clear up before signing

The lease says that the Tenant restores the floor at the end [¶10], but not to *which*
condition: no inventory or photographs are mentioned. It is also silent on what happens to the
rent while the lifts are out of order, although their repair is the Landlord's duty [¶8].

| Date | What | Paragraph |
|---|---|---|
| 1 May 2027 | The term begins | [¶3] |
| 31 July 2029 | Last day of notice for leaving after year three | [¶7] |
| 31 October 2031 | Last day to ask for the extension | [¶3] |
"""


class Studio:
    """A server, a provider and a browser of one look, and where the pictures go."""

    def __init__(self, folder, look, axe, stack):
        self.folder = Path(folder)
        self.look = look
        self.axe = axe
        self.violations = 0
        options = dict(LOOKS[look])
        self.size = (
            {"width": 320, "height": 700} if options.pop("narrow", False) else {"width": 1280, "height": 800}
        )
        self.provider = stack.enter_context(ScriptedProvider())
        home = stack.enter_context(tempfile.TemporaryDirectory())
        self.precis = stack.enter_context(Precis(home, self.provider))
        self.precis.settings["PRECIS_MODELS"] = "openai:gpt-6-sol,offline:extractive"
        self.precis.start()
        self.browser = stack.enter_context(Browser(self.chromium, **options))
        self.scriptless = stack.enter_context(Browser(self.chromium, java_script_enabled=False, **options))

    def open(self, path, browser=None, **options):
        tab = (browser or self.browser).open()
        tab.page.set_viewport_size(self.size)
        tab.page.goto(self.precis.url + path, **options)
        return tab

    def take(self, name, tab):
        """Take the whole page, check it, and close the tab."""
        path = self.folder / f"{name}-{self.look}.png"
        tab.page.screenshot(path=path, full_page=True, animations="allow")
        if self.axe and tab.page.context is self.browser.context:
            self._check(name, tab)
        tab.page.close()

    def _check(self, name, tab):
        # By the debugger's way, which the page's policy for scripts does not touch.
        tab.page.evaluate(self.axe)
        found = tab.page.evaluate(
            """() => axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa",
            "best-practice"]}).then(result => result.violations.map(
            it => `${it.id}: ${it.help}: ${it.nodes.map(node => node.html.slice(0, 90)).join(" / ")}`))"""
        )
        self.violations += len(found)
        for violation in found:
            print(f"{name} {self.look}: {violation}")


def pictures(studio):
    """Take every page in every state."""
    precis, provider = studio.precis, studio.provider
    studio.take("home-empty", studio.open("/"))
    tab = studio.open("/")
    tab.page.get_by_role("button", name="Open document").click()
    tab.page.get_by_role("alert").wait_for()
    studio.take("home-error", tab)

    document = precis.bring(CONTRACT)
    studio.take("document", studio.open(document))

    provider.script(text=ANSWER, rate=60)
    tab = studio.open(document)
    tab.page.locator("button.main").focus()
    analysis = tab.analyze()
    tab.wait_for_text(900)
    studio.take("streaming", tab)
    live = f"{precis.ask(document)}/live"
    tab = studio.open(live, studio.scriptless, wait_until="commit")
    tab.page.locator("pre.answer", has_text="What matters").wait_for()
    studio.take("live-streaming", tab)
    tab = studio.open(analysis)
    tab.wait_for_status("complete")
    tab.page.locator("summary").click()
    studio.take("complete", tab)
    tab = studio.open(live, studio.scriptless)
    studio.take("live-complete", tab)
    tab = studio.open(f"{analysis}#p7")
    studio.take("paragraph", tab)

    provider.script(status=503, headers={"Retry-After": "5"}, times=1)
    tab = studio.open(precis.ask(document))
    tab.page.get_by_text("Busy, trying again").first.wait_for()
    studio.take("busy", tab)
    endings = {
        "key-refused": ("failed", {"status": 401}),
        "spending-limit": ("failed", {"status": 402}),
        "overloaded": ("failed", {"status": 503, "headers": {"Retry-After": "0"}}),
        "model-retired": ("failed", {"status": 404}),
        "too-long": ("failed", {"status": 413}),
        "empty": ("failed", {"text": ""}),
        "cut": ("cut", {"text": ANSWER, "stop": "length"}),
        "declined": ("declined", {"text": "I cannot help with that.", "stop": "refusal"}),
        "incomplete": ("incomplete", {"text": ANSWER, "fault": "fin", "at": 60}),
    }
    for name, (status, script) in endings.items():
        provider.script(**script)
        path = precis.ask(document)
        tab = studio.open(path)
        tab.wait_for_status(status)
        studio.take(name, tab)
    provider.script(text="".join(ANSWER.partition(" the second\n")[1:]), rate=200)
    tab = studio.open(path)
    tab.page.get_by_role("button", name="Continue").click()
    tab.page.locator(".join").wait_for()
    tab.wait_for_status("complete")
    studio.take("continued", tab)

    provider.script(text=ANSWER, rate=60)
    tab = studio.open(document)
    tab.page.locator("button.main").focus()
    stopped = tab.analyze()
    tab.wait_for_text(200)
    tab.page.get_by_label("A question").check()
    tab.page.get_by_role("button", name="Analyze").click()
    tab.page.get_by_role("alert").filter(has_text="Enter a question.").wait_for()
    tab.page.get_by_role("button", name="Stop").click()
    tab.wait_for_status("stopped")
    studio.take("stopped-and-form-error", tab)
    studio.take("delete-analysis", studio.open(f"{stopped}/deletion"))
    studio.take("delete-document", studio.open(f"{document}/deletion"))
    studio.take("error-404", studio.open("/nothing"))
    studio.take("home-history", studio.open("/"))

    interrupted = precis.ask(document)
    tab = studio.open(interrupted)
    tab.wait_for_text(200)
    precis.kill()
    precis.settings["PRECIS_ANALYZE_LIMIT"] = "1 per minute"
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Animation.enable")
    session.send("Animation.setPlaybackRate", {"playbackRate": 50})
    tab.page.get_by_text("Connection lost").wait_for()
    studio.take("connection-lost", tab)
    precis.start()
    studio.take("interrupted", studio.open(interrupted))
    tab = studio.open(document)
    tab.page.locator("button.main").focus()
    tab.analyze()
    tab.page.get_by_label("Plain language").check()
    tab.page.get_by_role("button", name="Analyze").click()
    tab.page.get_by_role("alert").filter(has_text="Nothing is lost.").wait_for()
    studio.take("limit", tab)


def stream_picture(studio, file):
    """Take the README's picture: an answer while it comes."""
    studio.provider.script(text=ANSWER, rate=60)
    tab = studio.open(studio.precis.bring(CONTRACT))
    tab.analyze()
    tab.wait_for_text(480)
    tab.page.screenshot(path=file)
    tab.page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--look", choices=LOOKS)
    parser.add_argument("--stream", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    axe = arguments.axe and arguments.axe.read_text()
    with open_chromium() as Studio.chromium:
        if arguments.stream:
            with ExitStack() as stack:
                return stream_picture(Studio(arguments.folder, "light", None, stack), arguments.stream)
        for look in [arguments.look] if arguments.look else LOOKS:
            with ExitStack() as stack:
                studio = Studio(arguments.folder, look, axe, stack)
                pictures(studio)
                if axe:
                    print(f"{look}: {studio.violations} violations")
    return None


if __name__ == "__main__":
    main()
