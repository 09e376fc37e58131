"""Signing in with a real OpenID provider, and how long that lasts."""

import json
import random
import time
from datetime import timedelta
from urllib.parse import unquote

import httpx2
import pytest
from itsdangerous import base64_decode
from joserfc.jwk import OctKey

from models import Document, Reading, Session, User
from storage import connected, database
from tests.openid import CLIENT, HERE, Forger, OpenID, begin, come_back, make_key, parameter, sign_in
from tests.person import HTMX, PARTIAL, Writer, as_person, bring, finished, post_analysis

KEYS = ("0123456789" * 4, "9876543210" * 4)
SIGN_IN = "/session/new?next=/session"


@pytest.fixture(scope="session")
def openid():
    """A provider that stays up."""
    with OpenID() as openid:
        yield openid


@pytest.fixture
def make(make_app, openid):
    """Make applications in which people sign in with that provider."""
    return lambda **changes: make_app(
        **{"auth": "oidc", "oidc_issuer": openid.issuer, "secret_key": KEYS, **CLIENT, **changes}
    )


@pytest.fixture
def app(make):
    return make()


@pytest.fixture
def anna(app, openid):
    """The browser of a person who has signed in."""
    return signed_in(app, openid, "anna")


@pytest.fixture
def clock(tables, monkeypatch):
    """Move the database's clock."""
    kind, moved = type(database.obj), []
    now = kind.now
    monkeypatch.setattr(kind, "now", lambda self: now(self) + sum(moved, timedelta()))
    return lambda **time: moved.append(timedelta(**time))


def signed_in(app, openid, name):
    client = app.test_client()
    assert sign_in(client, openid, name).status_code == 303
    return client


def is_signed_in(client):
    return client.get("/").status_code == 200


def cookie_of(client, name="precis"):
    return client.get_cookie(name)


def payload_of(client):
    """Return what the cookie holds."""
    return json.loads(base64_decode(cookie_of(client).value.split(".")[0]))


def reasons(caplog):
    """Return for what reasons sign-ins failed."""
    return [record.reason for record in caplog.records if record.name == "views.sessions"]


def count_sessions():
    with connected():
        return Session.select().count()


# Signing in


def test_a_person_signs_in_and_comes_to_the_page_they_asked_for(app, openid):
    anna = app.test_client()
    turned_away = anna.get("/search?q=rent")
    assert turned_away.status_code == 303
    assert turned_away.headers["Location"] == "/session/new?next=/search?q%3Drent"
    address = anna.get(turned_away.headers["Location"]).headers["Location"]
    answer = come_back(anna, openid.ask(address, "anna"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/search?q=rent")
    assert "As anna Example." in anna.get("/session").text
    again = anna.get("/session/new?next=/search")
    assert (again.status_code, again.headers["Location"]) == (303, "/search")


@pytest.mark.parametrize(
    "evil",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/" + "a" * 1_000,
        "/" + "龍" * 200,
        "",
    ],
)
def test_nobody_is_led_to_another_host(app, openid, anna, evil):
    answer = anna.get("/session/new", query_string={"next": evil})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_where_it_ends_is_looked_at_before_it_begins(app, openid):
    answer = sign_in(app.test_client(), openid, "anna", next="//evil.example")
    assert answer.headers["Location"] == "/"


def test_the_same_way_back_signs_in_once(app, openid):
    anna, thief = app.test_client(), app.test_client()
    address = openid.ask(begin(anna), "anna")
    kept = cookie_of(anna)
    assert come_back(anna, address).headers["Location"] == "/"
    assert count_sessions() == 1
    assert come_back(anna, address).headers["Location"] == "/"
    thief.set_cookie("precis", kept.value)
    answer = come_back(thief, address)
    assert answer.status_code == 400
    assert "was used already" in answer.text
    assert come_back(app.test_client(), address).status_code == 400
    assert count_sessions() == 1


def test_however_many_sign_ins_are_begun_the_cookie_holds_the_last_one(app, openid):
    anna, chance = app.test_client(), random.Random(1)
    for length in [*[10] * 40, *[240] * 10]:
        next = "/" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789äöü龍", k=length))
        address = begin(anna, next=next)
        assert len(f"__Host-precis={cookie_of(anna).value}") <= 4096
    answer = come_back(anna, openid.ask(address, "anna"))
    assert (answer.status_code, unquote(answer.headers["Location"])) == (303, next)
    assert is_signed_in(anna)


def test_nobody_is_signed_in_as_who_began_it_elsewhere(app, openid, caplog):
    victim, attacker = app.test_client(), app.test_client()
    begin(victim)
    address = openid.ask(begin(attacker), "attacker")
    answer = come_back(victim, address)
    assert answer.status_code == 400
    assert "was begun in another browser" in answer.text
    assert reasons(caplog) == ["mismatching_state"]
    assert not is_signed_in(victim)


def test_a_proof_that_was_made_for_another_sign_in_is_none(app, openid, caplog):
    anna = app.test_client()
    address = begin(anna)
    other = openid.ask(address.replace(parameter(address, "nonce"), "another"), "anna")
    assert come_back(anna, other).status_code == 400
    assert reasons(caplog) == ["invalid_claim"]
    assert not is_signed_in(anna)


def test_a_code_is_of_use_only_to_who_asked_for_it(app, openid, caplog):
    anna = app.test_client()
    address = begin(anna)
    assert parameter(address, "code_challenge_method") == "S256"
    challenge = parameter(address, "code_challenge")
    assert come_back(anna, openid.ask(address.replace(challenge, "A" * 43), "anna")).status_code == 400
    assert reasons(caplog) == ["invalid_grant"]
    without = address.replace(f"code_challenge={challenge}", "").replace("code_challenge_method=S256", "")
    answer = openid.ask(without, "anna")
    assert "PKCE" in parameter(answer, "error_description"), "the provider demands it"
    assert not is_signed_in(anna)


def test_a_proof_that_is_too_old_is_none(app, openid, monkeypatch, caplog):
    anna = app.test_client()
    address = openid.ask(begin(anna), "anna")
    much_later = time.time() + 3_600 + 61
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: much_later)
        assert come_back(anna, address).status_code == 400
    assert reasons(caplog) == ["expired_token"]
    assert not is_signed_in(anna)


