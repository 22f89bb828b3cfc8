"""When the chart's Envoy may end, by what it says of its requests. Time passes by the drain's own pauses alone."""

import threading
from collections.abc import Callable

import pytest

from controller.drain import Clock, Drain, Envoy, Limits, Requests


class Acted(Envoy):
    """An Envoy that has ``requests_at(seconds)`` since the beginning.

    ``refusals``: how often it is too slow to answer that it leaves.
    """

    def __init__(self, requests_at: Callable[[float], Requests], refusals: int = 0) -> None:
        super().__init__("127.0.0.1", 1)
        self.seconds = 0.0
        self.asked = 0
        self._requests_at = requests_at
        self._refusals = refusals

    def leave(self) -> None:
        self.asked += 1
        if self.asked <= self._refusals:
            raise TimeoutError

    def requests(self) -> Requests:
        return self._requests_at(self.seconds)

    def drain(self, limits: Limits) -> Drain:
        """The way out of this one."""
        return Drain(self, limits, Clock(lambda: self.seconds, self._pass))

    def _pass(self, seconds: float) -> None:
        self.seconds += seconds


def idle(_: float) -> Requests:
    return Requests(0, 7)


def under_way(until: float) -> Callable[[float], Requests]:
    """One request that ends then."""
    return lambda seconds: Requests(int(seconds < until), 1)


def coming(until: float, stream_s: float = 0) -> Callable[[float], Requests]:
    """A short one every 0.9 s until then, of which no look meets any; and a long one from the beginning."""
    return lambda seconds: Requests(int(seconds < stream_s), int(min(seconds, until) / 0.9))


@pytest.mark.parametrize(
    ("requests_at", "limits", "earliest", "latest", "left"),
    [
        pytest.param(idle, Limits(0, 300), 1, 2, 0, id="idle: it is quiet"),
        pytest.param(idle, Limits(10, 300), 10, 11, 0, id="idle: the least time, for load balancers to notice"),
        pytest.param(under_way(20), Limits(10, 300), 20, 22, 0, id="what is under way ends"),
        pytest.param(under_way(999), Limits(10, 300), 300, 301, 1, id="what does not end keeps nobody for ever"),
        pytest.param(coming(20), Limits(10, 300), 20, 22, 0, id="the last to come is waited for"),
        pytest.param(coming(90), Limits(10, 300), 90, 92, 0, id="a load balancer that takes its time is waited for"),
        pytest.param(coming(999), Limits(10, 300), 130, 131, 0, id="who never notices is a health check"),
        pytest.param(coming(999, 160), Limits(10, 300), 160, 161, 0, id="the same, while something is under way"),
        pytest.param(coming(999), Limits(10, 30), 30, 31, 0, id="the same, with a limit that is lower"),
        pytest.param(coming(999), Limits(10, 300, 30), 40, 41, 0, id="the same, with less time to notice"),
    ],
)
def test_when_it_may_end(
    requests_at: Callable[[float], Requests], limits: Limits, earliest: float, latest: float, left: int
) -> None:
    """When nothing is under way, nothing new comes, and whoever could notice had time to."""
    envoy = Acted(requests_at)

    assert envoy.drain(limits).carry_out() == f"{left} requests under way after {envoy.seconds:.1f} s"
    assert earliest <= envoy.seconds <= latest
    assert envoy.asked == 1


def test_one_that_is_slow_is_not_given_up() -> None:
    """An admin interface that does not answer in time says nothing of the requests: it is asked again."""
    envoy = Acted(idle, refusals=2)

    assert envoy.drain(Limits(0, 20)).carry_out().startswith("0 requests")
    assert envoy.asked == 3


def test_a_signal_may_be_late() -> None:
    """On a busy node a hook comes seconds before the signal: it waits for it, else what is under way would be cut."""
    drain = Acted(idle).drain(Limits(0, 20, signal_s=20))
    hook = threading.Thread(target=drain.wait, daemon=True)
    hook.start()
    hook.join(0.1)
    assert hook.is_alive()
    drain.told.set()
    hook.join(0.1)
    assert hook.is_alive()
    drain.carry_out()

    hook.join(10)
    assert not hook.is_alive()


def test_without_a_signal_envoy_stays_as_it_is() -> None:
    """As when it alone is started anew: whoever asks for the page waits, and changes nothing."""
    envoy = Acted(under_way(999))
    envoy.drain(Limits(0, 20, signal_s=0.05)).wait()

    assert envoy.asked == 0
