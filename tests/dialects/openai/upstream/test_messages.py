"""Turns as messages for an upstream of this API."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.request import (
    Audio,
    Block,
    Cache,
    Document,
    Image,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from extproc.dialects.contract import Destination
from extproc.dialects.openai import DIALECT
from tests.support.neutral_requests import HELLO, OPENAI, losses, refused, request, sent, turn, written

CALL = ToolCall("messages[1].content[0]", "c1", "f", '{"a":1}')
RESULT = ToolResult("messages[2].content[0]", "c1", (Text("ok"),))


def messages(*turns: Turn, **fields: Any) -> list[dict[str, Any]]:
    """The messages that these turns become."""
    found: list[dict[str, Any]] = written(request(*turns, **fields))["messages"]
    return found


def said(*blocks: Block) -> Any:
    """The content of a user message of these blocks."""
    return messages(turn("user", *blocks))[0]["content"]


def test_system_leading_run() -> None:
    """The leading system texts are one message, in parts and in order; blank ones are left out."""
    leading = (Text("a"), Text(" "), Text("b"))

    assert messages(*HELLO, system=leading)[0] == {
        "role": "system",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }
    assert messages(*HELLO, system=(Text("a"),))[0] == {"role": "system", "content": "a"}


def test_system_role_by_capability() -> None:
    """Where the model wants the developer's word, that is the role of all system text."""
    asked = request(*HELLO, turn("system", Text("late")), system=(Text("a"),))
    body = written(asked, replace(OPENAI, developer_role=True))

    assert [message["role"] for message in body["messages"]] == ["developer", "user", "developer"]


def test_system_in_middle_incapable() -> None:
    """A model without late system messages gets the text as the user's, in its place, and that is listed."""
    asked = request(*HELLO, turn("system", Text("late"), path="messages[1]"))
    capabilities = replace(OPENAI, system_in_messages=False)

    assert written(asked, capabilities)["messages"][1] == {"role": "user", "content": "late"}
    assert losses(asked, capabilities) == [("messages[1]", "approx")]


def test_tool_result_split() -> None:
    """Results come first, in the order in which they stand, over all turns of the user; what else was said follows."""
    calls = turn("assistant", CALL, ToolCall("x", "c2", "g", "{}"))
    first = turn("user", Text("a"), ToolResult("r2", "c2", (Text("two"),)), path="messages[2]")
    second = turn("user", RESULT, Text("b"), path="messages[3]")

    assert messages(*HELLO, calls, first, second)[2:] == [
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]


def test_tool_result_image() -> None:
    """What a tool answers beside text stands in the user message after it, under a line that names the call."""
    image = Image("i", media_type="image/png", data="AAAA")
    result = replace(RESULT, blocks=(Text("one"), image, Text("two")))
    asked = request(*HELLO, turn("assistant", CALL), turn("user", result, path="messages[2]"))

    assert written(asked)["messages"][2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "one\ntwo"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What tool call c1 returned beside its text:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]
    assert losses(asked) == [(RESULT.path, "approx")]


@pytest.mark.parametrize(("text", "expected"), [("no", "Error: no"), ("Error: no", "Error: no"), ("", "Error: ")])
def test_tool_error_flag(text: str, expected: str) -> None:
    """A failed call says so in its text, once, and that is listed."""
    result = replace(RESULT, blocks=(Text(text),), is_error=True)
    asked = request(*HELLO, turn("assistant", CALL), turn("user", result))

    assert written(asked)["messages"][2]["content"] == expected
    assert losses(asked) == [(RESULT.path, "approx")]


def test_an_empty_result() -> None:
    """A tool that answers nothing answers an empty text."""
    empty = ToolResult("r", "c1")

    assert messages(*HELLO, turn("assistant", CALL), turn("user", empty))[2]["content"] == ""


