"""What the operator makes belongs to its Deployment."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.operator.cluster import Cluster, Unreachable
from tests.support.api_server import ApiServer, running_api_server, status

_OBJECT: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "labels": {"a": "b"}}}
_OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "operator", "uid": "123"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api_server(tmp_path) as server:
        yield server


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[Cluster]:
    cluster = await Cluster.connect(server.kubeconfig, None, "gw")
    cluster.owner = "operator"
    yield cluster
    await cluster.close()


def _deployment() -> web.Response:
    return web.json_response({"metadata": {"name": "operator", "uid": "123"}})


@pytest.mark.parametrize("method", ["apply_config_map", "apply_secret", "create_lease", "replace_lease"])
async def test_whatever_is_made_has_the_owner(server: ApiServer, cluster: Cluster, method: str) -> None:
    """ConfigMaps, Secrets and the Lease; the Deployment is asked for once, by its name."""
    made = web.json_response(_OBJECT)
    server.answers = [_deployment(), made, web.json_response(_OBJECT)]

    for _ in range(2):
        await getattr(cluster, method)(_OBJECT)

    paths = [asked.path for asked in server.asked]
    assert paths[0] == "/apis/apps/v1/namespaces/gw/deployments/operator"
    assert len(paths) == 3
    assert [_metadata(server, index) for index in (1, 2)] == [
        {"name": "one", "labels": {"a": "b"}, "ownerReferences": [_OWNER]}
    ] * 2


async def test_without_an_owner_nothing_is_asked(server: ApiServer, cluster: Cluster) -> None:
    """As when the operator runs outside of the cluster."""
    cluster.owner = None
    server.answers = [web.json_response(_OBJECT)]

    await cluster.apply_config_map(_OBJECT)

    assert [_metadata(server, index) for index in range(len(server.asked))] == [_OBJECT["metadata"]]


@pytest.mark.parametrize("refusal", [403, 404])
async def test_an_owner_that_is_not_found_is_done_without(
    server: ApiServer, cluster: Cluster, refusal: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Serving goes before tidiness: it is told once, and then left alone."""
    server.answers = [status(refusal, "no"), web.json_response(_OBJECT), web.json_response(_OBJECT)]

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await cluster.apply_config_map(_OBJECT)

    assert _metadata(server, 1) == _metadata(server, 2) == _OBJECT["metadata"]
    assert [record.message for record in caplog.records if "--owner" in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1


async def test_a_server_that_is_away_is_asked_again(server: ApiServer, cluster: Cluster) -> None:
    """Nothing is made without its owner only because the server did not answer."""
    server.answers = [web.Response(text="not json"), _deployment(), web.json_response(_OBJECT)]

    with pytest.raises(Unreachable):
        await cluster.apply_config_map(_OBJECT)
    await cluster.apply_config_map(_OBJECT)

    assert _metadata(server, 2)["ownerReferences"] == [_OWNER]


def _metadata(server: ApiServer, index: int) -> Any:
    return json.loads(server.bodies[index])["metadata"]
