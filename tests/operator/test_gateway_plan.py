from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.operator.ceasing import Ceased
from controller.operator.gateway_plan import Key, Moment, Settled, Work, contains, is_as_wanted, key_of, work
from controller.operator.settings import Settings
from controller.translate import Settings as Compiling
from controller.translate import Snapshot, translate
from controller.translate.gateway_api import GatewayObjects
from controller.translate.gateway_api.rules import maybe_key
from controller.translate.settings import GatewaySettings
from tests.support.api_objects import backend, route, rule

GATEWAY = GatewaySettings(controller="gw", service="extproc", namespace="gw")
SETTINGS = Settings(namespace="gw", identity="op-0", removal_s=100.0, linger_s=5.0)
NOW = Moment(revision=7, served=None, now_s=1000.0)


def wanted(*names: str, host: str = "example.com") -> GatewayObjects:
    """A route to backends of these names, on hosts below ``host``."""
    chat = route(*(rule(name, name) for name in names), parentRefs=[{"name": "eg"}])
    chat["metadata"]["uid"] = "uid-chat"
    made = [backend(name, endpoint={"hostname": f"{name}.{host}"}) for name in names]
    for each in made:
        each["metadata"]["uid"] = f"uid-{each['metadata']['name']}"
    return translate(Snapshot.of([chat, *made], Compiling(gateway=GATEWAY))).gateway


def live(objects: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """As an API server has them."""
    return {key_of(each): {**each, "metadata": {**each["metadata"], "uid": str(key_of(each))}} for each in objects}


def planned(
    objects: GatewayObjects, there: Mapping[Key, dict[str, Any]], moment: Moment = NOW, **more: Mapping[Any, Any]
) -> Work:
    return work(objects, there, more.get("settled", {}), more.get("before", {}), moment, SETTINGS)


def keys_of(objects: Iterable[Mapping[str, Any]]) -> set[str]:
    rules = [each for obj in objects if obj["kind"] == "HTTPRoute" for each in obj["spec"]["rules"]]
    return {key for each in rules if (key := maybe_key(each)) is not None}


def kinds(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    return [each["kind"] for each in objects]


def test_everything_is_written_in_the_order_of_references() -> None:
    """What others refer to comes first."""
    found = planned(wanted("a"), {})

    assert kinds(found.writes) == ["Backend", "HTTPRouteFilter", "HTTPRoute", "EnvoyExtensionPolicy"]
    assert found.deletions == ()


def test_what_is_there_is_not_written() -> None:
    """Equal objects are no work, also with what a server adds to them."""
    objects = wanted("a", "b")
    there = live(objects.documents)
    for obj in there.values():
        obj["spec"] = {**obj["spec"], "added": "by the server"}

    assert planned(objects, there) == Work()


def test_without_a_route_all_goes_in_the_order_of_references() -> None:
    """What refers to others goes before them."""
    found = planned(GatewayObjects(GATEWAY), live(wanted("a").documents))

    assert found.writes == ()
    assert kinds(found.deletions) == ["EnvoyExtensionPolicy", "HTTPRoute", "HTTPRouteFilter", "Backend"]


def test_what_is_not_ours_stays() -> None:
    """An object with our label and another owner, or with none, is somebody else's."""
    there = live(wanted("a").documents)
    for obj in there.values():
        obj["metadata"] = {**obj["metadata"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]}

    assert planned(GatewayObjects(GATEWAY), there).deletions == ()


def test_a_changed_backend_keeps_its_old_rule_until_nobody_uses_it() -> None:
    """Both rules and both Backends are there until every processor has let go, and a little longer."""
    before, after = wanted("a"), wanted("a", host="moved.example.com")
    found = planned(after, live(before.documents))
    assert keys_of(found.writes) == keys_of(before.documents) | keys_of(after.documents)
    assert found.deletions == ()

    both = live([*before.documents, *after.documents, *found.writes])
    assert planned(after, both, before=found.ceased) == replace(found, writes=())
    told = Moment(revision=7, served=7, now_s=1010.0)
    lingering = planned(after, both, told, before=found.ceased)
    assert [left.unused_s for left in lingering.ceased.values()] == [1010.0]
    assert lingering.writes == ()
    late = planned(after, both, Moment(revision=7, served=7, now_s=1015.0), before=lingering.ceased)
    assert keys_of(late.writes) == keys_of(after.documents)
    assert kinds(late.deletions) == ["Backend"]


def test_a_ceased_rule_goes_at_last_when_nobody_can_be_asked() -> None:
    """After the time that the settings give."""
    before, after = wanted("a"), wanted("a", host="moved.example.com")
    [key] = [("team-a", "chat", key) for key in keys_of(before.documents)]
    ceased = {key: Ceased(7, 1000.0)}
    there = live([*before.documents, *after.documents, *planned(after, live(before.documents)).writes])

    assert planned(after, there, Moment(7, None, 1099.0), before=ceased).deletions == ()
    assert kinds(planned(after, there, Moment(7, None, 1100.0), before=ceased).deletions) == ["Backend"]


@pytest.mark.parametrize("field", ["labels", "ownerReferences", "spec"])
def test_what_somebody_took_away_is_put_back(field: str) -> None:
    """A label, an owner, or anything of the spec."""
    [first, *_] = wanted("a").documents
    [there] = live([first]).values()
    part = there if field == "spec" else there["metadata"]
    part[field] = {} if field != "ownerReferences" else []

    assert not is_as_wanted(first, there)


def test_an_addition_is_told_from_the_servers_own() -> None:
    """Once it is known what the server made of our write, anything else is an edit."""
    [first, *_] = wanted("a").documents
    [there] = live([first]).values()
    settled = Settled(first["spec"], there["metadata"]["uid"], there["spec"])
    edited = {**there, "spec": {**there["spec"], "fallback": True}}

    assert is_as_wanted(first, there, settled)
    assert is_as_wanted(first, edited)
    assert not is_as_wanted(first, edited, settled)
    assert is_as_wanted(first, edited, replace(settled, uid="another object"))


def test_what_an_older_server_does_not_know_is_no_reason_to_write_again() -> None:
    """It drops the fields, and that is how the object stays."""
    [first, *_] = wanted("a").documents
    [there] = live([first]).values()
    there["spec"] = {name: value for name, value in first["spec"].items() if name != "tls"}
    settled = Settled(first["spec"], there["metadata"]["uid"], there["spec"])

    assert not is_as_wanted(first, there)
    assert is_as_wanted(first, there, settled)


@given(st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60), min_size=1))
def test_no_rule_is_ever_missing_on_the_way(before: set[int], after: set[int]) -> None:
    """After each write, every key that was there and is wanted still has a rule, however rules move."""
    old, new = (wanted(*(f"b{i:02}" for i in sorted(names))) for names in (before, after))
    there = live(old.documents)
    lasting = keys_of(old.documents) & keys_of(new.documents)
    for body in planned(new, there).writes:
        there |= live([body])
        assert lasting <= keys_of(there.values())


@pytest.mark.parametrize(
    ("have", "want", "is_there"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": None}, {"a": {}}, False),
        ([{"a": 1, "x": 0}], [{"a": 1}], True),
        ([1, 2], [1], False),
        ("text", ["text"], False),
        (None, {}, False),
    ],
)
def test_containing(have: object, want: object, *, is_there: bool) -> None:
    """Objects may have more fields, lists may not have more items."""
    assert contains(have, want) is is_there
