"""Messages: every role and every part, in order, with cache marks."""

import base64
from typing import Any

import pytest

from extproc.conversation.request import Audio, Block, Cache, Document, Extra, Image, Text, ToolCall, ToolResult, Turn
from tests.support.openai_chat import USER, call, chat, extra_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PDF = base64.b64encode(b"%PDF-1.7\n").decode()


def user_block(part: dict[str, Any]) -> Block:
    """What the only part of a user message becomes."""
    [turn] = chat({"role": "user", "content": [part]}).turns
    [block] = turn.blocks
    return block


def test_leading_run_is_the_system() -> None:
    """System and developer messages before all others are the system, one text per message and part."""
    request = chat(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": ""}]},
        USER,
    )

    assert request.system == (
        Text("a", "messages[0].content"),
        Text("b", "messages[1].content[0]"),
        Text("", "messages[1].content[1]"),
    )
    assert [turn.path for turn in request.turns] == ["messages[2]"]


def test_later_system_messages_keep_their_place() -> None:
    """System and developer messages after another one are turns where they stand."""
    request = chat(USER, {"role": "developer", "content": "b"}, {"role": "assistant", "content": "c"}, USER)

    assert request.system == ()
    assert [turn.role for turn in request.turns] == ["user", "system", "assistant", "user"]
    assert request.turns[1] == Turn("system", (Text("b", "messages[1].content"),), "messages[1]")


def test_system_only() -> None:
    """A request of system messages alone has no turns; whether that will do is the target's business."""
    request = chat({"role": "system", "content": "a"})

    assert (len(request.system), request.turns) == (1, ())


def test_user_parts_in_order() -> None:
    """Parts keep their order and carry their own paths."""
    [turn] = chat(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                {"type": "text", "text": "here"},
            ],
        }
    ).turns

    assert turn.blocks == (
        Text("look", "messages[0].content[0]"),
        Image("messages[0].content[1]", media_type="image/png", data=PNG, detail="low"),
        Text("here", "messages[0].content[2]"),
    )


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        (f"data:image/png;base64,{PNG}", "image/png"),
        (f"DATA:Image/JPEG;Base64,{PNG}", "image/jpeg"),
        (f"data:image/svg+xml;charset=utf-8;base64,{PNG}", "image/svg+xml"),
    ],
)
def test_inline_images(url: str, media_type: str) -> None:
    """A data URI gives its media type in lower case, without parameters, and the very data."""
    assert user_block({"type": "image_url", "image_url": {"url": url}}) == Image(
        "messages[0].content[0]", media_type=media_type, data=PNG
    )


@pytest.mark.parametrize("url", ["https://example.com/a.png?x=1", "http://h/a", "s3://bucket/key.png", "gs://b/k"])
def test_remote_images(url: str) -> None:
    """A remote image is kept as its URL and never fetched."""
    expected = Image("messages[0].content[0]", url=url, detail="original")

    assert expected == user_block({"type": "image_url", "image_url": {"url": url, "detail": "original"}})


def test_audio() -> None:
    """Inline audio keeps its format."""
    part = {"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}}

    assert user_block(part) == Audio("messages[0].content[0]", "mp3", PNG)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a b.pdf"},
            Document("messages[0].content[0]", media_type="application/pdf", data=PDF, filename="a b.pdf"),
        ),
        ({"file_id": "file-1"}, Document("messages[0].content[0]", file_id="file-1")),
        ({"file_id": "file-1", "file_data": None}, Document("messages[0].content[0]", file_id="file-1")),
    ],
)
def test_files(source: dict[str, Any], expected: Document) -> None:
    """A file is inline data or an id of its maker."""
    assert expected == user_block({"type": "file", "file": source})


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        ({"content": "a"}, (Text("a", "messages[1].content"),)),
        ({"content": ""}, (Text("", "messages[1].content"),)),
        ({"content": None}, ()),
        ({}, ()),
        ({"content": []}, ()),
        ({"content": None, "tool_calls": None, "function_call": None, "refusal": None, "audio": None}, ()),
        ({"content": None, "tool_calls": []}, ()),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
            (Text("a", "messages[1].content[0]"), Text("no", "messages[1].content[1]", kind="refusal")),
        ),
        ({"content": None, "refusal": "no"}, (Text("no", "messages[1].refusal", kind="refusal"),)),
        (
            {"content": "a", "refusal": "no"},
            (Text("a", "messages[1].content"), Text("no", "messages[1].refusal", kind="refusal")),
        ),
    ],
)
def test_assistant_content(message: dict[str, Any], blocks: tuple[Block, ...]) -> None:
    """Assistant content is a string, parts or nothing; a refusal is a text of its own kind."""
    request = chat(USER, {"role": "assistant", **message}, USER)

    assert request.turns[1] == Turn("assistant", blocks, "messages[1]")


