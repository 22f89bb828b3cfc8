"""The pages that are made from code."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.api.reasons import MEANINGS, ConditionType, Reason, table
from controller.api.reference import fields_table

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "mark", "text"),
    [
        ("status.md", "reasons", table),
        ("api.md", "LLMRoute", lambda: fields_table("LLMRoute")),
        ("api.md", "LLMBackend", lambda: fields_table("LLMBackend")),
    ],
)
def test_a_generated_table_is_up_to_date(page: str, mark: str, text: Callable[[], str], *, update_golden: bool) -> None:
    """What stands between the marks is what the code says now."""
    path = DOCS / page
    block = re.compile(rf"(<!-- {mark}: .*? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if update_golden:
        path.write_text(block.sub(lambda found: f"{found[1]}{text()}{found[3]}", path.read_text()))

    found = block.search(path.read_text())
    assert found is not None
    assert found[2] == text()


def test_every_reason_has_its_meaning() -> None:
    """The closed list is explained without gaps, and each condition can be as it should be or not."""
    assert list(MEANINGS) == list(Reason)
    for condition in (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED):
        statuses = {meaning.status for meaning in MEANINGS.values() if meaning.condition is condition}
        assert {"True", "False"} <= statuses