def test_only_what_the_provider_has_signed_for_us_and_now_is_a_proof(make, caplog):
    with Forger() as forger:
        app = make(oidc_issuer=forger.issuer)
        assert forger.sign_in(app.test_client()).status_code == 303
        for says in (
            {"aud": "another"},
            {"aud": ["precis", "another"]},
            {"aud": None},
            {"iss": "https://id.example"},
            {"iss": None},
            {"exp": None},
            {"exp": 1},
            {"nonce": None},
            {"nonce": "another"},
            {"sub": None},
            {"sub": ""},
            {"sub": "a" * 256},
        ):
            forger.says, forger.more["sub"] = says, says.get("sub", "anna")
            assert forger.sign_in(app.test_client()).status_code == 400, says
        forger.says, forger.more["sub"] = {}, "ben"
        assert forger.sign_in(app.test_client()).status_code == 400, "the userinfo is another's"
        forger.more["sub"], forger.key = "anna", make_key("second")
        assert forger.sign_in(app.test_client()).status_code == 400, "its key is another one than it named"
    assert set(reasons(caplog)) > {"invalid_claim", "missing_claim", "expired_token", "no_subject"}
    assert count_sessions() == 1


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_what_anybody_could_have_signed_is_no_proof_although_the_provider_lists_it(make, caplog, algorithm):
    with Forger() as forger:
        forger.header["alg"] = algorithm
        if algorithm == "HS256":
            forger.key = OctKey.generate_key(256, {"kid": "forged"})
        anna = make(oidc_issuer=forger.issuer).test_client()
        assert forger.sign_in(anna).status_code == 400
    assert reasons(caplog) == ["unsupported_algorithm"]
    assert not is_signed_in(anna)


@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"preferred_username": "Anna", "email": "a@example", "name": "Anna Example"}, "Anna Example"),
        ({"preferred_username": "Anna", "name": "\u202ebad"}, "Anna"),
        ({"preferred_username": ["Anna"], "email": "a@example", "name": 7}, "a@example"),
        ({"preferred_username": "a" * 201, "email": "an\na"}, "anna"),
        ({"groups": "precis-admins", "preferred_username": "<b>"}, "&lt;b&gt;"),
    ],
)
def test_a_person_is_called_by_the_first_name_that_is_one(make, claims, shown):
    with Forger() as forger:
        anna = make(oidc_issuer=forger.issuer, oidc_admin_group="precis-admins").test_client()
        forger.more |= claims
        assert forger.sign_in(anna).status_code == 303
        assert f"As {shown}." in anna.get("/session").text
        assert anna.get("/events").status_code == (200 if "groups" in claims else 404)


def test_a_provider_that_calls_itself_otherwise_is_not_believed(make, openid):
    app = make(oidc_issuer=f"{openid.issuer}/")
    assert app.test_client().get("/session/new").status_code == 503


