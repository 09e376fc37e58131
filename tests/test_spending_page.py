"""What all have spent, as administrators see it, and their own, as everybody does."""

import csv
import io
import re
from datetime import date, timedelta

import gevent
import pytest

from models import Expense, User, now
from storage import connected, database
from tests.person import as_person

pytestmark = pytest.mark.both_modes

MARCH = "from=2027-03-01&to=2027-03-31"
ROWS = [
    # day, person, model, amount, tokens in and out
    (date(2027, 3, 1), "anna", "openai:a", 1_500_000, 1000, 200),
    (date(2027, 3, 1), "anna", "openai:a", 250_000, 500, 100),
    (date(2027, 3, 1), "ben", "openai:a", None, 10, 20),
    (date(2027, 3, 31), "ben", "anthropic:b", 4_200, 70, 7),
    (date(2027, 4, 1), "anna", "openai:a", 99_000_000, 1, 1),
]


@pytest.fixture
def app(make_app):
    """An application behind a proxy that signs people in, one of whom is an administrator."""
    return make_app(auth="proxy", admins=("root",))


@pytest.fixture
def root(app):
    """The administrator."""
    return as_person(app, "root")


@pytest.fixture
def ledger(app):
    """Enter ROWS, or others like them, into the ledger."""

    def enter(rows=ROWS):
        with connected():
            for day, name, model, amount, read, written in rows:
                number = Expense.select().count() + 1
                Expense.create(
                    analysis_id=number,
                    user=User.named(name),
                    model=model,
                    day=day,
                    amount=amount,
                    is_settled=True,
                    input_tokens=read,
                    output_tokens=written,
                )

    enter()
    return enter


def cells(page):
    """Return the rows of each table, as texts."""
    rows = [
        re.findall(r"<tr>(.*?)</tr>", each, re.DOTALL) for each in re.findall(r"(?s)<table.*?</table>", page)
    ]
    return [
        [
            [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"(?s)<t[hd].*?</t[hd]>", row)]
            for row in table
        ]
        for table in rows
    ]


@pytest.mark.usefixtures("ledger")
def test_it_is_summed_by_person_model_and_day(root):
    page = root.get(f"/spending?{MARCH}")
    assert page.status_code == 200
    assert "$1.75 for 4 analyses, and 1 analysis of unknown price." in re.sub(r"\s+", " ", page.text)
    people, models, days = cells(page.text)
    total = ["All", "$1.75", "1", "4", "1,580", "327"]
    assert people[1:] == [
        ["anna", "$1.75", "", "2", "1,500", "300"],
        ["ben", "$0.0042", "1", "2", "80", "27"],
        total,
    ]
    assert models[1:] == [
        ["anthropic:b", "$0.0042", "", "1", "70", "7"],
        ["openai:a", "$1.75", "1", "3", "1,510", "320"],
        total,
    ]
    assert days[1:] == [
        ["2027-03-01", "$1.75", "1", "3", "1,510", "320"],
        ["2027-03-31", "$0.0042", "", "1", "70", "7"],
        total,
    ]


@pytest.mark.sqlite
def test_what_is_all_of_unknown_price_is_not_shown_as_nothing(root, ledger):
    ledger([(date(2027, 5, 1), "carl", "own", None, 10, 20), (date(2027, 5, 2), "carl", "free", 0, 10, 20)])
    _, models, days = cells(root.get("/spending?from=2027-05-01&to=2027-05-31").text)
    free, own = ["$0.00", "", "1", "10", "20"], ["–", "1", "1", "10", "20"]
    assert models[1:3] == [["free", *free], ["own", *own]]
    assert days[1:3] == [["2027-05-01", *own], ["2027-05-02", *free]]


@pytest.mark.sqlite
@pytest.mark.usefixtures("ledger")
def test_while_a_year_is_summed_others_run(root):
    ran = []
    # The first page also notes that its person was here.
    root.get("/spending")
    for page in ("/spending", "/spending.csv"):
        other = gevent.spawn(ran.append, page)
        root.get(page)
        assert other.ready()
    assert ran == ["/spending", "/spending.csv"]


def read_csv(answer):
    assert answer.mimetype == "text/csv"
    return list(csv.reader(io.StringIO(answer.text)))


