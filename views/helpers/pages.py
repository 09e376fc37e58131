"""Pages that may be megabytes long."""

from __future__ import annotations

from itertools import islice
from typing import Any

from flask import current_app

from hub import let_others_run

# A millisecond's worth, about.
PARTS_AT_ONCE = 500


def render_large(template: str, **context: Any) -> str:
    """Render a page that shows a whole document, letting the streams go on meanwhile."""
    app = current_app
    app.update_template_context(context)
    parts = app.jinja_env.get_template(template).generate(context)
    page = []
    while True:
        some = list(islice(parts, PARTS_AT_ONCE))
        # Joined as they come: a string for each of a million small parts would cost more than the page.
        page.append("".join(some))
        if len(some) < PARTS_AT_ONCE:
            return "".join(page)
        let_others_run()
