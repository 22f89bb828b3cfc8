"""No field of a client's dialect is overlooked: each has a probe, each probe a verdict, and the docs tell it."""

from pathlib import Path

import msgspec
import pytest

from extproc.registry import client_dialect
from tests.support.field_report import DOCS, MODELS, judge, load_probes, pages, sdk_fields, used_fields

PROBES = load_probes()
PAGES = pages()


def test_every_field_of_the_official_sdk_has_a_probe() -> None:
    """A field that a new SDK brings fails here until somebody decides what becomes of it."""
    used = {name for probe in PROBES for name in used_fields(probe.request)}
    assert [name for name in sdk_fields() if name not in used] == []


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_probe_has_a_verdict(model: str) -> None:
    """No field vanishes in silence, and each refusal names a path of the request."""
    for probe in PROBES:
        verdict = judge(probe, model)
        if verdict.word == "refused":
            path, _, reason = verdict.detail.partition(": ")
            assert path.split("[")[0].split(".")[0] in probe.request, probe.name
            assert reason, probe.name


def test_passthrough_keeps_every_probe() -> None:
    """To an upstream of the same dialect nothing is refused and no byte is changed."""
    for probe in PROBES:
        body = msgspec.json.encode(probe.request)
        assert client_dialect("OpenAI").edit(body, model=None, include_usage=False) is body, probe.name


def test_probes_are_told_apart() -> None:
    """Two probes of one name would make one row of the docs a riddle."""
    names = [probe.name for probe in PROBES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_are_what_the_code_does(page: Path, *, update_golden: bool) -> None:
    """The generated pages are those in the repository."""
    if update_golden:
        page.write_text(PAGES[page])
    assert page.read_text() == PAGES[page]


def test_docs_hold_no_other_page() -> None:
    """A page that nothing generates would go stale."""
    assert set(DOCS.iterdir()) == set(PAGES)
