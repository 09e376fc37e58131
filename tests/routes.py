"""All there is to ask an application for, from its own list of routes."""

import re


def routes(app, id=1):
    """Return every (method, path) of an application, with an id for each that is asked for."""
    return [
        (method, re.sub(r"<id:\w+>", str(id), rule.rule).replace("<path:filename>", "precis.css"))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
    ]


def pages(app, id=1):
    """Return every path that can be read."""
    return [path for method, path in routes(app, id) if method == "GET"]
