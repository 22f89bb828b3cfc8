"""What is written, in which order, under which revision."""

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.api.reasons import Reason
from controller.operator.ceasing import Ceased, removal_due
from controller.operator.packing import CDS_KEY, PROCESSOR_KEY, RDS_KEY, config_map, envoy_parts
from controller.operator.plan import Plan, State, Write, plan
from controller.operator.published import BUDGET_BYTES
from controller.operator.settings import Settings
from controller.translate import Settings as Compiling
from controller.translate import Snapshot, Translation, translate
from extproc.config.loader import load
from extproc.config.schema import MAX_INTEGER
from tests.support.gateway import backend, route, rule, translation_of

SETTINGS = Settings(namespace="gw", identity="op-0", removal_s=100, linger_s=5)


def meaning(*names: str, port: int = 1) -> Translation:
    """A route to each of these backends."""
    rules = [rule(name, name) for name in names]
    return translation_of([route(*rules), *(backend(name, port) for name in names)])


def carried_out(planned: Plan, state: State) -> State:
    """The state once everything was written."""

    def made(name: str, write: Write) -> dict[str, Any]:
        return config_map(name, "gw", write.values, planned.revision, None, write.marks)

    return State(
        processor=made("p", planned.processor),
        envoy=made("e", planned.envoy),
        highest=max(state.highest, planned.revision),
        revision=planned.revision,
        content=planned.content,
        data=planned.processor.values[PROCESSOR_KEY],
        base=planned.base,
        ceased=planned.ceased,
    )


def found(state: State) -> State:
    """What a restarted operator makes of it."""
    return State(processor=state.processor, envoy=state.envoy, highest=state.highest, base=envoy_parts(state.envoy))


def clusters(planned: Plan) -> list[str]:
    """The clusters that Envoy is to have."""
    return [cluster["alt_stat_name"] for cluster in json.loads(planned.envoy.values[CDS_KEY])["resources"]]


def routes(planned: Plan) -> list[str]:
    """The routes that Envoy is to have."""
    [table] = json.loads(planned.envoy.values[RDS_KEY])["resources"]
    return [entry["name"].partition("@")[0] for entry in table["virtual_hosts"][0]["routes"]]


def test_the_first_write_is_revision_1() -> None:
    """Nothing was there, so both maps are written."""
    planned = plan(State(), meaning("a"), SETTINGS, 0, None)

    assert (planned.revision, planned.envoy.needed, planned.processor.needed) == (1, True, True)
    assert load(planned.processor.values[PROCESSOR_KEY]).revision == 1


def test_equal_input_writes_nothing() -> None:
    """Neither in the same process nor after a restart, and the revision stays."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())

    for state in (first, found(first)):
        again = plan(state, meaning("a"), SETTINGS, 9, None)
        assert (again.revision, again.envoy.needed, again.processor.needed) == (1, False, False)


def test_a_change_raises_the_revision_by_one() -> None:
    """Also when what was written before is known from the ConfigMap alone."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())

    for state in (first, found(first)):
        assert plan(state, meaning("b"), SETTINGS, 9, None).revision == 2


@pytest.mark.parametrize("model", ["a", "b"])
def test_who_wrote_it_plans_what_others_would(model: str) -> None:
    """What one knows of one's own last write spares the reading of it, and nothing else."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())

    assert plan(first, meaning(model), SETTINGS, 9, None) == plan(found(first), meaning(model), SETTINGS, 9, None)


@pytest.mark.parametrize(
    ("data", "revision"),
    [
        ("junk: [", 2),
        ("{}", 2),
        ('{"version":1,"revision":7}', 8),
        (f'{{"revision":{MAX_INTEGER}}}', 2),
        ('{"revision":true}', 2),
    ],
)
def test_an_edited_map_is_put_back_under_a_new_revision(data: str, revision: int) -> None:
    """Whatever somebody wrote into it: pods that loaded that must be told from those that load ours."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())
    assert first.processor is not None
    edited = replace(first, processor={**first.processor, "data": {PROCESSOR_KEY: data}})

    planned = plan(edited, meaning("a"), SETTINGS, 9, None)

    assert (planned.revision, planned.processor.needed, planned.envoy.needed) == (revision, True, False)


