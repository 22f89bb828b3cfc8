"""What the store knows, whatever order the news comes in."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.findings import Subject
from controller.operator.kinds import LLM_BACKENDS, LLM_ROUTES
from controller.operator.store import Change, Store


def obj(name: str, version: int, *, uid: str = "", generation: int = 1, **fields: Any) -> dict[str, Any]:
    """An LLMRoute as the API server has it."""
    metadata = {
        "name": name,
        "namespace": "team-a",
        "uid": uid or name,
        "resourceVersion": str(version),
        "generation": generation,
    }
    return {"kind": "LLMRoute", "metadata": metadata, **fields}


def known(store: Store) -> dict[str, str]:
    """Names and identities."""
    return {found["metadata"]["name"]: found["metadata"]["uid"] for found in store.objects(LLM_ROUTES)}


def test_what_an_object_that_comes_in_means() -> None:
    """A new generation is content, a new version of the same one is status, an old or equal version is nothing."""
    store = Store()

    assert store.put(LLM_ROUTES, obj("a", 5)) is Change.CONTENT
    assert store.put(LLM_ROUTES, obj("a", 5)) is Change.NONE
    assert store.put(LLM_ROUTES, obj("a", 7, status={})) is Change.STATUS
    assert store.put(LLM_ROUTES, obj("a", 6, generation=2)) is Change.NONE
    assert store.put(LLM_ROUTES, obj("a", 9, generation=2)) is Change.CONTENT
    assert (store.content, store.status) == (2, 1)


@pytest.mark.parametrize(
    ("seen", "has"),
    [
        (obj("a", 5), True),
        (obj("a", 4), True),
        (obj("a", 6), False),
        (obj("a", 5, uid="b"), False),
        (obj("b", 1), False),
    ],
)
def test_what_is_known_already(seen: dict[str, Any], has: bool) -> None:
    """An object in the state that the store has, or an older one; another object of the same name is not."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 5))

    assert store.has(LLM_ROUTES, seen) is has


def test_an_answer_tells_of_what_is_known() -> None:
    """As an event does."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 5))

    assert store.answered(LLM_ROUTES, obj("a", 6, status={})) is Change.STATUS
    assert store.answered(LLM_ROUTES, obj("a", 6, status={})) is Change.NONE
    assert store.answered(LLM_ROUTES, obj("a", 8, generation=2)) is Change.CONTENT


def test_a_late_answer_brings_nothing_back() -> None:
    """The object was deleted, as a list or an event told, or another one of the same name is there."""
    dropped, deleted, replaced = Store(), Store(), Store()
    for store in (dropped, deleted, replaced):
        store.put(LLM_ROUTES, obj("a", 5))
    dropped.resync(LLM_ROUTES, [], 10)
    deleted.put(LLM_ROUTES, obj("a", 7), deleted=True)
    deleted.resync(LLM_ROUTES, [], 10)
    replaced.resync(LLM_ROUTES, [obj("a", 8, uid="second")], 10)

    for store in (dropped, deleted, replaced):
        assert store.answered(LLM_ROUTES, obj("a", 6)) is Change.NONE
    assert (known(dropped), known(deleted), known(replaced)) == ({}, {}, {"a": "second"})


def test_versions_are_compared_as_numbers() -> None:
    """Version 10 is newer than version 9."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 9))

    assert store.put(LLM_ROUTES, obj("a", 10, generation=2)) is Change.CONTENT


def test_a_kind_without_generations_changes_with_its_spec() -> None:
    """Where the server does not count changes of the spec, the specs are compared."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 1, generation=0, spec={"ports": [1]}))

    assert store.put(LLM_ROUTES, obj("a", 2, generation=0, spec={"ports": [1]}, status={})) is Change.STATUS
    assert store.put(LLM_ROUTES, obj("a", 3, generation=0, spec={"ports": [2]})) is Change.CONTENT


def test_who_manages_which_field_is_not_kept() -> None:
    """It is often the larger half of an object, and nobody here looks at it."""
    store, managed = Store(), obj("a", 1)
    managed["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    store.put(LLM_ROUTES, managed)

    [kept] = store.objects(LLM_ROUTES)
    assert "managedFields" not in kept["metadata"]
    assert "managedFields" in managed["metadata"]


def test_an_object_is_found_by_its_subject() -> None:
    """By kind, namespace and name; None when there is none."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 1))

    found = store.get(Subject("LLMRoute", "team-a", "a"))

    assert found is not None
    assert found["metadata"]["name"] == "a"
    assert store.get(Subject("LLMRoute", "team-b", "a")) is None
    assert store.get(Subject("LLMBackend", "team-a", "a")) is None


