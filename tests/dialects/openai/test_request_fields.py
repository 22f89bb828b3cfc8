"""Top-level fields, one by one: what each becomes, and what refuses it."""

from typing import Any

import pytest

from extproc.conversation.request import Extra, Reasoning, Request, Sampling, Text, Turn
from tests.support.openai_chat import OPTIONAL_FIELDS, body, extra_of, read, refusal


def test_smallest_request() -> None:
    """A model and one message give a request in which everything else is absent."""
    expected = Request(
        model="m", turns=(Turn("user", (Text("hi", "messages[0].content"),), "messages[0]"),), max_output_tokens=None
    )

    assert expected == read()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", 2),
        ("top_p", 0.5),
        ("top_k", 40),
        ("seed", -7),
        ("frequency_penalty", -2),
        ("presence_penalty", 1.5),
        ("logit_bias", {"50256": -100, "7": 3.5}),
        ("n", 3),
        ("logprobs", True),
        ("top_logprobs", 0),
    ],
)
def test_sampling(field: str, value: Any) -> None:
    """Each sampling knob is kept as written, alone."""
    assert Sampling(**{field: value}) == read(**{field: value}).sampling


def test_big_integers_are_exact() -> None:
    """A seed beyond 64 bits keeps all its digits."""
    assert read(seed=2**80 + 1).sampling.seed == 2**80 + 1


@pytest.mark.parametrize("field", [*OPTIONAL_FIELDS, "something_new"])
def test_null_is_absent(field: str) -> None:
    """A field of null is as if it were not there, known or not."""
    assert read() == read(**{field: None})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, (5, "max_tokens")),
        ({"max_completion_tokens": 6}, (6, "max_completion_tokens")),
        ({"max_tokens": 5, "max_completion_tokens": 6}, (6, "max_completion_tokens")),
    ],
)
def test_output_limit(fields: dict[str, int], expected: tuple[int, str]) -> None:
    """max_completion_tokens beats max_tokens, and the path says which one counted."""
    request = read(**fields)

    assert expected == (request.max_output_tokens, request.max_output_tokens_path)


@pytest.mark.parametrize(("deprecated", "harmless"), [(6, True), (5, False)])
def test_the_beaten_limit_is_listed(deprecated: int, *, harmless: bool) -> None:
    """A max_tokens that says something else than max_completion_tokens is listed."""
    request = read(max_tokens=deprecated, max_completion_tokens=6)

    assert Extra("max_tokens", deprecated, harmless=harmless) == extra_of(request, "max_tokens")


@pytest.mark.parametrize(("value", "expected"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ()), (" ", (" ",))])
def test_stop(value: object, expected: tuple[str, ...]) -> None:
    """Stop is a string or an array of them; white space is a sequence like any other."""
    assert expected == read(stop=value).stop


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "xhigh"}, Reasoning("xhigh")),
        ({"reasoning_effort": "none"}, Reasoning("none")),
        ({"thinking": {"type": "adaptive"}}, Reasoning(mode="adaptive", path="thinking")),
        ({"thinking": {"type": "disabled"}}, Reasoning(mode="disabled", path="thinking")),
        ({"thinking": {"type": "between_tools"}}, Reasoning(mode="between_tools", path="thinking")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}, "reasoning_effort": "low"},
            Reasoning("low", "enabled", 2048, "omitted", path="thinking"),
        ),
    ],
)
def test_reasoning(fields: dict[str, Any], expected: Reasoning) -> None:
    """Effort words and the thinking object are kept beside each other."""
    assert expected == read(**fields).reasoning


@pytest.mark.parametrize(
    ("fields", "stream", "include_usage"),
    [
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": False, "stream_options": {"include_usage": True}}, False, False),
    ],
)
def test_streaming(fields: dict[str, Any], *, stream: bool, include_usage: bool) -> None:
    """Usage is asked for only inside a stream."""
    request = read(**fields)

    assert (stream, include_usage) == (request.stream, request.include_usage)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s"}, "s"),
        ({"user": "u", "safety_identifier": "s"}, "u"),
    ],
)
def test_user(fields: dict[str, Any], expected: str) -> None:
    """The user is the user field, else the safety identifier."""
    assert expected == read(**fields).user


def test_the_second_name_of_a_user_is_listed() -> None:
    """A safety identifier beside another user is listed, as it goes nowhere."""
    assert extra_of(read(user="u", safety_identifier="s"), "safety_identifier") == Extra("safety_identifier", "s")


def test_identity_and_tier() -> None:
    """Service tier and metadata are kept as written."""
    request = read(service_tier="flex", metadata={"team": "a", "cost": ""})

    assert (request.service_tier, request.metadata) == ("flex", {"team": "a", "cost": ""})


@pytest.mark.parametrize(
    ("field", "value", "essential", "harmless"),
    [
        ("audio", {"format": "wav", "voice": "coral"}, True, False),
        ("web_search_options", {}, True, False),
        ("moderation", {"model": "omni"}, True, False),
        ("modalities", ["text", "audio"], True, False),
        ("modalities", ["text"], False, True),
        ("prediction", {"type": "content", "content": "x"}, False, False),
        ("prompt_cache_key", "k", False, False),
        ("prompt_cache_retention", "24h", False, False),
        ("prompt_cache_options", {"mode": "explicit"}, False, False),
        ("store", True, False, False),
        ("store", False, False, True),
        ("verbosity", "low", False, False),
        ("verbosity", "medium", False, True),
        ("something_new", [1, {"a": 2}], False, False),
        ("presence_penalti", 1, False, False),
    ],
)
def test_fields_without_neutral_form(field: str, value: object, *, essential: bool, harmless: bool) -> None:
    """What has no neutral form is kept whole: essential, listed, or harmless."""
    request = read(**{field: value})

    assert request.extras == (Extra(field, value, essential=essential, harmless=harmless),)


