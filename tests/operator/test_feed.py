"""When everything is listed again, and what is seen of the ConfigMaps."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.api.reading import subject_of
from controller.operator.census import Census
from controller.operator.cluster import Cluster
from controller.operator.failures import Unreachable
from controller.operator.feed import Feed
from controller.operator.kinds import KINDS, LLM_BACKENDS, LLM_ROUTES, SERVICES, Kind
from controller.operator.settings import Scope, Settings
from controller.operator.store import Store
from controller.operator.watch import WatchEnded
from tests.support.api_objects import route
from tests.support.api_server import ApiServer, running_api_server, status
from tests.support.readable_cluster import ReadableCluster, numbered
from tests.support.tasks import doing
from tests.support.waiting import eventually

HELD = {"metadata": {"name": "a", "resourceVersion": "3"}}


class Stand:
    """A feed between two servers: one to be listed, one whose ConfigMap is followed. ``changes`` counts its calls."""

    def __init__(self, cluster: Cluster, api: ApiServer, scope: Scope | None = None, resync_s: float = 1000) -> None:
        self.cluster, self.api, self.server, self.store = cluster, api, ReadableCluster(), Store()
        self.census = Census(self.server, self.store, scope or Scope(), lambda *_: None)
        settings = Settings(namespace="gw", identity="op-0", resync_s=resync_s)
        self.changes = 0
        self.feed = Feed(cluster, self.store, self.census, settings, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def lists(self) -> int:
        """How often everything was listed."""
        return self.server.listed.count((LLM_ROUTES, None))


@pytest.fixture
async def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr("controller.operator.feed._COLLECT_S", 0.01)
    monkeypatch.setattr("controller.operator.feed._FIRST_PAUSE_S", 0.01)
    async with running_api_server(tmp_path) as api:
        cluster = await Cluster.connect(api.kubeconfig, None, "gw")
        yield Stand(cluster, api)
        await cluster.close()


async def test_an_answer_to_our_own_write_may_be_the_first_to_tell_of_a_change(stand: Stand) -> None:
    """An edit of an object whose status is just written is not overlooked, though the watch has no news of it then."""
    known = numbered(route(), 3)
    stand.store.put(LLM_ROUTES, known)
    written = {**known, "metadata": {**known["metadata"], "resourceVersion": "4"}, "status": {}}
    stand.feed.answered(LLM_ROUTES, written)
    assert stand.changes == 0
    edited = {**written, "metadata": {**known["metadata"], "resourceVersion": "5", "generation": 9}}
    stand.feed.answered(LLM_ROUTES, edited)
    assert stand.changes == 1
    stand.feed.answered(LLM_ROUTES, edited)
    assert (stand.changes, stand.feed.get(subject_of(known))) == (1, edited)


async def test_an_answer_that_comes_late_is_no_news(stand: Stand) -> None:
    """Nothing is compiled because of an object that is gone."""
    stand.feed.answered(LLM_ROUTES, numbered(route(), 3))
    assert (stand.changes, stand.store.objects(LLM_ROUTES)) == (0, ())


def found(*items: Mapping[str, Any]) -> web.Response:
    """What a list of ConfigMaps answers."""
    return web.json_response({"metadata": {"resourceVersion": "2"}, "items": items})


async def silent(request: web.Request) -> web.StreamResponse:
    """A watch in which nothing happens."""
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.sleep(30)
    return response


async def broken(request: web.Request) -> web.StreamResponse:
    """A watch that tells one change, and then the server is gone."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(json.dumps({"type": "MODIFIED", "object": HELD}).encode() + b"\n")
    await asyncio.sleep(0.02)
    assert request.transport is not None
    request.transport.abort()
    return response


async def test_everything_is_listed_once_at_the_start(stand: Stand) -> None:
    """And then not before its time."""
    async with doing(stand.feed.list_again_and_again()):
        await eventually(lambda: stand.lists() == 1)
        await asyncio.sleep(0.1)

        assert (stand.lists(), stand.changes) == (1, 1)


