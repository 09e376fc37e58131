"""The offline provider: it answers whatever the text, in small pieces, and never holds the hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from itertools import accumulate

import pytest

from providers.base import Broken, Prompt, Reply, StopReason, Usage
from providers.offline import ANEW, DEFAULT_MODEL, LABEL, Offline
from tests.extracts import CONTRACT, RECIPES, answer, ask, paragraphs


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_says_first_what_it_is(recipe: str) -> None:
    assert "No language model was used" in LABEL
    assert answer(CONTRACT, recipe).startswith(LABEL)
    assert next(iter(ask(CONTRACT, recipe))) == LABEL


def test_the_same_document_always_gets_the_same_answer() -> None:
    script = (
        "from tests.extracts import CONTRACT, RECIPES, ask\n"
        "for recipe in RECIPES: print(ascii(list(ask(CONTRACT, recipe, 'Who pays?'))))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    assert LABEL[:20].encode() in answers.pop()


def test_text_comes_before_the_document_is_read_and_in_small_pieces() -> None:
    steps = iter(ask((CONTRACT.replace("\n\n", " "),) * 300))
    assert next(steps) == LABEL
    assert next(steps) == "“A title” has 300 paragraphs"
    assert next(steps) == ""
    assert all(len(step) < 700 for step in steps)


def test_usage_counts_and_the_price_is_nothing() -> None:
    reply = ask(CONTRACT)
    text = "".join(reply)
    assert reply.usage is not None
    assert len(CONTRACT.split()) < reply.usage.input < 2 * len(CONTRACT.split())
    assert len(text.split()) < reply.usage.output < 2 * len(text.split())
    assert reply.request_id is None
    assert Offline().price(Usage(10**9, 10**9), DEFAULT_MODEL) == Decimal(0)


def test_the_output_limit_ends_the_answer_between_sentences() -> None:
    whole = list(filter(None, ask(CONTRACT, "risks")))
    reply = ask(CONTRACT, "risks", limit=120)
    cut = list(filter(None, reply))
    assert reply.stop_reason is StopReason.LENGTH
    assert reply.usage is not None
    assert 60 < reply.usage.output <= 120
    assert cut == whole[: len(cut)]


def go_on(said: str, recipe: str = "brief", limit: int = 4096) -> Reply:
    parts = paragraphs(CONTRACT)
    return Offline().reply(
        Prompt("", "", "", "A title", parts, recipe, "Who pays?", limit, said), DEFAULT_MODEL
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_answer_that_broke_off_is_gone_on_with_wherever_that_was(recipe: str) -> None:
    steps = list(filter(None, go_on("", recipe)))
    whole = "".join(steps)
    ends = set(accumulate(map(len, steps)))
    assert len(ends) >= 5
    for cut in ends | set(range(1, len(whole), 29)):
        reply = go_on(whole[:cut], recipe)
        assert "".join(reply) == whole[cut:]
        assert reply.stop_reason is StopReason.END


def test_answers_cut_by_their_limit_add_up_to_the_whole() -> None:
    said, stops = "", []
    while StopReason.END not in stops:
        reply = go_on(said, "risks", limit=120)
        added = "".join(reply)
        assert added or reply.stop_reason is StopReason.END
        said += added
        stops.append(reply.stop_reason)
    assert len(stops) > 2
    assert said == "".join(go_on("", "risks"))


def test_an_answer_that_is_not_its_own_is_left_alone_and_the_whole_extract_follows() -> None:
    whole = "".join(go_on(""))
    for said in ("The model said", f"{LABEL}But then", f"{whole[:-5]} or not", f"{whole}And more."):
        reply = go_on(said)
        assert "".join(reply) == ANEW + whole
        assert reply.stop_reason is StopReason.END


def test_a_closed_reply_breaks_off_at_its_next_step() -> None:
    reply = ask(CONTRACT)
    steps = iter(reply)
    assert next(steps) == LABEL
    reply.close()
    reply.close()
    with pytest.raises(Broken):
        next(steps)
    assert reply.stop_reason is None


def test_a_reply_closed_before_it_began_yields_nothing() -> None:
    with ask(CONTRACT) as reply:
        reply.close()
        with pytest.raises(Broken):
            next(iter(reply))


TEXTS = {
    "none": (),
    "empty": ("",),
    "blank": (" \n\t",),
    "word": ("Word",),
    "unpunctuated": ("no punctuation at all just words " * 200,),
    "table": ("| a | b |\n|---|---|\n| 1 | 2 |",),
    "list": ("- one\n- two\n- three",),
    "code": ("for i in range(10):\n    print(f'{i}')\n" * 20,),
    "chinese": ("本合同自签署之日起生效。甲方应在三十日内付款！乙方可以终止本合同。" * 5,),
    "arabic": ("هذا العقد ملزم للطرفين. هل توافق على ذلك؟ يجب على المورد الدفع.",),
    "odd": ("\u200b\u2028\x0b\x00\ud800 ¶ \U0001f600",),
    "heads": ("HEAD",) * 30,
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_gets_a_finished_answer_that_cites_only_what_is_there(
    text: tuple[str, ...], recipe: str
) -> None:
    reply = ask(text, recipe, "付款 付 one word الدفع")
    markdown = "".join(reply)
    assert reply.stop_reason is StopReason.END
    assert markdown.count("## ") == len(re.findall(r"^## ", markdown, re.MULTILINE))
    assert all(1 <= int(number) <= len(text) for number in re.findall(r"\[¶(\d+)\]", markdown))


def test_text_without_sentences_is_called_that() -> None:
    assert "Nothing in it reads as a sentence" in answer(("Word",))
    assert "Hardly any of it reads as full sentences" in answer(("| item | price | tax |\n" * 20,))


@pytest.mark.parametrize("recipe", RECIPES[:5])
@pytest.mark.parametrize(
    "unit",
    [
        *"a(1,\n条",
        "a\n",
        ". ",
        "a. ",
        "Aa ",
        '"a" ',
        "[¶9] ",
        "£1,1",
        "darf ",
        "| a |\n",
        "a@",
        "http://",
        "](",
        "[![a](b)",
        "<a b=",
        "1.1",
        ".....",
    ],
)
def test_work_is_linear_and_shared_out_whatever_the_text(unit: str, recipe: str) -> None:
    """Time is measured loosely, for a slow machine; the number of signs of life is exact."""
    text = unit * (20_000 // len(unit))
    began = time.process_time()
    steps = list(ask((text,), recipe, "Who pays?"))
    assert time.process_time() - began < 2
    assert steps.count("") >= len(text) // 2_500
