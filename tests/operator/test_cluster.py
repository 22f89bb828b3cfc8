"""What is asked of an API server, and what its answers mean."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.operator.cluster import (
    Busy,
    Cluster,
    ClusterError,
    Conflict,
    Denied,
    Gone,
    NotLeading,
    Rejected,
    Unauthorized,
    Unreachable,
)
from controller.operator.failures import Faulty
from controller.operator.kinds import GATEWAY_BACKENDS, LLM_ROUTES, SECRETS
from controller.operator.transport import Credentials, Request
from tests.support.api_server import ApiServer, running_api_server, status


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with running_api_server(tmp_path) as server:
        yield server


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[Cluster]:
    cluster = await Cluster.connect(server.kubeconfig, None, "gw")
    yield cluster
    await cluster.close()


def page(*names: str, version: str = "7", token: str = "") -> web.Response:
    """One page of a list."""
    items = [{"metadata": {"name": name, "resourceVersion": "1"}} for name in names]
    metadata = {"resourceVersion": version, **({"continue": token} if token else {})}
    return web.json_response({"kind": "LLMRouteList", "metadata": metadata, "items": items})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(403, "no"), Denied),
        (status(404), Gone),
        (status(409), Conflict),
        (status(410), Gone),
        (status(422, "bad"), Rejected),
        (status(429), Busy),
        (status(500), Faulty),
        (status(504), Faulty),
        (web.Response(text="not json"), Unreachable),
        (web.Response(text="[]"), Unreachable),
    ],
)
async def test_what_an_answer_means(
    server: ApiServer, cluster: Cluster, answer: web.Response, kind: type[ClusterError]
) -> None:
    """Each refusal is an error of its own kind, also where a proxy wrote the answer."""
    server.answers = [answer]

    with pytest.raises(ClusterError) as caught:
        await cluster.list(LLM_ROUTES, None)

    assert type(caught.value) is kind


async def test_the_servers_words_are_kept(server: ApiServer, cluster: Cluster) -> None:
    """The status, its message, and how long it wants to be left alone."""
    server.answers = [status(429, "too many requests", **{"Retry-After": "3"})]

    with pytest.raises(Busy, match="429 too many requests") as caught:
        await cluster.pods("a=b")

    assert caught.value.retry_after_s == 3


async def test_no_connection_is_unreachable(tmp_path: Path) -> None:
    """A server that is not there, or goes away."""
    async with running_api_server(tmp_path) as server:
        cluster = await Cluster.connect(server.kubeconfig, None, "gw")
    try:
        with pytest.raises(Unreachable):
            await cluster.maybe_config_map("a")
        assert not await cluster.is_ready()
    finally:
        await cluster.close()


async def test_a_cut_answer_is_unreachable(server: ApiServer, cluster: Cluster) -> None:
    """Half a list is no list."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "1000"})
        await response.prepare(request)
        await response.write(b'{"items":[')
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answers = [cut]

    with pytest.raises(Unreachable):
        await cluster.list(LLM_ROUTES, None)


