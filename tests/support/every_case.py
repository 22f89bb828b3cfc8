"""One test for many cases of one kind: each of them is checked, and whatever fails says which case it was."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType


class _Case(AbstractContextManager[None]):
    def __init__(self, name: str, failures: list[Exception]) -> None:
        self._name = name
        self._failures = failures

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if failure is None:
            return False
        failure.add_note(f"in the case {self._name}")
        if isinstance(failure, Exception):
            self._failures.append(failure)
            return True
        return False  # a time-out, an interrupt, pytest.fail: nothing goes on after these


@contextmanager
def every_case() -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Gives what surrounds the check of one case, by its name; raises an ``ExceptionGroup`` of all that failed.

    It is for cases that cost less than pytest spends on an item, several of these at once: parametrise the rest.
    """
    failures: list[Exception] = []
    names: list[str] = []

    def case(name: str) -> _Case:
        names.append(name)
        return _Case(name, failures)

    yield case
    assert names, "there are no cases"
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(names)} cases", failures)
