"""The same requests and answers through LiteLLM's transformation classes; see docs/dialects/differential-litellm.md."""

import importlib.metadata
import logging
import re
from typing import Any

import pytest

from tests.support.differences import PAGE, Found, judged, page, verdicts

_WANTED = "LiteLLM is in the extra `differential` alone: make differential"
requests: Any = pytest.importorskip("tests.support.litellm_sides", reason=_WANTED, exc_type=ImportError)
answers: Any = pytest.importorskip("tests.support.litellm_answers", reason=_WANTED, exc_type=ImportError)

# A peer's own warnings are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
#: Ids that LiteLLM makes up anew each time.
_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def found() -> list[Found]:
    """Every difference there is."""
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return [*requests.request_differences(), *answers.answer_differences()]


def test_every_difference_has_a_verdict(found: list[Found]) -> None:
    """Nobody differs from us without our having looked at it."""
    _, strays = judged(found, verdicts())

    assert [f"{one.pair} | {one.case} | {one.difference}" for one in strays] == []


def test_every_verdict_has_a_difference(found: list[Found]) -> None:
    """A verdict on nothing is out of date."""
    by_verdict, _ = judged(found, verdicts())

    assert [verdict for verdict, heap in by_verdict if not heap] == []


def test_the_page_tells_all_of_it(found: list[Found], *, update_golden: bool) -> None:
    """The list of differences is the page's."""
    by_verdict, _ = judged(found, verdicts())
    written = _RANDOM.sub("(made up)", page(by_verdict, importlib.metadata.version("litellm")))
    if update_golden:
        PAGE.write_text(written)

    assert PAGE.read_text() == written
