"""The log: what is told of requests and failures, and that no word of a person's ever comes into it."""

import secrets
import sqlite3
from contextlib import closing

import httpx2
import pytest

import logs
from tests.faulty import CANARY, Faulty
from tests.precis import ROOT
from tests.prose import answer
from tests.scripted_provider import ScriptedProvider


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = "openai:gpt-6-sol,anthropic:claude-sonnet-5-5,offline:extractive"
    debug = {"OPENAI_LOG": "debug", "ANTHROPIC_LOG": "debug"}
    with (
        ScriptedProvider() as provider,
        Faulty(tmp_path_factory.mktemp("logs"), provider, PRECIS_MODELS=models, **debug) as server,
    ):
        server.settings |= {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": provider.anthropic_url}
        server.provider = provider
        yield server.start()


@pytest.fixture
def provider(server):
    server.provider.reset()
    return server.provider


@pytest.fixture
def document(server):
    return server.bring(f"Terms of the {CANARY}\n\nPay the {CANARY} by March.")


def test_all_that_is_ours_is_told_of_from_info_on():
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests"}
    assert {file.stem for file in ROOT.glob("*.py")} | packages == logs.OURS


# Requests


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/", "/", 200),
        ("HEAD", "/", "/", 200),
        ("GET", "{document}?q=secret", "/documents/<id:id>", 200),
        ("POST", "/documents", "/documents", 422),
        ("GET", "/documents", None, 405),
        ("GET", "/nowhere/at%20all?q=secret", None, 404),
        ("GET", "{document}/faults/value", "/documents/<id:id>/faults/<kind>", 500),
        ("GET", "/analyses/999/stream", "/analyses/<id:id>/stream", 404),
    ],
)
def test_a_request_is_one_line(server, document, method, path, route, status):
    path = path.format(document=document)
    response, id = server.ask_for(path, method)
    line = server.answered(id)

    assert response.status_code == status
    assert line["level"] == "INFO"
    assert line["seconds"] >= 0
    told = {name: line[name] for name in ("method", "route", "path", "status", "bytes")}
    assert told == {
        "method": method,
        "route": route,
        "path": path.partition("?")[0].replace("%20", " "),
        "status": status,
        "bytes": len(response.content),
    }


def test_health_and_static_files_are_not_worth_one(server):
    ids = {server.ask_for(path)[1] for path in ("/up", "/ready", "/static/precis.css", "/static/nothing")}
    server.answered(server.ask_for("/")[1])
    assert not ids & {line.get("request") for line in server.lines()}


@pytest.mark.parametrize("way", ["stream", "live"])
def test_a_stream_is_one_line_at_its_end(server, provider, document, way):
    provider.script(text=answer(1), rate=100)
    analysis, id = server.ask(document), secrets.token_hex(8)
    with httpx2.stream("GET", f"{server.url}{analysis}/{way}", headers={"X-Request-ID": id}) as response:
        parts = response.iter_bytes()
        size = len(next(parts))
        assert not server.lines(request=id, event="answered")
        size += sum(map(len, parts))
    line = server.answered(id)

    assert (line["status"], line["bytes"]) == (200, size)


@pytest.mark.parametrize("way", ["stream", "live"])
def test_a_viewer_that_leaves_is_one_line_and_no_error(server, provider, document, way):
    provider.script(text=answer(40), rate=50)
    analysis = server.ask(document)
    id = secrets.token_hex(8)
    with httpx2.stream("GET", f"{server.url}{analysis}/{way}", headers={"X-Request-ID": id}) as response:
        parts = response.iter_bytes()  # held, because it would close the connection when it is let go
        next(parts)
        assert not server.lines(request=id, event="answered")
    line = server.answered(id)

    assert line["status"] == 200
    assert line["route"] == f"/analyses/<id:id>/{way}"
    provider.wait(open=1)
    assert {line["level"] for line in server.lines(request=id)} == {"INFO"}
    httpx2.post(f"{server.url}{analysis}/cancellation")
    provider.wait(open=0)


# Their ids


