"""ConfigMaps as bytes by key, and back."""

import base64
from typing import Any

import pytest

from controller.api.findings import Subject
from controller.operator.packing import (
    CDS_KEY,
    CONTENT_ANNOTATION,
    PARTS_ANNOTATION,
    PROCESSOR_KEY,
    RDS_KEY,
    REVISION_ANNOTATION,
    config_map,
    envoy_parts,
    holds,
    is_current,
    is_ours,
    marks_of,
    maybe_revision,
    noted_revision,
    recovered,
    size_of,
    values_of,
)
from extproc.config.loader import dump, pack
from extproc.config.schema import Config


def processor(data: bytes) -> dict[str, Any]:
    """The processor's ConfigMap with this file."""
    return config_map("p", "gw", {PROCESSOR_KEY: data}, 3, None)


@pytest.mark.parametrize("value", [b"", b"text", "größer".encode(), b"\x1f\x8b\x00\xff"])
def test_values_come_back_as_they_were(value: bytes) -> None:
    """Text or not."""
    made = config_map("p", "gw", {"a": value, "b": b"b"}, 3, None)

    assert values_of(made) == {"a": value, "b": b"b"}
    assert holds(made, {"a": value})
    assert not holds(made, {"a": b"other"})
    assert size_of(values_of(made)) == len(value) + 1


def test_a_body_for_server_side_apply_is_whole() -> None:
    """Both forms of data stand there, so that what moves from one to the other leaves the first."""
    made = config_map("p", "gw", {"a": b"a"}, 3, "17")

    assert (made["apiVersion"], made["kind"], made["data"], made["binaryData"]) == ("v1", "ConfigMap", {"a": "a"}, {})
    assert made["metadata"]["resourceVersion"] == "17"
    assert made["metadata"]["annotations"].keys() == {REVISION_ANNOTATION, CONTENT_ANNOTATION}
    assert made["metadata"]["annotations"][REVISION_ANNOTATION] == "3"
    assert "resourceVersion" not in config_map("p", "gw", {}, 3, None)["metadata"]


def test_nothing_holds_nothing() -> None:
    """A ConfigMap that is not there has no values, no revision and no parts."""
    assert values_of(None) == {}
    assert envoy_parts(None) == {}
    assert maybe_revision(None) is None
    assert noted_revision(None) == 0
    assert not holds(None, {"a": b""})


@pytest.mark.parametrize(
    ("data", "revision"),
    [
        (dump(Config(revision=41)), 41),
        (pack(dump(Config(revision=41))), 41),
        (b"version: 1\nrevision: 9\n", 9),
        (b"{}", 0),
        (b"revision: many", None),
        (b'{"revision":-1}', None),
        (b'{"revision":true}', None),
        (b"[1]", None),
        (b"", None),
        (b"\x1f\x8bcut", None),
    ],
)
def test_the_revision_of_a_file(data: bytes, revision: int | None) -> None:
    """As extproc would read it; None when there is none to go on from."""
    assert maybe_revision(processor(data)) == revision


@pytest.mark.parametrize(
    ("note", "revision"), [("41", 41), ("0", 0), ("-1", 0), ("x", 0), ("", 0), ("9" * 30, 0), ("9" * 5000, 0), ("²", 0)]
)
def test_the_revision_in_the_annotation(note: str, revision: int) -> None:
    """A number that can still be raised, or none."""
    assert noted_revision({"metadata": {"annotations": {REVISION_ANNOTATION: note}}}) == revision


@pytest.mark.parametrize("metadata", [{}, {"annotations": None}, {"annotations": {}}])
def test_no_annotation_is_no_revision(metadata: dict[str, Any]) -> None:
    """Somebody may have removed it."""
    assert noted_revision({"metadata": metadata}) == 0


def test_damaged_binary_data_is_left_out() -> None:
    """The API server would not take it; a file of ours that holds it shall not stop us."""
    damaged = {"binaryData": {"a": "!", "b": base64.b64encode(b"b").decode()}}

    assert values_of(damaged) == {"b": b"b"}


def test_our_values_are_told_from_others() -> None:
    """By a digest that is noted beside them; keys that somebody adds are theirs."""
    made = processor(b"ours")

    assert is_ours(made)
    assert is_ours({**made, "data": {**made["data"], "note.txt": "theirs"}})
    assert not is_ours({**made, "data": {PROCESSOR_KEY: "theirs"}})
    assert not is_ours({**made, "metadata": {}})
    assert not is_ours(None)


@pytest.mark.parametrize("document", ["[" * 100_000, "[]", "1", '{"resources":[{"virtual_hosts":[{"routes":5}]}]}'])
def test_an_envoy_file_that_is_not_ours_has_no_parts(document: str) -> None:
    """Whatever is in it: it is not even read."""
    assert envoy_parts({"data": {RDS_KEY: document, CDS_KEY: document}}) == {}


PARTS = {Subject("LLMRoute", "a", f"r{i}"): f"part-{i}" for i in range(3)}


def test_what_is_in_force_is_known_from_the_maps() -> None:
    """Each object by the digest of its part; one that is another now is not."""
    marks = marks_of(PARTS)
    held = config_map("p", "gw", {PROCESSOR_KEY: b"x"}, 3, None, marks)
    envoy = config_map("e", "gw", {RDS_KEY: b"x"}, 3, None)
    changed = {subject: part if subject.name != "r1" else "new" for subject, part in PARTS.items()}

    assert recovered(held, envoy, PARTS) == PARTS
    assert {subject.name for subject in recovered(held, envoy, changed)} == {"r0", "r2"}
    assert marks_of(dict(reversed(PARTS.items()))) == marks


@pytest.mark.parametrize("marks", ["", "!", "AAAA", "ü"])
def test_marks_that_cannot_be_read_say_nothing(marks: str) -> None:
    """Nothing is then known to be in force, as when somebody has edited either map."""
    envoy, good = config_map("e", "gw", {RDS_KEY: b"x"}, 3, None), marks_of(PARTS)
    held = config_map("p", "gw", {PROCESSOR_KEY: b"x"}, 3, None, good)
    held["metadata"]["annotations"][PARTS_ANNOTATION] = marks

    assert recovered(held, envoy, PARTS) == {}
    whole = config_map("p", "gw", {PROCESSOR_KEY: b"x"}, 3, None, good)
    assert recovered({**whole, "data": {PROCESSOR_KEY: "theirs"}}, envoy, PARTS) == {}
    assert recovered(whole, {**envoy, "data": {RDS_KEY: "theirs"}}, PARTS) == {}
    assert recovered(whole, None, PARTS) == {}


def test_marks_of_very_many_objects_are_left_out() -> None:
    """All annotations of an object have 256 KiB together."""
    assert 0 < len(marks_of({Subject("LLMRoute", "a", f"r{i}"): "p" for i in range(20_000)})) < 200_001
    assert marks_of({Subject("LLMRoute", "a", f"r{i}"): "p" for i in range(30_000)}) == ""


def test_a_map_is_current_with_its_notes() -> None:
    """One that lost them is to be written, or the next leader would not know it again."""
    values, marks = {PROCESSOR_KEY: b"x"}, marks_of(PARTS)
    made = config_map("p", "gw", values, 3, None, marks)

    assert is_current(made, values, marks)
    assert is_current(
        {**made, "metadata": {"annotations": {**made["metadata"]["annotations"], "x": "y"}}}, values, marks
    )
    assert not is_current(made, values, marks_of({}) or "other")
    assert not is_current({**made, "metadata": {}}, values, marks)
    assert not is_current(made, {PROCESSOR_KEY: b"y"}, marks)
