"""No member of an answer vanishes in silence, and the docs tell what becomes of it."""

import pytest

from tests.support.answer_probes import PROBES, Probe, judge, pages

PAIRS = [(upstream, probe) for upstream, probes in PROBES.items() for probe in probes]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("upstream", "probe"), PAIRS, ids=lambda value: getattr(value, "field", value))
def test_every_member_of_an_answer_has_a_verdict(upstream: str, probe: Probe, *, stream: bool) -> None:
    """It is carried, listed, or harmless for a reason."""
    assert judge(upstream, probe, stream=stream)


def test_the_docs_of_answers_are_what_the_code_does(*, update_golden: bool) -> None:
    """The generated page is the one in the repository."""
    for page, text in pages().items():
        if update_golden:
            page.write_text(text)
        assert page.read_text() == text
