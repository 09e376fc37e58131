"""The server is killed while answers stream: nothing that anybody saw is lost, and everything ends."""

import pytest

from bench.kill import rounds


@pytest.mark.fault("killed")
def test_nothing_is_shown_that_a_kill_can_take_back():
    done = list(rounds(kills=2, live=5, seed=7))

    assert [one.killed for one in done] == ["worker", "all"]
    for one in done:
        assert one.shown > 100
        assert one.lost == one.unequal == 0
        assert one.ended == one.live
