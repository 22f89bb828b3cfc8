"""Secrets whose values stand elsewhere."""

import base64
import json
from pathlib import Path

import pytest

from controller.api import Severity
from controller.standalone.compiled import Compiled, compiled
from controller.standalone.manifests import read_manifests
from controller.standalone.placeholders import files_named, filled_in
from tests.support.api_objects import backend, route, rule

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {{name: openai, namespace: team-a}}\nstringData:\n  apiKey: {}\n"
OBJECTS = "---\n".join(
    f"{json.dumps(value)}\n"
    for value in (route(rule("m", "openai")), backend(auth={"apiKey": {"secretRef": {"name": "openai"}}}))
)


def served(folder: Path, value: str, *, elsewhere: bool = False, **environment: str) -> Compiled:
    file = folder / "gateway.yaml"
    file.write_text(f"{OBJECTS}---\n{SECRET.format(value)}")
    return compiled(read_manifests([str(file)]), environment=environment, elsewhere=elsewhere)


def notes(done: Compiled) -> list[tuple[Severity, str]]:
    return [(note.severity, note.message) for note in done.notes]


@pytest.mark.parametrize("value", ["${THE_KEY}", '"${THE_KEY}"', "|\n    ${THE_KEY}"])
def test_a_variable_gives_the_value(tmp_path: Path, value: str) -> None:
    """However YAML quotes it."""
    done = served(tmp_path, value, THE_KEY="key")

    assert list(done.translation.credentials.values()) == [b"key"]
    assert notes(done) == []


def test_a_file_gives_the_value(tmp_path: Path) -> None:
    """A path is beside the manifest unless it is absolute."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "openai").write_text("key\n")

    for path in ("keys/openai", str(tmp_path / "keys" / "openai")):
        assert list(served(tmp_path, f"${{file:{path}}}").translation.credentials.values()) == [b"key"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("${THE_KEY}", "the environment variable THE_KEY is not set"),
        ("${file:keys/openai}", 'the file "keys/openai" cannot be read (No such file or directory)'),
        ("${file:.}", "cannot be read (Is a directory)"),
        ("${THE-KEY}", "must be the name of a variable, or file: and a path"),
        ("${}", "must be the name of a variable, or file: and a path"),
    ],
)
def test_a_value_that_is_not_there_is_an_error_where_it_is_needed(tmp_path: Path, value: str, reason: str) -> None:
    """To run without it would fail later; to validate what another machine will run is only worth a warning."""
    done = served(tmp_path, value, THE_KEY="")

    [(severity, message)] = [note for note in notes(done) if "is not known" in note[1]]
    assert severity is Severity.ERROR
    assert reason in message
    assert served(tmp_path, value, elsewhere=True).errors == 0
    assert [message in note[1] for note in notes(served(tmp_path, value, elsewhere=True))].count(True) == 1


def test_other_values_mean_what_they_say(tmp_path: Path) -> None:
    """A part of a value is no placeholder, and neither is anything in ``data``."""
    assert list(served(tmp_path, '"a${THE_KEY}"', THE_KEY="key").translation.credentials.values()) == [b"a${THE_KEY}"]
    encoded = base64.b64encode(b"${THE_KEY}").decode()
    text = f"{OBJECTS}---\n{SECRET.format(encoded)}".replace("stringData", "data").encode()
    done = compiled(read_manifests(["-"], lambda _: text), environment={"THE_KEY": "key"})
    assert list(done.translation.credentials.values()) == [b"${THE_KEY}"]


def test_plain_values_beside_a_placeholder_stay(tmp_path: Path) -> None:
    """Each value is looked at by itself, and only in Secrets."""
    file = tmp_path / "a.yaml"
    text = SECRET.format("${A}") + "  other: plain\n  third: ${file:b}\n---\n" + SECRET.format("${B}")
    file.write_text(text.replace("kind: Secret", "kind: ConfigMap", 2).replace("kind: ConfigMap", "kind: Secret", 1))
    (tmp_path / "b").write_bytes(b"\xff")
    manifests = read_manifests([str(file)])
    first, second = filled_in(manifests, {"A": "a"}).objects

    assert first["stringData"] == {"other": "plain"}
    assert first["data"] == {"apiKey": "YQ==", "third": "/w=="}
    assert second["stringData"] == {"apiKey": "${B}"}
    assert files_named(manifests) == (tmp_path / "b",)


@pytest.mark.parametrize("value", ["*marker", "!marker x", "!!marker x", "&marker x: y: z"])
def test_a_password_that_yaml_takes_for_something_else_is_not_repeated(tmp_path: Path, value: str) -> None:
    """What begins with one of YAML's own signs is an error whose text says nothing of it."""
    done = served(tmp_path, value)

    assert done.errors
    assert not [note for note in done.notes if "marker" in str(note)]
