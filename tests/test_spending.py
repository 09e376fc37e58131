"""What is spent is counted, and what would be too much is refused before any call."""

import re
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from html import unescape

import gevent
import pytest

from analyzer.runner import Runner
from models import Analysis, Budgets, Document, Expense, OverBudget, Status, User, now
from storage import connected
from tests.fleet import Fleet
from tests.person import HTMX, as_person, ask, bring, finished, post_analysis, row, settle
from tests.test_races_over_http import at_once

pytestmark = pytest.mark.both_modes

# An answer has 1,000 tokens at most, of a tenth of a cent each, and reading costs nothing: a dollar at most.
DOLLAR = 1_000_000
PRICED = {"prices": ("openai:gpt-6-sol=0/1000",), "max_output_tokens": 1000}
HELD = {"text": "One two three four", "fault": "silence", "at": 2}
TEXT = "Terms of use\n\nThe user shall pay 100 EUR by 1 March 2027."


@pytest.fixture
def limited(make_app):
    """Make applications with budgets, in dollars."""
    return lambda **budgets: make_app(
        **PRICED, **{f"budget_{name}": Decimal(amount) for name, amount in budgets.items()}
    )


@pytest.fixture
def app(limited):
    """An application in which a person may spend two dollars a day."""
    return limited(person=2)


def expense(analysis):
    """Return what the ledger says of an analysis: amount, whether that is settled, tokens in and out."""
    with connected():
        found = Expense.get(Expense.analysis_id == int(analysis.rsplit("/", 1)[-1]))
    assert found.day == now().date()
    return found.amount, found.is_settled, found.input_tokens, found.output_tokens


def begun(client, document, provider, **fields):
    """Start an analysis that stays in the middle of its answer; returns its path."""
    calls = provider.calls
    analysis = ask(client, document, **fields)
    provider.wait(calls=calls + 1)
    return analysis


def until_begun(analysis):
    """Wait for the first text of an analysis."""
    with gevent.Timeout(30):
        while not Analysis.saved(int(analysis.rsplit("/", 1)[-1]))[1]:
            gevent.sleep(0.005)  # it is announced to its viewers only


def until_settled(analysis):
    """Wait until it is known what an analysis cost."""
    with gevent.Timeout(30):
        while not expense(analysis)[1]:
            gevent.sleep(0.005)  # its ending is announced to its viewers only


# The ledger


def test_what_it_can_cost_is_reserved_and_what_it_cost_is_settled(client, document, provider):
    provider.script(**HELD)
    running = begun(client, document, provider)
    assert expense(running) == (DOLLAR, False, None, None)
    provider.script(text="One two three four", usage={"input": 70})
    done = finished(client, document, recipe="risks")
    assert expense(done) == (4_000, True, 70, 4)
    assert row(done).price == Decimal("0.004")


@pytest.mark.sqlite
def test_without_budgets_nothing_is_reserved_and_all_is_counted(make_app, provider):
    client = make_app(**PRICED).test_client()
    document = bring(client, TEXT)
    provider.script(**HELD)
    running = begun(client, document, provider)
    assert expense(running) == (None, False, None, None)
    provider.script(text="One two three four")
    assert expense(finished(client, document, recipe="risks")) == (4_000, True, 100, 4)


def test_an_unknown_price_is_unknown_and_never_nothing(make_app):
    client = make_app().test_client()
    analysis = finished(client, bring(client, TEXT))
    assert expense(analysis)[:2] == (None, True)
    with connected():
        today, month = Expense.of_person(row(analysis).owner)
    assert (today.analyses, today.amount, today.unknown) == (1, 0, 1) == (month.analyses, month.amount, 1)


@pytest.mark.sqlite
@pytest.mark.parametrize("status", [401, 404])
def test_what_was_refused_costs_nothing(client, document, provider, status):
    provider.script(status=status)
    assert expense(finished(client, document)) == (0, True, None, None)


@pytest.mark.sqlite
def test_what_is_stopped_costs_what_had_come(client, document, provider, analyzer):
    provider.script(**HELD)
    analysis = begun(client, document, provider)
    until_begun(analysis)
    client.post(f"{analysis}/cancellation")
    settle(analyzer)
    amount, is_settled, _, tokens = expense(analysis)
    assert is_settled
    assert amount == tokens * 1000 > 0


