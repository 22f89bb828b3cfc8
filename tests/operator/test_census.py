"""Which kinds can be read, and what of a list that fails."""

from collections.abc import Collection
from typing import Any

import pytest

from controller.operator.census import Census, KindState
from controller.operator.failures import Denied, Gone, Unreachable
from controller.operator.kinds import (
    GATEWAY_BACKENDS,
    KINDS,
    LLM_BACKENDS,
    LLM_ROUTES,
    REFERENCE_GRANTS,
    SERVICES,
    Kind,
)
from controller.operator.settings import Scope
from controller.operator.store import Store
from tests.support.readable_cluster import ReadableCluster, numbered


def named(kind: Kind, namespace: str, name: str) -> dict[str, Any]:
    """An object with nothing but a name."""
    return numbered({"kind": kind.name, "metadata": {"namespace": namespace, "name": name}}, 1)


class Stand:
    """A census of such a server; ``states`` and ``denied`` are what it told."""

    def __init__(self, *namespaces: str) -> None:
        self.server, self.store, self.states = ReadableCluster(), Store(), dict[Kind, KindState]()
        self.denied: dict[Kind, set[str]] = {}
        self.now = 0.0
        self.scope = Scope(namespaces)
        self.census = Census(self.server, self.store, self.scope, self._told)

    def _told(self, kind: Kind, state: KindState, denied: Collection[str]) -> None:
        self.states[kind], self.denied[kind] = state, set(denied)

    def darken(self, namespace: str) -> None:
        """Somebody deletes the RoleBinding there."""
        self.server.dark |= {(kind, namespace) for kind in KINDS}

    def restarted(self) -> "Stand":
        """The same server, met by a new process."""
        stand = Stand(*self.scope.namespaces)
        stand.server = self.server
        stand.census = Census(self.server, stand.store, self.scope, stand._told)
        return stand

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