def test_members_of_known_objects_are_listed() -> None:
    """Unknown members inside known objects are listed by their path, null ones are not."""
    request = read(
        stream_options={"include_obfuscation": False, "pace": 2, "gone": None}, thinking={"type": "adaptive", "x": 1}
    )

    assert {(extra.path, extra.harmless) for extra in request.extras} == {
        ("stream_options.include_obfuscation", True),
        ("stream_options.pace", False),
        ("thinking.x", False),
    }


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": 1}, "model", "invalid_type"),
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": {}}, "messages", "invalid_type"),
    ({"messages": "hi"}, "messages", "invalid_type"),
    ({"stream": "true"}, "stream", "invalid_type"),
    ({"stream_options": True}, "stream_options", "invalid_type"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
    ({"stream_options": {"include_obfuscation": "no"}}, "stream_options.include_obfuscation", "invalid_type"),
    ({"temperature": "1"}, "temperature", "invalid_type"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"temperature": 2.01}, "temperature", "invalid_value"),
    ({"temperature": -0.1}, "temperature", "invalid_value"),
    ({"top_p": 1.5}, "top_p", "invalid_value"),
    ({"top_p": [1]}, "top_p", "invalid_type"),
    ({"top_k": 0}, "top_k", "invalid_value"),
    ({"top_k": 1.5}, "top_k", "invalid_type"),
    ({"seed": 1.0}, "seed", "invalid_type"),
    ({"seed": False}, "seed", "invalid_type"),
    ({"frequency_penalty": 3}, "frequency_penalty", "invalid_value"),
    ({"presence_penalty": -2.5}, "presence_penalty", "invalid_value"),
    ({"logit_bias": []}, "logit_bias", "invalid_type"),
    ({"logit_bias": {"5": "high"}}, "logit_bias.5", "invalid_type"),
    ({"logit_bias": {"5": None}}, "logit_bias.5", "invalid_type"),
    ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value"),
    ({"n": 0}, "n", "invalid_value"),
    ({"n": "2"}, "n", "invalid_type"),
    ({"logprobs": 1}, "logprobs", "invalid_type"),
    ({"top_logprobs": -1}, "top_logprobs", "invalid_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": -5}, "max_tokens", "invalid_value"),
    ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
    ({"max_completion_tokens": 1.5}, "max_completion_tokens", "invalid_type"),
    ({"max_completion_tokens": 5, "max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"stop": ""}, "stop", "invalid_value"),
    ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
    ({"stop": ["a", 1]}, "stop[1]", "invalid_type"),
    ({"stop": 1}, "stop", "invalid_type"),
    ({"reasoning_effort": "extreme"}, "reasoning_effort", "invalid_value"),
    ({"reasoning_effort": 1}, "reasoning_effort", "invalid_type"),
    ({"thinking": "on"}, "thinking", "invalid_type"),
    ({"thinking": {}}, "thinking.type", "missing_required_parameter"),
    ({"thinking": {"type": "on"}}, "thinking.type", "invalid_value"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "missing_required_parameter"),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens", "invalid_value"),
    ({"service_tier": 1}, "service_tier", "invalid_type"),
    ({"user": 1}, "user", "invalid_type"),
    ({"safety_identifier": {}}, "safety_identifier", "invalid_type"),
    ({"metadata": "x"}, "metadata", "invalid_type"),
    ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ({"metadata": {"a": None}}, "metadata.a", "missing_required_parameter"),
    ({"audio": "wav"}, "audio", "invalid_type"),
    ({"web_search_options": True}, "web_search_options", "invalid_type"),
    ({"moderation": []}, "moderation", "invalid_type"),
    ({"modalities": "audio"}, "modalities", "invalid_type"),
    ({"modalities": ["text", 1]}, "modalities[1]", "invalid_type"),
    ({"modalities": ["video"]}, "modalities[0]", "invalid_value"),
    ({"prediction": "x"}, "prediction", "invalid_type"),
    ({"prompt_cache_key": 1}, "prompt_cache_key", "invalid_type"),
    ({"store": "yes"}, "store", "invalid_type"),
    ({"verbosity": "loud"}, "verbosity", "invalid_value"),
]


@pytest.mark.parametrize(("fields", "param", "code"), WRONG, ids=[f"{max(f)}-{p}-{c}" for f, p, c in WRONG])
def test_wrong_fields(fields: dict[str, Any], param: str, code: str) -> None:
    """A wrong type or value is a 400 whose param and message name the path."""
    error = refusal(body(**fields))

    assert (400, param, code) == (error.status, error.param, error.code)
    assert error.message.startswith(f"{param}: ")


def test_unknown_words_are_named_only_when_short() -> None:
    """An unknown word is repeated to help, unless it is long enough to be something private."""
    assert "'extreme'; expected one of high, low" in refusal(body(reasoning_effort="extreme")).message
    assert "secret" not in refusal(body(reasoning_effort="secret" * 20)).message


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1234567.891},
        {"stop": ["x", ""], "user": "private-user"},
        {"metadata": {"a": 987654321}},
        {"messages": [{"role": "user", "content": 987654321}]},
    ],
)
def test_values_stay_out_of_messages(fields: dict[str, Any]) -> None:
    """No error repeats a value of the request."""
    message = refusal(body(**fields)).message

    assert all(value not in message for value in ("1234567", "private-user", "987654321"))
