"""What can be found by its form: dates, amounts, addresses, names and definitions.

The patterns expect white space folded to single spaces.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass

from providers.extract.document import Document, Work
from providers.extract.marks import URL
from providers.extract.ranking import Best
from providers.extract.sentences import Sentence

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Januar|Jänner|Februar|März|Mai|Juni|Juli|Oktober|Dezember|janvier|février|mars|avril|mai|juin|juillet"
    r"|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre"
    r"|octubre|noviembre|diciembre|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Okt|Nov|Dec|Dez)\b\.?)"
)
_COUNT = (
    r"(?:\d{1,4}(?:\.\d{1,2})?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fourteen|fifteen|twenty|thirty"
    r"|sixty|ninety|einen?|einem|einer|zwei|drei|vier|sechs|acht|zehn|zwölf|deux|trois|quatre"
    r"|dos|tres|cuatro|seis)"
)
_SPAN = (
    r"(?:days?|weeks?|months?|quarters?|years?|hours?|minutes?|Tag(?:en?)?|Wochen?|Monat(?:en?|s)?"
    r"|Jahr(?:en?|s)?|Stunden?|Werktag(?:en?)?|jours?|semaines?|mois|ans|années?|heures?|días?|semanas?"
    r"|mes(?:es)?|años?|horas?)"
)
_WEEKDAY = (
    r"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
    r"|(?:Mon|Diens|Donners|Frei|Sams|Sonn)tag|Mittwoch|lundi|mardi|mercredi|jeudi|vendredi)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
# 3.13.13 is a version, not a day: with dots a year has four digits.
_FIGURES = (
    rf"(?<!\d\.)(?:{_DAY}\.{_MONTH_NUMBER}\.\d{{4}}|{_DAY}/{_MONTH_NUMBER}/(?:\d{{4}}|\d{{2}})"
    rf"|{_MONTH_NUMBER}/{_DAY}/(?:\d{{4}}|\d{{2}})"
    + "".join(rf"|\d{{4}}{mark}{_MONTH_NUMBER}{mark}{_DAY}" for mark in ("-", "/", r"\."))
    + r")(?!\.\d)"
)
DATE = re.compile(
    rf"(?<!\w)(?:{_FIGURES}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er|\.)? (?:of |de )?{_MONTH}(?:(?: de|,)? \d{{4}})?"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|{_MONTH} \d{{4}}|Q[1-4](?: \d{{4}})?"
    rf"|(?:next )?{_WEEKDAY}|tomorrow"
    rf"|(?:the )?end of (?:the |this |next )?(?:day|week|month|quarter|year|{_MONTH})"
    rf"|(?:Monats|Jahres|Quartals)ende)(?!\w)"
    rf"|(?<!\w)(?<!\d\.){_COUNT}(?: \(\d{{1,4}}\))?[ -]"
    rf"(?:(?:business|working|calendar|consecutive|full) )?{_SPAN}(?!\w)"
    r"|\d{4}年(?:\d{1,2}月(?:\d{1,2}日)?)?|[\d一二三四五六七八九十]{1,4}(?:日|天|个月|か月|年)(?:以内|内)"
)
_CURRENCY = r"(?:US\$|[£$€¥₹]|(?:USD|EUR|GBP|CHF|JPY|CAD|AUD)(?= ?\d))"
_NUMBER = r"\d{1,3}(?:[,.'’]\d{1,3}){0,6}|\d{1,15}(?:[.,]\d{1,2})?"
_SCALE = r"(?: ?(?:million|billion|thousand|Mio\.|Millionen|Mrd\.|bn|m|k)(?!\w))?"
AMOUNT = re.compile(
    rf"(?<![\w.,]){_CURRENCY} ?(?:{_NUMBER})(?!\d){_SCALE}"
    rf"|(?<![\w.,])(?:{_NUMBER}){_SCALE}(?: ?(?:[€£%‰元円]|(?:万)[元円])"
    r"| (?:EUR|USD|GBP|CHF|[Ee]uros?|dollars?|pounds?|per cent|percent|Prozent|pour cent|por ciento)(?!\w))"
)
ADDRESS = re.compile(URL + r"(?<![.,;:\]'’*])|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_CAPITAL = r"[A-ZÀ-ÖØ-Þ]"
NAME = re.compile(
    rf"(?<![\w’'-]){_CAPITAL}[\w’'&-]{{1,30}}"
    rf"(?: (?:(?:of|the|for|de|du|la|von|van|der|den|zu|für|und|&) ){{0,2}}"
    rf"{_CAPITAL}[\w’'&-]{{0,30}}){{1,4}}(?:,? (?:Inc|Ltd|LLC|plc|GmbH|AG|KG|SA|BV)(?!\w)\.?)?"
)
_TERM = r"[^\"“”„«»]{2,60}?"
_MEANS = (
    r"(?:means?|refers? to|is defined as|shall mean|includes?|is|are|bezeichnet|bedeutet|sind|ist|désigne"
    r"|significa)"
)
DEFINITION = re.compile(
    rf"[\"“„«] ?(?P<meant>{_TERM}) ?[\"”“»](?: \([^()]{{1,60}}\))?,? (?:also |here )?{_MEANS}(?!\w)"
    rf"|\((?:(?:the|each,?|an?|collectively,?|together,?|hereinafter|nachfolgend|im Folgenden|ci-après"
    rf"|le|la|die|der|das) ){{0,3}}[\"“„«] ?(?P<named>{_TERM}) ?[\"”“»]\)"
)


@dataclass(slots=True)
class Mention:
    """Something the document mentions: its words, the first paragraph that does, and how often it comes."""

    text: str
    paragraph: int
    count: int = 0


def addresses(document: Document, count: int) -> Work[list[Mention]]:
    """Find the first addresses of pages and mailboxes."""
    found: dict[str, Mention] = {}
    for sentence in document.sentences:
        yield 2 * len(sentence.text)
        for hit in ADDRESS.finditer(sentence.text):
            found.setdefault(hit[0], Mention(hit[0], sentence.paragraph)).count += 1
    return list(found.values())[:count]


def names(document: Document, count: int) -> Work[list[Mention]]:
    """Find runs of capitalised words in running text, the most frequent first."""
    found: dict[str, Mention] = {}
    for sentence in document.sentences:
        yield 2 * len(sentence.text)
        for hit in NAME.finditer(sentence.seen):
            words = hit[0].split(" ")
            while words and words[0].casefold() in document.small:
                del words[0]
            text = " ".join(words)
            if len(words) > 1 and not text.isupper() and not DATE.search(text):
                found.setdefault(text, Mention(text, sentence.paragraph)).count += 1
    # German capitalises every noun: there a name must come twice.
    least = 2 if document.language == "German" else 1
    best: Best[Mention] = Best(count)
    for mention in found.values():
        yield 4
        if mention.count >= least:
            best.offer(mention.count, mention)
    return [mention for _, mention in best.ranked()]


def definitions(document: Document, count: int) -> Work[list[tuple[Sentence, list[str]]]]:
    """Find the first sentences that define terms in quotation marks, with the terms.

    A term belongs to the first sentence that says what it means, or else to the first that names it.
    """
    meant: dict[str, int] = {}
    named: dict[str, int] = {}
    for sentence in document.quotable:
        yield len(sentence.text)
        for hit in DEFINITION.finditer(sentence.text):
            term = (hit["meant"] or hit["named"]).strip(" ,.")
            if term:
                (meant if hit["meant"] else named).setdefault(term, sentence.number)
    terms: dict[int, list[str]] = {}
    for term, number in (named | meant).items():
        yield 2
        terms.setdefault(number, []).append(term)
    return [(document.sentences[number], terms[number]) for number in heapq.nsmallest(count, terms)]