async def test_silence_is_unreachable(server: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is not answered in time is given up."""
    monkeypatch.setattr("controller.operator.cluster.WRITE_LIMIT_S", 0.05)

    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        return status(500)

    server.answers = [silent]

    with pytest.raises(Unreachable, match=r"no answer to PATCH .* in 0\.05 s"):
        await cluster.apply_config_map({"metadata": {"name": "a"}})


async def test_a_list_has_all_pages(server: ApiServer, cluster: Cluster) -> None:
    """The last page's version counts, and every item says what it is."""
    server.answers = [page("a", "b", version="5", token="more"), page("c", version="5")]

    listing = await cluster.list(LLM_ROUTES, "team-a")

    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b", "c"]
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {
        ("aigateway.envoyproxy.io/v1alpha1", "LLMRoute")
    }
    assert listing.resource_version == 5
    assert server.asked[0].path == "/apis/aigateway.envoyproxy.io/v1alpha1/namespaces/team-a/llmroutes"
    assert server.asked[1].query["continue"] == "more"


async def test_a_list_that_expires_on_the_way_is_no_list(server: ApiServer, cluster: Cluster) -> None:
    """The server forgot the version between two pages."""
    server.answers = [page("a", token="more"), status(410, "expired")]

    with pytest.raises(Gone):
        await cluster.list(LLM_ROUTES, None)


async def test_a_replaced_token_is_read_again(server: ApiServer, cluster: Cluster) -> None:
    """A 401 is tried once more with what the token's file says now."""
    server.answers = [status(401), web.json_response({"metadata": {"name": "a"}})]
    server.token.write_text("second")

    assert await cluster.maybe_config_map("a") == {"metadata": {"name": "a"}}
    tokens = [request.headers["authorization"].split()[-1] for request in server.asked]
    assert tokens == ["first", "second"]
    assert (await cluster.credentials()).token == "second"


async def test_a_refused_token_is_told(server: ApiServer, cluster: Cluster) -> None:
    """After one more attempt."""
    server.answers = [status(401, "who?")]

    with pytest.raises(Unauthorized):
        await cluster.maybe_config_map("a")

    assert len(server.asked) == 2


async def test_no_write_without_the_lead(server: ApiServer, cluster: Cluster) -> None:
    """The fence is asked before each; reads and the Lease are free."""
    server.answers = [web.json_response({"metadata": {}})]
    cluster.fence = lambda: False

    for write in (
        cluster.apply_config_map({"metadata": {"name": "a"}}),
        cluster.apply_secret({"metadata": {"name": "a"}}),
        cluster.prune_secret("a", ["b"], "1"),
        cluster.apply_status(LLM_ROUTES, "a", "b", {}),
        cluster.annotate_pod("a", {}),
        cluster.post_event({"metadata": {"namespace": "a"}}),
    ):
        with pytest.raises(NotLeading):
            await write
    assert server.asked == []
    await cluster.create_lease({"metadata": {"name": "a"}})
    await cluster.maybe_lease("a")


async def test_no_second_attempt_without_the_lead(server: ApiServer, cluster: Cluster) -> None:
    """The lead may be lost while the first one is answered."""
    answers = iter([True, False])
    server.answers = [status(401), web.json_response({"metadata": {}})]
    cluster.fence = lambda: next(answers)

    with pytest.raises(NotLeading):
        await cluster.apply_config_map({"metadata": {"name": "a"}})

    assert len(server.asked) == 1


@pytest.mark.parametrize(("exempt", "asked"), [("", 1), ("127.0.0.1", 0)])
async def test_a_proxy_of_the_environment_is_used(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exempt: str, asked: int
) -> None:
    """Unless it is not meant for this server."""
    (tmp_path / "proxy").mkdir()
    async with running_api_server(tmp_path / "proxy") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", exempt)
        server.answers = proxy.answers = [web.json_response({"metadata": {"name": "a"}})]
        cluster = await Cluster.connect(server.kubeconfig, None, "gw")
        try:
            assert await cluster.maybe_config_map("a")
        finally:
            await cluster.close()

    assert (len(proxy.asked), len(server.asked)) == (asked, 1 - asked)


async def test_a_status_is_applied_to_the_subresource(server: ApiServer, cluster: Cluster) -> None:
    """By server-side apply, in our name, and nothing but the status."""
    server.answers = [web.json_response({"metadata": {"name": "b"}})]

    await cluster.apply_status(LLM_ROUTES, "a", "b", {"backends": "1/1"})

    [request], body = server.asked, json.loads(server.bodies[0])
    assert (request.method, request.path.rpartition("/")[2]) == ("PATCH", "status")
    assert request.content_type == "application/apply-patch+yaml"
    assert dict(request.query) == {"fieldManager": "llmroute-controller", "force": "true"}
    assert body["metadata"] == {"name": "b", "namespace": "a"}
    assert set(body) == {"apiVersion", "kind", "metadata", "status"}
    assert request.headers["user-agent"] == "llmroute-controller"


async def test_a_status_is_meant_for_one_object(server: ApiServer, cluster: Cluster) -> None:
    """With its uid, by which the server tells it from another one of the same name."""
    server.answers = [status(409, "Precondition failed: UID in precondition: 1, UID in object meta: 2")]

    with pytest.raises(Conflict):
        await cluster.apply_status(LLM_ROUTES, "a", "b", {}, uid="1")
    assert json.loads(server.bodies[0])["metadata"] == {"name": "b", "namespace": "a", "uid": "1"}


async def test_a_status_is_replaced_where_it_is_still_the_same(server: ApiServer, cluster: Cluster) -> None:
    """The object goes there and back with its version."""
    obj = {"metadata": {"name": "b", "namespace": "a", "resourceVersion": "7"}, "status": {"backends": "1/1"}}
    server.answers = [web.json_response(obj), status(404)]

    assert await cluster.replace_status(LLM_ROUTES, obj) == obj
    assert (server.asked[0].method, server.asked[0].path.rpartition("/")[2]) == ("PUT", "status")
    assert server.asked[0].query["fieldManager"] == "llmroute-controller"
    assert json.loads(server.bodies[0]) == obj
    assert await cluster.replace_status(LLM_ROUTES, obj) is None


async def test_the_status_of_what_is_gone_is_none(server: ApiServer, cluster: Cluster) -> None:
    """An object that was deleted meanwhile needs none."""
    server.answers = [status(404)]

    assert await cluster.apply_status(LLM_ROUTES, "a", "b", {}) is None
    assert await cluster.maybe_config_map("a") is None


@pytest.mark.parametrize(("answer", "served"), [(status(404), False), ({"resources": []}, False)])
async def test_whether_a_kind_is_served(server: ApiServer, cluster: Cluster, answer: Any, served: bool) -> None:
    """Neither a group that is not there nor one without the kind."""
    server.answers = [answer if isinstance(answer, web.Response) else web.json_response(answer)]
    assert await cluster.serves(GATEWAY_BACKENDS) is served

    server.answers = [web.json_response({"resources": [{"name": "backends/status"}, {"name": "backends"}]})]
    assert await cluster.serves(GATEWAY_BACKENDS)


async def test_a_config_map_is_followed(server: ApiServer, cluster: Cluster) -> None:
    """Its state now, each change, its end; a version that is too old ends the stream, so that it begins anew."""
    held = {"metadata": {"name": "a", "resourceVersion": "3"}}

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        over = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}
        for event in ({"type": "MODIFIED", "object": held}, {"type": "DELETED", "object": held}, over):
            await response.write(json.dumps(event).encode() + b"\n")
        await asyncio.sleep(0.01)
        return response

    server.answers = [web.json_response({"metadata": {"resourceVersion": "2"}, "items": []}), stream]

    assert [state async for state in cluster.follow_config_map("a")] == [None, held, None]
    assert server.asked[0].query["fieldSelector"] == "metadata.name=a"
    assert server.asked[1].query["resourceVersion"] == "2"


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"no"}}',
        b'{"type":"ERROR"}',
        b'{"type":"ADDED","object":"text"}',
        b'{"type":"ADDED","obj',
        b"[1]",
        b"",
    ],
)
async def test_what_is_no_event_of_a_watch_is_an_error(server: ApiServer, cluster: Cluster, line: bytes) -> None:
    """One of those that the feed tries again after, with pauses."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line + b"\n")
        return response

    server.answers = [web.json_response({"metadata": {"resourceVersion": "2"}, "items": []}), stream]

    with pytest.raises(Unreachable):
        _ = [state async for state in cluster.follow_config_map("a")]


def events(*states: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A watch that tells these, and is over."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for state in states:
            await response.write(json.dumps(state).encode() + b"\n")
        return response

    return stream


async def test_one_object_is_watched_by_its_name(server: ApiServer, cluster: Cluster) -> None:
    """The watch begins before the object is asked for, so nothing is missed between the two, and no list is."""
    held = {"metadata": {"name": "keys", "resourceVersion": "3"}}
    server.answers = [events({"type": "MODIFIED", "object": held}, {"type": "DELETED", "object": held}), status(404)]

    async with cluster.watching(SECRETS, "team-a", "keys", 50) as states:
        assert await cluster.maybe_object(SECRETS, "team-a", "keys") is None
        assert [state async for state in states] == [held, None]

    watch, get = server.asked
    assert watch.path == "/api/v1/namespaces/team-a/secrets"
    assert dict(watch.query) == {"watch": "true", "fieldSelector": "metadata.name=keys", "timeoutSeconds": "50"}
    assert (get.method, get.path, dict(get.query)) == ("GET", "/api/v1/namespaces/team-a/secrets/keys", {})


async def test_our_own_secret_is_followed(server: ApiServer, cluster: Cluster) -> None:
    """As a ConfigMap is, but without a list."""
    held = {"metadata": {"name": "a", "resourceVersion": "3"}}
    server.answers = [events({"type": "ADDED", "object": held}), web.json_response(held)]

    assert [state async for state in cluster.follow_secret("a")] == [held, held]
    assert all("resourceVersion" not in request.query for request in server.asked)


async def test_keys_are_taken_out_of_our_own_secret(server: ApiServer, cluster: Cluster) -> None:
    """By name and from that very version; a merge takes no heed of whose they are."""
    server.answers = [web.json_response({"metadata": {}})]

    await cluster.prune_secret("a", {"y", "x"}, "7")

    [asked] = server.asked
    assert (asked.method, asked.headers["content-type"]) == ("PATCH", "application/merge-patch+json")
    assert json.loads(server.bodies[0]) == {"metadata": {"resourceVersion": "7"}, "data": {"x": None, "y": None}}


def test_what_is_sent_is_in_no_repr() -> None:
    """It may be a Secret, or our own token."""
    request = Request("PATCH", "/x", body={"data": {"k": "mArKeR"}})
    credentials = Credentials(
        "https://x", None, None, verify=True, token="mArKeR", certificate_path=None, key_path=None
    )

    assert "mArKeR" not in f"{request!r} {credentials!r}"


async def test_a_watch_with_a_replaced_token(server: ApiServer, cluster: Cluster) -> None:
    """A 401 is tried once more with what the token's file says now, and then it is an error."""
    server.answers = [status(401), events(), status(403, "no")]
    server.token.write_text("second")

    async with cluster.watching(SECRETS, "team-a", "keys") as states:
        assert [state async for state in states] == []
    assert [request.headers["authorization"].split()[-1] for request in server.asked] == ["first", "second"]
    with pytest.raises(Denied):
        await cluster.watching(SECRETS, "team-a", "keys").__aenter__()


