"""Isolation: what is Anna's is read by her and her readers and changed by her, whatever others ask for."""

import re
from io import BytesIO
from itertools import product
from zipfile import ZipFile

import gevent
import pytest

from models import Analysis, Reading, Share, Status, User
from storage import connected, database
from tests.person import HTMX, PARTIAL, as_person, ask, bring, finished, post_analysis
from tests.uploads import upload

pytestmark = pytest.mark.both_modes

# What an id stands for, by the rule up to it: no more need be said of a new route.
THINGS = {
    "/documents/<id:id>": "document",
    "/documents/<id:id>/shares/<id:share_id>": "share",
    "/analyses/<id:id>": "analysis",
    "/readings/<id:id>": "reading",
    "/people/<id:id>": "person",
    "/static/<path:filename>": "file",
}
# What a reader by a share may ask for.
READABLE = {
    "documents.show",
    "originals.show",
    "analyses.show",
    "analyses.export",
    "streams.show",
    "live.show",
}
# The blueprints that are administrators' alone, and those that are for nobody in particular.
ADMINS = {"people", "events"}
OPEN = {"static", "health", "metrics", "sessions"}
UNKNOWN = "987654321"
VARIANTS = {"GET": ({}, HTMX, PARTIAL, PARTIAL | {"Last-Event-ID": "1"}), "POST": ({}, HTMX)}
DONE = ": open\n\nevent: done\ndata: \n\n"

# One word for each place where something of Anna's stands.
TITLE, TEXT, NAME, HIDDEN = "zqtitle", "zqtext", "zqfile", "zqoriginal"
ANSWER, QUESTION, READING, READER = "zqanswer", "zqquestion", "zqreading", "zqreader"
CANARIES = {TITLE, TEXT, NAME, HIDDEN, ANSWER, QUESTION, READING, READER}
FILE = f"<title>T</title><p>{TEXT}</p><!-- {HIDDEN} -->".encode()

# Who did what, who is signed in, and what SQLite keeps for itself.
UNCOUNTED = re.compile("event|session|sqlite_sequence|.*_(config|content|data|docsize|idx)")
# What changes by being looked at, or by itself.
LIVELY = {"seen_at", "lease_until", "heard_at"}


@pytest.fixture
def app(make_app):
    """Precis behind a proxy that signs people in, one of them an administrator."""
    # An analysis runs through the whole of a test, and its provider falls silent at the beginning.
    return make_app(auth="proxy", admins=("root",), gap_seconds=600)


@pytest.fixture
def anna(app):
    """Whose all of it is."""
    return as_person(app, "anna")


@pytest.fixture
def things(app, anna, provider):
    """The ids of what is there, once with an ended analysis and once with a running one; of what is not."""
    for name in (READER, "ben", "cleo", "root"):
        as_person(app, name).get("/")
    there, gone = _bring_all(anna, provider), _bring_all(anna, provider)
    # What it has cost is settled when its runner ends.
    runner = app.extensions["analyzer"]._runners[int(gone["analysis"])]
    anna.post(f"/documents/{gone['document']}/deletion")
    runner.greenlet.join()
    with connected():
        Reading.delete().where(Reading.id == gone["reading"]).execute()
    anna.get("/search")
    return [there | {"analysis": there["ended"]}, there], [gone, dict.fromkeys(gone, UNKNOWN)]


def _bring_all(anna, provider):
    """Bring one of everything, two analyses of it; returns the ids."""
    document = upload(anna, f"{NAME}.html", FILE, title=TITLE).headers["Location"]
    for name in ("ben", READER):
        anna.post(f"{document}/shares", data={"name": name})
    fields = {"recipe": "question", "question": QUESTION}
    provider.script(text=f"{ANSWER} of two words")
    ended = finished(anna, document, **fields, request_key=f"{document} ended")
    provider.script(text=f"{ANSWER} and more", fault="silence", at=2)
    running = ask(anna, document, **fields)
    assert ANSWER in read(anna.get(f"{running}/stream"), {ANSWER})
    share = re.findall(r"/shares/(\d+)/deletion", anna.get(f"{document}/shares").text)[-1]
    ids = {"document": document, "analysis": running, "ended": ended, "share": share, "file": "icon.svg"}
    with connected():
        owner = User.named("anna")
        ids |= {"person": owner.id, "reading": Reading.begin(owner, f"{READING}.pdf", "", 1, 9).id}
    return {kind: str(id).rsplit("/", 1)[-1] for kind, id in ids.items()}