def test_a_deleted_map_is_made_again_under_a_new_revision() -> None:
    """Pods that still serve the lost one are not taken for pods that serve the new one."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())

    planned = plan(replace(first, processor=None), meaning("a"), SETTINGS, 9, None)

    assert (planned.revision, planned.processor.needed) == (2, True)


def test_foreign_keys_are_no_difference() -> None:
    """What others have put beside ours is theirs, and is not written about for ever."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())
    assert first.processor is not None
    data = {**first.processor["data"], "note.txt": "hands off"}

    planned = plan(replace(first, processor={**first.processor, "data": data}), meaning("a"), SETTINGS, 9, None)

    assert not planned.processor.needed


def test_envoy_keeps_what_a_processor_may_still_use() -> None:
    """The new is there beside the old, which goes when the time is over."""
    first = carried_out(plan(State(), meaning("a", "b"), SETTINGS, 0, None), State())

    changed = plan(first, meaning("b", "c"), SETTINGS, 10, None)
    assert clusters(changed) == routes(changed) == ["default/a", "default/b", "default/c"]
    second = carried_out(changed, first)
    assert removal_due(second.ceased, SETTINGS) == 110

    assert not plan(second, meaning("b", "c"), SETTINGS, 109, None).envoy.needed
    over = plan(second, meaning("b", "c"), SETTINGS, 110, None)
    assert clusters(over) == routes(over) == ["default/b", "default/c"]
    assert (over.envoy.needed, over.processor.needed, over.revision) == (True, False, 2)
    assert over.ceased == {}


def test_what_no_processor_uses_any_more_goes_early() -> None:
    """Once all serve a revision without it, it stays only for the requests that are under way."""
    first = carried_out(plan(State(), meaning("a", "b"), SETTINGS, 0, None), State())
    second = carried_out(plan(first, meaning("b"), SETTINGS, 10, 1), first)

    assert removal_due(second.ceased, SETTINGS) == 110
    heard = carried_out(plan(second, meaning("b"), SETTINGS, 12, 2), second)
    assert removal_due(heard.ceased, SETTINGS) == 17
    assert clusters(plan(heard, meaning("b"), SETTINGS, 16, 2)) == ["default/a", "default/b"]
    assert clusters(plan(heard, meaning("b"), SETTINGS, 17, 2)) == ["default/b"]


def test_what_comes_back_is_not_removed() -> None:
    """A backend that is deleted and made again is there all the time, and its clock starts anew."""
    state = carried_out(plan(State(), meaning("a", "b"), SETTINGS, 0, None), State())
    for moment, names in ((10, ["b"]), (20, ["a", "b"]), (30, ["b"])):
        state = carried_out(plan(state, meaning(*names), SETTINGS, moment, None), state)

    assert set(state.ceased.values()) == {Ceased(4, 30)}


def test_what_a_former_operator_left_in_envoy_goes_in_time() -> None:
    """It may still be in use, so a restart gives it the whole time again."""
    first = carried_out(plan(State(), meaning("a", "b"), SETTINGS, 0, None), State())
    left = found(carried_out(plan(first, meaning("b"), SETTINGS, 10, None), first))

    planned = plan(left, meaning("b"), SETTINGS, 50, None)

    assert not planned.envoy.needed
    assert removal_due(planned.ceased, SETTINGS) == 150


def test_what_somebody_put_into_envoys_map_does_not_stay() -> None:
    """Only what we wrote ourselves may linger."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())
    foreign = plan(State(), meaning("a", "evil"), SETTINGS, 0, None).envoy.values
    edited = replace(first, envoy=config_map("e", "gw", foreign, 1, None))

    planned = plan(edited, meaning("a"), SETTINGS, 9, None)

    assert planned.envoy.needed
    assert clusters(planned) == ["default/a"]


def test_what_somebody_put_there_while_nobody_led_does_not_stay() -> None:
    """A new leader knows our own bytes by their digest, and adopts no others."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())
    foreign = plan(State(), meaning("a", "evil"), SETTINGS, 0, None).envoy.values
    assert first.envoy is not None
    edited = {**first.envoy, "data": {key: value.decode() for key, value in foreign.items()}}

    planned = plan(found(replace(first, envoy=edited)), meaning("a"), SETTINGS, 9, None)

    assert planned.envoy.needed
    assert clusters(planned) == ["default/a"]
    assert planned.ceased == {}


