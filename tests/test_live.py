"""The page for browsers without JavaScript."""

import re

import gevent
import pytest

from tests.person import Writer, ask, saved

pytestmark = pytest.mark.both_modes

PRE = re.compile(r'<pre class="answer">\n<!-- still there -->(.*?)</pre>', re.DOTALL)


@pytest.fixture
def writer(analyzer, document):
    """An answer that the test writes."""
    return Writer(analyzer, document)


def watch(app, writer):
    """Read the live page in a greenlet of its own, which watches from now on."""
    viewer = gevent.spawn(lambda: app.test_client().get(f"{writer.path}/live").text)
    while not app.extensions["analyzer"].log._live[writer.id].viewers:
        gevent.sleep(0.001)  # nothing announces it
    return viewer


def test_it_is_complete_when_the_analysis_is(app, client, writer):
    viewer = watch(app, writer)
    writer.write("One **two**.\n\n", "Three [¶2].").end()
    page = viewer.get(timeout=30)
    assert PRE.search(page)[1].strip() == "One **two**.\n\nThree [¶2]."
    section = re.search(r'<section id="analysis-.*?</section>', page, re.DOTALL)[0]
    assert section in saved(client, writer.path).text
    assert page.count(f'id="analysis-{writer.id}"') == 1
    assert page.rstrip().endswith("</html>")


def test_the_text_comes_as_it_is_written(client, writer):
    answer = client.get(f"{writer.path}/live")
    parts = answer.iter_encoded()
    received = b""
    for word in ("First ", "second "):
        writer.write(word)
        while word.encode() not in received:
            received += next(parts)
    assert b"</pre>" not in received
    answer.close()


def test_stop_stands_above_the_text_while_the_page_loads(client, writer):
    answer = client.get(f"{writer.path}/live")
    received = b""
    for part in answer.iter_encoded():
        received += part
        if b'<pre class="answer">' in received:
            break
    answer.close()
    assert f'<form method="post" action="{writer.path}/cancellation">' in received.decode()


def test_stop_ends_the_page(app, client, document, provider):
    provider.script(fault="silence", at=2)
    analysis = ask(client, document)
    provider.wait(calls=1)
    viewer = gevent.spawn(lambda: app.test_client().get(f"{analysis}/live").text)
    gevent.idle()
    assert client.post(f"{analysis}/cancellation").status_code == 303
    page = viewer.get(timeout=30)
    assert 'data-status="stopped"' in page
    assert page.rstrip().endswith("</html>")


def test_what_a_model_writes_is_text(app, writer):
    viewer = watch(app, writer)
    writer.write("</pre><script>alert(1)</script>", "<!--", "&lt; {{ 7 * 7 }} {% raw %}").end()
    page = viewer.get(timeout=30)
    assert "<script>alert" not in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page
    assert page.count("<!--") == 1
    assert "49" not in PRE.search(page)[1]


def test_an_analysis_that_has_ended_is_shown_at_once(client, writer):
    writer.write("One.").end()
    page = client.get(f"{writer.path}/live").text
    assert 'data-status="complete"' in page
    assert f'<a href="{writer.path}">' in page


def test_nothing_buffers_or_keeps_it(client, writer):
    with client.get(f"{writer.path}/live") as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "Content-Length" not in answer.headers


def test_a_viewer_that_leaves_is_forgotten(client, analyzer, writer):
    answer = client.get(f"{writer.path}/live")
    parts = answer.iter_encoded()
    received = b""
    writer.write("Here.")
    while b"Here." not in received:
        received += next(parts)
    assert len(analyzer.log._live[writer.id].viewers) == 1
    answer.close()
    assert not analyzer.log._live[writer.id].viewers


def test_when_the_process_ends_the_page_ends_and_says_what_to_do(app, analyzer, writer):
    viewer = watch(app, writer)
    writer.write("One.")
    analyzer.log.dismiss()
    page = viewer.get(timeout=30)
    assert page.rstrip().endswith("</html>")
    assert f'<a href="{writer.path}/live">reload this page</a>' in page


def test_what_is_not_there_is_404(client):
    assert client.get("/analyses/99/live").status_code == 404