# How they stand in a cell.
NAMES = {
    '=1+1,"x"': '\'=1+1,"x"',
    "+1": "'+1",
    "-1": "'-1",
    "@a": "'@a",
    "＝1": "'＝1",
    "a;=1+1": "a;'=1+1",
    "a-b;c+d": "a-b;c+d",
    "'q": "'q",
}


def test_as_csv_it_has_each_day_person_and_model(root, ledger):
    ledger([(date(2027, 3, 2), name, "openai:a", 1, 1, 1) for name in NAMES])
    answer = root.get(f"/spending.csv?{MARCH}")
    assert (
        answer.headers["Content-Disposition"] == 'attachment; filename="spending-2027-03-01-2027-03-31.csv"'
    )
    head, *rows = read_csv(answer)
    assert head[:3] == ["day", "person", "model"]
    assert rows[:2] == [
        ["2027-03-01", "anna", "openai:a", "2", "1500", "300", "1.750000", "0"],
        ["2027-03-01", "ben", "openai:a", "1", "10", "20", "0.000000", "1"],
    ]
    assert rows[-1] == ["2027-03-31", "ben", "anthropic:b", "1", "70", "7", "0.004200", "0"]
    # What a spreadsheet would take for a formula is a text.
    assert {row[1] for row in rows[2:-1]} == set(NAMES.values())


@pytest.mark.sqlite
def test_others_find_nothing_there(app, root, ledger):
    anna = as_person(app, "anna")
    for path in ("/spending", "/spending.csv", f"/spending?{MARCH}"):
        assert anna.get(path).status_code == 404
        assert root.get(path).status_code == 200
    assert "What all have spent" not in anna.get("/account").text
    assert "What all have spent" in root.get("/account").text


@pytest.mark.sqlite
def test_without_sign_in_the_one_person_is_the_administrator(make_app):
    client = make_app().test_client()
    assert client.get("/spending").status_code == 200
    assert "What all have spent" in client.get("/account").text


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("period", "sentence"),
    [
        ("from=yesterday", "Write a day as year, month and day"),
        ("to=2027-02-30", "Write a day as year, month and day"),
        ("from=2027-03-02&to=2027-03-01", "The first day must not come after the last one."),
        ("from=2026-03-01&to=2027-03-02", "A period may be a year long"),
    ],
)
def test_a_period_that_is_none_is_told(root, period, sentence):
    for path in ("/spending", "/spending.csv"):
        answer = root.get(f"{path}?{period}")
        assert answer.status_code == 422
        assert sentence in answer.text
        assert "None" not in answer.text


@pytest.mark.sqlite
def test_it_is_of_this_month_unless_asked_otherwise(root, ledger):
    today = now().date()
    ledger([(today, "anna", "m", 1_000_000, 1, 1), (today.replace(day=1), "ben", "m", 2_000_000, 1, 1)])
    page = root.get("/spending").text
    assert "$3.00 for 2 analyses." in re.sub(r"\s+", " ", page)
    assert f'value="{today.replace(day=1)}"' in page


def test_all_see_what_they_have_spent_themselves(app, ledger):
    today = now().date()
    mine = [(today, 250_000), (today, None), (today - timedelta(days=29), 1_000_000)]
    ledger(
        [(day, "anna", "m", amount, 1, 1) for day, amount in [*mine, (today - timedelta(days=30), 9_000_000)]]
    )
    ledger([(today, "ben", "m", 5_000_000, 1, 1)])
    page = re.sub(r"\s+", " ", as_person(app, "anna").get("/account").text)
    assert (
        "Today $0.25 and 1 analysis of unknown price. "
        "In the last 30 days $1.25 and 1 analysis of unknown price." in page
    )


@pytest.mark.sqlite
def test_a_period_and_a_persons_day_are_found_by_an_index(tables):
    with connected():
        asked = {
            "expense_day": "day BETWEEN '2027-03-01' AND '2027-03-31'",
            "expense_user_id_day": "user_id = 1 AND day = '2027-03-01'",
        }
        for index, which in asked.items():
            (plan,) = database.execute_sql(
                f"EXPLAIN QUERY PLAN SELECT SUM(amount) FROM expense WHERE {which}"
            )
            assert f"USING INDEX {index} " in plan[3]
