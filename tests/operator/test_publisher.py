"""What is written to the ConfigMaps, and what is known of them afterwards."""

from typing import Any

import pytest

from controller.api.findings import Subject
from controller.api.reasons import Reason
from controller.operator.failures import Conflict, Denied, Rejected, Unreachable
from controller.operator.packing import PROCESSOR_KEY, values_of
from controller.operator.publisher import Publisher
from controller.operator.settings import Settings
from controller.translate import Settings as TranslateSettings
from controller.translate import Snapshot, Translation, translate
from extproc.config.loader import load
from extproc.config.names import OLDEST_VERSION, VERSION
from tests.support.config_maps import ConfigMaps
from tests.support.gateway import backend, route, rule, translation_of

SETTINGS = Settings(namespace="gw", identity="op-0", removal_s=100, linger_s=5)
PROCESSOR, ENVOY = SETTINGS.extproc_config_map, SETTINGS.envoy_config_map


def meaning(*names: str) -> Translation:
    """A route to each of these backends."""
    return translation_of([route(*(rule(name, name) for name in names)), *(backend(name, 1) for name in names)])


def too_much(*names: str) -> Translation:
    """The routes of ``meaning``, and more backends than fit."""
    many = [f"backend-{i}" for i in range(1200)]
    rules = [rule(name, name) for name in names]
    return translation_of([route(*rules), *(backend(name, 1) for name in (*names, *many))])


class Stand:
    """A publisher with its ConfigMaps, a clock that stands and a fleet that answers as it is told."""

    def __init__(self, config_maps: ConfigMaps | None = None) -> None:
        self.config_maps = config_maps or ConfigMaps()
        self.now = 0.0
        self.served: int | None = None
        self.readable: int | None = None
        self.publisher = Publisher(
            self.config_maps, SETTINGS, lambda: self.served, lambda: self.now, lambda: self.readable
        )

    def revision(self) -> int:
        """What extproc would read."""
        return load(values_of(self.config_maps.held[PROCESSOR])[PROCESSOR_KEY]).revision


async def taken_over(config_maps: ConfigMaps | None = None) -> Stand:
    """A leader that has looked around."""
    stand = Stand(config_maps)
    await stand.publisher.take_over()
    return stand


async def test_the_version_is_one_that_the_processors_read() -> None:
    """What they say they read; before they have said anything what they were given last, or else the newest."""
    stand = await taken_over()
    assert stand.publisher.config_version == VERSION
    older = translate(Snapshot.of([backend("a", 1)], TranslateSettings(config_version=OLDEST_VERSION)))
    await stand.publisher.publish(older)
    next_leader = await taken_over(stand.config_maps)
    assert next_leader.publisher.config_version == OLDEST_VERSION
    next_leader.readable = VERSION
    assert next_leader.publisher.config_version == VERSION


async def test_envoy_is_written_before_the_processor() -> None:
    """A processor never sends a request to what Envoy has not been told of."""
    stand = await taken_over()

    published = await stand.publisher.publish(meaning("a"))

    assert stand.config_maps.applied == [ENVOY, PROCESSOR]
    assert published.written == (ENVOY, PROCESSOR)
    assert (published.revision, published.problem, stand.revision()) == (1, None, 1)
    assert set(published.sizes) == {ENVOY, PROCESSOR}


async def test_equal_input_is_written_once() -> None:
    """Not by the same publisher, and not by the next one."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    again = await stand.publisher.publish(meaning("a"))
    after_restart = await (await taken_over(stand.config_maps)).publisher.publish(meaning("a"))

    assert again.written == after_restart.written == ()
    assert again.revision == after_restart.revision == 1
    assert again.parts == after_restart.parts == {s.subject: s.part for s in meaning("a").statuses}


async def test_the_processor_is_not_written_when_envoy_could_not_be() -> None:
    """What was begun is finished at the next attempt, under the same revision."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    stand.config_maps.faults.append(Unreachable("no answer"))

    with pytest.raises(Unreachable):
        await stand.publisher.publish(meaning("b"))

    assert stand.revision() == 1
    published = await stand.publisher.publish(meaning("b"))
    assert (published.written, published.revision) == ((ENVOY, PROCESSOR), 2)


async def test_an_attempt_that_broke_off_in_the_middle_is_finished() -> None:
    """Envoy's map is as it should be already, so only the processor's is written."""
    stand = await taken_over()
    stand.config_maps.faults += [None, Unreachable("no answer")]

    with pytest.raises(Unreachable):
        await stand.publisher.publish(meaning("a"))

    assert (await stand.publisher.publish(meaning("a"))).written == (PROCESSOR,)


async def test_what_another_leader_wrote_is_a_conflict() -> None:
    """A write that is based on an older state is refused, and after a look the newer state is what counts."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    other = await taken_over(stand.config_maps)
    await other.publisher.publish(meaning("b"))

    with pytest.raises(Conflict):
        await stand.publisher.publish(meaning("c"))
    await stand.publisher.refresh()
    await stand.publisher.publish(meaning("c"))

    assert stand.revision() == 3


async def test_a_foreign_edit_is_seen_and_put_back() -> None:
    """An event that tells our own write is no news; one that tells another's is."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))

    assert not stand.publisher.saw(PROCESSOR, stand.config_maps.held[PROCESSOR])
    edited = stand.config_maps.put(PROCESSOR, {"data": {PROCESSOR_KEY: "{}"}})
    assert stand.publisher.saw(PROCESSOR, edited)
    published = await stand.publisher.publish(meaning("a"))
    assert (published.written, stand.revision()) == ((PROCESSOR,), 2)