def read(answer, until=CANARIES):
    """Read an answer to its end, or until one of some words comes: what runs has no end."""
    received = ""
    with gevent.Timeout(30, AssertionError(f"{answer.request.path} does not end")):
        for part in answer.iter_encoded():
            received += part.decode(errors="replace")
            if words(received) & until:
                break
    answer.close()
    return received


def unpacked(answer):
    """Return the text of an answer, and of what is packed in it."""
    data = answer.data
    if data and answer.mimetype == "application/zip":
        with ZipFile(BytesIO(data)) as file:
            data = b"".join(name.encode() + file.read(name) for name in file.namelist())
    return data.decode(errors="replace")


def words(text):
    return {word for word in CANARIES if word in text}


def routes(app):
    """Return the endpoints of each address by method."""
    found = {}
    for rule in app.url_map.iter_rules():
        for method in rule.methods:
            # An address' OPTIONS are answered by any of its rules.
            found.setdefault(rule.rule, {}).setdefault(method, rule.endpoint)
    return found


def fill(rule, ids):
    """Return a rule's address for some things."""

    def id(match):
        kind = THINGS.get(rule[: match.end()])
        assert kind, f"{rule}: say in THINGS how this route is tried"
        return ids[kind]

    return re.sub("<[^>]+>", id, rule)


def tries(app, there):
    """Yield each way to ask for one of these things: endpoint, method, rule, ids, headers."""
    for rule, methods in routes(app).items():
        if "<" in rule and not rule.startswith("/static/"):
            sets = there if "/analyses/<" in rule else there[:1]
            for (method, endpoint), ids in product(methods.items(), sets):
                for headers in VARIANTS.get(method, ({},)):
                    yield endpoint, method, rule, ids, headers


def look(client, method, path, headers):
    """Return what an answer consists of, as far as it is not the id itself that it repeats."""
    answer = client.open(path, method=method, headers=headers | {"X-Request-ID": "same"})
    text = re.sub(r"(analysis-)\d+", r"\1", read(answer))
    return answer.status_code, [told for told in answer.headers if told[0] != "Content-Length"], text


def is_refused(endpoint, method, headers, status, text):
    """Whether an answer is that to one who asks for what is not there."""
    if method == "OPTIONS":
        return status in (200, 404) and (status == 404 or not text)
    if headers and method == "GET" and endpoint == "streams.show":
        return (status, text) == (200, DONE)
    if headers.get("HX-Request-Type") and method == "GET" and endpoint == "analyses.show":
        return status == 200 and "deleted, or never was" in text
    return status == 404


def kept():
    """Return all that is in the database, but for what was done and who has signed in."""
    rows = set()
    with connected():
        for table in database.get_tables():
            if not UNCOUNTED.fullmatch(table):
                cursor = database.execute_sql(f'SELECT * FROM "{table}"')
                names = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    fields = zip(names, map(str, row), strict=True)
                    rows.add((table, tuple(field for field in fields if field[0] not in LIVELY)))
    return rows


def test_all_that_is_tried_is_there_and_shows_something(app, anna, things):
    seen = set()
    for endpoint, method, rule, ids, headers in tries(app, things[0]):
        if method == "GET" and not headers and endpoint.split(".")[0] not in ADMINS:
            answer = anna.get(fill(rule, ids))
            found = words(read(answer, set() if ids["analysis"] == ids["ended"] else {ANSWER}))
            assert (answer.status_code, bool(found)) == (200, True), rule
            seen |= found
    assert seen == CANARIES
    for rule in routes(app):
        assert "<" not in fill(rule, things[0][0])


def test_nobody_else_learns_that_it_is_there_or_changes_it(app, things, provider):
    there, missing = things
    before, calls = kept(), provider.calls
    wrong = []
    for name, (endpoint, method, rule, ids, headers) in product(("cleo", "ben", "root"), tries(app, there)):
        client = as_person(app, name)
        if (name == "ben" and endpoint in READABLE) or (name == "root" and endpoint.startswith("people.")):
            continue
        status, told, text = look(client, method, fill(rule, ids), headers)
        if words(text) or not is_refused(endpoint, method, headers, status, text):
            wrong.append((name, method, rule, headers, status, text))
        for others in missing if name == "cleo" else ():
            if look(client, method, fill(rule, others), headers) != (status, told, text):
                wrong.append((name, method, rule, headers, "is told from what is not there"))
    assert not wrong
    assert kept() == before
    assert provider.calls == calls


