"""What docs/envoy-gateway.md tells to add by hand."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.envoy_gateway import configuration
from tests.support.gateway_definitions import faults, needs_definitions
from tests.support.running_envoy import validate

PAGE = Path(__file__).parents[2] / "docs/envoy-gateway.md"


def by_hand(kind: str) -> dict[str, Any]:
    """The one object of a kind on the page."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [found] = [each for each in map(yaml.safe_load, blocks) if each.get("kind") == kind]
    document: dict[str, Any] = found
    return document


@needs_definitions
def test_the_policy_for_upstreams_is_what_its_definition_asks_for() -> None:
    """Every field that the page writes is one that Envoy Gateway knows."""
    assert faults(by_hand("BackendTrafficPolicy")) == []


@pytest.mark.envoy
def test_the_patch_is_what_envoy_takes() -> None:
    """The local replies of the page are valid where the patch puts them."""
    [patch] = by_hand("EnvoyPatchPolicy")["spec"]["jsonPatches"]
    config = configuration([], [], "/dev/null", 1024)
    [listener] = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    *_, field = patch["operation"]["path"].split("/")
    manager[field] = patch["operation"]["value"]
    manager["route_config"]["virtual_hosts"] = []
    with tempfile.TemporaryDirectory() as folder:
        done = validate(config, Path(folder))

    assert field == "local_reply_config"
    assert done.returncode == 0, json.dumps(manager) + done.stderr
