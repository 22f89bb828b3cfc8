"""Which kinds can be read, and what of a list that fails."""

from typing import Any

import pytest

from controller.operator.census import Census, KindState
from controller.operator.failures import Denied, Gone, Unreachable
from controller.operator.kinds import GATEWAY_BACKENDS, KINDS, LLM_BACKENDS, LLM_ROUTES, REFERENCE_GRANTS, Kind
from controller.operator.settings import Scope
from controller.operator.store import Store
from tests.support.readable_cluster import ReadableCluster, numbered


def named(kind: Kind, namespace: str, name: str) -> dict[str, Any]:
    """An object with nothing but a name."""
    return numbered({"kind": kind.name, "metadata": {"namespace": namespace, "name": name}}, 1)


class Stand:
    """A census of such a server; ``states`` are what it told."""

    def __init__(self, *namespaces: str) -> None:
        self.server, self.store, self.states = ReadableCluster(), Store(), dict[Kind, KindState]()
        self.census = Census(self.server, self.store, Scope(namespaces), self._told)

    def _told(self, kind: Kind, state: KindState) -> None:
        self.states[kind] = state

    def names(self, kind: Kind) -> set[str]:
        return {obj["metadata"]["name"] for obj in self.store.objects(kind)}


async def test_everything_is_listed_before_anything_is_done() -> None:
    """Until then it says what is missing, also when there is nothing to list."""
    stand = Stand()
    assert stand.census.maybe_obstacle() is not None

    await stand.census.take()

    assert stand.census.maybe_obstacle() is None
    assert stand.census.watched == KINDS
    assert set(stand.states.values()) == {KindState.WATCHED}


async def test_a_list_that_fails_holds_up_no_other() -> None:
    """What it would have told is missing, until it does."""
    stand = Stand()
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "a", "route")]
    stand.server.faults[LLM_BACKENDS] = Unreachable("away")

    with pytest.raises(Unreachable):
        await stand.census.take()

    assert stand.names(LLM_ROUTES) == {"route"}
    assert "llmbackends" in str(stand.census.maybe_obstacle())
    stand.server.faults.clear()
    await stand.census.take()
    assert stand.census.maybe_obstacle() is None


async def test_a_list_that_fails_later_leaves_what_is_known() -> None:
    """An interrupted read takes nothing out of service."""
    stand = Stand()
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "a", "route")]
    await stand.census.take()
    stand.server.faults[LLM_ROUTES] = Gone("410 expired")

    with pytest.raises(Gone):
        await stand.census.take()

    assert stand.names(LLM_ROUTES) == {"route"}
    assert stand.census.maybe_obstacle() is None


@pytest.mark.parametrize("kind", [LLM_ROUTES, LLM_BACKENDS])
async def test_without_a_kind_that_is_needed_nothing_is_done(kind: Kind) -> None:
    """It says which definitions are missing, and goes on when they come."""
    stand = Stand()
    stand.server.served.remove(kind)
    await stand.census.take()

    assert f"the cluster has no {kind}" in str(stand.census.maybe_obstacle())
    stand.server.served.add(kind)
    await stand.census.take()
    assert stand.census.maybe_obstacle() is None


@pytest.mark.parametrize("kind", [GATEWAY_BACKENDS, REFERENCE_GRANTS])
async def test_an_absent_optional_kind_stops_nothing(kind: Kind) -> None:
    """It is neither listed nor watched, and what needs it is told why."""
    stand = Stand()
    stand.server.served.remove(kind)

    await stand.census.take()

    assert stand.census.maybe_obstacle() is None
    assert kind not in stand.census.watched
    assert stand.states[kind] is KindState.ABSENT
    assert stand.census.unread == {kind.name: f"the cluster has no {kind}"}
    assert (kind, None) not in stand.server.listed


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_a_denied_optional_kind_stops_nothing(verb: str) -> None:
    """It is asked for before it is tried, so that nobody is refused all the time."""
    stand = Stand()
    stand.server.denied.add((verb, GATEWAY_BACKENDS))

    await stand.census.take()

    assert stand.census.maybe_obstacle() is None
    assert stand.states[GATEWAY_BACKENDS] is KindState.DENIED
    assert stand.census.unread == {"Backend": f"the operator may not list and watch {GATEWAY_BACKENDS}"}
    assert (GATEWAY_BACKENDS, None) not in stand.server.listed


async def test_a_denied_needed_kind_is_an_obstacle_at_first_only() -> None:
    """At the start nothing can be done without it; later what is known is served on."""
    stand = Stand()
    stand.server.denied.add(("list", LLM_ROUTES))
    await stand.census.take()
    assert "RBAC" in str(stand.census.maybe_obstacle())

    stand.server.denied.clear()
    await stand.census.take()
    stand.server.denied.add(("list", LLM_ROUTES))
    with pytest.raises(Denied):
        await stand.census.take()

    assert stand.census.maybe_obstacle() is None


async def test_objects_go_with_their_definition() -> None:
    """But not while the server has only just started and does not know yet what it serves."""
    stand = Stand()
    stand.server.objects[GATEWAY_BACKENDS] = [named(GATEWAY_BACKENDS, "a", "target")]
    await stand.census.take()
    stand.server.served.remove(GATEWAY_BACKENDS)
    stand.server.ready = False

    with pytest.raises(Gone):
        await stand.census.take()
    assert stand.names(GATEWAY_BACKENDS) == {"target"}

    stand.server.ready = True
    await stand.census.take()
    assert stand.names(GATEWAY_BACKENDS) == set()


async def test_only_the_namespaces_in_scope_are_listed() -> None:
    """One list for each, and an object that is gone from one of them goes."""
    stand = Stand("team-a", "team-b")
    stand.server.objects[LLM_ROUTES] = [
        named(LLM_ROUTES, "team-a", "one"),
        named(LLM_ROUTES, "team-b", "two"),
        named(LLM_ROUTES, "other", "three"),
    ]
    await stand.census.take()
    assert stand.names(LLM_ROUTES) == {"one", "two"}

    del stand.server.objects[LLM_ROUTES][1]
    await stand.census.take()

    assert stand.names(LLM_ROUTES) == {"one"}
    assert {namespace for _, namespace in stand.server.listed} == {"team-a", "team-b"}


async def test_a_pattern_is_matched_with_the_namespaces_that_exist() -> None:
    """None of the others is looked into."""
    stand = Stand("team-*")
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "team-a", "one"), named(LLM_ROUTES, "other", "three")]

    await stand.census.take()

    assert stand.names(LLM_ROUTES) == {"one"}
    assert {namespace for _, namespace in stand.server.listed} == {"team-a", "team-b"}