@pytest.mark.parametrize("id", ["a", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "A.b_c-1", "x" * 64])
def test_a_requests_id_is_kept(server, id):
    id += secrets.token_hex(4)[: 64 - len(id)]
    assert httpx2.get(f"{server.url}/", headers={"X-Request-ID": id}).headers["X-Request-ID"] == id
    server.answered(id)


@pytest.mark.parametrize("id", [None, "", "x" * 65, "a b", "a\xe4", "<b>", "a,b", '"', "a/b"])
def test_a_request_without_a_fit_id_is_given_one(server, id):
    headers = {} if id is None else {"X-Request-ID": id.encode("latin-1")}
    given = [httpx2.get(f"{server.url}/", headers=headers).headers["X-Request-ID"] for _ in range(2)]

    assert len(set(given)) == 2
    for each in given:
        assert len(each) == 12
        assert set(each) <= set("0123456789abcdef")
        server.answered(each)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/documents", "{document}/faults/value", "{document}/faults/disk"]
)
def test_an_error_page_names_its_request(server, document, path):
    response, id = server.ask_for(path.format(document=document))
    assert f"Reference {id}</p>" in response.text


@pytest.mark.parametrize(
    ("path", "is_named"), [("/nowhere", False), ("/documents", False), ("{document}/faults/value", True)]
)
def test_to_htmx_a_fault_of_ours_names_its_request(server, document, path, is_named):
    response, id = server.ask_for(path.format(document=document), headers={"HX-Request": "true"})
    assert response.text.endswith(f" Reference {id}.") is is_named


def test_an_id_goes_along_to_what_its_request_spawns(server, document):
    _, id = server.ask_for(f"{document}/faults/spawned")
    server.told(request=id, event="spawned", logger="analyzer.faults")


def test_an_id_goes_along_to_the_analysis_that_its_request_starts(server, provider, document):
    fields = {"recipe": "brief", "model": "openai:gpt-6-sol"}
    response, id = server.ask_for(f"{document}/analyses", "POST", data=fields)
    server.told(request=id, event="started", logger="analyzer.runner")
    (ended,) = server.told(request=id, event="ended", logger="analyzer.runner")
    assert response.headers["Location"] == f"/analyses/{ended['analysis']}/live"


def test_an_id_ends_with_its_request(server):
    id = secrets.token_hex(8)
    good = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-ID: {id}\r\n\r\n".encode()
    before = len(server.lines(logger="gunicorn.error"))
    assert b"HTTP/1.1 400 " in server.send(good + b"GET / HTTP/9.9\r\n\r\n")

    server.answered(id)
    assert [line["event"] for line in server.lines(request=id)] == ["answered"]
    assert len(server.lines(logger="gunicorn.error")) > before


# Failures


def test_a_failure_is_told_by_its_types_and_frames_and_not_by_its_message(server, document):
    _, id = server.ask_for(f"{document}/faults/chain")
    (line,) = server.told(request=id, level="ERROR")

    assert (line["logger"], line["event"]) == ("views.errors", "a request failed")
    assert [cause["type"] for cause in line["exception"]] == ["RuntimeError", "ValueError"]
    outer, inner = (cause["frames"] for cause in line["exception"])
    assert outer[-2].endswith(".fault")
    assert outer[-1].endswith(" chain")
    assert inner == [inner[-1]]
    assert inner[-1].endswith(" chain")


def test_a_recursion_without_end_does_not_fill_the_log(server, document):
    _, id = server.ask_for(f"{document}/faults/recursion")
    (line,) = server.told(request=id, level="ERROR")
    assert len(line["exception"][0]["frames"]) == logs.MAX_FRAMES


def test_what_the_system_and_the_database_call_it_is_told(server, document, tmp_path):
    _, id = server.ask_for(f"{document}/faults/disk")
    (line,) = server.told(request=id, level="ERROR")
    assert [(cause["type"], cause["code"]) for cause in line["exception"]] == [
        ("FileNotFoundError", "ENOENT")
    ]

    with closing(sqlite3.connect(server.database)) as database:
        database.execute("ALTER TABLE document RENAME TO elsewhere")
        response, id = server.ask_for(document)
        database.execute("ALTER TABLE elsewhere RENAME TO document")
    (line,) = server.told(request=id, level="ERROR")
    assert response.status_code == 503
    assert [(cause["type"], cause["code"]) for cause in line["exception"]] == [
        ("peewee.OperationalError", None),
        ("sqlite3.OperationalError", "SQLITE_ERROR"),
    ]
    assert any(frame.startswith("views/documents.py:") for frame in line["exception"][0]["frames"])


