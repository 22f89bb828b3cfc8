from pathlib import Path

import pytest

from controller.translate import ProxySettings, bootstrap, listener
from tests.support.translate_cases import CASES, OUTPUTS, ROOT, outputs, pretty

PROXIES = {
    "sockets": ProxySettings(
        extproc=("unix:///run/llmroute/extproc.0", "unix:///run/llmroute/extproc.1"),
        lds="/run/llmroute/envoy/lds.json",
        rds="/run/llmroute/envoy/rds.json",
        cds="/run/llmroute/envoy/cds.json",
        admin_port=0,
        access_log="/run/llmroute/access.log",
    ),
    "cluster": ProxySettings(
        extproc=("llmroute-extproc.gateway.svc:1063", "llmroute-extproc.gateway.svc:1064"),
        lds="/etc/envoy/static/lds.json",
        rds="/etc/envoy/xds/rds.json",
        cds="/etc/envoy/xds/cds.json",
        address="::",
        port=8080,
        path_prefix="/llm",
    ),
}


def _compare(path: Path, text: str, *, update: bool) -> None:
    if update:
        path.write_text(text)
    assert path.exists(), f"{path} is missing; pytest --update-golden writes it"
    assert text == path.read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_case_gives_what_its_golden_files_say(case: str, *, update_golden: bool) -> None:
    """The configuration, Envoy's files and every status are exactly the recorded ones."""
    for name, text in outputs(case).items():
        _compare(ROOT / case / name, text, update=update_golden)


@pytest.mark.parametrize("name", PROXIES)
def test_the_constant_part_of_envoy_is_what_its_golden_files_say(name: str, *, update_golden: bool) -> None:
    """Bootstrap and listener are exactly the recorded ones."""
    text = pretty({"bootstrap": bootstrap(PROXIES[name]), "lds": listener(PROXIES[name])})

    _compare(ROOT / f"proxy-{name}.json", text, update=update_golden)


def test_no_golden_file_is_without_a_case() -> None:
    """A file that no case writes, or a folder without an input, is an error."""
    expected = {ROOT / case / name for case in CASES for name in ("in.yaml", *OUTPUTS)}
    expected |= {ROOT / f"proxy-{name}.json" for name in PROXIES}

    assert {path for path in ROOT.rglob("*") if path.is_file()} - expected == set()
    assert len(CASES) >= 20