@pytest.mark.parametrize(
    "query",
    ["", "&code=", "&code=%00", "&error=", "&error=%00", "&code=a&code=b", "&iss=http://evil.example"],
)
def test_a_way_back_without_a_code_is_no_proof_and_no_fault(app, openid, query):
    anna = app.test_client()
    answer = anna.get(f"/session/callback?state={parameter(begin(anna), 'state')}{query}")
    assert answer.status_code == 400
    assert "Sign in again" in answer.text
    assert not is_signed_in(anna)


def test_who_cancels_reads_so_and_may_try_again(app, openid):
    anna = app.test_client()
    answer = come_back(anna, openid.ask(begin(anna), None))
    assert answer.status_code == 403
    assert "the sign-in was cancelled" in answer.text
    assert 'href="/session/new"' in answer.text
    assert sign_in(anna, openid, "anna").status_code == 303


def test_a_provider_that_is_away_is_asked_again(make):
    elsewhere = Forger()
    anna = make(oidc_issuer=elsewhere.issuer).test_client()
    answer = anna.get("/session/new")
    assert answer.status_code == 503
    assert "The sign-in does not answer at the moment" in answer.text
    assert int(answer.headers["Retry-After"]) > 0
    with elsewhere:
        address = elsewhere.ask(begin(anna))
    answer = come_back(anna, address)
    assert answer.status_code == 503
    with elsewhere:
        assert elsewhere.sign_in(anna).status_code == 303


def test_administrators_are_those_of_a_group_and_those_who_are_named(make, openid):
    app = make(oidc_admin_group="precis-admins", admins=("Boss",))
    for name, status in (("root", 200), ("boss", 200), ("boss@elsewhere", 404), ("anna", 404)):
        assert signed_in(app, openid, name).get("/events").status_code == status, name
    assert signed_in(make(), openid, "root").get("/events").status_code == 404, "no group is named"


def test_a_person_is_who_the_provider_knows_and_not_what_they_are_called(app, openid):
    anna, other = signed_in(app, openid, "anna"), signed_in(app, openid, "anna@elsewhere")
    document = bring(anna, "A text of Anna's.")
    assert other.get(document).status_code == 404
    assert "known as anna (2)" in other.get("/account").text
    assert signed_in(app, openid, "anna").get(document).status_code == 200
    local = signed_in(app, openid, "local")
    assert "known as local (2)" in local.get("/account").text


# The cookie and the session


def test_the_cookie_holds_a_token_of_which_the_database_knows_a_digest(anna):
    payload = payload_of(anna)
    assert list(payload) == ["token"]
    with connected():
        (session,) = Session.select()
        assert payload["token"] not in vars(session)["__data__"].values()
        assert Session.find(payload["token"]) == session


@pytest.mark.parametrize(
    ("scheme", "name", "secure"), [("http", "precis", ""), ("https", "__Host-precis", "Secure; ")]
)
def test_the_cookie_is_this_hosts_alone(app, openid, scheme, name, secure):
    anna = app.test_client()
    where = anna.get("/session/new", base_url=f"{scheme}://localhost")
    assert parameter(where.headers["Location"], "redirect_uri") == f"{scheme}://localhost/session/callback"
    answer = come_back(anna, openid.ask(where.headers["Location"], "anna"))
    kept, _, flags = answer.headers["Set-Cookie"].partition("; ")
    assert kept.startswith(f"{name}=")
    assert flags == f"{secure}HttpOnly; Path=/; SameSite=Lax"
    assert "Set-Cookie" not in anna.get("/", base_url=f"{scheme}://localhost").headers


def test_a_new_key_signs_and_the_old_one_is_still_believed(make, openid):
    anna = signed_in(make(secret_key=KEYS[1:]), openid, "anna")
    old = cookie_of(anna).value
    both = make(secret_key=KEYS).test_client()
    both.set_cookie("precis", old)
    assert is_signed_in(both)
    new = make(secret_key=KEYS[:1]).test_client()
    new.set_cookie("precis", old)
    assert not is_signed_in(new)


def test_each_sign_in_is_a_new_token_and_ends_the_one_before(app, openid, anna):
    old = payload_of(anna)["token"]
    browser = app.test_client()
    back = openid.ask(begin(browser), "ben")
    with browser.session_transaction() as session:
        session["token"] = old
    assert "As anna Example." in browser.get("/session").text
    assert come_back(browser, back).status_code == 303
    assert "As ben Example." in browser.get("/session").text
    assert payload_of(browser).keys() == {"token"}
    assert payload_of(browser)["token"] != old
    assert not is_signed_in(anna)


