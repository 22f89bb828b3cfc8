"""Manifests: objects from text, with places."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.api import Finding, Subject
from controller.standalone.faults import Unreadable
from controller.standalone.manifests import Manifests, files_of, read_manifests

ROUTE = """\
# a comment
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata:
  name: chat
spec:
  rules:
  - backendRefs:
    - name: openai
      weight: 1
"""
BACKEND = """\
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata:
  name: openai
  namespace: team
"""


def read(*texts: str) -> Manifests:
    content = {f"f{i}.yaml": text.encode() for i, text in enumerate(texts)}
    return read_manifests(list(content), content.__getitem__)


def notes(manifests: Manifests) -> list[str]:
    return [str(note) for note in manifests.notes]


def test_documents_of_several_files_are_read_in_order() -> None:
    """Every document of every file gives its object."""
    manifests = read(f"{ROUTE}---\n{BACKEND}", "", "# nothing\n---\n---\n")

    assert [value["kind"] for value in manifests.objects] == ["LLMRoute", "LLMBackend"]
    assert notes(manifests) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("spec.rules[0].backendRefs[0].weight", 11),
        ("spec.rules[0].backendRefs[0].modelNameOverride", 10),
        ("spec.rules[0].matches[2].headers", 9),
        ("spec", 7),
        ("nothing.like[2].it", 3),
        ("", 3),
    ],
)
def test_findings_are_placed_at_their_line(path: str, line: int) -> None:
    """A finding points at its field, or at the nearest thing around a field that is not there."""
    manifests = read(f"---\n{ROUTE}")
    note = manifests.note(Finding(Subject("LLMRoute", "default", "chat"), path, "is wrong"))

    assert str(note) == f"f0.yaml:{line}: error: {path}{': ' if path else ''}is wrong"


def test_items_of_a_list_are_objects_with_places_of_their_own() -> None:
    """``kubectl get -o yaml`` output is read item by item."""
    text = (
        "kind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n"
        "- apiVersion: v1\n  kind: Secret\n  metadata:\n    name: b\n- 7\n"
    )
    manifests = read(text)

    assert [value["metadata"]["name"] for value in manifests.objects] == ["a", "b"]
    assert manifests.note(Finding(Subject("Secret", "default", "b"), "metadata.name", "no")).line == 7
    assert notes(manifests) == ["f0.yaml:8: error: items[2]: must be an object"]


def test_json_is_read_as_well() -> None:
    """A JSON manifest is YAML's flow style."""
    manifests = read('{"apiVersion": "v1",\n "kind": "Secret",\n "metadata": {"name": "s"}}')

    assert manifests.objects == [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]


def test_a_broken_document_does_not_hide_the_others() -> None:
    """A syntax error is placed, and the documents around it are read."""
    manifests = read(f"{ROUTE}---\nkind: [\n---\n{BACKEND}")

    assert [value["kind"] for value in manifests.objects] == ["LLMRoute", "LLMBackend"]
    assert len(manifests.notes) == 1
    assert notes(manifests)[0].startswith("f0.yaml:1")
    assert "not valid YAML" in notes(manifests)[0]


def test_a_key_that_stands_twice_is_an_error_at_its_second_place() -> None:
    """YAML's last one wins would lose configuration in silence."""
    manifests = read(f"{BACKEND}  name: again\n")

    assert notes(manifests) == ["f0.yaml:6: error: metadata.name: appears twice, first in line 4; keep one"]


def test_the_first_of_two_objects_with_one_name_counts() -> None:
    """A second object is left out, with a warning that says where the first one is."""
    manifests = read(BACKEND, f"---\n{BACKEND}spec: 1\n")

    assert len(manifests.objects) == 1
    assert "spec" not in manifests.objects[0]
    assert notes(manifests) == [
        "f1.yaml:5: warning: metadata.name: LLMBackend team/openai is already in f0.yaml:1; the first one counts"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1\n", ["f0.yaml:1: error: a manifest must be a mapping with apiVersion and kind"]),
        ("kind: LLMRoute\nmetadata: {name: x}\n", ["f0.yaml:1: error: apiVersion: every manifest needs apiVersion"]),
        (
            "apiVersion: v1\nkind: Secret\nmetadata:\n  n: x\n",
            ["f0.yaml:3: error: metadata.name: every manifest needs metadata.name"],
        ),
    ],
)
def test_what_is_no_object_is_an_error(text: str, expected: list[str]) -> None:
    """Documents that name no object are refused where they stand."""
    manifests = read(text)

    assert notes(manifests) == expected
    assert manifests.objects == []


def test_dates_and_words_stay_text() -> None:
    """Values mean what JSON would mean: a timestamp is text and so is ``no``."""
    manifests = read(f"{BACKEND}  creationTimestamp: 2026-01-01T00:00:00Z\n  labels: {{a: no}}\n")
    metadata: Any = manifests.objects[0]["metadata"]

    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["labels"] == {"a": "no"}


def test_directories_stand_for_the_manifests_in_them(tmp_path: Path) -> None:
    """A directory gives its YAML and JSON files in order; other files are left alone."""
    for name in ("b.yaml", "a.yml", "c.json", "readme.md"):
        (tmp_path / name).write_text("")

    assert files_of([str(tmp_path), "-", str(tmp_path / "b.yaml")]) == [
        *(str(tmp_path / name) for name in ("a.yml", "b.yaml", "c.json")),
        "-",
    ]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing files, empty directories and bytes that are no text are errors that name the path."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"a: b\nc: \xe4")

    with pytest.raises(Unreadable, match="nowhere: no such file"):
        files_of([str(tmp_path / "nowhere")])
    with pytest.raises(Unreadable, match="File name too long"):
        files_of(["x" * 5000])
    with pytest.raises(Unreadable, match=r"empty: no \.yaml"):
        files_of([str(tmp_path / "empty")])
    with pytest.raises(Unreadable, match=r"latin\.yaml:2: not UTF-8"):
        read_manifests([str(tmp_path / "latin.yaml")])
    with pytest.raises(Unreadable, match="gone: No such file"):
        read_manifests([str(tmp_path / "gone")])


@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,?\n .\t~<0"), max_size=60))
@example("--- a: b\n...\n--- {kind: List, items: [1]}")
@example("\ufeff---\n")
def test_no_text_makes_the_reader_fail(text: str) -> None:
    """Whatever the text, the answer is objects and notes with a line in the file."""
    manifests = read(text)

    assert all(1 <= note.line <= text.count("\n") + 1 for note in manifests.notes)
