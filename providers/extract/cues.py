"""The words by which duties, prohibitions, risks, rights, deadlines and tasks are told."""

from __future__ import annotations

import re

from providers.extract.document import Document, Work
from providers.extract.languages import words
from providers.extract.lines import LABEL
from providers.extract.sentences import Sentence


def cues(choices: str, *, not_after: str = "", not_before: str = "", except_in: str = "") -> re.Pattern[str]:
    """Compile a space-separated list of words; `~` is a space, `+` some words, a final `*` any ending.

    They do not count straight after one of `not_after`, straight before one of `not_before`, or at the end
    of one of `except_in`.
    """
    any_of = "|".join(map(_pattern, choices.split()))
    before = "".join(rf"(?<!\b{_pattern(words)} )" for words in not_after.split())
    after = "".join(rf"(?! {_pattern(words)}(?!\w))" for words in not_before.split())
    after += "".join(rf"(?<!\b{_pattern(words)})" for words in except_in.split())
    return re.compile(rf"(?<!\w){before}(?:{any_of})(?!\w){after}", re.IGNORECASE)


def _pattern(words: str) -> str:
    escaped = re.escape(words.replace("~", " "))
    return escaped.replace(r"\+", r"(?: [^.;:]{0,90})? ").replace(r"\*", r"\w{0,20}")


RISK = cues(
    """liable liabilit* indemni* damages penalt* breach* terminat* forfeit* warrant* infring* default
    defaults disclaim* negligen* at~your~own~risk entire~risk risk~of loss~of losses late~payment fine
    fines sue lawsuit litigation haftet haften haftung* schadensersatz* schadenersatz* vertragsstrafe*
    kündig* gekündigt verzug* gewährleist* verstoß* verstößt rücktritt* risik* mahn* responsabilité*
    responsables~de dommages~et~intérêts pénalité* résili* garantie garanties manquement*
    responsabilidad* indemniz* penaliza* incumpl* rescind*""",
    except_in="by~default",
)
PROHIBITION = cues(
    """shall~not must~not may~not cannot can~not will~not~be~permitted not~permitted not~allowed
    not~entitled prohibit* forbid* forbidden no~person~may neither~party~may no~party~may
    mustn't can't darf+nicht dürfen+nicht darf~kein* dürfen~kein* nicht~gestattet nicht~berechtigt
    nicht~zulässig unzulässig untersagt verboten ist~es~nicht~erlaubt ne~peut ne~peuvent ne~doit
    ne~doivent interdit* no~podrá no~podrán no~puede prohibid*""",
    not_before="be~required be~obliged",
)
OBLIGATION = cues(
    """shall must is~required~to are~required~to be~required~to obliged obligat*
    agrees~to agree~to undertakes undertake~to has~to have~to
    needs~to need~to responsible~for is~to are~to ensure ensures comply complies due payable muss müssen
    verpflichte* hat~zu haben~zu zu~zahlen zu~leisten fällig schuldet doit doivent devra devront tenu~de
    tenus~de s'engage* deberá deberán debe deben obligad*""",
    not_after="not not~be nor no don't don’t doesn't doesn’t nicht pas",
    not_before="not~be~required not~be~obliged nicht",
)
RIGHT = cues(
    """may entitled right~to rights~to permitted allowed free~to permission grants granted kann können darf
    dürfen berechtigt gestattet anspruch recht~auf peut peuvent droit~de droit~à podrá podrán puede
    pueden derecho~a not~required~to not~be~required~to not~obliged~to not~be~obliged~to not~have~to
    don't~have~to doesn't~have~to no~obligation nicht~verpflichtet muss~nicht müssen~nicht"""
)
DEADLINE = cues(
    """within by before until no~later~than not~later~than at~least due deadline expires expiry
    effective~date prior~to notice from~the~date starts~on ends~on begins~on continues~for survives
    launch* spätestens bis innerhalb binnen frist* beginnt endet fällig ab~dem avant~le au~plus~tard
    dans~un~délai délai antes~del plazo"""
)
TASK = cues(
    """please todo to-do action action~item actions follow~up bitte aufgabe aufgaben veuillez merci~de
    por~favor will~send will~prepare will~draft will~review will~check will~ask will~call will~share
    will~update will~write to~send to~prepare to~draft to~review to~check to~ask to~call to~share
    to~update to~write to~confirm to~follow to~arrange to~organise to~organize to~book to~finalise
    to~finalize to~circulate"""
)
# Words a first word may be for the sentence to tell somebody to do something.
IMPERATIVES = words("""
    add ask attach book bring call check complete confirm contact copy create deliver do ensure fill
    find follow give inform install keep make notify open pay prepare provide read remember remove
    report return review run save send set share sign start stop submit tell update upload use verify
    write""")


def matching(document: Document, *patterns: re.Pattern[str]) -> Work[list[list[Sentence]]]:
    """Sort the sentences by the first of the patterns that each one holds, in document order."""
    found: list[list[Sentence]] = [[] for _ in patterns]
    for sentence in document.quotable:
        yield 2 * len(sentence.text)
        for group, pattern in zip(found, patterns, strict=True):
            if pattern.search(sentence.seen):
                group.append(sentence)
                break
    return found


def instructs(sentence: Sentence) -> bool:
    """Tell whether a sentence seems to ask somebody to do something."""
    text = sentence.text[:80]
    label = LABEL.match(text)
    first = (text[label.end() :] if label else text).strip('"“(*').partition(" ")[0].casefold()
    return first in IMPERATIVES or bool(TASK.search(sentence.seen))
