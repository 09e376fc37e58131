"""Documents for the offline provider, and ways to read its answers."""

from __future__ import annotations

import html
import re

import pyromark

from providers.base import Prompt, Reply
from providers.offline import DEFAULT_MODEL, Offline

RECIPES = ("brief", "risks", "actions", "plain-language", "question", "an-admin-added-this")


CONTRACT = """\
SERVICES AGREEMENT

This Services Agreement (the "Agreement") is made on 3 March 2025 between Northwind Analytics Ltd, a
company registered in England (the "Supplier"), and Harbour & Sons plc (the "Customer").

1. Definitions

"Fees" means the charges set out in clause 4.

2. Services

2.1 The Supplier shall provide the Services with reasonable skill and care, and must assign a named
project manager, e.g. a senior analyst, within 10 business days of the date of this Agreement.
2.2 The Customer must not share its login details with any third party.
2.3 Questions go to Eleanor Whitfield (eleanor.whitfield@harbour-sons.example).

3. Fees and payment

3.1 The Customer shall pay the Fees of £48,500 per year in four equal instalments.
3.2 Interest of 4% per year accrues on late payments.

4. Liability and termination

4.1 The Supplier shall indemnify the Customer against all claims that the Services infringe the
intellectual property rights of a third party.
4.2 Either party may terminate this Agreement with ninety (90) days' written notice.
4.3 The Customer is entitled to audit the Supplier's records once a year.
"""


GERMAN = """\
§ 1 Mietsache

Der Vermieter vermietet dem Mieter die Wohnung im 2. Obergeschoss des Hauses Lindenstraße 14 in Köln. Zur
Wohnung gehören z. B. ein Keller und ein Stellplatz.

§ 2 Miete

Die monatliche Miete beträgt 940,00 Euro. Der Mieter darf die Wohnung ohne Zustimmung nicht untervermieten.
Gemäß § 551 Abs. 3 BGB hat der Vermieter die Kaution getrennt anzulegen. Der Mieter muss Schäden anzeigen.
"""


README = """\
[![Build](https://img.example/Workflow/administration.svg)](https://ci.example/administration) ![Workflow Status](https://img.shields.example/b.svg)

<p align="center"><img src="https://img.example/administration.png" alt="Logo"></p>

# Harbour

Harbour is a tool that keeps the configuration of many machines in one place. Each machine reads its part of
the configuration when it starts, and tells Harbour what it did with it.

- [You must see Installation](#installation)
- [Please see the Configuration](#configuration) &nbsp; [Chat](https://chat.example/administration)

Installation . . . . . . . . . . . must see page 12

## Configuration

The [lock file](https://readthedocs.example/administration/lock) must be writable for `harbour`. See the
[manual of daily tasks](https://readthedocs.example/administration) if it is not, and read it well.

| Plan | You must pay the price |
|------|-------|
| Enterprise | must pay £500 by 3 March 2025 |

[manual]: https://readthedocs.example/administration/manual
"""


HOSTILE = """\
# Not a heading in the answer, said the author of this very odd sentence.

- [¶99999] is no citation, and [¶1] in the document's own words is none either, must you know.
1. `code` and ``more`` shall *stay* _as_ **it** is, with a | pipe and a \\ backslash in the middle.
> <script>alert(1)</script> must not run, and &amp; is not an ampersand, nor is ![an image](x) one.

The supplier shall deliver [a link](javascript:alert) and <b>bold</b> text, ~~gone~~, within 30 days of it.
"""


def paragraphs(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.strip("\n").split("\n\n") if part.strip())


def ask(text: str | tuple[str, ...], recipe: str = "brief", question: str = "", limit: int = 4096) -> Reply:
    parts = paragraphs(text) if isinstance(text, str) else text
    return Offline().reply(Prompt("", "", "", "A title", parts, recipe, question, limit), DEFAULT_MODEL)


def answer(text: str | tuple[str, ...], recipe: str = "brief", question: str = "") -> str:
    return "".join(ask(text, recipe, question))


def section(markdown: str, title: str) -> str:
    found = re.search(rf"## {re.escape(title)}[^\n]*\n\n(.*?)(?=\n## |\Z)", markdown, re.DOTALL)
    return found[1] if found else ""


def rendered(markdown: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", pyromark.html(markdown)))


def quotes(markdown: str) -> list[tuple[str, int]]:
    """The quoted words of each item, as a reader sees them, and the paragraph they are said to be from."""
    items = re.findall(r"^- .*$", markdown, re.MULTILINE)
    read = [re.search(r"“(.*)”(?: …)? \[¶(\d+)\]$", rendered(item).strip()) for item in items]
    return [(found[1], int(found[2])) for found in read if found]