@pytest.mark.parametrize("damage", [{}, {RDS_KEY: "{}", CDS_KEY: "{}"}, {RDS_KEY: "[", CDS_KEY: "["}])
def test_a_map_that_is_not_ours_is_replaced(damage: dict[str, str]) -> None:
    """What cannot be read has nothing to keep."""
    first = carried_out(plan(State(), meaning("a"), SETTINGS, 0, None), State())
    assert first.envoy is not None

    planned = plan(found(replace(first, envoy={**first.envoy, "data": damage})), meaning("a"), SETTINGS, 9, None)

    assert planned.envoy.needed
    assert clusters(planned) == ["default/a"]


def test_a_moved_backend_is_at_both_places_for_a_while() -> None:
    """A processor that has not heard of it sends on to the old place; that goes like any other that is gone."""
    first = carried_out(plan(State(), meaning("a", port=1), SETTINGS, 0, None), State())

    moved = plan(first, meaning("a", port=2), SETTINGS, 9, None)
    over = plan(carried_out(moved, first), meaning("a", port=2), SETTINGS, 109, None)

    assert clusters(moved) == routes(moved) == ["default/a", "default/a"]
    assert over.envoy.values == plan(State(), meaning("a", port=2), SETTINGS, 0, None).envoy.values


def test_what_changes_under_its_name_is_replaced() -> None:
    """Where the old and the new have one key, and so one upstream, the new counts."""
    documents = [route(rule("a", "a")), backend("a", 1)]
    first = carried_out(plan(State(), translate(Snapshot.of(documents)), SETTINGS, 0, None), State())
    patient = translate(Snapshot.of(documents, Compiling(idle_timeout_s=1)))

    planned = plan(first, patient, SETTINGS, 9, None)

    assert planned.envoy.needed
    assert planned.envoy.values == plan(State(), patient, SETTINGS, 0, None).envoy.values


def test_a_large_configuration_is_packed() -> None:
    """Over 512 KiB it is gzip under the same key, equal for equal input, and no text."""
    rules = [rule(f"{i}-" + "m" * 900, "a") for i in range(100)]
    translation = translation_of([*(route(*rules, name=f"r{i}") for i in range(7)), backend("a", 1)])

    planned = plan(State(), translation, SETTINGS, 0, None)
    made = config_map("p", "gw", planned.processor.values, 1, None)

    assert planned.problem is None
    assert planned.processor.values[PROCESSOR_KEY].startswith(b"\x1f\x8b")
    assert (list(made["binaryData"]), made["data"]) == ([PROCESSOR_KEY], {})
    assert load(planned.processor.values[PROCESSOR_KEY]).revision == 1
    state = carried_out(planned, State())
    assert not plan(found(state), translation, SETTINGS, 9, None).processor.needed


def test_what_does_not_fit_is_refused() -> None:
    """The problem names the ConfigMap, how much it is too much, and what to do."""
    many = [f"backend-{i}" for i in range(1200)]
    translation = translation_of([route(rule(None, "backend-0")), *(backend(name, 1) for name in many)])

    planned = plan(State(), translation, SETTINGS, 0, None)

    assert planned.problem is not None
    assert planned.problem.reason is Reason.CONFIG_TOO_LARGE
    size = sum(map(len, planned.envoy.values.values()))
    assert planned.problem.subject.name == "llmroute-envoy"
    assert f"{size - BUDGET_BYTES:,} more than" in planned.problem.message


def test_what_lingers_makes_room_for_what_is_wanted() -> None:
    """When both do not fit, the old goes at once; requests to it are answered 503 until the processor knows."""
    old, new = ([f"{word}-{i}" for i in range(700)] for word in ("old", "new"))
    one_route = route(rule(None))
    first = carried_out(
        plan(State(), translation_of([one_route, *(backend(name, 1) for name in old)]), SETTINGS, 0, None), State()
    )

    planned = plan(first, translation_of([one_route, *(backend(name, 1) for name in new)]), SETTINGS, 9, None)

    assert planned.problem is None
    assert clusters(planned) == sorted(f"default/{name}" for name in new)
