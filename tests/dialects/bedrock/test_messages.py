"""Turns as Converse messages: what the client dialects we have cannot say, or say elsewhere in goldens only in part."""

import pytest
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Refusal
from extproc.conversation.request import Block, Cache, Image, Text, Thinking, ToolCall
from tests.dialects.bedrock.converse import ABLE, ask, body, call, conversation, losses, result, write

PIXEL = Image("messages[0].content[1]", media_type="image/png", data="AAAA")


@pytest.mark.parametrize("blank", ["", " ", "\n", "\t \u3000"])
def test_converse_blank_text_dropped(blank: str) -> None:
    """No blank text reaches a text block, in system, messages or beside other content."""
    request = conversation(("user", [blank, "Hi", blank]), system=(Text(blank), Text("Rules")))
    assert body(request) == {
        "system": [{"text": "Rules"}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    }


def test_converse_merge_roles() -> None:
    """user, user, tool, tool, user becomes alternating messages with the results first."""
    request = conversation(
        ("user", "a"),
        ("user", "b"),
        ("assistant", [call("1"), call("2")]),
        ("user", result("1", "x")),
        ("user", result("2", "y")),
        ("user", "c"),
    )
    messages = body(request)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"] == [{"text": "a"}, {"text": "b"}]
    assert [next(iter(element)) for element in messages[2]["content"]] == ["toolResult", "toolResult", "text"]


def test_results_stand_first_and_in_call_order() -> None:
    """Text before the results goes after them, and results are put into the order of their calls."""
    request = conversation(
        ("user", "a"), ("assistant", [call("1"), call("2")]), ("user", ["so", result("2", "y"), result("1", "x")])
    )
    content = body(request)["messages"][2]["content"]
    assert [element["toolResult"]["toolUseId"] for element in content[:2]] == ["1", "2"]
    assert content[2] == {"text": "so"}


@pytest.mark.parametrize(
    ("turns", "path"),
    [
        ([("assistant", "Hi"), ("user", "Hello")], "messages[0]"),
        ([], "messages"),
        ([("user", "a"), ("assistant", call("1"))], "messages[1].tool_calls[0]"),
        ([("user", "a"), ("assistant", call("1")), ("user", "b")], "messages[1].tool_calls[0]"),
        ([("user", "a"), ("assistant", "b"), ("user", result("1", "x"))], "messages[2]"),
        ([("user", result("1", "x"))], "messages[2]"),
        ([("user", "a"), ("assistant", [call("1"), call("1")])], "messages[1].tool_calls[0]"),
        ([("user", "a"), ("assistant", call("1")), ("user", [result("1", "x"), result("1", "y")])], "messages[2]"),
        ([("user", "a"), ("assistant", "b"), ("user", " "), ("assistant", "c"), ("user", "d")], "messages[2]"),
    ],
    ids=["assistant-first", "empty", "call-last", "no-result", "no-call", "orphan", "same-id", "twice", "blank"],
)
def test_conversations_that_converse_does_not_take(turns: list[tuple[str, Block]], path: str) -> None:
    """Each is refused here with its path, and not sent for the service to refuse without one."""
    with pytest.raises(Refusal) as refused:
        write(conversation(*turns))
    assert refused.value.error.param == path
    assert refused.value.error.status == 400


def test_converse_first_assistant() -> None:
    """A history that begins with the assistant is refused in words that say what to do."""
    with pytest.raises(Refusal, match="begin with a user message") as refused:
        write(conversation(("assistant", "Hi"), ("user", "Hello")))
    assert (refused.value.error.status, refused.value.error.param) == (400, "messages[0]")


def test_converse_toolresult_error_empty() -> None:
    """A failed tool that said nothing gets a text and the status error; a success has no status."""
    request = conversation(("user", "a"), ("assistant", call("1")), ("user", result("1", " ", is_error=True)))
    [element] = body(request)["messages"][2]["content"]
    assert element["toolResult"] == {"toolUseId": "1", "content": [{"text": "(no output)"}], "status": "error"}
    assert losses(request) == [("tools", "approx"), ("messages[2]", "approx")]


def test_converse_toolresult_json_array() -> None:
    """JSON that a tool answers stays text, as Converse takes objects only."""
    request = conversation(("user", "a"), ("assistant", call("1")), ("user", result("1", "[1]", '{"a":1}')))
    [element] = body(request)["messages"][2]["content"]
    assert element["toolResult"]["content"] == [{"text": "[1]"}, {"text": '{"a":1}'}]


def test_images_in_tool_results() -> None:
    """A tool may answer with an image."""
    answer = replace(result("1", "see"), blocks=(Text("see"), PIXEL))
    request = conversation(("user", "a"), ("assistant", call("1")), ("user", answer))
    [element] = body(request)["messages"][2]["content"]
    assert element["toolResult"]["content"][1] == {"image": {"format": "png", "source": {"bytes": "AAAA"}}}


@pytest.mark.parametrize(
    "image",
    [
        replace(PIXEL, media_type="image/svg+xml"),
        replace(PIXEL, media_type=None),
        replace(PIXEL, data=None, url="https://example.com/a.png"),
        replace(PIXEL, data=None, url="s3://bucket/noname"),
        replace(PIXEL, data=None, file_id="file-1"),
    ],
)
def test_images_that_cannot_go(image: Image) -> None:
    """Remote, stored and unknown images are refused with the path of the part."""
    with pytest.raises(Refusal) as refused:
        write(conversation(("user", ["a", image])))
    assert refused.value.error.param == PIXEL.path


def test_converse_redacted_bytes() -> None:
    """Redacted reasoning goes up as the very base64 text that came, and signatures likewise."""
    thinking = [
        Thinking("p", redacted="AAEC/w=="),
        Thinking("p", text="", signature="c2ln"),
        Thinking("p", text="Hm.", signature="c2ln"),
    ]
    request = conversation(("user", "a"), ("assistant", [*thinking, "b"]), ("user", "c"))
    assert body(request)["messages"][1]["content"] == [
        {"reasoningContent": {"redactedContent": "AAEC/w=="}},
        {"reasoningContent": {"reasoningText": {"text": "", "signature": "c2ln"}}},
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"text": "b"},
    ]