def test_what_is_stopped_or_deleted_while_it_waits_costs_nothing(make_app, provider):
    client = make_app(**PRICED, budget_person=Decimal(9), max_running=1).test_client()
    document, other = bring(client, TEXT), bring(client, TEXT + "!")
    provider.script(**HELD)
    begun(client, document, provider)
    waiting = [ask(client, document, recipe="risks"), ask(client, document, recipe="actions")]
    waiting.append(ask(client, other))
    assert {expense(analysis)[:2] for analysis in waiting} == {(DOLLAR, False)}
    client.post(f"{waiting[0]}/cancellation")
    client.post(f"{waiting[1]}/deletion")
    client.post(f"{other}/deletion")
    assert {expense(analysis)[:2] for analysis in waiting} == {(0, True)}


@pytest.mark.parametrize("what", ["analysis", "document"])
def test_what_is_deleted_while_it_runs_costs_what_was_used(client, document, provider, analyzer, what):
    provider.script(**HELD)
    analysis = begun(client, document, provider)
    until_begun(analysis)
    client.post(f"{analysis if what == 'analysis' else document}/deletion")
    settle(analyzer)
    assert row(analysis) is None
    amount, is_settled, _, tokens = expense(analysis)
    assert is_settled
    assert 0 < amount == tokens * 1000 < DOLLAR


@pytest.mark.sqlite
@pytest.mark.parametrize("what", ["analysis", "document"])
def test_deleting_gives_nothing_back(limited, provider, what):
    client = limited(person="1.5").test_client()
    document = bring(client, TEXT)
    provider.script(pieces=["word "] * 600)
    analysis = finished(client, document)
    client.post(f"{analysis if what == 'analysis' else document}/deletion")
    assert row(analysis) is None
    assert expense(analysis)[0] == 600_000
    assert post_analysis(client, bring(client, TEXT)).status_code == 429


def test_what_a_dead_process_left_counts_as_it_was_reserved(tables):
    budgets = Budgets(person=2 * DOLLAR)
    with connected():
        owner = User.local()
        document = Document.add(owner, "Title", "One.", 1, 1)
        dead = {"worker": "dead", "lease_seconds": -1, "most": DOLLAR, "budgets": budgets}
        asked, _ = Analysis.ask(document, owner, "brief", "m", **dead)
        assert Analysis.interrupt([asked.id], "another") == [asked.id]
        assert expense(f"/{asked.id}") == (DOLLAR, True, None, None)
        assert Expense.left(owner, budgets) == DOLLAR


def test_at_midnight_it_is_entered_on_the_day_against_which_it_was_admitted(tables, monkeypatch):
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = today + timedelta(days=1)
    budgets = Budgets(person=DOLLAR)
    with connected():
        owner = User.local()
        document = Document.add(owner, "Title", "One.", 1, 1)
        for clock in ([tomorrow] * 9, [tomorrow - timedelta(microseconds=1), *[tomorrow] * 9]):
            monkeypatch.setattr("records.expenses.now", iter(clock).__next__)
            Analysis.ask(document, owner, "brief", "m", most=DOLLAR, budgets=budgets)
        assert [each.day for each in Expense.select().order_by(Expense.id)] == [
            tomorrow.date(),
            today.date(),
        ]


@pytest.mark.sqlite
def test_what_is_reserved_stays_where_the_price_is_not_known_in_the_end(client, document, provider, analyzer):
    provider.script(**HELD)
    analysis = begun(client, document, provider)
    # As in a worker process that was not told the prices.
    analyzer.providers["openai"]._prices = {}
    client.post(f"{analysis}/cancellation")
    settle(analyzer)
    assert expense(analysis)[:2] == (DOLLAR, True)


@pytest.mark.sqlite
def test_a_call_that_stayed_silent_and_was_made_again_is_counted_too(make_app, provider, monkeypatch):
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))
    prices = ("openai:gpt-6-sol=1000/0",)
    client = make_app(prices=prices, budget_person=Decimal(99), first_token_seconds=0.5).test_client()
    provider.script(fault="silence", at=0, times=1)
    amount, _, tokens, _ = expense(finished(client, bring(client, TEXT)))
    assert provider.calls == 2
    assert amount == tokens * 1000
    assert tokens > 200  # of which the second call has told 100