def test_who_reads_by_a_share_reads_all_of_it_and_not_who_else_does(app, things, provider):
    ben, before, calls = as_person(app, "ben"), kept(), provider.calls
    tried = set()
    for endpoint, method, rule, ids, headers in tries(app, things[0]):
        if endpoint in READABLE and method == "GET":
            tried.add(endpoint)
            answer = ben.get(fill(rule, ids), headers=headers)
            text = read(answer, set() if ids["analysis"] == ids["ended"] else {ANSWER})
            assert answer.status_code in (200, 204), rule
            assert answer.status_code == 204 or words(text), (rule, headers)
            assert not words(text) & {READER, READING}, rule
    assert tried == READABLE
    assert kept() == before
    assert provider.calls == calls


def test_nobody_at_all_gets_anything_also_with_a_header_that_no_proxy_has_set(app, things, provider):
    client, before, calls = app.test_client(), kept(), provider.calls
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    for rule, methods in routes(app).items():
        for (method, endpoint), headers in product(
            methods.items(), ({}, HTMX, PARTIAL, {"X-Forwarded-User": "anna"}, {"X-Forwarded-User": "root"})
        ):
            if rule == "/up/stream":
                continue
            path = fill(rule, things[0][0])
            answer = client.open(path, method=method, headers=headers, environ_base=elsewhere)
            text = read(answer)
            assert not words(text), (method, rule, headers)
            is_told = "HX-Request" in headers and endpoint in ("streams.show", "analyses.show")
            is_open = endpoint.split(".")[0] in OPEN
            assert is_told or is_open or answer.status_code in (303, 401), (method, rule, headers)
    assert kept() == before
    assert provider.calls == calls


def test_the_pages_of_others_hold_nothing_of_it(app, things, provider):
    before, calls = kept(), provider.calls
    known = {"cleo": set(), "ben": {TITLE}, "root": {READER}}
    answers = set()
    for name, (rule, methods) in product(known, routes(app).items()):
        for method, endpoint in methods.items():
            # All that is one's own can be deleted: the share that one has been given, too.
            if "<" in rule or endpoint in ("health.stream", "account.delete"):
                continue
            answer = as_person(app, name).open(rule, method=method)
            assert not words(unpacked(answer)) - known[name], (name, method, rule)
            if endpoint.split(".")[0] in ADMINS and method == "GET":
                answers.add((name, answer.status_code))
    assert answers == {("cleo", 404), ("ben", 404), ("root", 200)}
    assert before <= kept()
    assert provider.calls == calls


def test_an_id_or_a_word_of_somebody_else_in_a_field_opens_nothing(app, things, provider):
    cleo, ids = as_person(app, "cleo"), things[0][0]
    with connected():
        ended = Analysis.get_by_id(int(ids["ended"]))
        Analysis.update(status=Status.CUT).where(Analysis.id == ended.id).execute()
    assert ended.request_key
    for path in (f"/?shorten={ids['document']}", "/search?q=two+words", f"/?document={ids['document']}"):
        assert not words(cleo.get(path).text), path

    # The same text under the same title, and the same question by the same request key.
    own = bring(cleo, TEXT, title=TITLE, once="yes")
    assert own != f"/documents/{ids['document']}"
    assert words(cleo.get(own).text) == {TITLE, TEXT}
    provider.script(text="Only for Cleo.")
    fields = {"recipe": "question", "question": QUESTION, "request_key": ended.request_key}
    answer = post_analysis(cleo, own, **fields, continues=ids["ended"])
    mine = answer.headers["Location"].removesuffix("/live")
    told = read(cleo.get(f"{mine}/stream"))
    assert "Only for Cleo." in told
    assert ANSWER not in told

    calls = provider.calls
    assert cleo.post(f"/analyses/{ids['ended']}/continuation").status_code == 404
    # Her own document, and a share of Anna's.
    assert cleo.post(f"{own}/shares/{ids['share']}/deletion").status_code == 404
    with connected():
        assert Share.find(Analysis.get_by_id(int(ids["ended"])).document, int(ids["share"]))
    assert post_analysis(cleo, f"/documents/{ids['document']}", **fields).status_code == 404
    assert provider.calls == calls
