"""What every test may ask for, and how much hypothesis tries."""

import os

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


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))
