"""An OpenAI client's messages on the way to Anthropic."""

from typing import Any

import pytest

from extproc.conversation.errors import Refusal
from extproc.conversation.request import (
    Citation,
    Document,
    Image,
    SearchResult,
    Text,
    Thinking,
    Tool,
    ToolResult,
    Turn,
)
from extproc.dialects.anthropic import DIALECT
from extproc.registry import client_dialect
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import (
    OPUS_4_8,
    PNG,
    SONNET_4_5,
    USER,
    destination,
    losses,
    openai_request,
    refusal,
    upstream,
)

TOOLS = [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}]
PDF = "JVBERi0xLjQK"
HOSTED = {"fetches_urls": False, "hosted": True}


def system(text: str, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": text}


def assistant(*ids: str, text: str | None = None, arguments: str = "{}") -> dict[str, Any]:
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": arguments}} for i in ids]
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def tool(call_id: str, text: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def texts(message: dict[str, Any]) -> list[str]:
    return [block["text"] for block in message["content"]]


def test_system_leading_run() -> None:
    """The leading system and developer messages are one system text block each, in order."""
    body = upstream(messages=[system("a"), system("b", "developer"), system("c"), USER])
    assert [block["text"] for block in body["system"]] == ["a", "b", "c"]
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_system_in_middle_capable() -> None:
    """Late system messages stand as one after the user's next message, and the top stays as it was."""
    messages = [USER, assistant(text="yes"), system("x"), system("y"), {"role": "user", "content": "go on"}]
    body = upstream(OPUS_4_8, messages=messages)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "system"]
    assert texts(body["messages"][-1]) == ["x", "y"]
    assert "system" not in body
    assert losses(OPUS_4_8, messages=messages) == [("messages[2]", "approx"), ("messages[3]", "approx")]


def test_system_after_user_keeps_its_place() -> None:
    """A system message that already stands where the API wants it is no loss."""
    messages = [USER, system("x"), assistant(text="yes"), USER]
    body = upstream(OPUS_4_8, messages=messages)
    assert [message["role"] for message in body["messages"]] == ["user", "system", "assistant", "user"]
    assert losses(OPUS_4_8, messages=messages) == []


def test_system_between_answers_is_folded_even_for_a_capable_model() -> None:
    """Between two answers no system message may stand, so it is a marked text of the user's."""
    messages = [USER, assistant(text="a"), system("x"), assistant(text="b"), USER]
    body = upstream(OPUS_4_8, messages=messages)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert texts(body["messages"][2]) == ["<system_message>\nx\n</system_message>"]


def test_system_in_middle_incapable() -> None:
    """For a model without the role the text is folded into the user's message at its place."""
    messages = [system("top"), USER, assistant(text="yes"), system("x"), {"role": "user", "content": "go on"}]
    body = upstream(SONNET_4_5, messages=messages)
    assert [block["text"] for block in body["system"]] == ["top"]
    assert texts(body["messages"][-1]) == ["<system_message>\nx\n</system_message>", "go on"]
    assert losses(SONNET_4_5, messages=messages) == [("messages[3]", "approx")]


def test_tool_results_grouped() -> None:
    """Results are one user message, in the order of the calls, before what the user says."""
    messages = [USER, assistant("a", "b", "c"), tool("c"), tool("a"), tool("b"), {"role": "user", "content": "and?"}]
    body = upstream(messages=messages, tools=TOOLS)
    answer = body["messages"][2]
    assert [block.get("tool_use_id") for block in answer["content"]] == ["a", "b", "c", None]
    assert answer["content"][-1]["text"] == "and?"
    assert len(body["messages"]) == 3


def test_empty_text() -> None:
    """Nothing empty reaches Anthropic: no blank block, no empty message, no empty result."""
    messages = [
        USER,
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "more"}]},
        assistant("a", text=""),
        tool("a", ""),
    ]
    body = upstream(messages=messages, tools=TOOLS)
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "more"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]


@pytest.mark.parametrize("content", ["", " \n", [], [{"type": "text", "text": ""}]])
def test_blank_user_message_is_refused(content: Any) -> None:
    """A user who says nothing is told so, by the path of that message."""
    assert refusal(messages=[USER, assistant(text="yes"), {"role": "user", "content": content}]) == "messages[2]"


