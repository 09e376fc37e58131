"""How many tokens a text takes at the most, for what has to hold whatever somebody brings: a budget.

A token is a byte at least, so that bytes are a certain bound, but five times what English takes. By bytes
counts what is not ASCII, except the alphabets whose letters have a token each. Of what is ASCII it counts by
the pairs of letters: words are few tokens where their pairs are common, and many where they are rare.

Measured with o200k_base and cl100k_base that is 1.5 to 2 times what prose in English or German takes, and no
less than what letters, figures and signs without a sense take; words that are made up of common pairs only,
or of two letters, take up to a seventh more.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache

from hub import in_turns

BYTES_AT_ONCE = 5_000  # a millisecond's work, about

# Pairs as they stand in English; other languages in these letters have few others.
_COMMONEST = (
    "in re er on te at or ed en th es ti it an co se nt le ng he io st ar me de as is ha ec al ma ri ch "
    "ve nd di ro li ou us ct ra om ce ta ns ne ea ic ut ge si il fi ll tr no to ot be hi pa wh ai la nc "
    "pr pe ca et ac ts fo ee lo su ly wi ur un"
)
_COMMON = (
    "op ho ss rs el ad po mi od na em mo am gi id ig ex sh rt ow if ul pl so bu ie wa bl ke ep im mp pt "
    "ry ab do ag rg rm rr cl ef up os of wo ck oc mm ol fr ir ib ia ov da sa fe iv rk vi we cu ni um pu "
    "ay ld av by tt pp rn sp ty br ny uc va ub yo fa ev lu ci du au gh ba nf py ap ff ue ak ob gr ht cr "
    "tu lt ru je oo ip qu sc og tc gu dd bi tl ls bo ew fu ui pi ds ei ki ms xt rd ud bj ix pd tw eg nn "
    "ft rc eq sy ug xe eb mu ys nl ga gn ok wr nv ua mb tp wn xp nu ey ks oi oe iz cc yp go rl hs af rf "
    "yr bm gs fl ze"
)
_DEARER = {pair: dearer for dearer, pairs in ((0, _COMMONEST), (0.12, _COMMON)) for pair in pairs.split()}
# A letter between what is none: a token, mostly.
_SINGLE = re.compile(rb"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_OWN = re.compile("[α-ωא-תء-غف-يА-я]")


def most_tokens(text: str) -> int:
    """Return how many tokens a text takes at the most; while that takes long others run."""
    encoded = text.encode("utf-8", "surrogatepass")
    slices = in_turns(range(0, len(encoded), BYTES_AT_ONCE), 1)
    return sum(_most(encoded[begin : begin + BYTES_AT_ONCE]) for begin in slices)


def _most(encoded: bytes) -> int:
    pairs = Counter(zip(encoded, encoded[1:] + b" ", strict=True))
    found = sum(count * _cost(*pair) for pair, count in pairs.items())
    return min(len(encoded), math.ceil(found + 0.8 * len(_SINGLE.findall(encoded))))


@cache
def _cost(first: int, second: int) -> float:
    """Return what a byte takes at the most, in tokens, before another one."""
    if first > 127:
        is_own = 0xC0 <= first < 0xE0 and second > 127 and _OWN.match(bytes((first, second)).decode())
        return 0.25 if is_own else 1
    one, other = chr(first), chr(second)
    ends = second > 127 or not other.isalpha()
    if not one.isalpha():
        # A blank is part of the word behind it, if that is in these letters.
        return (0.31 if second < 128 else 1) if one == " " else 1 if ends else 1.4
    if ends:
        return 0.31
    if one.islower() and other.isupper():
        return 1
    return 0.31 + _DEARER.get((one + other).lower(), 0.9) + (0.15 if other.isupper() else 0)
