"""What in a document speaks to the model that reads it instead of to people: prompt injection.

A hint for the reader, no protection: whoever wants to can say it in other words.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from hub import in_turns, let_others_run

# All in lower case. By words that an order to a model has, or that begin what only a model is told: what
# stands near. Only around such a word is anything matched: the word alone is found a hundred times faster.
_SPEECH = {
    ("instruc", "prompt"): r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}"
    r"\b(?:previous|prior|above|earlier|preceding|all|your|these|system)\b.{0,30}(?:instruct|prompt)"
    r"|\b(?:reveal|repeat|print|show|output|disclose)\b.{0,40}\b(?:system|initial|hidden) prompt"
    r"|\b(?:ignorez?|oubliez?)\b.{0,20}\b(?:les|ces|vos|tes)\b.{0,30}instruc"
    r"|(?:\bignor[ae]|olvid|caso omiso).{0,30}instrucc|(?:negeer|vergeet).{0,30}instruc",
    ("consigne",): r"ignor|oubli|pas compte",
    ("instruç",): r"ignor|esque[çc]|desconsider",
    ("istruzi",): r"ignor|dimentic",
    ("anweisung", "instruktion"): r"ignorier|missacht|vergiss|vergessen sie|ignorera|glöm",
    ("instrukc", "polece"): r"ignoruj|zapomnij",
    ("talimat",): r"yok say|görmezden|unut",
    ("инструкци", "указани"): r"игнорируй|забудь",
    ("інструкці",): r"ігноруй|забудь",
    ("指令", "指示", "提示"): r"(?:忽略|无视|無視|忘记|忘記)(?!不计).{0,12}(?:指令|指示|提示)",
    ("指示", "命令"): r"(?:指示|命令).{0,8}(?:無視|忘れ)",
    ("지시", "명령"): r"무시|잊",
    ("تعليمات",): "تجاهل",
    ("הוראות",): "התעלם",
    ("निर्देश",): "अनदेखा|नज़रअंदाज",
    ("language model", "ai assistant"): r"\b(?:you are|you're|note to|attention|dear)\b",
    ("sprachmodell",): r"\b(?:du bist|hinweis an|achtung)\b",
    ("the user",): r"\b(?:not|never|don't|without) (?:tell|inform|alert|telling|informing) the user",
    ("system:", "assistant:", "developer:"): r"\n[ \t]*(?:system|assistant|developer):",
    ("<|im_", "[inst]", "<<sys>>", "</document-", "</findings-", "<tool_", "<function_"): "",
}
_PATTERNS = [(word, re.compile(near, re.DOTALL)) for words, near in _SPEECH.items() for word in words]
_BEFORE, _AFTER = 80, 60  # characters around a word
# Characters that are looked through at once: a millisecond's worth, about. One that is matched is as dear as
# so many of them.
_AT_ONCE = 1_000_000
_AS_DEAR = 50
_PARAGRAPHS_AT_ONCE = 5_000

# Tag characters, of which a flag has six, and others without width, in which whole texts are hidden.
_UNSEEN = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\U000e0001-\U000e007f\U000e0100-\U000e01ef]{8}")


def speaking(paragraphs: Sequence[str]) -> list[int]:
    """Return the numbers of the paragraphs that speak to a model; while that takes long others run."""
    # A turn that is made up begins a line.
    parts = [f"\n{paragraph.lower()}" for paragraph in in_turns(paragraphs, _PARAGRAPHS_AT_ONCE)]
    text, ends = "".join(parts), list(accumulate(map(len, parts)))
    found = set() if text.isascii() else {bisect_right(ends, seen.start()) for seen in _UNSEEN.finditer(text)}
    looked = 0
    for word, near in _PATTERNS:
        looked += len(text)
        at = text.find(word)
        while at >= 0:
            place = bisect_right(ends, at)
            first, end = ends[place] - len(parts[place]), ends[place]
            # Those that stand so near that what stands around them meets are looked at together.
            last = text.rfind(word, at, min(end, at + _BEFORE + _AFTER))
            around = text[max(first, at - _BEFORE) : min(end, last + _AFTER)]
            if place in found or near.search(around):
                found.add(place)
                last = end - 1
            looked += _AS_DEAR * len(around)
            if looked >= _AT_ONCE:
                looked = 0
                let_others_run()
            at = text.find(word, last + 1)
        if looked >= _AT_ONCE:
            looked = 0
            let_others_run()
    return [place + 1 for place in sorted(found)]