async def test_a_deleted_config_map_is_made_again() -> None:
    """Under a new revision, for which a deleted one of both leaves enough traces."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    await stand.publisher.publish(meaning("a", "b"))
    del stand.config_maps.held[PROCESSOR]

    assert stand.publisher.saw(PROCESSOR, None)
    assert (await stand.publisher.publish(meaning("a", "b"))).written == (PROCESSOR,)
    assert stand.revision() == 3
    del stand.config_maps.held[PROCESSOR]
    await (await taken_over(stand.config_maps)).publisher.publish(meaning("a", "b"))
    assert stand.revision() == 3


async def test_an_old_event_changes_nothing() -> None:
    """The watch tells what was before our write."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    old = stand.config_maps.held[PROCESSOR]
    await stand.publisher.publish(meaning("b"))

    assert not stand.publisher.saw(PROCESSOR, old)
    assert (await stand.publisher.publish(meaning("b"))).written == ()


async def test_what_does_not_fit_leaves_everything_as_it_was() -> None:
    """The problem is told, with the sizes; what was programmed before stays so."""
    stand = await taken_over()
    before = await stand.publisher.publish(meaning("a"))

    published = await stand.publisher.publish(too_much("a"))

    assert published.problem is not None
    assert published.problem.reason is Reason.CONFIG_TOO_LARGE
    assert (published.written, published.revision, published.parts) == ((), 1, before.parts)
    assert stand.revision() == 1
    assert (await stand.publisher.publish(meaning("b"))).revision == 2


async def test_removals_wait_for_the_fleet() -> None:
    """At the latest after the longest time, earlier once every pod serves a revision without it."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a", "b"))
    assert stand.publisher.removal_in() is None
    stand.now = 10
    await stand.publisher.publish(meaning("b"))
    assert stand.publisher.removal_in() == 100

    stand.now, stand.served = 12, 2
    assert (await stand.publisher.publish(meaning("b"))).written == ()
    assert stand.publisher.removal_in() == 5
    stand.now = 17
    assert (await stand.publisher.publish(meaning("b"))).written == (ENVOY,)
    assert stand.publisher.removal_in() is None


async def test_a_restart_does_not_forget_what_is_in_force() -> None:
    """While the whole is too large or cannot be written, what was written before is served on, and that is said."""
    stand = await taken_over()
    before = await stand.publisher.publish(meaning("a"))
    in_force = {subject: part for subject, part in before.parts.items() if part}
    again = await taken_over(stand.config_maps)

    for published in (
        await again.publisher.publish(too_much("a")),
        again.publisher.refused(too_much("a"), Denied("403 no")),
    ):
        assert published.problem is not None
        assert published.revision == 1
        assert published.parts == in_force

    other = await again.publisher.publish(too_much("b"))
    assert other.parts == {}


async def test_nothing_is_in_force_that_somebody_edited() -> None:
    """Nobody knows what a foreign hand has left of it."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    held = stand.config_maps.held[PROCESSOR]
    edited = stand.config_maps.put(PROCESSOR, {**held, "data": {PROCESSOR_KEY: "{}"}})
    stand.publisher.saw(PROCESSOR, edited)

    for publisher in (stand.publisher, (await taken_over(stand.config_maps)).publisher):
        assert (await publisher.publish(too_much("a"))).parts == {}


async def test_a_former_term_counts_for_nothing() -> None:
    """What another leader has written meanwhile is in force, and not what this one remembers."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    other = await taken_over(stand.config_maps)
    await other.publisher.publish(meaning("b"))

    await stand.publisher.take_over()

    refused = stand.publisher.refused(meaning("b"), Denied("403 no"))
    assert Subject("LLMBackend", "default", "b") in refused.parts
    assert stand.publisher.refused(meaning("a"), Denied("403 no")).parts == {}


async def test_the_words_of_a_refusal_are_few_and_stay() -> None:
    """A webhook's long answer with a number in it would be a write of every status at every attempt."""
    stand = await taken_over()

    def said(why: Denied | Rejected) -> str:
        problem = stand.publisher.refused(meaning("a"), why).problem
        assert problem is not None
        assert problem.reason is Reason.CONFIG_NOT_WRITTEN
        return problem.message

    first = said(Denied("403 request 1 " + "Z" * 40_000))
    assert len(first) < 400
    assert first.startswith("the configuration could not be written: 403 request 1 ZZ")
    assert said(Denied("403 request 2")) == first
    assert said(Rejected("400 request 3")).endswith("400 request 3")
    await stand.publisher.publish(meaning("a"))
    assert said(Rejected("400 request 4")).endswith("400 request 4")


async def test_an_annotation_of_any_length_ends_nothing() -> None:
    """Anybody who may edit the ConfigMap could otherwise keep every replica from running."""
    stand = await taken_over()
    await stand.publisher.publish(meaning("a"))
    edited = dict(stand.config_maps.held[ENVOY])
    edited["metadata"] = {**edited["metadata"], "annotations": {"llmroute.io/config-revision": "9" * 5000}}

    assert stand.publisher.saw(ENVOY, stand.config_maps.put(ENVOY, edited))
    await (await taken_over(stand.config_maps)).publisher.publish(meaning("a"))
    assert stand.revision() == 1


async def test_others_wait_only_while_something_is_written() -> None:
    """And no longer when that fails."""
    seen: list[bool] = []

    class Watched(ConfigMaps):
        async def apply_config_map(self, body: dict[str, Any]) -> dict[str, Any]:
            seen.append(stand.publisher.idle.is_set())
            return await super().apply_config_map(body)

    stand = await taken_over(Watched())
    stand.config_maps.faults.append(Unreachable("no answer"))
    with pytest.raises(Unreachable):
        await stand.publisher.publish(meaning("a"))
    assert stand.publisher.idle.is_set()
    await stand.publisher.publish(meaning("a"))

    assert seen == [False, False, False]
    assert stand.publisher.idle.is_set()