@pytest.fixture
def silent_at_first(make_app, provider, monkeypatch):
    """Start an analysis whose first call stays silent, with so many budgets of what it reserves.

    Returns that, the analysis' path, and what the ledger says when it has ended.
    """
    monkeypatch.setattr(Runner, "PAUSES", (0.01, 0.01))
    # Reading costs a tenth of a cent a token, and writing nothing.
    app = make_app(prices=("openai:gpt-6-sol=1000/0",), budget_person=Decimal(99), first_token_seconds=0.5)
    client, analyzer = app.test_client(), app.extensions["analyzer"]
    document = bring(client, TEXT)
    provider.script(text="Ok.")
    model = row(finished(client, document)).model
    with connected():
        most = analyzer.costs.most(Document.get(), model, "", None, "")

    def run(**budgets):
        with connected():
            Expense.delete().execute()
        # All that it may read is read by the second call.
        provider.reset()
        provider.script(fault="silence", at=0, times=1, text="Ok.", usage={"input": most // 1000})
        analyzer.costs.budgets = Budgets(**{name: int(most * share) for name, share in budgets.items()})
        analysis = finished(client, document)
        settle(analyzer)
        return most, analysis, expense(analysis)

    return run


@pytest.mark.parametrize("name", Budgets._fields)
def test_what_stayed_silent_is_not_asked_again_where_a_budget_does_not_hold_two(
    silent_at_first, provider, name
):
    most, analysis, (amount, is_settled, _, _) = silent_at_first(**{name: 1.2})
    assert (row(analysis).status, row(analysis).error) == (Status.FAILED, "Silent")
    assert provider.calls == 1
    assert is_settled
    assert most * 0.2 < amount <= most * 1.2, "which a second call would have passed"


def test_what_stayed_silent_is_asked_again_where_the_budgets_hold_two(silent_at_first, provider):
    most, analysis, (amount, is_settled, _, _) = silent_at_first(analysis=2, person=2, day=2)
    assert row(analysis).status == Status.COMPLETE
    assert provider.calls == 2
    assert is_settled
    assert most * 1.2 < amount <= most * 2


def test_what_is_reserved_for_a_second_call_is_nobody_elses(tables):
    budgets = Budgets(person=3 * DOLLAR)
    with connected():
        owner = User.local()
        document = Document.add(owner, "Title", "One.", 1, 1)
        asked, _ = Analysis.ask(document, owner, "brief", "m", most=DOLLAR, budgets=budgets)
        assert Expense.reserve_more(asked.id, DOLLAR, budgets)
        assert Expense.left(owner, budgets) == DOLLAR
        with pytest.raises(OverBudget):
            Expense.reserve_more(asked.id, 2 * DOLLAR, budgets)
        assert expense(f"/{asked.id}")[:2] == (2 * DOLLAR, False)
        Expense.settle(asked.id, amount=4)
        assert not Expense.reserve_more(asked.id, DOLLAR, budgets)
        assert expense(f"/{asked.id}")[:2] == (4, True)


# Limits


@pytest.mark.sqlite
def test_a_days_limit_is_kept_and_says_what_is_left(limited, provider):
    client = limited(person="2.5").test_client()
    document = bring(client, TEXT)
    provider.script(**HELD)
    first, second = (begun(client, document, provider, recipe=recipe) for recipe in ("brief", "risks"))
    answer = post_analysis(client, document, HTMX, recipe="actions")
    assert answer.status_code == 429
    assert answer.text == (
        "You may spend $2.50 a day; $0.50 is left, and this would cost at most $1.00. "
        "Choose a cheaper model, or go on tomorrow (00:00 UTC)."
    )
    assert 0 < int(answer.headers["Retry-After"]) <= 24 * 3600
    client.post(f"{first}/cancellation")
    until_settled(first)
    assert post_analysis(client, document, recipe="actions").status_code == 303
    assert provider.wait(calls=3).calls == 3
    assert row(second).status == Status.RUNNING


@pytest.mark.sqlite
@pytest.mark.parametrize("context", [0, 16_000], ids=["whole", "in sections"])
def test_a_text_of_rare_letters_is_counted_as_what_it_can_cost(make_app, provider, context):
    # Reading costs a tenth of a cent a token, and each of these letters is three tokens.
    priced = {"prices": ("openai:gpt-6-sol=1000/0",), "context_tokens": context}
    client = make_app(**priced, budget_analysis=Decimal(14), budget_person=Decimal(25)).test_client()
    answer = post_analysis(client, bring(client, "Ꭰ" * 5000), HTMX)
    assert answer.status_code == 422
    assert answer.text.startswith("One analysis may cost $14.00, and this would cost at most $1")
    english = bring(client, "The tenant pays the rent in advance. " * 300)
    assert post_analysis(client, english).status_code == 303
    # The title is read, too.
    with connected():
        document = Document.get_by_id(int(english.rsplit("/", 1)[-1]))
        most = client.application.extensions["analyzer"].costs.most
        before = most(document, "openai:gpt-6-sol", "", None, "")
        document.title = "Ꭰ" * 120
        assert most(document, "openai:gpt-6-sol", "", None, "") - before > 300_000


@pytest.mark.sqlite
def test_one_person_cannot_spend_what_is_anothers(make_app, provider):
    app = make_app(**PRICED, auth="proxy", budget_person=Decimal(1), budget_day=Decimal(2))
    provider.script(**HELD)
    people = [as_person(app, name) for name in ("anna", "ben", "carl")]
    documents = [bring(person, TEXT) for person in people]
    starts = [
        post_analysis(people[n], documents[n], HTMX, recipe=recipe)
        for n, recipe in ((0, "brief"), (0, "risks"), (1, "brief"), (2, "brief"))
    ]
    assert [answer.status_code for answer in starts] == [200, 429, 200, 429]
    assert starts[1].text.startswith("You may spend $1.00 a day; $0.00 is left")
    assert starts[3].text.startswith("All together may spend $2.00 a day; $0.00 is left")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("analysis", "One analysis may cost $0.50, and this would cost at most $1.00."),
        ("person", "You may spend $0.50 a day, and this would cost at most $1.00."),
        ("day", "All together may spend $0.50 a day, and this would cost at most $1.00."),
    ],
)
def test_what_is_too_much_on_any_day_is_not_told_to_wait(limited, provider, name, sentence):
    client = limited(**{name: "0.5"}).test_client()
    chosen = {"recipe": "question", "question": "Who <pays>?", "request_key": "k-1"}
    answer = post_analysis(client, bring(client, TEXT), **chosen)
    assert answer.status_code == 422
    assert "Retry-After" not in answer.headers
    page = unescape(answer.text)
    assert f"{sentence} Choose a cheaper model, or a shorter document." in page
    assert 'value="Who <pays>?"' in page
    assert 'name="request_key" value="k-1"' in page
    assert provider.calls == 0
    with connected():
        assert (Analysis.select().count(), Expense.select().count()) == (0, 0)


