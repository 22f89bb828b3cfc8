"""No field of a client's dialect is overlooked: each has a probe, each probe a verdict, and the docs tell it."""

from pathlib import Path

import msgspec
import pytest

from extproc.registry import client_dialect
from tests.support.field_report import CLIENTS, DOCS, PAGES, PAIRS, Pair, judge, load_probes, pages
from tests.support.sdk_fields import fields_of, used_fields

#: Of the same folder, from elsewhere: the matrix and the cases (tests/matrix), the comparison with LiteLLM.
OTHER_PAGES = {"README.md", "matrix.md", "cases.md", "answers.md", "differential-litellm.md"}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_field_of_the_official_sdk_has_a_probe(client: str) -> None:
    """A field that a new SDK brings fails here until somebody decides what becomes of it."""
    used = {name for probe in load_probes(client) for name in used_fields(client, probe.request)}
    assert [name for name in fields_of(client) if name not in used] == []


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_every_probe_has_a_verdict(pair: Pair) -> None:
    """No field vanishes in silence at any model, and each refusal names a path of the request."""
    for model in pair.models.values():
        for probe in load_probes(pair.client):
            verdict = judge(pair, probe, model)
            if verdict.word == "refused":
                path, _, reason = verdict.detail.partition(": ")
                assert path.split("[")[0].split(".")[0] in probe.request, probe.name
                assert reason, probe.name


@pytest.mark.parametrize("client", CLIENTS)
def test_passthrough_keeps_every_probe(client: str) -> None:
    """To an upstream of the same dialect nothing is refused and no byte is changed (same-dialect-openai-identity)."""
    for probe in load_probes(client):
        if "another maker's" in probe.values:
            continue  # whose thinking is taken out, as tests/dialects/anthropic/test_passthrough.py shows
        body = msgspec.json.encode(probe.request)
        assert client_dialect(CLIENTS[client]).edit(body, model=None, include_usage=False) is body, probe.name


@pytest.mark.parametrize("client", CLIENTS)
def test_probes_are_told_apart(client: str) -> None:
    """Two probes of one name would make one row of the docs a riddle."""
    names = [probe.name for probe in load_probes(client)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_are_what_the_code_does(page: Path, *, update_golden: bool) -> None:
    """The generated pages are those in the repository."""
    text = pages()[page]
    if update_golden:
        page.write_text(text)
    assert page.read_text() == text


def test_docs_hold_no_other_page() -> None:
    """A page that nothing generates would go stale."""
    assert {page.name for page in DOCS.iterdir()} <= {page.name for page in PAGES} | OTHER_PAGES