@pytest.mark.parametrize("kind", [SERVICES, GATEWAY_BACKENDS, REFERENCE_GRANTS])
async def test_an_optional_kind_that_is_denied_later_is_forgotten(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody tells for a minute is not known, after a restart as before it; and it is said."""
    stand = Stand()
    monkeypatch.setattr("controller.operator.census.clock", lambda: stand.now)
    stand.server.objects[kind] = [named(kind, "a", "one")]
    await stand.census.take()
    stand.server.denied.add(("list", kind))
    for stand.now in (0.0, 31.0, 59.0):
        with pytest.raises(Denied):
            await stand.census.take()
        assert (stand.names(kind), stand.census.unread) == ({"one"}, {})

    stand.now = 60.0
    await stand.census.take()

    again = stand.restarted()
    await again.census.take()
    for each in (stand, again):
        assert each.names(kind) == set()
        assert each.census.unread == {kind.name: f"the operator may not list and watch {kind}"}


async def test_one_refusal_takes_no_grant_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who decides on rights may be away for a moment, and each time is a time of its own."""
    stand = Stand("team-a", "team-b")
    monkeypatch.setattr("controller.operator.census.clock", lambda: stand.now)
    stand.server.objects[REFERENCE_GRANTS] = [named(REFERENCE_GRANTS, f"team-{each}", each) for each in "ab"]
    await stand.census.take()
    for stand.now in (0.0, 100.0):
        stand.server.dark.add((REFERENCE_GRANTS, "team-b"))
        with pytest.raises(Denied, match="in team-b"):
            await stand.census.take()
        assert (stand.names(REFERENCE_GRANTS), stand.census.unread) == ({"a", "b"}, {})
        stand.server.dark.clear()
        await stand.census.take()


async def test_a_namespace_without_its_role_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last objects stay, what is deleted elsewhere goes, and it is told; nothing is watched there."""
    monkeypatch.setattr("controller.operator.census._KEPT_S", 0)
    stand = Stand("team-a", "team-b")
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "team-a", "one"), named(LLM_ROUTES, "team-b", "two")]
    stand.server.objects[SERVICES] = [named(SERVICES, "team-a", "one"), named(SERVICES, "team-b", "two")]
    await stand.census.take()
    assert stand.census.watches == ((Scope(("team-a", "team-b")), KINDS),)
    stand.darken("team-b")
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "team-a", "three")]

    await stand.census.take()

    assert stand.census.maybe_obstacle() is None
    assert (stand.names(LLM_ROUTES), stand.names(SERVICES)) == ({"two", "three"}, {"one"})
    assert stand.denied == {kind: {"team-b"} for kind in KINDS}
    assert stand.census.watches == ((Scope(("team-a",)), KINDS),)
    assert stand.census.unread["Service/team-b"] == "the operator may not list and watch services in namespace team-b"


async def test_a_namespace_without_its_role_does_not_stop_the_start() -> None:
    """The others are read and served; when the Role comes, so is it."""
    stand = Stand("team-a", "team-b")
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "team-a", "one"), named(LLM_ROUTES, "team-b", "two")]
    stand.darken("team-b")
    await stand.census.take()

    assert stand.census.maybe_obstacle() is None
    assert stand.names(LLM_ROUTES) == {"one"}
    stand.server.dark.clear()
    await stand.census.take()
    assert stand.names(LLM_ROUTES) == {"one", "two"}
    assert stand.denied == {kind: set[str]() for kind in KINDS}
    assert stand.census.unread == {}


async def test_kinds_are_watched_where_they_may_be_read() -> None:
    """A kind that one namespace hides is watched in the others, and the other kinds everywhere."""
    stand = Stand("team-a", "team-b")
    stand.server.dark.add((SERVICES, "team-b"))

    await stand.census.take()

    others = tuple(kind for kind in KINDS if kind is not SERVICES)
    assert set(stand.census.watches) == {(Scope(("team-a",)), (SERVICES,)), (Scope(("team-a", "team-b")), others)}


async def test_without_any_of_its_roles_nothing_is_done() -> None:
    """An operator that may read nothing says so and is not ready."""
    stand = Stand("team-a", "team-b")
    stand.darken("team-a")
    stand.darken("team-b")

    await stand.census.take()

    assert "RBAC" in str(stand.census.maybe_obstacle())


async def test_what_was_in_a_namespace_goes_with_it() -> None:
    """Also when it was the only one that a pattern matched."""
    stand = Stand("team-a*")
    stand.server.objects[LLM_ROUTES] = [named(LLM_ROUTES, "team-a", "one")]
    await stand.census.take()
    stand.server.names.remove("team-a")
    stand.server.objects[LLM_ROUTES] = []

    await stand.census.take()

    assert stand.names(LLM_ROUTES) == set()


async def test_an_object_of_a_namespace_that_is_newer_than_the_list_stays() -> None:
    """A watch may tell of it before the namespaces are listed again."""
    stand = Stand("team-*")
    await stand.census.take()
    stand.store.put(LLM_ROUTES, numbered({**named(LLM_ROUTES, "team-new", "one")}, 101))

    await stand.census.take()

    assert stand.names(LLM_ROUTES) == {"one"}


async def test_an_optional_kind_that_fails_is_done_without_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its conversion webhook is gone; what needs it is told, and it is read when it can be."""
    stand = Stand()
    monkeypatch.setattr("controller.operator.census.clock", lambda: stand.now)
    stand.server.faults[GATEWAY_BACKENDS] = Unreachable("500 conversion webhook failed")
    for stand.now in (0.0, 29.0):
        with pytest.raises(Unreachable):
            await stand.census.take()
        assert stand.census.maybe_obstacle() is not None

    stand.now = 30.0
    await stand.census.take()

    assert stand.census.maybe_obstacle() is None
    assert stand.census.unread == {"Backend": f"the API server fails to list {GATEWAY_BACKENDS}"}
    stand.server.faults.clear()
    await stand.census.take()
    assert (stand.census.unread, stand.states[GATEWAY_BACKENDS]) == ({}, KindState.WATCHED)


async def test_a_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be read, no kind is given up; and one that was read once is never."""
    stand = Stand()
    monkeypatch.setattr("controller.operator.census.clock", lambda: stand.now)
    stand.server.objects[GATEWAY_BACKENDS] = [named(GATEWAY_BACKENDS, "a", "target")]
    stand.server.faults = dict.fromkeys(KINDS, Unreachable("away"))
    for stand.now in (0.0, 60.0):
        with pytest.raises(Unreachable):
            await stand.census.take()
    del stand.server.faults[LLM_ROUTES], stand.server.faults[LLM_BACKENDS]
    with pytest.raises(Unreachable):
        await stand.census.take()
    assert stand.states.get(GATEWAY_BACKENDS) is None

    stand.server.faults.clear()
    await stand.census.take()
    stand.server.faults[GATEWAY_BACKENDS] = Unreachable("500")
    for stand.now in (100.0, 200.0):
        try:
            await stand.census.take()
        except Unreachable:
            assert stand.now == 100.0
    assert stand.names(GATEWAY_BACKENDS) == {"target"}
    assert stand.census.unread == {}