def test_what_is_sent_again_is_never_refused_and_counted_once(limited, provider):
    client = limited(person=1).test_client()
    document = bring(client, TEXT)
    provider.script(**HELD)
    first = begun(client, document, provider, request_key="k")
    assert ask(client, document, request_key="k") == first
    # A new form with the same question while that runs is a double click.
    assert ask(client, document, request_key="other") == first
    assert post_analysis(client, document, recipe="risks", request_key="k2").status_code == 429
    with connected():
        assert Expense.select().count() == 1


@pytest.mark.sqlite
def test_to_continue_costs_too(limited, provider):
    client = limited(person="1.5").test_client()
    document = bring(client, TEXT)
    provider.script(pieces=["word "] * 600, stop="length")
    cut = finished(client, document)
    assert row(cut).status == Status.CUT
    answer = client.post(f"{cut}/continuation", data={"request_key": "c"}, headers=HTMX)
    assert answer.status_code == 429
    assert answer.text.startswith("You may spend $1.50 a day; $0.90 is left")
    assert provider.calls == 1


@pytest.mark.sqlite
def test_with_a_limit_a_model_without_a_price_is_refused(limited, provider):
    client = limited(day=5).test_client()
    answer = post_analysis(client, bring(client, TEXT), HTMX, model="anthropic:claude-sonnet-5-5")
    assert answer.status_code == 422
    assert answer.text.startswith("The price of this model is not known, so that it cannot be counted:")
    assert provider.calls == 0


