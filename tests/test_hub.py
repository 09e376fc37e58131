"""Turns: what has much to do lets others run, whatever they wait for."""

import gevent
from gevent.socket import socketpair

from hub import let_others_run


def test_who_lets_others_run_lets_in_what_comes_from_a_socket_and_when_its_time_has_come():
    woken = []
    ours, theirs = socketpair()
    with ours, theirs:
        reader = gevent.spawn(lambda: woken.append(theirs.recv(1)))
        timer = gevent.spawn(lambda: woken.append(gevent.sleep(1e-6)))
        gevent.sleep(0)
        ours.send(b"x")
        # Who is woken in the same turn of the loop may come after us.
        let_others_run()
        let_others_run()
        assert reader.ready()
        assert timer.ready()
    assert sorted(woken, key=str) == [None, b"x"]