def test_who_signs_out_is_signed_out_for_a_copy_of_the_cookie_too(app, anna):
    copy = app.test_client()
    copy.set_cookie("precis", cookie_of(anna).value)
    assert is_signed_in(copy)
    answer = anna.post("/session/deletion")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/session")
    page = anna.get("/session")
    assert page.status_code == 200
    assert 'href="/session/new"' in page.text
    assert "/session/end?client_id=precis" in page.text
    assert "token" not in payload_of(anna)
    assert not is_signed_in(copy)
    assert anna.post("/session/deletion").status_code == 303


def test_after_signing_out_back_shows_nothing_and_the_provider_asks_again(app, openid):
    known = httpx2.Cookies()
    anna, elsewhere = app.test_client(), app.test_client()
    come_back(anna, openid.ask(begin(anna), "anna", known))
    come_back(elsewhere, openid.ask(begin(elsewhere), None, known))
    assert "As anna Example." in elsewhere.get("/session").text, "the provider lets in whom it knows"
    document = bring(anna, "A text of Anna's.")

    anna.post("/session/deletion")
    back = anna.get(document)
    assert (back.status_code, back.headers["Location"]) == (303, f"/session?next={document}")
    page = anna.get(back.headers["Location"])
    assert "You are signed out" in page.text
    assert f'href="/session/new?next={document}"' in page.text

    assert come_back(anna, openid.ask(begin(anna, next=document), None, known)).status_code == 403
    assert not is_signed_in(anna), "who could not say who they are is nobody"
    answer = come_back(anna, openid.ask(begin(anna, next=document), "anna", known))
    assert (answer.status_code, answer.headers["Location"]) == (303, document)
    assert list(payload_of(anna)) == ["token"], "it is forgotten that somebody has signed out"


def test_a_session_lasts_so_long_and_with_requests_no_longer(anna, clock):
    for _ in range(11):
        clock(hours=1)
        assert is_signed_in(anna)
    clock(hours=1)
    assert not is_signed_in(anna)


def test_a_session_ends_without_requests(app, openid, anna, clock):
    clock(minutes=119)
    assert is_signed_in(anna)
    clock(minutes=121)
    assert not is_signed_in(anna)
    assert count_sessions() == 1
    signed_in(app, openid, "ben")
    assert count_sessions() == 1, "what is over is deleted when somebody signs in"


def test_a_request_is_noted_once_a_minute_and_one_of_a_stream_never(anna, clock):
    def seen():
        with connected():
            (session,) = Session.select()
            return session.seen_at

    analysis = finished(anna, bring(anna, "A text of Anna's."))
    began = seen()
    clock(seconds=30)
    assert is_signed_in(anna)
    assert seen() == began
    clock(seconds=30)
    assert anna.get(f"{analysis}/stream").status_code == 200
    assert seen() == began
    assert is_signed_in(anna)
    assert seen() > began


@pytest.mark.parametrize("what", ["analyses", "readings"])
def test_a_page_that_is_left_open_keeps_nobody_signed_in(app, anna, clock, what):
    analysis = Writer(app.extensions["analyzer"], bring(anna, "A text of Anna's."), "anna").id
    with connected():
        reading = Reading.begin(User.named("anna"), "a.pdf", "", 1, 9).id
    path = f"/{what}/{analysis if what == 'analyses' else reading}"
    for _ in range(3):
        clock(minutes=30)
        assert anna.get(path, headers=PARTIAL).status_code == (204 if what == "analyses" else 200)
    clock(minutes=31)
    told = anna.get(path, headers=PARTIAL)
    assert told.status_code == 401 or "Sign in" in told.text
    assert not is_signed_in(anna)


@pytest.mark.parametrize("auth", ["proxy", "oidc"])
def test_what_is_saved_can_be_read_while_nothing_can_be_written(make, openid, clock, auth):
    app = make(auth=auth)
    anna = signed_in(app, openid, "anna") if auth == "oidc" else as_person(app, "anna")
    assert is_signed_in(anna)
    clock(minutes=2)
    with connected():
        database.execute_sql("PRAGMA query_only = 1")
    assert is_signed_in(anna)
    with connected():
        database.execute_sql("PRAGMA query_only = 0")


def test_a_request_asks_once_who_it_is(app, anna, monkeypatch):
    asked, execute = [], database.obj.execute_sql
    monkeypatch.setattr(
        database.obj, "execute_sql", lambda sql, *rest: asked.append(sql) or execute(sql, *rest)
    )
    anna.get("/session")
    assert len([sql for sql in asked if sql.startswith("SELECT")]) == 1


# Signed out


