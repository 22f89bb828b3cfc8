"""Parsing: exact paths, plain words, near misses."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api import InvalidResource, parse_backend, parse_route
from controller.api.durations import in_seconds, milliseconds
from controller.api.shape import DURATION_PATTERN
from tests.support.api_objects import backend, route, rule

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _refusals(obj: dict[str, Any]) -> list[str]:
    parse = parse_route if obj.get("kind") == "LLMRoute" else parse_backend
    with pytest.raises(InvalidResource) as refusal:
        parse(obj)
    return [str(finding) for finding in refusal.value.findings]


def test_every_fault_is_reported_at_once() -> None:
    """One pass over a broken object names all its fields, as YAML spells them."""
    broken = route(
        {"backendRefs": [{"name": "a", "weight": -1}, {"nme": "b"}], "timeouts": {"request": "5 seconds"}},
        {"matches": [{"headers": [{"name": "x", "value": 5}]}], "backend_refs": []},
        hostnames=["ok.example.com", "http://no"],
    )

    assert _refusals(broken) == [
        "spec.hostnames[1]: must be a lower-case host name such as llm.example.com or *.example.com, nothing around it",
        "spec.rules[0].backendRefs[0].weight: must be at least 0, not -1",
        "spec.rules[0].backendRefs[1].name: is required",
        'spec.rules[0].backendRefs[1].nme: unknown field; did you mean "name"?',
        "spec.rules[0].timeouts.request: must be a duration such as 30s, 2m or 1h30m",
        "spec.rules[1].matches[0].headers[0].value: must be a string, not 5; put it in quotes",
        'spec.rules[1].backend_refs: unknown field; did you mean "backendRefs"?',
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": None}, "spec: must be an object, not null"),
        ({"spec": []}, "spec: must be an object, not a list"),
        ({"kind": "LLMBackends"}, 'kind: must be "LLMBackend", not "LLMBackends"'),
        ({"apiVersion": "v1"}, 'apiVersion: must be "aigateway.envoyproxy.io/v1alpha1", not "v1"'),
        ({"metadata": {}}, "metadata.name: is required"),
        ({"metadata": {"name": "A"}}, "metadata.name: must be lower-case letters"),
        ({"metadata": {"name": "a", "namespace": "a.b"}}, "metadata.namespace: must be lower-case letters"),
        ({"data": {}}, "data: unknown field; did you mean"),
        ({"zzz": {}}, "zzz: unknown field; known here are apiVersion, kind, metadata, spec, status"),
    ],
)
def test_the_frame_of_an_object_is_checked(change: dict[str, Any], message: str) -> None:
    """Group, kind, metadata and what else stands at the top."""
    assert _refusals({**backend(), **change})[0].startswith(message)


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    """A URL with a password in it, where a host was due, does not end up in a status."""
    refusals = _refusals(backend(endpoint={"hostname": "https://user:marker@api.example.com"}))

    assert len(refusals) == 1
    assert "marker" not in refusals[0]


def test_defaults_are_those_of_the_api_server() -> None:
    """What a manifest leaves out is filled in."""
    parsed = parse_route(route(rule("gpt", "openai")))

    assert parsed.spec.rules[0].backend_refs[0].weight == 1
    assert parsed.spec.rules[0].matches[0].headers[0].type == "Exact"
    assert parse_backend(backend()).spec.endpoint is not None


@pytest.mark.parametrize(
    ("endpoint", "tls"),
    [
        ({}, True),
        ({"port": 443}, True),
        ({"port": 8443}, False),
        ({"port": 8443, "tls": {}}, True),
        ({"port": 443, "tls": {"enabled": False}}, False),
        ({"port": 80, "tls": {"enabled": True}}, True),
        ({"port": 443, "tls": None}, True),
    ],
)
def test_tls_goes_by_the_port_unless_it_is_said(endpoint: dict[str, Any], *, tls: bool) -> None:
    """Nothing said: on for 443; an empty object: on; ``enabled`` decides."""
    parsed = parse_backend(backend(endpoint={"hostname": "a.example.com", **endpoint})).spec.endpoint

    assert parsed is not None
    assert parsed.uses_tls is tls


@pytest.mark.parametrize(
    "stamp",
    ["2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC), datetime.fromisoformat("2026-01-01T00:00:00")],
)
def test_a_creation_time_is_read_from_text_and_from_yaml(stamp: object) -> None:
    """YAML turns an unquoted time into one of its own, with or without a zone."""
    obj = backend()
    obj["metadata"]["creationTimestamp"] = stamp

    assert parse_backend(obj).metadata.created == 1767225600


@settings(deadline=None)
@given(JSON)
def test_any_spec_is_taken_or_refused(spec: Any) -> None:
    """Nothing that YAML can hold makes the parser fail in another way."""
    for obj, parse in ((route(), parse_route), (backend(), parse_backend)):
        with suppress(InvalidResource):
            parse({**obj, "spec": spec})


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_duration_in_seconds_says_the_same(count: int) -> None:
    """What is written for Envoy is as long as what was read."""
    text = in_seconds(count)

    assert round(float(text.removesuffix("s")) * 1000) == count


@settings(deadline=None)
@given(st.from_regex(DURATION_PATTERN, fullmatch=True))
def test_every_allowed_duration_can_be_read(duration: str) -> None:
    """The pattern of the schema and the reader agree; order and repetition of units do not matter."""
    assert milliseconds(duration) == sum(map(milliseconds, _units(duration)))


def _units(duration: str) -> list[str]:
    parts: list[str] = []
    for char in duration:
        if parts and (char.isalpha() or not parts[-1][-1].isalpha()):
            parts[-1] += char
        else:
            parts.append(char)
    return parts


@pytest.mark.parametrize(("text", "count"), [("1h30m", 5_400_000), ("250ms", 250), ("0s", 0), ("1s500ms", 1500)])
def test_durations(text: str, count: int) -> None:
    """Some that people write."""
    assert milliseconds(text) == count
    with pytest.raises(ValueError, match="not a Gateway API duration"):
        milliseconds(text + "!")
