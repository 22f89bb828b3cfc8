"""One test for many cases of one kind: each of them is checked, and whatever fails says which case it was."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

import pytest

#: How pytest-timeout begins what it says.
_TIMED_OUT = "Timeout (>"


class _Case(AbstractContextManager[None]):
    def __init__(self, name: str, failures: list[BaseException]) -> None:
        self._name = name
        self._failures = failures

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if failure is None:
            return False
        failure.add_note(f"in the case {self._name}")
        if not isinstance(failure, Exception | pytest.fail.Exception) or str(failure).startswith(_TIMED_OUT):
            return False  # nothing goes on after a time-out, an interrupt or a skip
        self._failures.append(failure)
        return True


@contextmanager
def every_case() -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Gives what surrounds the check of one case, by its name; raises an exception group of all that failed.

    It is for cases that cost less than pytest spends on an item, several of these at once: parametrise the rest.
    """
    failures: list[BaseException] = []
    names: list[str] = []

    def case(name: str) -> _Case:
        names.append(name)
        return _Case(name, failures)

    try:
        yield case
    except (pytest.fail.Exception, pytest.skip.Exception) as last:
        if not failures and isinstance(last, pytest.skip.Exception):
            raise
        failures.append(last)
    assert names, "there are no cases"
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(names)} cases", failures)