def test_signed_out_a_page_leads_to_the_sign_in_and_a_fragment_says_so(app):
    nobody = app.test_client()
    for path in ("/", "/account", "/documents/1", "/analyses/1", "/analyses/1/live", "/analyses/1.md"):
        answer = nobody.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/session/new?next={path}")
    assert nobody.get("/analyses/1/stream").status_code == 401
    fragment = nobody.post("/documents/1/analyses", data={"question": "Why?"}, headers=HTMX)
    assert fragment.status_code == 401
    assert f'<a href="{SIGN_IN}" target="_blank"' in fragment.text
    assert "<html" not in fragment.text


def test_signed_out_an_analysis_on_a_page_becomes_a_link_and_its_stream_ends(app):
    nobody = app.test_client()
    section = nobody.get("/analyses/7", headers=PARTIAL)
    assert section.status_code == 200
    assert section.text.startswith('<section id="analysis-7"')
    assert '<a href="/session/new?next=/analyses/7">Sign in</a>' in section.text
    ended = nobody.get("/analyses/7/stream", headers=HTMX)
    assert (ended.status_code, ended.data) == (200, b": open\n\nevent: done\ndata: \n\n")


def test_what_was_typed_is_kept_until_the_person_has_signed_in_again(app, openid):
    nobody = app.test_client()
    text = "\nA <b>long</b> text\n\nof Anna's."
    kept = nobody.post("/documents", data={"text": text, "title": "Mine", "once": "yes"})
    assert kept.status_code == 401
    assert f'<a href="{SIGN_IN}" target="_blank"' in kept.text
    assert "\n\nA &lt;b&gt;long&lt;/b&gt; text\n\nof Anna&#39;s.</textarea>" in kept.text
    assert 'name="title" type="text" value="Mine"' in kept.text
    assert '<input type="hidden" name="once" value="yes">' in kept.text
    assert 'action="/documents"' in kept.text
    with connected():
        assert Document.select().count() == 0
    answer = sign_in(nobody, openid, "anna", next="/session")
    assert answer.headers["Location"] == "/session"
    assert "go on in the one that you came from" in nobody.get("/session").text
    assert bring(nobody, text, title="Mine", once="yes") == "/documents/1"


def test_a_question_and_the_name_of_a_file_are_kept_too(app, anna):
    document = bring(anna, "A text of Anna's.")
    anna.post("/session/deletion")
    kept = post_analysis(anna, document, recipe="question", question="Who pays?", request_key="key-1")
    assert kept.status_code == 401
    assert f'action="{document}/analyses"' in kept.text
    assert 'name="question" type="text" value="Who pays?"' in kept.text
    assert '<input type="hidden" name="request_key" value="key-1">' in kept.text
    with (HERE / "package.json").open("rb") as file:
        kept = anna.post("/documents", data={"text": "", "file": (file, "lease.txt")})
    assert kept.status_code == 401
    assert "Select lease.txt again" in kept.text


# Shut out


def test_who_is_shut_out_is_so_at_the_next_request_and_cannot_come_back(app, openid, anna, caplog):
    document = bring(anna, "A text of Anna's.")
    with connected():
        User.update(disabled_at=database.now()).execute()
    answer = anna.get(document)
    assert answer.status_code == 401
    assert "an administrator has suspended it" in answer.text
    assert anna.post(f"{document}/deletion").status_code == 401
    answer = sign_in(app.test_client(), openid, "anna")
    assert answer.status_code == 403
    assert "an administrator has suspended it" in answer.text
    assert reasons(caplog) == ["suspended"]
    with connected():
        User.update(disabled_at=None).execute()
    assert anna.get(document).status_code == 200


@pytest.mark.both_modes
def test_it_is_told_of_many_at_once_who_is_shut_out_and_whose_session_is_over(tables):
    with connected():
        anna, ben = User.of_subject("a", "Anna", "Anna"), User.of_subject("b", "Ben", "Ben")
        User.update(disabled_at=database.now()).where(User.id == ben.id).execute()
        assert User.disabled_among([anna.id, ben.id, 99]) == {ben.id}
        hour, minute = timedelta(hours=1), timedelta(minutes=1)
        tokens = [Session.begin(anna, False, hour, idle) for idle in (minute, minute, minute)]
        goes_on, signed_out, late = (Session.find(token) for token in tokens)
        Session.end(tokens[1])
        Session.update(ends_at=database.now()).where(Session.id == late.id).execute()
        assert Session.over([goes_on.id, signed_out.id, late.id]) == {signed_out.id, late.id}
        assert Session.over([]) == User.disabled_among([]) == set()
        Session.begin(ben, False, hour, minute)
        assert Session.select().count() == 2


def test_the_lock_of_the_provider_names_each_package_by_its_hash_and_no_address():
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert len(packages) > 5
    for name, package in packages.items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package