@pytest.mark.parametrize("kind", ["greenlet", "callback", "thread", "finalizer"])
def test_what_nobody_catches_is_told(server, document, kind):
    known = len(server.lines(event="nobody caught this"))
    server.ask_for(f"{document}/faults/{kind}")
    line = server.told(after=known, event="nobody caught this")[0]
    assert [cause["type"] for cause in line["exception"]] == ["ValueError"]


@pytest.mark.parametrize("kind", ["at once", "later"])
def test_an_answer_that_breaks_off_is_told_by_the_server(server, document, kind):
    id = secrets.token_hex(8)
    request = f"GET {document}/faults/{kind.replace(' ', '%20')} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    server.send(f"{request}X-Request-ID: {id}\r\n\r\n".encode())
    (line,) = server.told(request=id, logger="gunicorn.error")
    assert line["event"].startswith("Error handling request")
    assert [cause["type"] for cause in line["exception"]] == ["RuntimeError"]
    server.answered(id)


def test_a_warning_is_told_by_its_category_and_place(server, document):
    _, id = server.ask_for(f"{document}/faults/warning")
    (line,) = server.told(request=id, event="warning")
    assert (line["level"], line["category"]) == ("WARNING", "UserWarning")
    assert ":" in line["at"]


def test_of_what_others_log_the_warnings_are_told_by_their_constant_words(server, document):
    _, id = server.ask_for(f"{document}/faults/others")
    server.answered(id)
    events = [line["event"] for line in server.lines(request=id, logger="theirs")]
    assert events == ["cannot read %s", "cannot read", "ValueError"]
    assert not server.lines(logger="peewee")


def test_what_cannot_be_told_does_no_harm(server, document):
    response, id = server.ask_for(f"{document}/faults/untold")
    server.answered(id)
    lines = server.lines(request=id, logger="analyzer.faults")
    assert response.status_code == 200
    assert [line["event"] for line in lines] == ["an exception", "an argument"]
    assert lines[0]["error"] == "ValueError"


def test_a_worker_that_cannot_boot_is_told_in_lines_too(tmp_path):
    server = Faulty(tmp_path)
    process = server.launch(PRECIS_HOSTS="unbootable")

    assert process.wait() == 3
    (line,) = server.lines(logger="server")
    assert (line["event"], line["exception"][0]["type"]) == ("the worker failed", "ValueError")
    assert server.lines(logger="gunicorn.error", event="Reason: Worker failed to boot.")
    assert CANARY not in server.log.read_text()


# Bodies that cannot be read

CHUNKED = b"POST /documents HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"Zilpzalp\r\ntext=One\r\n0\r\n\r\n",
        b"8\r\ntext=OneZilpzalp\r\n0\r\n\r\n",
        b"8 ; Zilpzalp=(\r\ntext=One\r\n0\r\n\r\n",
        b"8\r\ntext=One\r\n0\r\nZilpzalp\r\n\r\n",
    ],
    ids=["size", "terminator", "extension", "trailer"],
)
def test_a_body_of_broken_chunks_is_400_and_the_end_of_its_connection(server, body):
    follower = b"GET /up HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    said = server.send(CHUNKED + FORM + b"\r\n" + body + follower)

    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"This request could not be understood." in said
    assert b"<!doctype html>" in said
    id = said.partition(b"X-Request-ID: ")[2].partition(b"\r\n")[0].decode()
    assert [line["level"] for line in server.lines(request=id)] == ["INFO"]


# No word of a person's


MALFORMED = [
    b"Zilpzalp\r\n\r\n",
    b"Zilpzalp / HTTP/1.1\r\n\r\n",
    b"GET /?q=Zilpzalp HTTP/Zilpzalp\r\n\r\n",
    b"GET /?q=Zilpzalp HTTP/1.1\r\nHost: 127.0.0.1\r\nZilpzalp Zilpzalp\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: Zilpzalp\r\n Zilpzalp\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"Zilpzalp" * 9999 + b"\r\n\r\n",
    b"GET /?q=" + b"Zilpzalp" * 999 + b" HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: Zilpzalp\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: Zilpzalp\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: Zilpzalp\r\n\r\n",
    # Nobody reads this one's body before the server looks for the next request.
    b"GET /up HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZilpzalp\r\n\r\n",
]


