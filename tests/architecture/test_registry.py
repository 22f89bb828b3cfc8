"""The registries, the code behind them and the docs name the same things."""

from pathlib import Path

import pytest

from extproc.config.names import CLIENT_DIALECTS, PLATFORMS
from extproc.config.schema import CapabilityOverrides
from extproc.conversation.capabilities import Capabilities
from extproc.platforms.contract import Place
from extproc.registry import client_dialect, platform, upstream_dialect

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("schema", PLATFORMS)
def test_every_platform_name_leads_to_a_platform(schema: str) -> None:
    """A value of outputSchema.schema has a platform whose dialect exists and which serves chat."""
    host = platform(schema)

    assert upstream_dialect(host.dialect).name == host.dialect
    assert host.path("chat", Place("m"))


@pytest.mark.parametrize("schema", CLIENT_DIALECTS)
def test_every_client_schema_leads_to_a_dialect(schema: str) -> None:
    """A value of inputSchema.schema has a front end named like its package."""
    assert client_dialect(schema).name == CLIENT_DIALECTS[schema]


def test_the_docs_table_lists_every_pair() -> None:
    """The dialects page names each client and each upstream schema."""
    page = (ROOT / "docs/dialects/README.md").read_text()

    assert [name for name in (*CLIENT_DIALECTS, *PLATFORMS) if name not in page] == []


def test_every_dialect_has_the_same_four_modules() -> None:
    """A dialect package is request, response, stream and errors, so that a reader of one knows all.

    One that is both ends may have them in ``client`` and in ``upstream``.
    """
    # Embeddings are one body each way: a module for each upstream says it all.
    strangers = ("__pycache__", "embeddings")
    folders = [p for p in (ROOT / "extproc/dialects").iterdir() if p.is_dir() and p.name not in strangers]

    assert {
        p.name: [
            m
            for m in ("request", "response", "stream", "errors")
            if not (p / f"{m}.py").exists()
            and not all((p / end / f"{m}.py").exists() for end in ("client", "upstream"))
        ]
        for p in folders
    } == {p.name: [] for p in folders}


def test_every_capability_can_be_overridden() -> None:
    """The configuration can correct each field of the bundled table."""
    assert set(Capabilities.__struct_fields__) == set(CapabilityOverrides.model_fields)