def test_a_list_drops_what_it_lacks() -> None:
    """An object that was deleted while nobody watched goes with the next list."""
    store = Store()
    store.put(LLM_ROUTES, obj("gone", 3))
    store.put(LLM_ROUTES, obj("stays", 4))

    assert store.resync(LLM_ROUTES, [obj("stays", 4)], 9)
    assert known(store) == {"stays": "stays"}
    assert not store.resync(LLM_ROUTES, [obj("stays", 4)], 12)


def test_a_list_does_not_drop_what_is_newer() -> None:
    """An object that was created while the list was on its way stays."""
    store = Store()
    store.put(LLM_ROUTES, obj("new", 12))

    assert not store.resync(LLM_ROUTES, [], 10)
    assert known(store) == {"new": "new"}


def test_a_deleted_object_does_not_come_back_with_an_older_list_or_answer() -> None:
    """The list was taken before the deletion, and so was the answer to our own write."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 5))
    store.put(LLM_ROUTES, obj("a", 11), deleted=True)

    assert not store.resync(LLM_ROUTES, [obj("a", 5)], 10)
    assert store.put(LLM_ROUTES, obj("a", 10)) is Change.NONE
    assert known(store) == {}


def test_an_object_that_was_made_again_is_another_one() -> None:
    """The late news of the first one's end does not touch the second."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 5, uid="first"))
    store.put(LLM_ROUTES, obj("a", 8, uid="second"))

    assert store.put(LLM_ROUTES, obj("a", 7, uid="first"), deleted=True) is Change.NONE
    assert known(store) == {"a": "second"}


def test_a_kind_is_complete_once_it_was_listed() -> None:
    """Events alone never make a kind complete, and an empty list does."""
    store = Store()
    store.put(LLM_ROUTES, obj("a", 1))

    assert not store.is_complete([LLM_ROUTES])
    store.resync(LLM_ROUTES, [], 1)
    assert store.is_complete([LLM_ROUTES])
    assert not store.is_complete([LLM_ROUTES, LLM_BACKENDS])


def test_a_kind_that_is_gone_takes_its_objects_along() -> None:
    """Without the definition there are no objects, and its return begins with a list."""
    store = Store()
    store.resync(LLM_ROUTES, [obj("a", 1)], 1)
    before = store.content

    store.forget(LLM_ROUTES)

    assert known(store) == {}
    assert store.content > before
    assert not store.is_complete([LLM_ROUTES])


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_after_a_list_the_store_is_the_world(seed: int, steps: int) -> None:
    """Whatever events were lost, late or doubled before: a list taken now makes the store what the server has."""
    chance, store, world, news = random.Random(seed), Store(), dict[str, dict[str, Any]](), []
    version = 0
    for _ in range(steps):
        version += 1
        name = chance.choice("abc")
        match chance.choice(["write", "delete", "hear", "list"]):
            case "write":
                uid = world[name]["metadata"]["uid"] if name in world else f"{name}{version}"
                world[name] = obj(name, version, uid=uid, generation=version)
                news.append((world[name], False))
            case "delete" if name in world:
                gone = world.pop(name)
                news.append((obj(name, version, uid=gone["metadata"]["uid"]), True))
            case "hear" if news:
                heard, deleted = news.pop(chance.randrange(len(news)))
                store.put(LLM_ROUTES, heard, deleted=deleted)
            case "list":
                store.resync(LLM_ROUTES, list(world.values()), version)
            case _:
                continue

    store.resync(LLM_ROUTES, list(world.values()), version)

    assert known(store) == {name: found["metadata"]["uid"] for name, found in world.items()}