@pytest.mark.sqlite
def test_what_costs_nothing_is_never_refused(limited, provider):
    client = limited(person=1).test_client()
    document = bring(client, TEXT)
    provider.script(pieces=["word "] * 900)
    finished(client, document)
    assert post_analysis(client, document, recipe="risks").status_code == 429
    free = finished(client, document, recipe="risks", model="offline:extractive")
    assert expense(free)[:2] == (0, True)


def test_a_hundred_at_once_pass_no_limit(make_app, provider):
    app = make_app(**PRICED, auth="proxy", budget_person=Decimal(4), budget_day=Decimal(6))
    provider.script(**HELD)
    people = [as_person(app, name) for name in ("anna", "ben")]
    documents = [bring(person, TEXT) for person in people]

    def post(n):
        client = as_person(app, ("anna", "ben")[n % 2])
        question = {"recipe": "question", "question": f"What of {n}?", "request_key": f"k{n}"}
        return n % 2, post_analysis(client, documents[n % 2], **question).status_code

    answers = Counter(greenlet.get() for greenlet in [gevent.spawn(post, n) for n in range(100)])
    assert answers[0, 303] + answers[1, 303] == 6
    assert max(answers[0, 303], answers[1, 303]) <= 4
    assert answers[0, 429] + answers[1, 429] == 94
    assert provider.wait(calls=6).calls == 6
    with connected():
        assert Analysis.select().count() == 6


def test_a_hundred_at_once_pass_no_limit_of_several_processes(tmp_path, provider, scale):
    provider.script(**HELD)
    priced = {"PRECIS_PRICES": "openai:gpt-6-sol=0/1000", "PRECIS_MAX_OUTPUT_TOKENS": "1000"}
    with Fleet(tmp_path, provider, scale) as fleet:
        servers = fleet.start("all", "all", **priced, PRECIS_BUDGET_DAY="3")
        document = servers[0].bring(TEXT)
        form = {"recipe": "question", "model": "openai:gpt-6-sol"}
        posts = [(f"{document}/analyses", form | {"question": f"What of {n}?"}) for n in range(100)]
        sent = [gevent.spawn(at_once, server, *posts[n::2]) for n, server in enumerate(servers)]
        statuses, places = zip(*(greenlet.get() for greenlet in sent), strict=True)
        assert set().union(*statuses) == {303, 429}
        assert len(set().union(*places)) == 3
        assert provider.wait(calls=3).calls == 3


@pytest.mark.sqlite
def test_the_very_question_is_counted_where_it_needs_more_sections(make_app, provider):
    # Each call costs a dollar at most, however little it reads.
    priced = {"prices": ("openai:gpt-6-sol=0/10000",), "max_output_tokens": 100}
    client = make_app(**priced, budget_day=Decimal(999), context_tokens=6_000).test_client()
    document = bring(client, "Terms\n\n" + "A sentence of the document follows here.\n\n" * 700)
    provider.script(text="Found.")
    short, long = (
        finished(client, document, recipe="question", question=question)
        for question in ("Who pays?", "Who pays? " * 190)
    )
    with connected():
        reserved = client.application.extensions["analyzer"].costs.most
        at_most = [
            reserved(row(each).document, row(each).model, row(each).question, None, "")
            for each in (short, long)
        ]
    assert at_most[0] < at_most[1]
    assert row(short).sections < row(long).sections
    assert provider.calls * DOLLAR == sum(at_most)


# What is shown


@pytest.mark.sqlite
def test_what_is_left_is_shown_only_where_there_is_a_limit(limited, make_app, provider):
    client = make_app(**PRICED).test_client()
    document = bring(client, TEXT)
    assert "is left" not in client.get(document).text + client.get("/account").text
    client = limited(person=2, day="1.75").test_client()
    page = client.get(document).text
    assert "tokens, at most $1.00</li>" in page
    assert "$1.75 is left to be spent today" in page
    provider.script(pieces=["word "] * 500)
    finished(client, document)
    assert "$1.25 is left to be spent today" in client.get(document).text
    account = re.sub(r"\s+", " ", client.get("/account").text)
    assert "Today $0.50; $1.25 is left until 00:00 UTC. In the last 30 days $0.50." in account
