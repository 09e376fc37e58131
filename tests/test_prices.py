"""What a model costs: as whoever runs Precis states it, as is listed, or unknown; and what calls come to."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

import app
import check
import config
from analyzer.bill import Bill
from analyzer.estimate import estimate
from analyzer.sections import Budget, Outline
from config import ConfigError, Settings
from findings import OK, WRONG
from models import millionths
from providers.anthropic import Anthropic
from providers.base import Broken, Busy, Prompt, StopReason, TooLong, Usage
from providers.openai import OpenAI

MILLION = Usage(1_000_000, 1_000_000)
PROMPT = Prompt("Be brief.", "A document.", "Sum it up.", "", (), "brief")


def prices(monkeypatch, stated):
    monkeypatch.setenv("PRECIS_PRICES", stated)
    return config.load().stated_prices


def test_prices_are_stated_by_provider_and_model(monkeypatch):
    stated = prices(monkeypatch, "openai:meta/llama3:70b=0.1/0.25, anthropic:own=3/15 , openai:free=0/0")
    assert stated == {
        "openai": {"meta/llama3:70b": (Decimal("0.1"), Decimal("0.25")), "free": (0, 0)},
        "anthropic": {"own": (3, 15)},
    }


@pytest.mark.parametrize(
    "stated",
    ["own=1/2", "openai:own=1", "openai:own=1/-2", "openai:own=$1/$2", "offline:extractive=1/2", "=1/2"],
)
def test_prices_that_are_none_are_told_in_a_sentence(monkeypatch, stated):
    with pytest.raises(ConfigError) as caught:
        prices(monkeypatch, stated)
    assert str(caught.value) == (
        "PRECIS_PRICES must be provider:model=in/out, in US dollars per million tokens, such as "
        f"openai:llama3.3=0.50/1.50, and not {stated}."
    )


@pytest.mark.parametrize("name", ["PRECIS_BUDGET_ANALYSIS", "PRECIS_BUDGET_PERSON", "PRECIS_BUDGET_DAY"])
@pytest.mark.parametrize("amount", ["$2", "-1", "1e3", "2,50", "nan", "0.0000001", ""])
def test_budgets_that_are_none_are_told_in_a_sentence(monkeypatch, name, amount):
    monkeypatch.setenv(name, amount)
    with pytest.raises(ConfigError, match=rf"^{name} must be an amount of US dollars such as 2\.50, or 0"):
        config.load()


def test_a_stated_price_comes_before_a_listed_one_and_makes_up_for_none():
    settings = Settings(
        openai_api_key="k",
        anthropic_base_url="http://127.0.0.1:1",
        prices=(f"openai:{app.openai.DEFAULT_MODEL}=7/11", "anthropic:own=1/2"),
    )
    providers = app.configured_providers(settings)
    assert providers["openai"].price(MILLION, app.openai.DEFAULT_MODEL) == 18
    assert providers["anthropic"].price(Usage(500_000, 0, cached=500_000), "own") == Decimal("0.5")
    assert providers["anthropic"].price(MILLION, "other") is None


@pytest.mark.parametrize(("budget", "level"), [(0, OK), (1, WRONG)])
def test_a_model_that_nobody_can_pay_for_is_found_before(budget, level):
    settings = Settings(
        openai_base_url="http://127.0.0.1:1",
        models=("openai:own", "openai:priced"),
        prices=("openai:priced=1/2",),
        context_tokens=8_000,
        budget_day=Decimal(budget),
    )
    own, priced = check.look_at_models(settings, app.make_analyzer(settings))
    assert own.level == level
    assert priced.level == OK
    assert ("add openai:own=in/out to PRECIS_PRICES" in own.sentence) == bool(budget)


def test_an_amount_is_never_kept_as_less_than_it_is():
    assert [millionths(Decimal(it)) for it in ("0", "1.5", "0.0000001")] == [0, 1_500_000, 1]


def bill(*calls):
    """Return the bill of calls: what each has told, about how many tokens were written, what went wrong."""
    found = Bill(OpenAI("k", prices={"m": (Decimal(2), Decimal(10))}), "m")
    for usage, written, failure in calls:
        stop = None if failure else StopReason.END
        found.add(PROMPT, SimpleNamespace(usage=usage, stop_reason=stop), written, failure)
    return found.expense


def test_a_bill_is_what_was_told_of_all_calls():
    assert bill((Usage(1000, 100, cached=900), 7, None), (Usage(500, 50), 7, None)) == {
        "amount": 1500 * 2 + 150 * 10,
        "input_tokens": 1500,
        "output_tokens": 150,
    }


def test_a_call_that_broke_off_counts_what_came_of_it():
    assert bill((Usage(1000, 1), 30, Broken()))["amount"] == 1000 * 2 + 30 * 10
    found = bill((None, 30, Broken()))
    assert found["amount"] == found["input_tokens"] * 2 + 30 * 10 > 300


@pytest.mark.parametrize("failure", [Busy(), TooLong()])
def test_a_call_that_was_refused_costs_nothing(failure):
    assert bill((None, 0, failure)) == {"amount": 0}
    paid = Usage(1000, 100), 7, None
    assert bill(paid, (None, 0, failure)) == bill(paid)
    assert bill(paid)["amount"] == 3000


def test_one_call_of_unknown_price_makes_all_of_it_unknown():
    found = Bill(OpenAI("k", "http://127.0.0.1:1"), "m")
    found.add(PROMPT, SimpleNamespace(usage=Usage(1, 1), stop_reason=StopReason.END), 1)
    assert found.expense == {"input_tokens": 1, "output_tokens": 1}


@pytest.mark.parametrize("provider", [OpenAI("k"), Anthropic("k")], ids=["openai", "anthropic"])
def test_an_estimate_is_no_less_than_a_call_that_the_provider_keeps_for_later(provider):
    model = {"openai": app.openai, "anthropic": app.anthropic}[provider.name].DEFAULT_MODEL
    outline, budget = Outline("Words follow here. " * 1000), Budget(100_000, 500, 4096)
    found = estimate(outline, budget, lambda usage: provider.price(usage, model))
    read = outline.total + budget.words
    assert found.price >= provider.price(Usage(read, 4096, cache_written=read), model)
    assert found.price > provider.price(Usage(read, 4096), model)


def test_what_goes_on_takes_the_answer_along_and_reads_only_what_is_left():
    budget = Budget(8_000, 500, 200)
    price = lambda usage: Decimal(usage.input)  # noqa: E731
    whole = Outline("Words follow here. " * 200)
    answer = "It says this. " * 50
    assert estimate(whole, budget, price, answer).price > estimate(whole, budget, price).price
    long = Outline("Words follow here.\n\n" * 5_000)
    sections = long.sections(budget)
    all_of_it = estimate(long, budget, price)
    rest = estimate(long, budget, price, answer, [section.end for section in sections[:2]])
    assert rest.sections == all_of_it.sections == len(sections)
    assert rest.calls == all_of_it.calls - 2
    assert all_of_it.price / 2 < rest.price < all_of_it.price
