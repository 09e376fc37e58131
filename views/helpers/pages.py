"""Pages that may be megabytes long."""

from __future__ import annotations

from typing import Any

import gevent
from flask import current_app

# A millisecond's worth, about.
PARTS_AT_ONCE = 500


def render_large(template: str, **context: Any) -> str:
    """Render a page that shows a whole document, letting the streams go on meanwhile."""
    app = current_app
    app.update_template_context(context)
    parts = []
    for part in app.jinja_env.get_template(template).generate(context):
        parts.append(part)
        if not len(parts) % PARTS_AT_ONCE:
            gevent.sleep(0)
    return "".join(parts)
