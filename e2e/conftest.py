"""What the long runs measure is told at the end, also of a run that passes: numbers are what they are made for."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

_TOLD = pytest.StashKey[list[str]]()

#: Takes what was measured, by name.
Tell = Callable[..., None]


def pytest_configure(config: pytest.Config) -> None:
    """No numbers yet, and Ctrl-C for whatever is started: a shell's background job ignores it, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_TOLD] = []


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Keep numbers for the summary."""

    def keep(**numbers: Any) -> None:
        text = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in numbers.items())
        request.config.stash[_TOLD].append(f"{request.node.name}: {text}")

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The numbers, one line for each time that a test told some."""
    if told := config.stash[_TOLD]:
        terminalreporter.section("measured")
        for line in told:
            terminalreporter.write_line(line)


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
