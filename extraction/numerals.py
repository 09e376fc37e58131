"""Numbers as files write them, and as lists show them."""

from __future__ import annotations

_ROMAN = [
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
]


def integer(text: str, default: int = 0) -> int:
    """Return a number as files write it, or the default for what is none."""
    is_number = text.removeprefix("-").isdecimal() and len(text) < 10
    return int(text) if is_number else default


def numeral(number: int, style: str) -> str:
    """Return a number as Word writes it in a style: 4 as `4`, `d`, `iv` …; what has no letters, in digits."""
    kind = style.lower()
    if kind == "none":
        return ""
    written = str(number)
    if kind.endswith("letter") and 0 < number <= 26 * 5:
        # After z come aa, bb, cc.
        written = chr(ord("a") + (number - 1) % 26) * (1 + (number - 1) // 26)
    elif kind.endswith("roman") and 0 < number < 4000:
        written = _roman(number)
    elif kind == "decimalzero":
        written = f"{number:02}"
    return written.upper() if style.startswith("upper") else written


def _roman(number: int) -> str:
    written = ""
    for size, letters in _ROMAN:
        written += letters * (number // size)
        number %= size
    return written