def test_calls_and_results() -> None:
    """Calls follow the text; each answer is a turn of its own, in the order of the messages."""
    request = chat(
        USER,
        {"role": "assistant", "content": "wait", "tool_calls": [call("c1", "f", '{"a":1}'), call("c2", "g", "")]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}]},
    )

    assert request.turns[1].blocks == (
        Text("wait", "messages[1].content"),
        ToolCall("messages[1].tool_calls[0]", "c1", "f", '{"a":1}'),
        ToolCall("messages[1].tool_calls[1]", "c2", "g", "{}"),
    )
    assert request.turns[2:] == (
        Turn(
            "user",
            (ToolResult("messages[2]", "c2", (Text("two", "messages[2].content"),)),),
            "messages[2]",
        ),
        Turn(
            "user",
            (ToolResult("messages[3]", "c1", (Text("one", "messages[3].content[0]"),)),),
            "messages[3]",
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "{}"),
        (" \n", "{}"),
        ("{}", "{}"),
        ('{"id":12345678901234567890,"x":1.0,"y":1E400}', '{"id":12345678901234567890,"x":1.0,"y":1E400}'),
        (' { "b" : 1 , "a" : "é\\u00e9" } ', ' { "b" : 1 , "a" : "é\\u00e9" } '),
    ],
)
def test_arguments_are_verbatim(arguments: str, expected: str) -> None:
    """Arguments keep order, spaces, escapes and number literals; blank ones are an empty object."""
    request = chat(
        USER,
        {"role": "assistant", "tool_calls": [call(arguments=arguments)]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    )

    [made] = request.turns[1].blocks
    assert isinstance(made, ToolCall)
    assert expected == made.arguments


def test_the_same_id_may_come_again_in_a_later_turn() -> None:
    """Ids are paired turn by turn: vendors that count from one in each answer work."""
    calls = {"role": "assistant", "tool_calls": [call("call_0")]}
    answer = {"role": "tool", "tool_call_id": "call_0", "content": "x"}

    assert len(chat(USER, calls, answer, calls, answer).turns) == 5


def test_deprecated_function_messages() -> None:
    """function_call and role function become a call and its result, with an id by position."""
    request = chat(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "done"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": None},
    )

    assert [block for turn in request.turns[1:] for block in turn.blocks] == [
        ToolCall("messages[1].function_call", "fc_1", "f", '{"a":1}'),
        ToolResult("messages[2]", "fc_1", (Text("done", "messages[2].content"),)),
        ToolCall("messages[3].function_call", "fc_3", "f", "{}"),
        ToolResult("messages[4]", "fc_3"),
    ]


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ({"cache_control": {"type": "ephemeral"}}, Cache()),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, Cache("1h")),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, Cache()),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}, Cache("30m")),
        ({"cache_control": None, "prompt_cache_breakpoint": {"mode": "explicit"}}, Cache()),
        ({"cache_control": None}, None),
    ],
)
def test_cache_marks_on_parts(mark: dict[str, Any], expected: Cache | None) -> None:
    """Both spellings of a cache mark are read on every part that can hold one."""
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
        {"type": "file", "file": {"file_id": "f"}},
    ]

    for part in parts:
        block = user_block({**part, **mark})
        assert isinstance(block, Text | Image | Document)
        assert expected == block.cache


def test_cache_marks_on_messages() -> None:
    """A mark on a message is one on its last block; inside a tool message it is the result's."""
    mark = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    request = chat(
        {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], **mark},
        {"role": "user", "content": "c", **mark},
        {"role": "assistant", "content": "d", "tool_calls": [call("c1"), {**call("c2"), **mark}], **mark},
        {"role": "tool", "tool_call_id": "c1", "content": "e", **mark},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "f", **mark}]},
    )

    cached = Cache("5m")
    assert [text.cache for text in request.system] == [None, cached]
    blocks = [block for turn in request.turns for block in turn.blocks]
    assert [getattr(block, "cache", None) for block in blocks] == [cached, None, None, cached, cached, cached]
    results = [block for block in blocks if isinstance(block, ToolResult)]
    assert all(text.cache is None for result in results for text in result.blocks)


def test_a_mark_with_nothing_to_hold_it_is_listed() -> None:
    """A cache mark on an empty message, or on audio, is listed as left out."""
    mark = {"cache_control": {"type": "ephemeral"}}
    audio = {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}, **mark}
    request = chat(USER, {"role": "assistant", "content": None, **mark}, {"role": "user", "content": [audio]})

    assert {extra.path for extra in request.extras} == {
        "messages[1].cache_control",
        "messages[2].content[0].cache_control",
    }


def test_unknown_members_of_messages_are_listed() -> None:
    """Names and unknown members of messages, parts and calls are listed by their path; null ones are not."""
    request = chat(
        {"role": "user", "name": "ann", "gone": None, "content": [{"type": "text", "text": "a", "annotations": [1]}]},
        {"role": "assistant", "name": "bot", "tool_calls": [{**call(), "extra_content": {"google": 1}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "x", "name": "f"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a", "size": 1}}]},
    )

    assert {extra.path for extra in request.extras} == {
        "messages[0].name",
        "messages[0].content[0].annotations",
        "messages[1].name",
        "messages[1].tool_calls[0].extra_content",
        "messages[2].name",
        "messages[3].content[0].image_url.size",
    }
    assert not any(extra.essential or extra.harmless for extra in request.extras)


def test_earlier_audio_is_essential() -> None:
    """An assistant's earlier audio cannot be left out unnoticed."""
    request = chat(USER, {"role": "assistant", "audio": {"id": "audio_1"}}, USER)

    assert extra_of(request, "messages[1].audio") == Extra("messages[1].audio", {"id": "audio_1"}, essential=True)


def test_custom_calls() -> None:
    """A custom tool's call keeps its text as it is, and its answer finds it."""
    custom = {"id": "c9", "type": "custom", "custom": {"name": "g", "input": "x"}}
    request = chat(
        USER,
        {"role": "assistant", "tool_calls": [custom]},
        {"role": "tool", "tool_call_id": "c9", "content": "x"},
    )

    assert request.turns[1].blocks == (ToolCall("messages[1].tool_calls[0]", "c9", "g", "x", kind="custom"),)
    assert request.extras == ()


def test_append_only() -> None:
    """The neutral form of a longer conversation starts with that of a shorter one."""
    history: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "x"},
        {"role": "system", "content": "later"},
        {"role": "assistant", "content": "a", "tool_calls": [call()]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
        USER,
    ]
    whole = chat(*history)

    for length in (2, 4, 5, 7):
        part = chat(*history[:length])
        assert part.system == whole.system
        assert part.turns == whole.turns[: len(part.turns)]