def test_a_message_of_dropped_thinking_alone_is_dropped() -> None:
    """What remains must still alternate: the user's messages around it become one."""
    request = conversation(("user", "a"), ("assistant", Thinking("t", text="Hm.")), ("user", "b"))
    assert body(request)["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]
    assert losses(request) == [("t", "drop")]


def test_late_system_text_stays_in_its_place() -> None:
    """A late system message never moves to the front: the bytes before it would change."""
    request = conversation(("user", "a"), ("assistant", "b"), ("system", "French!"), ("user", "c"))
    assert body(request)["messages"][2] == {"role": "user", "content": [{"text": "French!"}, {"text": "c"}]}
    own = replace(ABLE, system_in_messages=True)
    assert [m["role"] for m in body(request, own)["messages"]] == ["user", "assistant", "system", "user"]
    assert losses(request) == [("messages[2]", "approx")]
    assert losses(request, own) == []


@pytest.mark.parametrize("ends", ["So", "So \n"])
def test_prefill(ends: str) -> None:
    """A begun answer goes to models that go on with it, less white space at its end; others refuse it."""
    request = conversation(("user", "a"), ("assistant", ["b ", ends]))
    assert body(request)["messages"][1]["content"] == [{"text": "b "}, {"text": "So"}]
    assert losses(request) == ([] if ends == "So" else [("messages[1]", "approx")])
    with pytest.raises(Refusal) as refused:
        write(request, replace(ABLE, prefill=False))
    assert refused.value.error.param == "messages[1]"


def test_number_literals_of_arguments_survive() -> None:
    """Arguments are embedded as they were written: no digit of a number is lost, no key moves."""
    literal = '{"b": 12345678901234567890.10, "a": 1E400, "c": -0.0}'
    request = conversation(("user", "a"), ("assistant", call("1", arguments=literal)), ("user", result("1", "x")))
    assert f'"input":{literal}'.encode() in write(request).body


@pytest.mark.parametrize("arguments", ["[1]", "x", "null", '{"a":1}{"b":2}', '{"a":1},"x":{}', "{", '{"a":NaN}'])
def test_converse_tool_args(arguments: str) -> None:
    """Arguments that are not one JSON object are refused, so that nothing can be smuggled into the body."""
    request = conversation(("user", "a"), ("assistant", call("1", arguments=arguments)), ("user", result("1", "x")))
    with pytest.raises(Refusal):
        write(request)


def test_converse_tool_args_empty() -> None:
    """Arguments of nothing are an empty object."""
    request = conversation(("user", "a"), ("assistant", call("1", arguments="")), ("user", result("1", "x")))
    assert body(request)["messages"][1]["content"][0]["toolUse"]["input"] == {}


def test_cache_mark_on_call_and_result() -> None:
    """Marks on calls and results stand after them; inside a result there is no place for one."""
    marked_call = ToolCall("c", "1", "f", "{}", cache=Cache())
    marked_result = replace(result("1", "x"), blocks=(Text("x", cache=Cache("1h")),))
    request = conversation(("user", "a"), ("assistant", marked_call), ("user", [marked_result, "b"]))
    messages = body(request)["messages"]
    assert messages[1]["content"][1] == {"cachePoint": {"type": "default"}}
    assert [next(iter(element)) for element in messages[2]["content"]] == ["toolResult", "cachePoint", "text"]


def test_defaults_of_an_unknown_model_lose_nothing_of_plain_chat() -> None:
    """Text, sampling and tools need no entry in the table of models."""
    request = ask(system=(Text("Rules"),), max_output_tokens=5, stop=("END",))
    assert write(request, Capabilities()).losses == ()
