"""What a status says, and when it is written."""

from typing import Any

import pytest

from controller.api.findings import Finding, Subject
from controller.api.reasons import MEANINGS, ConditionType, Reason
from controller.operator.conditions import Transition, is_served, maybe_update, settled, transitions
from controller.operator.fleet import NOT_SERVED, Floors, Replica, Verdict, verdict
from controller.operator.published import BUDGET_BYTES
from controller.translate import ObjectStatus
from tests.support.published_passes import one_backend, one_route, published

THEN, NOW, LATER = "2026-11-23T02:00:00Z", "2026-11-23T02:10:05Z", "2026-11-23T03:00:00Z"
ALL = Verdict("True", Reason.SERVING, "3 of 3 extproc replicas")
LAG = verdict([Replica("x", 41), Replica("y", 42), Replica("z", 42)], 42, 42)


def route_status(model: str = "gpt-4o", generation: int = 1) -> ObjectStatus:
    """The status of a good route."""
    return published([one_route(model, generation), one_backend()], 1).translation.statuses[1]


def written(serving: Verdict | None, now: str, stored: Any = None, status: ObjectStatus | None = None) -> Any:
    """The status that is written, or None."""
    return maybe_update(stored, status or route_status(), serving, now)


def one(status: Any, kind: str) -> Any:
    """A condition of a status."""
    return next((condition for condition in status["conditions"] if condition["type"] == kind), None)


def test_a_new_object_gets_all_of_its_status() -> None:
    """The conditions come in their order, each with the time of its first appearance, and the columns beside them."""
    status = written(ALL, NOW)

    assert [condition["type"] for condition in status["conditions"]] == [
        "Accepted",
        "ResolvedRefs",
        "Programmed",
        "Serving",
    ]
    assert {condition["lastTransitionTime"] for condition in status["conditions"]} == {NOW}
    assert one(status, "Serving")["message"] == "3 of 3 extproc replicas"
    assert one(status, "Serving")["observedGeneration"] == 1
    assert (status["backends"], status["models"]) == ("1/1", "gpt-4o")


def test_an_equal_status_is_not_written() -> None:
    """However late it is, and whatever order the conditions are stored in."""
    stored = written(ALL, NOW)
    stored["conditions"].reverse()

    assert written(ALL, LATER, stored) is None


@pytest.mark.parametrize("field", ["status", "reason", "message", "observedGeneration", "lastTransitionTime"])
def test_a_hand_edited_condition_is_put_back(field: str) -> None:
    """Each field of a condition that is ours is compared."""
    stored = written(ALL, NOW)
    one(stored, "Accepted").pop(field)

    again = written(ALL, LATER, stored)

    assert again is not None
    assert one(again, "Accepted")[field] in {one(written(ALL, NOW), "Accepted")[field], LATER}


@pytest.mark.parametrize("stored", [{"models": "other"}, {"backends": None}, {"target": "left over"}])
def test_a_field_that_differs_is_put_right(stored: dict[str, Any]) -> None:
    """The columns are compared as well, and one that does not belong there goes."""
    again = written(ALL, LATER, {**written(ALL, NOW), **stored})

    assert again is not None
    assert "target" not in again


def test_conditions_of_others_are_nobodys_business() -> None:
    """A condition of a type that is not ours neither causes a write nor is repeated in one."""
    stored = written(ALL, NOW)
    stored["conditions"].append({"type": "Argo", "status": "True"})

    assert written(ALL, LATER, stored) is None
    assert one(written(LAG, LATER, stored), "Argo") is None


@pytest.mark.parametrize("stored", [{}, {"conditions": "x"}, {"conditions": ["x"]}, {"conditions": None}, "x"])
def test_nonsense_in_a_status_is_overwritten(stored: Any) -> None:
    """What a person or an old release left there is no reason to fail."""
    assert written(ALL, NOW, stored) == written(ALL, NOW)


def test_the_time_of_a_transition_changes_with_the_status_alone() -> None:
    """A new generation, reason or message leaves it; from True to False it is now."""
    first = written(ALL, THEN)
    second = written(ALL, NOW, first, route_status("gpt-5", 2))
    third = written(LAG, LATER, second, route_status("gpt-5", 2))

    assert one(second, "Programmed")["lastTransitionTime"] == THEN
    assert one(second, "Programmed")["observedGeneration"] == 2
    assert one(third, "Programmed")["lastTransitionTime"] == THEN
    assert one(third, "Serving")["lastTransitionTime"] == LATER


