"""The generated pages about the matrix and the named cases are those in the repository."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support import matrix_page, named_cases
from tests.support.named_cases import shown_by

PAGES = (matrix_page.pages, named_cases.page)


@pytest.mark.parametrize("pages", PAGES)
def test_docs_are_what_the_run_shows(pages: Callable[[], Mapping[Path, str]], *, update_golden: bool) -> None:
    """The pages say what the run shows, and nothing older."""
    for page, text in pages().items():
        if update_golden:
            page.write_text(text)
        assert page.read_text() == text


def test_every_named_case_has_a_test() -> None:
    """No case of the notes is without a test that carries its name."""
    assert [case for case, tests in shown_by().items() if not tests] == []


def test_there_are_eighty_cases() -> None:
    """A case that is lost from the list would be missed by nobody."""
    assert [len(note) for note in named_cases.cases().values()] == [40, 40]
