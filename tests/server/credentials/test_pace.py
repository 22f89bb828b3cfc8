"""When credentials are fetched again, by a clock that stands still."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.server.credentials.pace import Pace

draws = st.floats(0, 1, exclude_max=True)


@given(now=st.floats(0, 4e9), life=st.floats(10, 90_000), draw=draws)
def test_refreshed_well_before_the_end(now: float, life: float, draw: float) -> None:
    """Between 70 and 80 % of a life, each worker at a moment of its own."""
    wait = Pace().refresh_in(now, now + life, draw)

    assert 0.69 * life <= wait <= 0.81 * life


@pytest.mark.parametrize(("left", "wait"), [(3.0, 5.0), (0.0, 5.0), (-1.0, 5.0)])
def test_a_token_that_is_almost_over_makes_no_storm(left: float, wait: float) -> None:
    """A metadata service that repeats an old token is asked again, but not at once."""
    assert Pace().refresh_in(100.0, 100.0 + left, 0.0) == wait


@given(draw=draws)
def test_keys_without_an_end_are_looked_up_every_few_minutes(draw: float) -> None:
    """A shared file may have been edited."""
    assert 200 < Pace().refresh_in(5.0, None, draw) < 250


@pytest.mark.parametrize(("left", "margin"), [(3600.0, 10.0), (100.0, 10.0), (50.0, 5.0), (3.0, 0.3)])
def test_let_go_before_the_end(left: float, margin: float) -> None:
    """Ten seconds before, or a tenth of a short life; what has no end is kept."""
    assert Pace().margin(100.0, 100.0 + left) == pytest.approx(margin)
    assert Pace().margin(100.0, None) == 0.0


def test_back_off_doubles_up_to_a_minute() -> None:
    """Without chance: 1, 2, 4 seconds and so on, and never more than 60."""
    assert [Pace().retry_in(n, 0.0) for n in (1, 2, 3, 6, 7, 50, 10_000)] == [1, 2, 4, 32, 60, 60, 60]


@given(failures=st.integers(1, 100), draw=draws)
def test_back_off_is_spread(failures: int, draw: float) -> None:
    """Chance takes up to a half, so that workers that failed together do not return together."""
    most = Pace().retry_in(failures, 0.0)

    assert most / 2 < Pace().retry_in(failures, draw) <= most