def test_since_when_it_lags_stays_the_same() -> None:
    """The time is that of the transition, so neither waiting nor a restart of the operator rewrites it."""
    lagging = written(LAG, NOW, written(ALL, THEN))

    expected = "2 of 3 extproc replicas since 02:10:05Z; pod x serves revision 41, 42 has it"
    assert one(lagging, "Serving")["message"] == expected
    assert written(LAG, LATER, lagging) is None


def test_before_the_pods_were_asked_what_was_said_of_them_stays() -> None:
    """A restart neither removes Serving nor calls it into question."""
    stored = written(ALL, THEN)

    assert written(None, NOW, stored) is None
    assert one(written(None, NOW), "Serving") is None
    edited = written(None, NOW, stored, route_status("gpt-5", 2))
    assert one(edited, "Serving") == one(stored, "Serving")


@pytest.mark.parametrize(
    ("fleet", "floor", "expected"),
    [
        ([], 1, ("Unknown", Reason.NO_REPLICAS, "no extproc pod is ready")),
        ([("x", 42)], 42, ("True", Reason.SERVING, "1 of 1 extproc replicas")),
        ([("x", 41), ("y", 42)], 41, ("True", Reason.SERVING, "2 of 2 extproc replicas")),
        ([("x", 7), ("y", 42)], 0, ("True", Reason.SERVING, "2 of 2 extproc replicas")),
        (
            [("x", None), ("y", 42)],
            42,
            ("Unknown", Reason.REPLICA_SILENT, "pod x cannot be asked: connection refused"),
        ),
        (
            [("x", None), ("y", 41)],
            42,
            ("False", Reason.REPLICAS_LAG, "0 of 2 extproc replicas since T; pod y serves revision 41, 42 has it"),
        ),
        (
            [(f"p{i}", 8) for i in range(5)],
            9,
            (
                "False",
                Reason.REPLICAS_LAG,
                "0 of 5 extproc replicas since T; "
                + "".join(f"pod p{i} serves revision 8, 9 has it; " for i in range(3))
                + "and 2 more",
            ),
        ),
        (
            [("x", 99)],
            0,
            ("False", Reason.REPLICAS_LAG, "0 of 1 extproc replicas since T; pod x serves revision 99, 42 has it"),
        ),
    ],
)
def test_what_the_pods_answers_mean(
    fleet: list[tuple[str, int | None]], floor: int, expected: tuple[str, str, str]
) -> None:
    """One that lags is certain, one that is silent is unknown; a revision from the future is of another series."""
    replicas = [Replica(name, revision, "connection refused" if revision is None else "") for name, revision in fleet]
    said = verdict(replicas, floor, 42)

    assert (said.status, said.reason, said.message("T")) == expected
    assert MEANINGS[said.reason].status == said.status


def test_a_pod_that_refuses_the_configuration_is_quoted() -> None:
    """What the pod says of the file is what its owner needs, in a bounded length."""
    said = verdict([Replica("x", 41, refusal="version: this processor reads 0..1, not 2" + "!" * 999)], 42, 42)

    assert said.reason is Reason.CONFIG_REFUSED
    assert not said.lagging
    assert "it refuses the present one: version: this processor reads 0..1, not 2!!" in said.message("T")
    assert len(said.message("T")) < 450


def test_a_part_keeps_the_revision_that_brought_it() -> None:
    """An edit elsewhere raises the revision and leaves the floors of all others."""
    floors, a, b = Floors(), Subject("LLMRoute", "n", "a"), Subject("LLMRoute", "n", "b")
    floors.publish({a: "1", b: "1"}, 5, 0.0, lambda subject, _: subject == a)
    first = floors.get(a), floors.get(b)
    floors.publish({a: "1", b: "2"}, 6, 1.0, lambda *_: True)
    second = floors.get(a), floors.get(b)
    floors.publish({a: "1"}, 7, 2.0, lambda *_: True)

    assert [floor and (floor.revision, floor.at) for floor in (*first, *second)] == [(0, 0), (5, 0), (0, 0), (6, 1)]
    assert floors.get(b) is None


def test_parts_that_others_wrote_meanwhile_are_learnt_anew() -> None:
    """After a time of not leading, an old floor may belong to an older stay of the same part."""
    floors, a, b = Floors(), Subject("LLMRoute", "n", "a"), Subject("LLMRoute", "n", "b")
    floors.publish({a: "1", b: "1"}, 5, 0.0, lambda *_: True)
    floors.publish({a: "1", b: "1"}, 8, 1.0, lambda subject, _: subject == b)

    assert [floor and floor.revision for floor in map(floors.get, (a, b))] == [8, 0]


def test_revisions_that_start_again_make_everything_new() -> None:
    """After the ConfigMap was lost, floors of the old series would never be reached."""
    floors, a = Floors(), Subject("LLMRoute", "n", "a")
    floors.publish({a: "1"}, 50, 0.0, lambda *_: False)
    floors.publish({a: "1"}, 1, 1.0, lambda *_: True)

    floor = floors.get(a)
    assert floor is not None
    assert floor.revision == 1


