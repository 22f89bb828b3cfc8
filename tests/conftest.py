"""What every test may ask for, and how much hypothesis tries."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A deadline would measure how busy the machine is. The quick profile tries the same examples every time, so that a
# change is judged by what it changes; ``make fuzz`` tries new ones, and more.
settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden`` rewrites golden files and generated docs instead of comparing them."""
    parser.addoption("--update-golden", action="store_true", default=False, help="rewrite golden files from the code")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is run, and in which groups.

    Golden files are written by the tests that compare them, and nothing else has to run for it.

    Under ``--dist loadgroup`` a file's tests stay together, and what waits for real processes begins first. Fixtures
    of a module are then made once and not in each process; and the books of the scheduler, which grow with the square
    of its groups, cost nothing.
    """
    if config.getoption("--update-golden"):
        others = [item for item in items if "update_golden" not in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if "update_golden" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
    if config.getoption("loadgroup", default=False):
        for item in items:
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
        items.sort(key=lambda item: item.get_closest_marker("envoy") is None)


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    return [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """For tests that set logging up: levels, handlers and filters are afterwards what they were."""
    before = {each: (each.level, each.propagate, list(each.handlers), list(each.filters)) for each in _loggers()}
    yield
    for each in _loggers():
        level, each.propagate, handlers, each.filters[:] = before.get(each, (logging.NOTSET, True, [], []))
        each.setLevel(level)
        for new in [handler for handler in each.handlers if handler not in handlers]:
            new.close()
        each.handlers[:] = handlers