def test_tool_id_charset() -> None:
    """An id that Anthropic cannot take is replaced alike in call and result; valid ones stay."""
    messages = [USER, assistant("functions.Bash:0", "ok_1"), tool("functions.Bash:0"), tool("ok_1")]
    body = upstream(messages=messages, tools=TOOLS)
    calls = [block["id"] for block in body["messages"][1]["content"]]
    assert calls == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert calls[1] == "ok_1"
    assert calls[0].startswith("tu_")
    assert len(calls[0]) == 35


def test_arguments_edge() -> None:
    """Blank arguments are an empty object, and number literals stay what they were."""
    literal = '{"big": 12345678901234567890123, "one": 1.0, "zero": -0}'
    body = DIALECT.write_request(
        openai_request(messages=[USER, assistant("a", arguments=literal), tool("a")], tools=TOOLS),
        destination(SONNET_4_5),
    ).body
    assert literal.encode() in body
    blank = upstream(messages=[USER, assistant("a", arguments=""), tool("a")], tools=TOOLS)
    assert blank["messages"][1]["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ["[]", "{bad", '"text"'])
def test_arguments_edge_refused(arguments: str) -> None:
    """Arguments that are no object cannot go to Anthropic."""
    path = refusal(messages=[USER, assistant("a", arguments=arguments), tool("a")], tools=TOOLS)
    assert path == "messages[1].tool_calls[0].function.arguments"


def test_refusal_part_is_text() -> None:
    """What the assistant refused once is its text."""
    messages = [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER]
    assert texts(upstream(messages=messages)["messages"][1]) == ["No."]


def image(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def test_image_sources() -> None:
    """Inline images go inline, addresses as addresses; nothing is fetched."""
    inline = upstream(messages=[image(f"data:image/png;base64,{PNG}")])
    assert inline["messages"][0]["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    remote = upstream(messages=[image("https://example.com/a.png")])
    assert remote["messages"][0]["content"][0]["source"] == {"type": "url", "url": "https://example.com/a.png"}


@pytest.mark.parametrize(
    ("url", "to"),
    [
        (f"data:image/tiff;base64,{PNG}", {}),
        ("s3://bucket/a.png", {}),
        ("https://example.com/a.png", HOSTED),
    ],
)
def test_image_sources_refused(url: str, to: dict[str, Any]) -> None:
    """Other formats, other schemes, and addresses to a host that loads none are refused by path."""
    assert refusal(SONNET_4_5, to, messages=[image(url)]) == "messages[0].content[0]"


def file(**members: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "file", "file": members}]}


def test_pdf_both_ways_to_anthropic() -> None:
    """An inline PDF is a document with its file name as title."""
    body = upstream(messages=[file(file_data=f"data:application/pdf;base64,{PDF}", filename="a.pdf")])
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert body["messages"][0]["content"] == [{"type": "document", "source": source, "title": "a.pdf"}]


def test_plain_text_file_is_a_text_document() -> None:
    """Base64 of plain text is given as the text that it is."""
    body = upstream(messages=[file(file_data="data:text/plain;base64,aGVsbG8=")])
    source = {"type": "text", "media_type": "text/plain", "data": "hello"}
    assert body["messages"][0]["content"] == [{"type": "document", "source": source}]


@pytest.mark.parametrize(
    "members",
    [
        {"file_id": "file-1"},
        {"file_data": f"data:application/zip;base64,{PDF}"},
        {"file_data": "data:text/plain;base64,/w=="},
    ],
)
def test_files_refused(members: dict[str, str]) -> None:
    """Stored files, other formats, and text that is not UTF-8 are refused by path."""
    assert refusal(messages=[file(**members)]) == "messages[0].content[0]"


def test_audio_refused() -> None:
    """Audio has no place at Anthropic, in the input as in the output."""
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert refusal(messages=[{"role": "user", "content": [part]}]) == "messages[0].content[0]"
    assert refusal(modalities=["text", "audio"]) == "modalities"
    assert refusal(audio={"format": "wav", "voice": "alloy"}) == "audio"


def test_prefill_is_trimmed_where_the_model_takes_it() -> None:
    """A begun answer goes on for an older model, without the space at its end; a newer one refuses it."""
    messages = [USER, {"role": "assistant", "content": "Well, \n"}]
    assert texts(upstream(SONNET_4_5, messages=messages)["messages"][1]) == ["Well,"]
    assert refusal(OPUS_4_8, messages=messages) == "messages[1]"


@pytest.mark.parametrize("messages", [[assistant(text="x"), USER], [system("only")]])
def test_conversations_that_begin_with_no_user_are_refused(messages: list[dict[str, Any]]) -> None:
    """The first word is the user's."""
    assert refusal(messages=messages) in {"messages[0]", "messages"}


def test_names_are_listed() -> None:
    """A participant's name has no place."""
    assert losses(messages=[{**USER, "name": "ann"}]) == [("messages[0].name", "drop")]


def neutral(*turns: Turn) -> list[dict[str, Any]]:
    """The messages of neutral turns, checked by the SDK's types."""
    request = openai_request()
    written = DIALECT.write_request(type(request)("m", turns, tools=(Tool("tools[0]", "f"),)), destination(SONNET_4_5))
    messages: list[dict[str, Any]] = anthropic_oracle.check_request(written.body)["messages"]
    return messages


def test_rich_blocks_reach_anthropic() -> None:
    """Documents of every source, search results and citations have their own form there."""
    cited = Text("so", citations=(Citation("char", "q", "T", document=0, start=1, end=2),))
    turns = (
        Turn(
            "user",
            (
                Document("d", text="plain", filename="T", context="C", citations=True),
                Document("d", url="https://example.com/a.pdf"),
                Document("d", blocks=(Text("a"), Image("i", media_type="image/png", data=PNG))),
                SearchResult("s", "https://e.com", "E", (Text("found"),), citations=True),
            ),
            "messages[0]",
        ),
        Turn("assistant", (cited,), "messages[1]"),
        Turn("user", (Text("go on"),), "messages[2]"),
    )
    user, answer, _ = neutral(*turns)
    assert [block["type"] for block in user["content"]] == ["document", "document", "document", "search_result"]
    assert user["content"][0] == {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "plain"},
        "title": "T",
        "context": "C",
        "citations": {"enabled": True},
    }
    assert answer["content"][0]["citations"] == [
        {
            "type": "char_location",
            "cited_text": "q",
            "document_index": 0,
            "document_title": "T",
            "start_char_index": 1,
            "end_char_index": 2,
        }
    ]


def test_results_keep_images_and_errors() -> None:
    """A failed tool says so, and may show an image."""
    call_turn = openai_request(messages=[USER, assistant("a"), tool("a")], tools=TOOLS).turns[:2]
    shown = ToolResult("r", "a", (Text("see"), Image("i", media_type="image/png", data=PNG)), is_error=True)
    written = neutral(*call_turn, Turn("user", (shown,), "messages[2]"))[2]["content"][0]
    assert written["is_error"] is True
    assert [block["type"] for block in written["content"]] == ["text", "image"]


def test_thinking_goes_back_in_its_place() -> None:
    """Signed, empty and redacted thinking stand where they stood; what nobody signed is left out."""
    turns = (
        Turn("user", (Text("q"),), "messages[0]"),
        Turn(
            "assistant",
            (
                Thinking("t", "", "s1"),
                Thinking("t", redacted="r1"),
                Text("a"),
                Thinking("t", "b", "s2"),
                Thinking("t", "unsigned"),
            ),
            "messages[1]",
        ),
        Turn("user", (Text("q"),), "messages[2]"),
    )
    assert neutral(*turns)[1]["content"] == [
        {"type": "thinking", "thinking": "", "signature": "s1"},
        {"type": "redacted_thinking", "data": "r1"},
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "b", "signature": "s2"},
    ]


def test_holes_in_the_conversation_are_refused() -> None:
    """Calls without results and results without calls are refused with the path of the culprit."""
    call_turn, result_turn = openai_request(messages=[USER, assistant("a"), tool("a")], tools=TOOLS).turns[1:]
    first = Turn("user", (Text("q"),), "messages[0]")
    with pytest.raises(Refusal, match=r"messages\[1\].tool_calls\[0\]"):
        neutral(first, call_turn)
    with pytest.raises(Refusal, match=r"messages\[2\]"):
        neutral(first, result_turn)


def test_schemas_keep_their_text() -> None:
    """Key order and number literals of a schema are the client's own; only a type that was left away is added."""
    schema = '{"type": "object", "x-b": 1.0, "properties": {"z": {}, "a": {}}}'
    for given, wanted in ((schema, schema), ('{"x": 1.0}', '{"type":"object","x": 1.0}')):
        tool_text = f'{{"type":"function","function":{{"name":"f","parameters":{given}}}}}'
        body = f'{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"tools":[{tool_text}]}}'
        request = client_dialect("OpenAI").read_request(body.encode())
        assert f'"input_schema":{wanted}'.encode() in DIALECT.write_request(request, destination(SONNET_4_5)).body
