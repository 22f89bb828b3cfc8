"""A token server, and an environment that leads nowhere but to it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from extproc.server.credentials import vault
from tests.support.token_servers import TokenServer, token_server

#: Whatever the machine that runs the tests is logged in to.
_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "LLMROUTE_GCP_", "HTTPS_PROXY", "https_proxy", "NO_PROXY")


@pytest.fixture
def server() -> Iterator[TokenServer]:
    """Answers 404 until told otherwise."""
    with token_server() as found:
        yield found


@pytest.fixture(autouse=True)
def loud(caplog: pytest.LogCaptureFixture) -> None:
    """All that is ever logged is caught, whatever other tests did to the levels."""
    caplog.set_level(logging.DEBUG)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to fetch a first token than a worker would wait."""
    monkeypatch.setattr(vault, "_TOKEN_WAIT_S", 10.0)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credential of this machine's is ever used, and no cloud asked."""
    for name in [name for name in os.environ if name.startswith(_CLOUDS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """The processor's own token."""
    path = tmp_path / "identity"
    path.write_text("own-token\n")
    return path
