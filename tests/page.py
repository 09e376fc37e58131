"""A model of the page: a conforming parser of server-sent events, and what its partials do to the text."""

import re
from html.parser import HTMLParser
from typing import NamedTuple

PARTIAL = re.compile(r'<hx-partial hx-target="([^"]+)" hx-swap="([^"]+)">(.*?)</hx-partial>', re.DOTALL)


class Event(NamedTuple):
    name: str
    data: str
    id: str
    retry: int | None


def events(stream):
    """Parse a whole stream as the standard says; an event without its blank line is not one."""
    found, name, data, id, retry = [], "", [], "", None
    *lines, _ = re.split(r"\r\n|\r|\n", stream.decode(errors="replace").removeprefix("\ufeff"))
    for line in lines:
        if not line:
            if data:
                found.append(Event(name or "message", "\n".join(data), id, retry))
            name, data, retry = "", [], None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            id = value
        elif field == "retry" and value.isdigit():
            retry = int(value)
    return found


class Page:
    """What a browser with hx-sse shows of one analysis, through any number of connections."""

    def __init__(self, analysis):
        self.id = analysis.rsplit("/", 1)[-1]
        self.blocks = self.tail = ""
        self.last_event_id = ""
        self.done = False
        self.shown = []

    def read(self, stream):
        """Take in what one connection brought, possibly cut off."""
        for event in events(stream):
            self.last_event_id = event.id or self.last_event_id
            if event.name == "done":
                self.done = True
                return
            for target, swap, html in PARTIAL.findall(event.data):
                if target == f"#blocks-{self.id}":
                    self.blocks = html if swap == "innerHTML" else self.blocks + html
                elif target == f"#tail-{self.id}":
                    self.tail = html
            self.shown.append(self.text)

    @property
    def headers(self):
        """What hx-sse sends when it connects again."""
        return {"HX-Request": "true"} | ({"Last-Event-ID": self.last_event_id} if self.last_event_id else {})

    @property
    def html(self):
        return self.blocks + self.tail

    @property
    def text(self):
        return text_of(self.html)


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.parts = []

    def handle_data(self, data):
        self.parts.append(data)


def text_of(html):
    """Return an element's textContent, white space removed."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return "".join("".join(parser.parts).split())
