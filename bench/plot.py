"""Draws what a token costs against the number of streams, as an SVG of its own that holds no script."""

from html import escape
from itertools import cycle
from math import log

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 52, 190, 74, 54
TICKS = tuple(digit * 10**power for power in range(5) for digit in (1, 2, 5))
NAME_HEIGHT = 17
# Each stands out from white and from black, and no line is known by its colour alone: a name is at its end.
COLOURS = (
    "#2f81f7",
    "#c4671b",
    "#8a63d2",
    "#d1495b",
    "#1f8f75",
    "#997a1f",
    "#7a8590",
    "#b0479b",
    "#4f7a28",
    "#5b7fb8",
)

# Shown as an image it inherits nothing, so that it asks for the reader's colours itself.
STYLE = """
  svg { color: #1f2328; font: 13px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }
  text { fill: currentColor }
  .title { font-size: 16px; font-weight: 600 }
  .ours { font-weight: 600 }
  .grid { stroke: currentColor; stroke-opacity: 0.15 }
  .line { fill: none; stroke-width: 1.75 }
  .line.ours { stroke-width: 3.5 }
  .to-name { fill: none; stroke-opacity: 0.5 }
  .late { fill: none; stroke-width: 1.75 }
"""


def draw(series, in_time):
    """Return the SVG of lines by name, ours first, each of (streams, CPU microseconds per token, is in time).

    In time is what loses no token and is no more than `in_time` milliseconds late at p99.
    """
    points = [point for line in series.values() for point in line]
    counts = sorted({streams for streams, _, _ in points})
    costs = [cpu for _, cpu, _ in points]
    lowest = max(tick for tick in TICKS if tick <= min(costs))
    highest = min(tick for tick in TICKS if tick >= max(costs))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(streams):
        return round(LEFT + (right - LEFT) * log(streams / counts[0]) / log(counts[-1] / counts[0]), 1)

    def y(cpu):
        return round(bottom - (bottom - TOP) * log(cpu / lowest) / log(highest / lowest), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-labelledby="title about">',
        f"<style>{STYLE}</style>",
        '<title id="title">What a token costs, by how many answers stream at once</title>',
        f'<desc id="about">{_words(series)}</desc>',
        '<text class="title" x="8" y="24">CPU microseconds per token</text>',
        f'<text x="8" y="46">Hollow: late by more than {in_time} ms (p99), or tokens lost</text>',
        f'<text x="{right}" y="{HEIGHT - 10}" text-anchor="end">answers streaming at once</text>',
    ]
    for cpu in (tick for tick in TICKS if lowest <= tick <= highest):
        parts.append(f'<path class="grid" d="M{LEFT} {y(cpu)}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(cpu) + 4:.1f}" text-anchor="end">{cpu:,}</text>')
    for streams in counts:
        parts.append(f'<text x="{x(streams)}" y="{bottom + 20}" text-anchor="middle">{streams}</text>')
    places = _apart({name: y(line[-1][1]) for name, line in series.items()}, bottom)
    for (name, line), colour in zip(series.items(), cycle(COLOURS), strict=False):
        kind = " ours" if name == next(iter(series)) else ""
        parts.append(f'<g stroke="{colour}">')
        path = "L".join(f"{x(streams)} {y(cpu)}" for streams, cpu, _ in line)
        parts.append(f'<path class="line{kind}" d="M{path}"/>')
        for streams, cpu, is_in_time in line:
            filled = f'fill="{colour}"' if is_in_time else 'class="late"'
            parts.append(f'<circle cx="{x(streams)}" cy="{y(cpu)}" r="4" {filled}/>')
        streams, cpu, _ = line[-1]
        parts.append(
            f'<path class="to-name" d="M{x(streams) + 6:.1f} {y(cpu)}L{right + 20} {places[name]}"/>'
        )
        parts.append("</g>")
        parts.append(
            f'<text class="name{kind}" x="{right + 24}" y="{places[name] + 4:.1f}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _words(series):
    """Say the plot for those who do not see it."""
    lines = [
        f"{name}: " + ", ".join(f"{cpu:.0f} at {streams}" for streams, cpu, _ in line)
        for name, line in series.items()
    ]
    return escape("; ".join(lines) + ".")


def _apart(places, bottom):
    """Return heights for the names, moved so far apart that none covers another, and none below the plot."""
    moved = {}
    free = bottom
    for name, place in sorted(places.items(), key=lambda each: -each[1]):
        moved[name] = min(place, free)
        free = moved[name] - NAME_HEIGHT
    return moved
