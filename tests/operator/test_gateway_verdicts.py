from collections.abc import Mapping
from typing import Any

import pytest

from controller.api.findings import Subject
from controller.operator.gateway_plan import Key, key_of
from controller.operator.gateway_verdicts import verdicts
from controller.translate import Settings, Snapshot, translate
from controller.translate.gateway_api import GatewayObjects
from controller.translate.settings import GatewaySettings
from tests.support.api_objects import backend, route, rule

CHAT = Subject("LLMRoute", "team-a", "chat")
PARENTS = [{"name": "eg", "namespace": "infra"}, {"name": "own", "sectionName": "https"}]
GATEWAY = GatewaySettings(controller="gw", service="extproc", namespace="gw")
Conditions = list[dict[str, Any]]


def compiled() -> GatewayObjects:
    chat, openai = route(rule("m", "openai"), parentRefs=PARENTS), backend()
    chat["metadata"]["uid"], openai["metadata"]["uid"] = "uid-1", "uid-2"
    return translate(Snapshot.of([chat, openai], Settings(gateway=GATEWAY))).gateway


def said(kind: str, status: str = "True", observed: int = 2, **words: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "observedGeneration": observed, "reason": "R", "message": "M", **words}


FINE: Conditions = [said("Accepted"), said("ResolvedRefs")]


def judged(
    objects: GatewayObjects,
    first: Conditions | None = FINE,
    second: Conditions | None = FINE,
    policy: Conditions | None = FINE,
    made: Conditions | None = None,
) -> dict[Key, dict[str, Any]]:
    """The objects of the API server, with what two parents say of the route, and one of the policy; None: nothing."""
    statuses: Mapping[str, Any] = {
        "HTTPRoute": {
            "parents": [
                {"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", **ref}, "conditions": words}
                for ref, words in zip(PARENTS, (first, second), strict=True)
                if words is not None
            ]
        },
        "EnvoyExtensionPolicy": {
            "ancestors": [{"ancestorRef": PARENTS[0], "conditions": policy}] if policy is not None else []
        },
        "Backend": {"conditions": made},
        "HTTPRouteFilter": {},
    }
    return {
        key_of(each): {
            **each,
            "metadata": {**each["metadata"], "generation": 2},
            "status": statuses[each["kind"]],
        }
        for each in objects.documents
    }


def test_nothing_stands_in_the_way_once_all_is_accepted() -> None:
    """By every parent, the policy included."""
    objects = compiled()

    assert verdicts(objects, judged(objects), {}) == {}


@pytest.mark.parametrize(
    ("words", "status", "reason", "text"),
    [
        (None, "Unknown", "ParentSilent", "waiting for Gateway infra/eg"),
        ([], "Unknown", "ParentSilent", "Gateway infra/eg"),
        ([said("Accepted", "Unknown")], "Unknown", "ParentSilent", "Gateway infra/eg"),
        ([said("Accepted", observed=1)], "Unknown", "ParentSilent", "Gateway infra/eg"),
        ([said("Accepted", "False", observed=1)], "Unknown", "ParentSilent", "Gateway infra/eg"),
        ([said("Accepted", "False")], "False", "ParentRefused", "Gateway infra/eg: Accepted is False, R: M"),
        (
            [said("Accepted"), said("ResolvedRefs", "False")],
            "False",
            "ParentUnresolved",
            "Gateway infra/eg: ResolvedRefs is False, R: M",
        ),
        ([said("Accepted", "False"), said("ResolvedRefs", "False")], "False", "ParentRefused", "Accepted is False"),
    ],
)
def test_what_one_parent_says(words: Conditions | None, status: str, reason: str, text: str) -> None:
    """The worst of it is told, in its own words; what speaks of an older state is nothing."""
    objects = compiled()
    told = verdicts(objects, judged(objects, first=words), {})[CHAT]

    assert (told.status, str(told.reason)) == (status, reason)
    assert text in told.message


def test_a_parent_is_known_by_all_of_its_reference() -> None:
    """The second one's refusal is its own, with its listener."""
    objects = compiled()
    told = verdicts(objects, judged(objects, second=[said("Accepted", "False")]), {})[CHAT]

    assert told.message == "Gateway own listener https: Accepted is False, R: M"


@pytest.mark.parametrize(
    ("words", "reason"), [(None, "ParentSilent"), ([said("Accepted", "False", reason="Invalid")], "ParentRefused")]
)
def test_a_policy_that_is_not_in_force_is_told(words: Conditions | None, reason: str) -> None:
    """Without it no request meets the processor."""
    objects = compiled()

    assert str(verdicts(objects, judged(objects, policy=words), {})[CHAT].reason) == reason


def test_a_refused_backend_is_its_owners_matter() -> None:
    """The LLMBackend says so, and the route as far as the Gateway says it of the route."""
    objects = compiled()
    told = verdicts(objects, judged(objects, made=[said("Accepted", "False", message="bad host")]), {})

    assert list(told) == [Subject("LLMBackend", "team-a", "openai")]
    assert "bad host" in next(iter(told.values())).message


def test_what_is_not_written_yet_is_waited_for() -> None:
    """An answer that speaks of other rules than those that shall be is none."""
    objects = compiled()
    there = judged(objects)
    [key] = [key for key in there if key[0] == "HTTPRoute"]
    there[key]["spec"] = {**there[key]["spec"], "rules": []}

    assert str(verdicts(objects, there, {})[CHAT].reason) == "ParentSilent"
    assert str(verdicts(objects, {}, {})[CHAT].reason) == "ParentSilent"


@pytest.mark.parametrize("status", [None, "text", {"parents": None}, {"parents": ["x", {}]}, {"parents": {"a": 1}}])
def test_whatever_stands_in_a_status_is_read(status: object) -> None:
    """Nonsense says nothing."""
    objects = compiled()
    there = judged(objects)
    for obj in there.values():
        obj["status"] = status

    assert str(verdicts(objects, there, {})[CHAT].reason) == "ParentSilent"


def test_long_words_are_cut() -> None:
    """A controller may quote all that it likes."""
    objects = compiled()
    told = verdicts(objects, judged(objects, first=[said("Accepted", "False", message="x" * 5000)]), {})[CHAT]

    assert len(told.message) < 400