async def test_watches_do_not_wait_for_each_other(server: ApiServer, cluster: Cluster) -> None:
    """Each has a connection of its own, beside those of all other requests."""
    enough = asyncio.Event()

    async def open_end(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return status(404)
        response = web.StreamResponse()
        await response.prepare(request)
        await enough.wait()
        return response

    server.answers = [open_end]
    async with AsyncExitStack() as stack:
        for number in range(60):
            await stack.enter_async_context(cluster.watching(SECRETS, "team-a", f"s{number}"))
        assert await cluster.maybe_object(SECRETS, "team-a", "keys") is None
        enough.set()


@pytest.mark.parametrize("answer", [{}, {"metadata": None}, {"metadata": {"resourceVersion": "x"}}])
async def test_what_is_no_list_is_an_error(server: ApiServer, cluster: Cluster, answer: Any) -> None:
    """As from something between us and the API server."""
    server.answers = [web.json_response(answer)]

    with pytest.raises(Unreachable):
        await cluster.list(LLM_ROUTES, None)
    with pytest.raises(Unreachable):
        _ = [state async for state in cluster.follow_config_map("a")]


async def test_what_rbac_lets_us(server: ApiServer, cluster: Cluster) -> None:
    """Asked of the API server itself."""
    server.answers = [web.json_response({"status": {"allowed": True}})]

    assert await cluster.may("watch", "g", "things", None)
    attributes = json.loads(server.bodies[0])["spec"]["resourceAttributes"]
    assert attributes == {"verb": "watch", "group": "g", "resource": "things", "namespace": ""}
