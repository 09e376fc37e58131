"""What a text takes at the most is no less than what it takes, whatever it is, and of prose not much more."""

import random
import string
from itertools import cycle, islice

import gevent
import pytest

from analyzer.bound import most_tokens
from analyzer.sections import needs
from tests.extracts import CONTRACT


def spread(first, last):
    """Return 1,500 characters of a part of Unicode."""
    return "".join(map(chr, islice(cycle(range(first, last)), 1500)))


def letters(alphabet):
    """Return 1,500 characters in any order."""
    return "".join(random.Random(1).choices(alphabet, k=1500))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (spread(0x13A0, 0x13F5), 4500),
        (spread(0x10A0, 0x10C6), 4067),
        (spread(0x1820, 0x1879), 4484),
        (spread(0x0F40, 0x0F48), 3000),
        (spread(0x1E00, 0x1F00), 3585),
        (spread(0x20000, 0x20600), 5911),
        (spread(0x4E00, 0x9F00), 3004),
        (spread(0x0430, 0x0450), 1218),
        (letters(string.ascii_lowercase), 817),
        (letters(string.ascii_letters), 999),
        (letters(f"{string.ascii_lowercase}    "), 780),
        (letters(string.printable), 1149),
        (letters(f"{string.ascii_letters}{string.digits}+/"), 1078),
        ("a b c " * 250, 751),
        ("a\nb\n\n" * 300, 1200),
        ("QxZjXq" * 250, 1500),
    ],
    ids=[
        *("Cherokee", "Georgian capitals", "Mongolian", "Tibetan", "Latin with marks", "rare Han", "Han"),
        *(
            "Cyrillic",
            "small letters",
            "letters",
            "words",
            "anything",
            "base64",
            "single",
            "lines",
            "capitals",
        ),
    ],
)
def test_what_has_no_sense_takes_no_more(text, tokens):
    """The tokens are those of o200k_base or cl100k_base, whichever has more."""
    assert tokens <= most_tokens(text) <= len(text.encode())


def test_prose_keeps_its_measure():
    # 267 by either.
    assert 267 < most_tokens(CONTRACT) < 2 * 267
    assert most_tokens(CONTRACT) < 1.25 * needs(CONTRACT)


def test_a_long_text_is_counted_in_turns_and_any_text_can_be():
    turns = []
    other = gevent.spawn(lambda: [(turns.append(1), gevent.sleep(0)) for _ in range(99)])
    assert most_tokens("word " * 40_000) == pytest.approx(40 * most_tokens("word " * 1000), rel=0.01)
    other.kill()
    assert len(turns) > 20
    assert [most_tokens(text) for text in ("", "a", "\ud800", "\0")] == [0, 1, 3, 1]