@pytest.mark.parametrize(
    ("turns", "path"),
    [
        ((turn("assistant", CALL), turn("user", Text("a"))), CALL.path),
        ((turn("assistant", CALL), turn("assistant", Text("a")), turn("user", Text("a"))), CALL.path),
        ((turn("assistant", CALL),), CALL.path),
        ((turn("user", RESULT),), RESULT.path),
        ((turn("assistant", CALL), turn("user", RESULT, replace(RESULT, path="again"))), "again"),
        ((turn("assistant", CALL, replace(CALL, path="twin")), turn("user", RESULT)), "twin"),
        ((turn("user", CALL),), CALL.path),
        ((turn("assistant", Image("i", url="https://h/a")), turn("user", Text("a"))), "i"),
    ],
)
def test_conversations_that_no_server_takes(turns: tuple[Turn, ...], path: str) -> None:
    """Calls without results, results without calls, and content in the wrong mouth are refused by their path."""
    assert path == refused(request(*HELLO, *turns))


def test_assistant_texts_are_one() -> None:
    """Citations split a text; together it is what was said. Refusals stand apart."""
    answer = turn("assistant", Text("a"), Text("b"), Text("no", kind="refusal"))

    assert messages(*HELLO, answer, turn("user", Text("x")))[1] == {
        "role": "assistant",
        "content": "ab",
        "refusal": "no",
    }


def test_text_after_a_call_loses_its_place() -> None:
    """The format has text before calls only; where that changes the order it is listed."""
    answer = turn("assistant", CALL, Text("after", "messages[1].content[1]"))
    asked = request(*HELLO, answer, turn("user", RESULT))

    assert written(asked)["messages"][1]["content"] == "after"
    assert losses(asked) == [("messages[1].content[1]", "approx")]


def test_an_assistant_that_said_nothing_is_left_out() -> None:
    """Reasoning alone is no message: this API has no place for it."""
    silent = turn("assistant", Thinking("t", "hm"))

    assert [m["role"] for m in messages(*HELLO, silent, turn("user", Text("x")))] == ["user", "user"]


def test_prefill() -> None:
    """The beginning of an answer is refused, unless the backend is known to go on from it."""
    asked = request(*HELLO, turn("assistant", Text("{"), path="messages[1]"))

    assert refused(asked) == "messages[1]"
    assert written(asked, replace(OPENAI, prefill=True))["messages"][-1]["content"] == "{"


def test_tool_id_length() -> None:
    """An id that is too long is shortened alike in call and result, and in every turn; others stay."""
    long = "x" * 60
    turns = (turn("assistant", replace(CALL, id=long)), turn("user", replace(RESULT, call_id=long)))
    found = messages(*HELLO, *turns, turn("assistant", CALL), turn("user", RESULT))
    ids = [found[1]["tool_calls"][0]["id"], found[2]["tool_call_id"], found[3]["tool_calls"][0]["id"]]

    assert ids[0] == ids[1]
    assert len(ids[0]) <= 40
    assert ids[2] == "c1"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", "{}"), (" ", "{}"), ('{"n":1.0,"m":12345678901234567890}', '{"n":1.0,"m":12345678901234567890}')],
)
def test_arguments_edge(arguments: str, expected: str) -> None:
    """Arguments keep their very text; none are an empty object."""
    found = messages(*HELLO, turn("assistant", replace(CALL, arguments=arguments)), turn("user", RESULT))

    assert found[1]["tool_calls"][0]["function"]["arguments"] == expected


@pytest.mark.parametrize("arguments", ["[]", "{bad", '"x"'])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """Arguments that are no object are refused by the call's path."""
    turns = (turn("assistant", replace(CALL, arguments=arguments)), turn("user", RESULT))

    assert refused(request(*HELLO, *turns)) == CALL.path


def test_custom_calls_by_capability() -> None:
    """A call with a text stays one where the model has custom tools, and is a function's with one string elsewhere."""
    turns = (turn("assistant", replace(CALL, kind="custom", arguments="SELECT 1")), turn("user", RESULT))
    asked = request(*HELLO, *turns)
    [native] = written(asked, replace(OPENAI, custom_tools=True))["messages"][1]["tool_calls"]
    [function] = written(asked)["messages"][1]["tool_calls"]

    assert native == {"id": "c1", "type": "custom", "custom": {"name": "f", "input": "SELECT 1"}}
    assert json.loads(function["function"]["arguments"]) == {"input": "SELECT 1"}


def test_image_sources() -> None:
    """Inline images are data URIs, remote ones keep their URL where the upstream loads it; the detail stays."""
    inline = Image("i", media_type="image/png", data="AAAA", detail="low")
    remote = Image("i", url="https://h/a.png")

    assert said(inline, remote) == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
    ]
    assert refused(request(turn("user", remote)), fetches_urls=False) == "i"
    assert refused(request(turn("user", Image("i", file_id="file_1")))) == "i"