async def test_a_list_that_fails_is_tried_again_soon(stand: Stand) -> None:
    """Until it does not."""
    stand.server.faults[LLM_BACKENDS] = Unreachable("away")
    async with doing(stand.feed.list_again_and_again()):
        await eventually(lambda: stand.lists() >= 3)
        assert stand.census.maybe_obstacle() is not None
        stand.server.faults.clear()
        await eventually(lambda: stand.census.maybe_obstacle() is None)


@pytest.mark.parametrize("first", [[found(), broken], [status(500)], [status(403, "no")]])
async def test_after_an_interruption_everything_is_listed_again(stand: Stand, first: list[Any]) -> None:
    """What was deleted meanwhile is told by nobody, also when there is nothing left to be told of."""
    stand.server.objects[LLM_ROUTES] = [numbered({**route()}, 1)]
    stand.api.answers = [*first, found(), silent]
    async with doing(stand.feed.list_again_and_again()):
        await eventually(lambda: stand.lists() == 1)
        stand.server.objects[LLM_ROUTES] = []
        async with doing(stand.feed.follow("a", lambda *_: False)):
            await eventually(lambda: stand.lists() == 2)
            await eventually(lambda: stand.store.objects(LLM_ROUTES) == ())


async def test_a_changed_config_map_is_news(stand: Stand) -> None:
    """Every state of it is told, and what somebody else made of it is something to do."""
    told: list[Any] = []

    def saw(name: str, state: Any) -> bool:
        told.append((name, state))
        return state is not None

    stand.api.answers = [found(), broken, found(HELD), silent]
    async with doing(stand.feed.follow("a", saw)):
        await eventually(lambda: len(told) == 3)

    assert told == [("a", None), ("a", HELD), ("a", HELD)]
    assert stand.changes == 2


async def brief(request: web.Request) -> web.StreamResponse:
    """A watch that is over at once."""
    response = web.StreamResponse()
    await response.prepare(request)
    return response


async def refused(request: web.Request) -> web.StreamResponse:
    """A watch that says that it will not."""
    response = await brief(request)
    await response.write(b'{"type":"ERROR","object":{"code":500,"message":"no"}}\n')
    return response


@pytest.mark.parametrize("over", [brief, refused])
async def test_a_watch_that_ends_at_once_is_begun_anew_with_pauses(stand: Stand, over: Any) -> None:
    """A proxy that lets nothing stay open does not make us ask without end."""
    stand.api.answers = [web_answer for _ in range(50) for web_answer in (found(HELD), over)]
    async with doing(stand.feed.follow("a", lambda *_: False)):
        await asyncio.sleep(0.5)

    assert 4 <= len(stand.api.asked) <= 14


async def test_everything_that_can_be_read_is_watched_where_it_can(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right that goes changes what is watched; an end of one watch begins all of them anew."""
    begun: list[tuple[Scope, tuple[Kind, ...]]] = []
    ending = asyncio.Event()

    async def watch(kinds: tuple[Kind, ...], scope: Scope, *_: Any) -> None:
        begun.append((scope, kinds))
        await ending.wait()
        raise WatchEnded("over")

    monkeypatch.setattr("controller.operator.feed.watch", watch)
    monkeypatch.setattr("controller.operator.census._KEPT_S", 0)
    scoped = Stand(stand.cluster, stand.api, Scope(("team-a", "team-b")), resync_s=0.05)
    async with doing(scoped.feed.list_again_and_again(), scoped.feed.watch(lambda: None)):
        await eventually(lambda: begun == [(Scope(("team-a", "team-b")), KINDS)])
        begun.clear()
        scoped.server.dark.add((SERVICES, "team-b"))
        # Somebody else may be the first to see it, as a new leader.
        await scoped.census.take()
        await eventually(lambda: len(begun) == 2)
        assert (Scope(("team-a",)), (SERVICES,)) in begun
        begun.clear()
        ending.set()
        await eventually(lambda: len(begun) >= 2)