def test_no_word_of_a_person_comes_into_the_log(server, provider):
    said = {"User-Agent": CANARY, "Referer": f"{server.url}/?q={CANARY}", "Cookie": f"a={CANARY}"}
    htmx = {"HX-Request": "true", "HX-Request-Type": "partial"}
    form = {"title": f"On {CANARY}", "text": f"The {CANARY} pays.\n\nThe {CANARY} sings."}

    def ask_for(path, method="GET", status=(200, 303), **fields):
        for headers in (said, said | htmx):
            response, id = server.ask_for(f"{path}?q={CANARY}", method, headers=headers, **fields)
            assert response.status_code in status, path
            server.answered(id)
        return response

    ask_for("/documents", "POST", data=form)
    ask_for("/documents", "POST", data=form | {"text": ""}, status=(422,))
    file = {"file": (f"{CANARY}.md", f"# {CANARY}\n\nIt sings.".encode())}
    location = ask_for("/documents", "POST", data={"title": CANARY}, files=file).headers["Location"]
    file = {"file": (f"{CANARY}.md", f"{CANARY} \xe4".encode("latin-1"))}
    ask_for("/documents", "POST", files=file, status=(422,))
    assert CANARY in ask_for(location).text

    def analyze(model, **script):
        provider.script(**{"text": f"It is a {CANARY}. " * 3} | script)
        fields = {"recipe": "question", "model": model, "question": f"Who is the {CANARY}?"}
        response, id = server.ask_for(f"{location}/analyses", "POST", data=fields, headers=said)
        assert response.status_code == 303
        return response.headers["Location"].removesuffix("/live"), server.told(request=id, event="ended")[0]

    words = {"message": f"This cannot be read: The {CANARY} pays.", "type": CANARY, "code": CANARY}
    for model in ("openai:gpt-6-sol", "anthropic:claude-sonnet-5-5"):
        faults = [
            {"status": 400, "error": {"type": "error", "error": words}},
            {"status": 401, "error": f"The {CANARY} pays."},
            {"fault": "error_event", "at": 2, "error": {"type": "error", "error": words} | words},
            {"fault": "garbage", "at": 2},
            {"fault": "rst", "at": 2},
            {"stop": CANARY},
        ]
        for script in faults:
            assert analyze(model, **script)[1]["status"] in ("failed", "incomplete"), script
        analysis, ended = analyze(model)
        assert ended["status"] == "complete"
        for path in ("", "/live", "/stream", ".md"):
            assert CANARY in ask_for(analysis + path).text
        ask_for(f"{analysis}/cancellation", "POST", status=(204, 303))
        ask_for(f"{analysis}/continuation", "POST", status=(409,))
    assert analyze("offline:extractive")[1]["status"] == "complete"
    ask_for(f"{location}/analyses", "POST", data={"recipe": CANARY, "question": CANARY}, status=(422,))
    ask_for(f"{location}/analyses", "POST", data={"recipe": "question", "model": CANARY}, status=(422,))
    ask_for(f"{analysis}/deletion")
    ask_for("/nowhere", status=(404,))

    for data in MALFORMED:
        before = len(server.lines(logger="gunicorn.error"))
        server.send(data)
        assert len(server.lines(logger="gunicorn.error")) == before + 1, data[:60]

    # What SQLite cannot decode it quotes.
    with closing(sqlite3.connect(server.database)) as database:
        database.execute(
            "UPDATE document SET text = CAST(x'ff' || text AS TEXT), title = CAST(x'ff' || title AS TEXT)"
        )
        database.commit()
    for path in ("/", location, f"{location}/faults/value"):
        ask_for(path, status=(500, 503))

    log = server.log.read_text()
    assert "OperationalError" in log
    for word in (CANARY, CANARY.lower(), CANARY[1:], "sings", "pays"):
        assert word not in log
