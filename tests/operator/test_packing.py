"""ConfigMaps as bytes by key, and back."""

import base64
from typing import Any

import pytest

from controller.operator.packing import (
    PROCESSOR_KEY,
    REVISION_ANNOTATION,
    config_map,
    envoy_parts,
    holds,
    maybe_revision,
    noted_revision,
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
    assert made["metadata"]["annotations"] == {REVISION_ANNOTATION: "3"}
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
    ("note", "revision"), [("41", 41), ("0", 0), ("-1", 0), ("x", 0), ("", 0), ("9" * 30, 0), ("²", 0)]
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