def test_audio() -> None:
    """Audio goes as it is."""
    assert said(Audio("a", "wav", "AAAA")) == [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            Document("d", media_type="application/pdf", data="AAAA"),
            [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "document.pdf"}}],
        ),
        (Document("d", text="x", filename="T", context="C"), "Document: T\nContext: C\n\nx"),
        (Document("d", text="x"), "Document:\n\nx"),
        (
            Document("d", blocks=(Text("x"), Image("i", url="https://h/a")), filename="T"),
            [
                {"type": "text", "text": "Document: T"},
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": "https://h/a"}},
            ],
        ),
    ],
)
def test_documents(document: Document, expected: Any) -> None:
    """A PDF is a file; what is text or blocks stands under its title and context."""
    assert said(document) == expected


@pytest.mark.parametrize(
    "document",
    [
        Document("d", url="https://h/a.pdf"),
        Document("d", file_id="file_1"),
        Document("d", media_type="text/csv", data="AAAA"),
    ],
)
def test_documents_that_cannot_go(document: Document) -> None:
    """Nothing is fetched, no file id means anything elsewhere, and the upstream reads PDFs only."""
    assert refused(request(turn("user", document))) == "d"


def test_citations_are_listed() -> None:
    """Nobody cites documents or search results here, and the wish for it is listed."""
    document = Document("d", text="x", citations=True)
    result = SearchResult("s", "https://h", "T", (Text("x"),), citations=True)

    assert losses(request(turn("user", document, result))) == [("d", "drop"), ("s", "drop")]


def test_cache_marks() -> None:
    """A model with explicit marks gets the last four, with lifetimes that it knows; any other model gets none."""
    marks = [Cache(ttl) for ttl in (None, "1h", "30m", "12h", "5m")]
    asked = request(turn("user", *(Text(str(i), cache=mark) for i, mark in enumerate(marks))))
    [message] = written(asked, replace(OPENAI, prompt_cache=True))["messages"]

    assert [part.get("prompt_cache_breakpoint") for part in message["content"]] == [
        None,
        {"mode": "explicit"},
        {"mode": "explicit", "ttl": "30m"},
        {"mode": "explicit", "ttl": "12h"},
        {"mode": "explicit"},
    ]
    assert b"prompt_cache_breakpoint" not in sent(asked).body


def test_a_mark_on_a_result() -> None:
    """A mark inside a result, or on it, is one on its text."""
    result = replace(RESULT, blocks=(Text("a", cache=Cache()), Text("b")))
    asked = request(*HELLO, turn("assistant", CALL), turn("user", result))

    assert written(asked, replace(OPENAI, prompt_cache=True))["messages"][2]["content"] == [
        {"type": "text", "text": "a\nb", "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]


TEXTS = st.builds(Text, st.text("ab ", max_size=4))
ROUNDS = st.lists(
    st.tuples(st.lists(TEXTS, min_size=1, max_size=2), st.lists(TEXTS, max_size=2), st.integers(0, 3), st.booleans()),
    min_size=1,
    max_size=5,
)


@given(ROUNDS)
def test_append_only(rounds: list[tuple[list[Text], list[Text], int, bool]]) -> None:
    """A longer conversation begins with the bytes of the shorter one."""
    turns: list[Turn] = []
    lengths: list[int] = []
    for number, (asked, answered, calls, late_system) in enumerate(rounds):
        turns.append(turn("user", *asked))
        lengths.append(len(turns))
        made = [ToolCall("c", f"c{number}_{i}", "f", "{}") for i in range(calls)]
        turns.append(turn("assistant", *answered, *made))
        if made:
            turns.append(turn("user", *(ToolResult("r", call.id, (Text("x"),)) for call in made)))
            lengths.append(len(turns))
        if late_system:
            turns.append(turn("system", Text("s")))
    whole = DIALECT.write_request(request(*turns[: lengths[-1]]), Destination("m", OPENAI)).body

    for length in lengths:
        part = DIALECT.write_request(request(*turns[:length]), Destination("m", OPENAI)).body
        assert whole.startswith(part.removesuffix(b"]}"))
