"""What is wrong with a conversation, named by its path."""

from typing import Any

import pytest

from tests.support.openai_chat import USER, body, call, refusal

TOOL = {"role": "tool", "tool_call_id": "c1", "content": "x"}


def user(part: object) -> list[object]:
    """A conversation of one user message with one part."""
    return [{"role": "user", "content": [part]}]


def image(url: object, **more: object) -> list[object]:
    """A conversation of one image."""
    return user({"type": "image_url", "image_url": {"url": url, **more}})


def assistant(**members: object) -> list[object]:
    """A conversation whose second message is the assistant's."""
    return [USER, {"role": "assistant", **members}]


IMAGE_URL = "messages[0].content[0].image_url.url"
FILE_DATA = "messages[0].content[0].file.file_data"
AUDIO_DATA = "messages[0].content[0].input_audio.data"

SHAPES: dict[str, tuple[list[Any], str, str]] = {
    "no object": (["hi"], "messages[0]", "expected an object, got a string"),
    "second no object": ([USER, None], "messages[1]", "expected an object, got null"),
    "no role": ([{"content": "x"}], "messages[0].role", "required"),
    "role of a number": ([{"role": 1}], "messages[0].role", "expected a string"),
    "unknown role": ([{"role": "bot", "content": "x"}], "messages[0].role", "unknown value 'bot'"),
    "no content": ([{"role": "user"}], "messages[0].content", "required"),
    "null content": ([{"role": "user", "content": None}], "messages[0].content", "required"),
    "null system": ([{"role": "system", "content": None}], "messages[0].content", "required"),
    "content object": ([{"role": "user", "content": {}}], "messages[0].content", "a string or an array"),
    "content number": (assistant(content=1), "messages[1].content", "a string or an array"),
    "part no object": (user("x"), "messages[0].content[0]", "expected an object"),
    "part without type": (user({"text": "x"}), "messages[0].content[0].type", "required"),
    "part type number": (user({"type": 1}), "messages[0].content[0].type", "expected a string"),
    "unknown part": (user({"type": "video_url"}), "messages[0].content[0].type", "'video_url'; expected one of file"),
    "no text": (user({"type": "text"}), "messages[0].content[0].text", "required"),
    "text number": (user({"type": "text", "text": 1}), "messages[0].content[0].text", "expected a string"),
    "image in system": (
        [{"role": "system", "content": [{"type": "image_url"}]}],
        "messages[0].content[0].type",
        "expected one of text",
    ),
    "refusal of a user": (user({"type": "refusal", "refusal": "x"}), "messages[0].content[0].type", "'refusal'"),
    "image in assistant": (
        assistant(content=[{"type": "image_url"}]),
        "messages[1].content[0].type",
        "expected one of refusal, text",
    ),
    "refusal number": (assistant(refusal=1), "messages[1].refusal", "expected a string"),
    "image_url a string": (
        user({"type": "image_url", "image_url": "https://h/a"}),
        "messages[0].content[0].image_url",
        "expected an object",
    ),
    "no image_url": (user({"type": "image_url"}), "messages[0].content[0].image_url", "required"),
    "no url": (image(None), IMAGE_URL, "required"),
    "empty url": (image(""), IMAGE_URL, "empty"),
    "url number": (image(1), IMAGE_URL, "expected a string"),
    "relative url": (image("a/b.png"), IMAGE_URL, "neither an URL"),
    "url with a space": (image("https://h/a b"), IMAGE_URL, "neither an URL"),
    "unknown detail": (image("https://h/a", detail="best"), "messages[0].content[0].image_url.detail", "'best'"),
    "data without base64": (image("data:image/png,AAAA"), IMAGE_URL, "not a data URI"),
    "data without type": (image("data:;base64,AAAA"), IMAGE_URL, "not a data URI"),
    "data with half a type": (image("data:png;base64,AAAA"), IMAGE_URL, "not a data URI"),
    "data without comma": (image("data:image/png;base64"), IMAGE_URL, "not a data URI"),
    "endless head": (image("data:image/png;" + "x" * 600 + ";base64,AAAA"), IMAGE_URL, "not a data URI"),
    "no image type": (image("data:text/plain;base64,AAAA"), IMAGE_URL, "not an image type"),
    "empty data": (image("data:image/png;base64,"), IMAGE_URL, "empty"),
    "wrong alphabet": (image("data:image/png;base64,AAAA-_AA"), IMAGE_URL, "offset 4"),
    "line break": (image("data:image/png;base64,AAAA\nAAAA"), IMAGE_URL, "offset 4"),
    "no padding": (image("data:image/png;base64,AAA"), IMAGE_URL, "multiple of 4"),
    "too much padding": (image("data:image/png;base64,A==="), IMAGE_URL, "offset 1"),
    "padding inside": (image("data:image/png;base64,AA==AA=="), IMAGE_URL, "offset 2"),
    "extra padding": (image("data:image/png;base64,AAAA="), IMAGE_URL, "multiple of 4"),
    "no audio": (user({"type": "input_audio"}), "messages[0].content[0].input_audio", "required"),
    "audio data": (
        user({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}),
        AUDIO_DATA,
        "not base64",
    ),
    "audio format": (
        user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "ogg"}}),
        "messages[0].content[0].input_audio.format",
        "expected one of mp3, wav",
    ),
    "empty file": (user({"type": "file", "file": {}}), "messages[0].content[0].file", "exactly one"),
    "two files": (
        user({"type": "file", "file": {"file_id": "f", "file_data": "data:a/b;base64,AAAA"}}),
        "messages[0].content[0].file",
        "exactly one",
    ),
    "empty file id": (user({"type": "file", "file": {"file_id": ""}}), "messages[0].content[0].file.file_id", "empty"),
    "bare file data": (user({"type": "file", "file": {"file_data": "AAAA"}}), FILE_DATA, "not a data URI"),
    "cut file data": (
        user({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAAA"}}),
        FILE_DATA,
        "multiple of 4",
    ),
    "cache type": (
        user({"type": "text", "text": "x", "cache_control": {"type": "forever"}}),
        "messages[0].content[0].cache_control.type",
        "'forever'",
    ),
    "cache no object": (
        user({"type": "text", "text": "x", "cache_control": True}),
        "messages[0].content[0].cache_control",
        "expected an object",
    ),
    "cache ttl": (
        user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": 5}}),
        "messages[0].content[0].cache_control.ttl",
        "expected a string",
    ),
    "breakpoint mode": (
        user({"type": "text", "text": "x", "prompt_cache_breakpoint": {}}),
        "messages[0].content[0].prompt_cache_breakpoint.mode",
        "required",
    ),
}

CALLS: dict[str, tuple[list[Any], str, str]] = {
    "calls no array": (assistant(tool_calls={}), "messages[1].tool_calls", "array of objects"),
    "call no object": (assistant(tool_calls=["f"]), "messages[1].tool_calls[0]", "expected an object"),
    "no id": (assistant(tool_calls=[{**call(), "id": None}]), "messages[1].tool_calls[0].id", "required"),
    "empty id": (assistant(tool_calls=[call("")]), "messages[1].tool_calls[0].id", "empty"),
    "id twice": (assistant(tool_calls=[call(), call()]), "messages[1].tool_calls[1].id", "unique"),
    "no type": (assistant(tool_calls=[{**call(), "type": None}]), "messages[1].tool_calls[0].type", "required"),
    "other type": (assistant(tool_calls=[{**call(), "type": "x"}]), "messages[1].tool_calls[0].type", "'x'"),
    "no function": (
        assistant(tool_calls=[{"id": "c", "type": "function"}]),
        "messages[1].tool_calls[0].function",
        "required",
    ),
    "no name": (assistant(tool_calls=[call(name="")]), "messages[1].tool_calls[0].function.name", "empty"),
    "no arguments": (
        assistant(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f"}}]),
        "messages[1].tool_calls[0].function.arguments",
        "required",
    ),
    "arguments an object": (
        assistant(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": {}}}]),
        "messages[1].tool_calls[0].function.arguments",
        "expected a string, got an object",
    ),
    "arguments an array": (
        assistant(tool_calls=[call(arguments="[]")]),
        "messages[1].tool_calls[0].function.arguments",
        "must be an object",
    ),
    "arguments broken": (
        assistant(tool_calls=[call("c1"), call("c2", arguments='{"a":')]),
        "messages[1].tool_calls[1].function.arguments",
        "not valid JSON",
    ),
    "arguments two values": (
        assistant(tool_calls=[call(arguments="{}{}")]),
        "messages[1].tool_calls[0].function.arguments",
        "not valid JSON",
    ),
    "no call id": ([USER, {"role": "tool", "content": "x"}], "messages[1].tool_call_id", "required"),
    "result without call": ([USER, TOOL], "messages[1].tool_call_id", "none is open"),
    "result of another call": (
        [*assistant(tool_calls=[call("c2"), call("c3")]), TOOL],
        "messages[2].tool_call_id",
        "still open: 'c2', 'c3'",
    ),
    "result twice": (
        [*assistant(tool_calls=[call("c1"), call("c2")]), TOOL, TOOL],
        "messages[3].tool_call_id",
        "an earlier message has answered",
    ),
    "late result": ([*assistant(tool_calls=[call()]), TOOL, USER, TOOL], "messages[4].tool_call_id", "answers a call"),
    "result without content": (
        [*assistant(tool_calls=[call()]), {"role": "tool", "tool_call_id": "c1"}],
        "messages[2].content",
        "required",
    ),
    "result with an image": (
        [*assistant(tool_calls=[call()]), {"role": "tool", "tool_call_id": "c1", "content": [{"type": "image_url"}]}],
        "messages[2].content[0].type",
        "expected one of text",
    ),
    "call never answered": (assistant(tool_calls=[call()]), "messages[1].tool_calls[0]", "still open: 'c1'"),
    "call not answered in time": (
        [*assistant(tool_calls=[call("c1"), call("c2")]), TOOL, USER],
        "messages[1].tool_calls[1]",
        "still open: 'c2'",
    ),
    "system between": (
        [*assistant(tool_calls=[call()]), {"role": "system", "content": "x"}, TOOL],
        "messages[1].tool_calls[0]",
        "still open",
    ),
    "many open": (
        assistant(tool_calls=[call(f"c{i}") for i in range(7)]),
        "messages[1].tool_calls[0]",
        "'c4', ...",
    ),
    "both forms": (
        assistant(tool_calls=[call()], function_call={"name": "f", "arguments": ""}),
        "messages[1].function_call",
        "cannot stand beside tool_calls",
    ),
    "function_call no object": (assistant(function_call="f"), "messages[1].function_call", "expected an object"),
    "function_call arguments": (
        assistant(function_call={"name": "f", "arguments": "x"}),
        "messages[1].function_call.arguments",
        "not valid JSON",
    ),
    "function without call": (
        [USER, {"role": "function", "name": "f", "content": "x"}],
        "messages[1].name",
        "answers no function_call",
    ),
    "function of another name": (
        [*assistant(function_call={"name": "f", "arguments": ""}), {"role": "function", "name": "g", "content": "x"}],
        "messages[2].name",
        "answers no function_call",
    ),
    "function never answered": (
        assistant(function_call={"name": "f", "arguments": ""}),
        "messages[1].function_call",
        "still open: 'fc_1'",
    ),
}


@pytest.mark.parametrize(("messages", "param", "says"), SHAPES.values(), ids=SHAPES.keys())
def test_wrong_shapes(messages: list[Any], param: str, says: str) -> None:
    """A wrong role, part or source is a 400 whose param is its path and whose message says what is wrong."""
    error = refusal(body(messages=messages))

    assert (400, param) == (error.status, error.param)
    assert error.message.startswith(f"{param}: ")
    assert says in error.message


@pytest.mark.parametrize(("messages", "param", "says"), CALLS.values(), ids=CALLS.keys())
def test_wrong_calls(messages: list[Any], param: str, says: str) -> None:
    """A wrong call, or a hole in the pairing of calls and results, is a 400 that names the path."""
    error = refusal(body(messages=messages))

    assert (400, param) == (error.status, error.param)
    assert says in error.message


def test_a_bad_last_character_is_found_in_a_large_image() -> None:
    """Every character of inline data is checked, and none of it is repeated."""
    error = refusal(body(messages=image("data:image/png;base64," + "A" * 4_000_003 + "!")))

    assert "offset 4000003" in error.message
    assert "AAAA" not in error.message
