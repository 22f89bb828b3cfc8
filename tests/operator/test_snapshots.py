"""The operator compiles what the other ways compile, and reads nothing twice."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.api.findings import Severity
from controller.operator.kinds import GATEWAY_BACKENDS, KINDS, REFERENCE_GRANTS
from controller.operator.settings import Scope
from controller.operator.snapshots import Objects, Reader
from controller.operator.store import Store
from controller.translate import Settings, Snapshot, read_route, translate
from tests.support.api_objects import backend, route, rule

TARGET: dict[str, Any] = {
    "apiVersion": GATEWAY_BACKENDS.api_version,
    "kind": "Backend",
    "metadata": {"name": "far", "namespace": "team-b"},
    "spec": {"endpoints": [{"fqdn": {"hostname": "far.example.com", "port": 443}}]},
}
GRANT: dict[str, Any] = {
    "apiVersion": REFERENCE_GRANTS.api_version,
    "kind": "ReferenceGrant",
    "metadata": {"name": "grant", "namespace": "team-b"},
    "spec": {
        "from": [{"group": "aigateway.envoyproxy.io", "kind": "LLMBackend", "namespace": "team-a"}],
        "to": [{"group": "gateway.envoyproxy.io", "kind": "Backend"}],
    },
}
ABROAD = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "far", "namespace": "team-b"}


def world() -> list[dict[str, Any]]:
    """Good, broken and foreign objects."""
    return [
        route(rule("a", "openai"), rule("b", "typo"), rule("c", "abroad")),
        route({"matches": "nonsense"}, name="broken"),
        backend(),
        backend("abroad", backendRef=ABROAD),
        TARGET,
        GRANT,
    ]


def stored(*objects: dict[str, Any], generation: int = 1, version: int = 1) -> Store:
    """A store with these, as an API server would have numbered them."""
    store = Store()
    for i, obj in enumerate(objects):
        numbers = {"uid": str(i), "generation": generation, "resourceVersion": str(version)}
        kind = next(kind for kind in KINDS if kind.name == obj["kind"])
        store.put(kind, {**obj, "metadata": {**obj["metadata"], **numbers}})
    return store


def test_it_is_the_same_translation() -> None:
    """From the store as from the objects themselves."""
    store = stored(*world())
    objects = [dict(obj) for kind in KINDS for obj in store.objects(kind)]

    assert translate(Reader(Settings(), Scope()).snapshot(Objects.of(store, {}))) == translate(Snapshot.of(objects))


def test_what_is_being_deleted_is_left_out() -> None:
    """A finalizer of somebody else's may hold it for long."""
    leaving = route(rule("a", "openai"))
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"

    snapshot = Reader(Settings(), Scope()).snapshot(Objects.of(stored(leaving, backend()), {}))

    assert snapshot.routes == ()
    assert len(snapshot.backends) == 1


def test_only_what_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new status or an edit of another object costs nothing; a new generation is read."""
    read: list[str] = []

    def counting(obj: Any) -> Any:
        read.append(obj["metadata"]["name"])
        return read_route(obj)

    monkeypatch.setattr("controller.operator.snapshots.read_route", counting)
    reader = Reader(Settings(), Scope())
    for generation, version in ((1, 1), (1, 2), (2, 3)):
        reader.snapshot(Objects.of(stored(route(rule("a")), generation=generation, version=version), {}))

    assert read == ["chat", "chat"]


def test_a_kind_that_cannot_be_read_is_told_to_whom_it_matters() -> None:
    """The message says that nothing could be known, beside what is missing."""
    objects = Objects.of(
        stored(backend("abroad", backendRef={**ABROAD, "namespace": "team-a"})), {"Backend": "why not"}
    )

    [status] = translate(Reader(Settings(), Scope()).snapshot(objects)).statuses

    assert "not found" in str(status.findings[0])
    assert str(status.findings[0]).endswith("; why not")


def service(name: str, *ports: int, **spec: Any) -> dict[str, Any]:
    """A Service of team-a."""
    listed = [{"port": port} for port in ports]
    return {"kind": "Service", "metadata": {"name": name, "namespace": "team-a"}, "spec": {"ports": listed, **spec}}


def said_of_a_service(
    *objects: dict[str, Any], scope: Scope | None = None, unread: Mapping[str, str] | None = None
) -> str:
    """What the status of a backend says that refers to port 80 of ``llm``."""
    wanted = backend("own", backendRef={"kind": "Service", "name": "llm", "port": 80})
    reader = Reader(Settings(), scope or Scope())
    [status] = translate(reader.snapshot(Objects.of(stored(wanted, *objects), unread or {}))).statuses
    return "; ".join(str(finding) for finding in status.findings if finding.severity is Severity.ERROR)


@pytest.mark.parametrize(
    "found", [service("llm", 80), service("llm", 8000, clusterIP="None"), service("llm", type="ExternalName")]
)
def test_a_service_that_may_answer(found: dict[str, Any]) -> None:
    """One with the port, or one behind which are others with ports of their own."""
    assert said_of_a_service(found) == ""


def test_a_service_that_is_not_there() -> None:
    """With a guess at what was meant."""
    assert said_of_a_service() == 'spec.backendRef.name: Service "llm" not found in namespace "team-a"'
    assert said_of_a_service(service("llms", 80)).endswith('did you mean "llms"?')


def test_a_service_without_the_port() -> None:
    """It says which ones there are."""
    assert said_of_a_service(service("llm", 8080, 443)) == (
        'spec.backendRef.port: Service "llm" in namespace "team-a" has no port 80; it has 443, 8080'
    )


def test_what_cannot_be_known_of_services_is_not_held_against_anybody() -> None:
    """Where they may not be read, or in a namespace that is not ours to read."""
    assert said_of_a_service(unread={"Service": "denied"}) == ""
    assert said_of_a_service(scope=Scope(("team-b",))) == ""


def test_what_cannot_be_read_any_more_says_nothing() -> None:
    """What a watch told last is as good as nothing, and after a restart it is nothing; also in one namespace alone."""
    assert said_of_a_service(service("llm", 8080), unread={"Service/team-a": "denied"}) == ""
    assert said_of_a_service(service("llm", 8080), unread={"Service/team-b": "denied"}) != ""

    foreign = {"kind": "Backend", "metadata": {"name": "target", "namespace": "team-a"}, "spec": {}}
    for place, seen in (("Backend", False), ("Backend/team-a", False), ("Backend/team-b", True)):
        objects = Objects.of(stored(foreign), {place: "why not"})
        assert bool(objects.targets) is seen


def test_a_missing_target_says_when_its_namespace_is_not_readable() -> None:
    """And nothing of other namespaces."""
    wanted = backend("own", backendRef={"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "target"})
    for place, ending in (("Backend/team-a", "; why not"), ("Backend/team-b", 'in namespace "team-a"')):
        [status] = translate(
            Reader(Settings(), Scope()).snapshot(Objects.of(stored(wanted), {place: "why not"}))
        ).statuses
        assert str(status.findings[0]).endswith(ending)
