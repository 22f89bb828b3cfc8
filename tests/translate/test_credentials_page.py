"""The page for users says what works."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api import parse_backend
from controller.api.reasons import Reason
from controller.translate.grants import read_grants
from tests.support.api_objects import backend

PAGE = (Path(__file__).parents[2] / "docs/credentials.md").read_text()
BLOCKS = [
    yaml.safe_load(re.sub(rf"^{found[1]}", "", found[2], flags=re.MULTILINE))
    for found in re.finditer(r"^( *)```yaml\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize(
    "spec", [block for block in BLOCKS if "auth" in block], ids=lambda spec: str(spec["auth"])[:40]
)
def test_each_auth_of_the_page_is_taken(spec: dict[str, Any]) -> None:
    """Copied into a backend it is valid."""
    assert parse_backend(backend(**spec)).spec.auth is not None


def test_every_kind_is_shown() -> None:
    """The blocks that are no ``auth`` are a grant that grants, and a Secret."""
    others = {block["kind"]: block for block in BLOCKS if "auth" not in block}
    [grant] = read_grants(others["ReferenceGrant"])

    assert set(others) == {"ReferenceGrant", "Secret"}
    assert (grant.kind, grant.name, grant.from_kind) == ("Secret", "openai", "LLMBackend")
    assert {name for block in BLOCKS for name in block.get("auth", ())} == {
        *("apiKey", "aws", "gcp", "azure", "passthrough"),
    }


def test_the_reasons_of_the_page_are_reasons() -> None:
    """Whatever stands in code signs and looks like a reason is one."""
    named = set(re.findall(r"`((?:Secret|Backend|Credential|Ref)[A-Z][A-Za-z]+)`", PAGE))

    assert named - {str(reason) for reason in Reason} == {"BackendSecurityPolicy"}
