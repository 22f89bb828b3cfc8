"""A test of many cases loses none of them."""

from collections.abc import Callable

import pytest

from tests.support.every_case import every_case


def _check(check: Callable[[int], None], checked: list[int]) -> None:
    with every_case() as case:
        for number in range(4):
            with case(f"number {number}"):
                checked.append(number)
                check(number)


def _even(number: int) -> None:
    assert number % 2 == 0


def _odd(number: int) -> None:
    if number % 2 == 0:
        pytest.fail(f"{number} is even")


def _late(number: int) -> None:
    assert number != 0
    pytest.fail("Timeout (>60.0s) from pytest-timeout.")


@pytest.mark.parametrize(("check", "failing"), [(_even, (1, 3)), (_odd, (0, 2))], ids=["assert", "pytest.fail"])
def test_each_case_that_fails_is_told_by_name(check: Callable[[int], None], failing: tuple[int, ...]) -> None:
    """The cases after the first that fails are checked as well, and each failure says whose it is."""
    checked: list[int] = []
    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases") as caught:
        _check(check, checked)

    assert checked == [0, 1, 2, 3]
    assert [failure.__notes__ for failure in caught.value.exceptions] == [[f"in the case number {n}"] for n in failing]


def test_a_time_out_ends_all_cases() -> None:
    """A case that hangs would be followed by others that hang; what had failed before it is told with it."""
    checked: list[int] = []
    with pytest.raises(BaseExceptionGroup) as caught:
        _check(_late, checked)

    assert checked == [0, 1]
    assert [failure.__notes__ for failure in caught.value.exceptions] == [
        ["in the case number 0"],
        ["in the case number 1"],
    ]


def _skipped(number: int) -> None:
    assert number != 0
    pytest.skip("not here")


def test_a_skip_hides_no_failure() -> None:
    """What had failed before it is told."""
    checked: list[int] = []
    with pytest.raises(BaseExceptionGroup) as caught:
        _check(_skipped, checked)

    assert checked == [0, 1]
    assert caught.value.exceptions[0].__notes__ == ["in the case number 0"]


def test_no_case_is_a_fault() -> None:
    """A glob that finds nothing would pass for ever."""
    with pytest.raises(AssertionError, match="no cases"), every_case():
        pass
