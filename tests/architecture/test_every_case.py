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


def _late(number: int) -> None:
    pytest.fail(f"{number} is too late")


def test_each_case_that_fails_is_told_by_name() -> None:
    """The cases after the first that fails are checked as well, and each failure says whose it is."""
    checked: list[int] = []
    with pytest.raises(ExceptionGroup, match="2 of 4 cases") as caught:
        _check(_even, checked)

    assert checked == [0, 1, 2, 3]
    assert [failure.__notes__ for failure in caught.value.exceptions] == [
        ["in the case number 1"],
        ["in the case number 3"],
    ]


def test_a_time_out_ends_all_cases() -> None:
    """What pytest itself raises is not collected: a case that hangs would be followed by others that hang."""
    checked: list[int] = []
    with pytest.raises(pytest.fail.Exception) as caught:
        _check(_late, checked)

    assert checked == [0]
    assert caught.value.__notes__ == ["in the case number 0"]


def test_no_case_is_a_fault() -> None:
    """A glob that finds nothing would pass for ever."""
    with pytest.raises(AssertionError, match="no cases"), every_case():
        pass