def test_served_is_what_the_stored_status_says_of_this_very_part() -> None:
    """Another part, another generation or a lagging pod: not served."""
    status = route_status()
    stored = written(ALL, NOW)

    assert is_served(stored, status.part)
    assert not is_served(stored, "000000000000")
    assert not is_served(written(LAG, NOW), status.part)
    assert not is_served(written(None, LATER, stored, route_status("gpt-4o", 2)), route_status("gpt-4o", 2).part)
    assert not is_served(None, "")


def test_what_did_not_get_into_the_configmap_is_not_programmed() -> None:
    """Only those whose own part is missing say so; the reason is the problem's."""
    held = published([one_route(), one_backend()], 1)
    subject = Subject("ConfigMap", "gw", "llmroute-extproc")
    problem = Finding(subject, "", "1 200 000 bytes, 151 424 over the limit", Reason.CONFIG_TOO_LARGE)
    objects = [one_route("gpt-5", 2), one_backend(), one_route(name="new")]
    refused = published(objects, 1, problem=problem, held=held)
    by_name = {status.subject.name: settled(status, refused) for status in refused.translation.statuses}

    said = {
        name: next(c for c in status.conditions if c.type is ConditionType.PROGRAMMED)
        for name, status in by_name.items()
    }
    assert {name: (c.status, c.reason) for name, c in said.items()} == {
        "openai": ("True", Reason.PROGRAMMED),
        "chat": ("False", Reason.CONFIG_TOO_LARGE),
        "new": ("False", Reason.CONFIG_TOO_LARGE),
    }
    assert said["new"].message == "1 200 000 bytes, 151 424 over the limit"


@pytest.mark.parametrize(("share", "warns"), [(0.79, False), (0.81, True)])
def test_a_configmap_that_is_nearly_full_is_a_warning(share: float, warns: bool) -> None:
    """Above 80 % all who are in it hear of it, in words that do not change with each byte."""
    full = published([one_route(), one_backend()], 1, size=int(share * BUDGET_BYTES))
    status = settled(full.translation.statuses[1], full)
    warnings = [condition for condition in status.conditions if condition.type is ConditionType.WARNINGS]

    assert bool(warnings) is warns
    if warns:
        assert warnings[0].reason is Reason.CONFIG_NEARLY_FULL
        expected = "over 80% of ConfigMap llmroute-extproc is taken; what does not fit any more is refused"
        assert warnings[0].message == expected


def test_transitions_are_told_once_each_way() -> None:
    """Bad is a Warning, good again is Normal, and an object that is good from the start is no news."""
    refused = verdict([Replica("x", 41, refusal="version: too new")], 42, 42)
    good, refusing, invalid = written(ALL, NOW), written(refused, NOW), written(NOT_SERVED, NOW)

    assert list(transitions(None, good)) == []
    assert list(transitions(good, good)) == []
    bad = list(transitions(good, refusing))
    assert bad == [Transition("Warning", "ConfigRefused", f"Serving: {one(refusing, 'Serving')['message']}")]
    assert list(transitions(refusing, good)) == [Transition("Normal", "Serving", "Serving: 3 of 3 extproc replicas")]
    assert [found.reason for found in transitions(refusing, invalid)] == ["NotServed"]
    assert [found.type for found in transitions(None, refusing)] == ["Warning"]


def test_pods_on_their_way_to_a_change_are_no_news() -> None:
    """Every edit goes through that; the condition says it, and an Event each would teach people to look away."""
    good, lagging = written(ALL, NOW), written(LAG, NOW)

    assert list(transitions(good, lagging)) == []
    assert list(transitions(lagging, good)) == []


def test_unknown_is_no_news() -> None:
    """Pods that cannot be asked concern all objects alike; the condition and the metrics say it."""
    good, unknown = written(ALL, NOW), written(verdict([], 1, 1), NOW)

    assert list(transitions(good, unknown)) == []
    assert list(transitions(unknown, good)) == []
    assert list(transitions(written(NOT_SERVED, NOW), unknown)) == []


def test_warnings_come_and_go() -> None:
    """The Warnings condition is bad when it is there at all."""
    warned = {"conditions": [{"type": "Warnings", "status": "True", "reason": "UnusedBackend", "message": "unused"}]}

    assert list(transitions(None, warned)) == [Transition("Warning", "UnusedBackend", "Warnings: unused")]
    expected = Transition("Normal", "WarningsCleared", "there are no warnings any more")
    assert list(transitions(warned, {"conditions": []})) == [expected]
