"""The small words of each language: they tell which one a text is in, and they are never key terms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from providers.extract.marks import visible

SAMPLE = 4_000  # characters by which a language is told


def words(text: str) -> frozenset[str]:
    """Return the set of the words of a text."""
    return frozenset(text.split())


# Closed classes only: the long lists in circulation also drop words like "goods", "interest" and "system".
SMALL_WORDS = {
    "English": words("""
        a about above after again against all also am an and any are as at be because been before being
    below between both but by can cannot could did do does doing done down during each either else ever
    every few for from further had has have having he her here hers herself him himself his how however
    i if in into is it its itself just may me might mine more most much must my myself neither no nor
    not of off on once one only or other others otherwise ought our ours out over own per same shall she
    should since so some such than that the their theirs them themselves then there thereby therefore
    thereof these they this those though through thus to too two under unless until up upon us very was
    we well were what whatever when where whereas whether which while who whom whose why will with
    within without would yet you your yours yourself"""),
    "German": words("""
        ab aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da dabei
    damit dann das dass dazu dem den denn der deren des dessen die dies diese diesem diesen dieser
    dieses doch dort du durch ein eine einem einen einer eines er es etwa für gegen hat hatte haben hier
    ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes jedoch
    kann kein keine keinem keinen keiner können man mehr mit muss müssen nach nicht noch nur ob oder
    ohne sein seine seinem seinen seiner seit sich sie sind so soll sollen sofern soweit sowie über um
    und uns unser unter vom von vor war waren was weil welche wenn werden wer wie wir wird wo wurde
    wurden zu zum zur zwei zwischen darf dürfen bzw wurde"""),
    "French": words("""
        à afin ainsi après au aucun aucune aussi autre autres aux avant avec avoir c ce ceci cela celle
    celui ces cet cette ceux chaque comme d dans de depuis des deux doit doivent donc dont du elle elles
    en entre est et être eux fait il ils j je l la le les leur leurs lors lui ma mais me même mes moi n
    ne ni non nos notre nous on ont ou où par pas peut peuvent plus pour qu quand que qui quoi sa sans
    se sera seront ses si son sont sous sur ta te toi tous tout toute toutes très tu un une vos votre
    vous y"""),
    "Spanish": words("""
        a al algo ante antes así aunque cada como con contra cual cuando de debe deben del desde donde dos e
    el él ella ellas ellos en entre era es esa ese eso esta está están este esto estos estas ha han
    hasta hay la las le les lo los más me mi mientras muy ni no nos nosotros o otra otro otros para pero
    por porque pueda puede pueden que qué quien se sea según ser será si sí sido sin sobre son su sus
    también tanto te tiene todo todos toda todas tras tu un una uno y ya yo"""),
    "Italian": words("""
        a ad ai al alla alle allo anche ancora c che chi ci come con cui da dal dalla dalle degli dei del
    della delle dello di dopo due e è ed egli essere fra gli ha hanno i il in io l la le lei lo loro lui
    ma mi nei nel nella nelle nello noi non o ogni per perché più può quale quando quanto quella quello
    questa questi questo se sei senza si sia sono stato su sua sue sugli sul sulla suo suoi tra tutti
    tutto un una uno vi voi"""),
    "Dutch": words("""
        aan al alle als altijd andere bij dan dat de deze die dit doch doen door dus een en er ge geen had
    heb hebben heeft hem het hij hoe hun iets ik in is ja je kan kunnen maar me meer men met mijn moet
    moeten na naar niet niets nog nu of om omdat onder ons ook op over reeds te tegen toch toen tot u
    uit uw van veel voor want was wat we werd wel wie wij wil worden wordt zal ze zelf zich zij zijn zo
    zonder zou"""),
    "Portuguese": words("""
        a ao aos as às até com como da das de deve do dos e é ela elas ele eles em entre era essa esse esta
    está este eu foi há isso isto já lhe mais mas me mesmo na nas não nem no nos nós num numa o os ou
    para pela pelas pelo pelos por qual quando que quem se seja sem ser será seu seus só sua suas também
    te tem um uma você"""),
}

# Scripts written without spaces between words; there two neighbouring characters stand for a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs are no letters to `re`, so the ranges of scripts that have them are spelled out.
WORD = re.compile(
    rf"[{UNSPACED}]+|[^\W\d_{UNSPACED}](?:[^\W_{UNSPACED}]"
    r"|['’\u0300-\u036f\u0591-\u05bd\u064b-\u0652\u0900-\u0963\u0970-\u0dff-])*"
)
IS_UNSPACED = re.compile(rf"[{UNSPACED}]")


def language_of(paragraphs: Sequence[str]) -> str:
    """Return the name of a language whose small words the beginning is full of, or ""."""
    sample = " ".join(visible(paragraph[:600]) for paragraph in paragraphs[:40])[:SAMPLE].casefold()
    counts = Counter(WORD.findall(sample))
    shares = {name: sum(counts[word] for word in small) for name, small in SMALL_WORDS.items()}
    name = max(shares, key=lambda name: shares[name])
    return name if shares[name] >= 2 and shares[name] > 0.15 * counts.total() else ""
