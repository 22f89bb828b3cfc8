"""Turns become contents that Gemini takes: order, ids, signatures, media."""

from typing import Any

import pytest

from extproc.conversation.errors import Refusal
from extproc.conversation.request import (
    Audio,
    Cache,
    Citation,
    Document,
    Image,
    Request,
    SearchResult,
    Text,
    ToolCall,
    ToolResult,
)
from extproc.dialects.contract import Destination
from extproc.dialects.gemini.signatures import SKIP_VALIDATION, UNSIGNED_THOUGHT, alone
from tests.dialects.gemini.generate import (
    GEMINI_2,
    GEMINI_3,
    GEMINI_25,
    answer,
    ask,
    body,
    call,
    contents,
    conversation,
    losses,
    read,
    result,
    signed,
    to,
    write,
)

PNG = Image("messages[0].content[1]", "image/png", "iVBORw0KGgo=")


def test_system_text_is_the_system_instruction() -> None:
    """Each text is a part of its own, and a blank one is none."""
    request = ask(system=(Text("One"), Text(" \n"), Text("Two")))

    assert body(request)["systemInstruction"] == {"parts": [{"text": "One"}, {"text": "Two"}]}


def test_late_system_text_stays_where_it_is() -> None:
    """It is sent as the user's, in a content of its own where a tool was answered before it, and listed."""
    request = conversation(
        ("user", "Hi"), ("assistant", call("a")), ("user", result("a", "1")), ("system", "Be brief"), ("user", "Go on")
    )

    assert contents(request)[2:] == [
        ("user", [{"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}}]),
        ("user", [{"text": "Be brief"}, {"text": "Go on"}]),
    ]
    assert losses(request) == [("messages[3]", "approx")]


def test_neighbours_of_one_role_are_one_content() -> None:
    """Roles alternate, and each text stays a part of its own."""
    request = conversation(("user", "A"), ("user", ["B", "C"]), ("assistant", "D"), ("assistant", "E"), ("user", "F"))

    assert contents(request) == [
        ("user", [{"text": "A"}, {"text": "B"}, {"text": "C"}]),
        ("model", [{"text": "D"}, {"text": "E"}]),
        ("user", [{"text": "F"}]),
    ]


@pytest.mark.parametrize(
    "turns",
    [
        [("user", "A"), ("user", " "), ("assistant", "B"), ("user", "C")],
        [("user", ""), ("user", "A"), ("assistant", "B"), ("user", "C")],
        [("user", "A"), ("assistant", ["", "B"]), ("assistant", ""), ("user", "C")],
    ],
    ids=["after", "before", "assistant"],
)
def test_blank_text_is_left_out(turns: list[tuple[str, Any]]) -> None:
    """A blank message beside another of the user's says nothing, and neither does the assistant's."""
    assert contents(conversation(*turns)) == [
        ("user", [{"text": "A"}]),
        ("model", [{"text": "B"}]),
        ("user", [{"text": "C"}]),
    ]


@pytest.mark.parametrize(
    ("turns", "path"),
    [
        ([("user", " ")], "messages[0]"),
        ([("user", "A"), ("assistant", "B"), ("user", "\n")], "messages[2]"),
        ([("user", "A"), ("assistant", "B"), ("user", ""), ("assistant", "C")], "messages[2]"),
        ([("assistant", call("a")), ("user", result("a"))], "messages[1].tool_calls[0]"),
        ([("user", "A"), ("assistant", call("a"))], "messages[1].tool_calls[0]"),
        ([("user", "A"), ("assistant", call("a")), ("user", "no")], "messages[1].tool_calls[0]"),
        ([("user", "A"), ("assistant", [call("a"), call("a")]), ("user", result("a"))], "messages[1].tool_calls[0]"),
        ([("user", "A"), ("user", result("a"))], "messages[2]"),
        ([("user", "A"), ("assistant", call("a")), ("user", [result("a"), result("b")])], "messages[2]"),
        ([("user", "A"), ("assistant", call("a")), ("user", [result("a"), result("a")])], "messages[2]"),
        ([], "messages"),
    ],
)
def test_a_conversation_that_the_service_refuses_is_refused_here(turns: list[tuple[str, Any]], path: str) -> None:
    """What would be a 400 from Google names the caller's own path instead."""
    with pytest.raises(Refusal) as refused:
        write(conversation(*turns))
    assert refused.value.error.param == path


def test_an_answer_that_is_begun_needs_a_model_that_goes_on_with_it() -> None:
    """A last turn of the assistant is refused where the backend says that the model does not take it."""
    request = conversation(("user", "A"), ("assistant", "The answer is"))

    assert contents(request)[-1] == ("model", [{"text": "The answer is"}])
    with pytest.raises(Refusal, match="does not go on"):
        write(request, to(prefill=False))


def test_results_go_before_what_the_same_message_says_first() -> None:
    """Text in front of a result in one message is no obstacle: the result answers, the text follows."""
    request = conversation(("user", "Hi"), ("assistant", call("a")), ("user", ["Here it is", result("a", "1")]))

    assert contents(request)[2:] == [
        ("user", [{"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}}]),
        ("user", [{"text": "Here it is"}]),
    ]


def test_gemini_parallel_order() -> None:
    """Results in swapped order get the order of the calls, and what the user says beside them its own content."""
    request = conversation(
        ("user", "Hi"),
        ("assistant", ["Let me see", call("a", "f"), call("b", "f"), call("c", "g")]),
        ("user", [result("c", "3"), "Also this"]),
        ("user", result("a", "1")),
        ("user", result("b", "2")),
        ("user", "Thanks"),
    )
    with pytest.raises(Refusal):
        write(request)
    swapped = conversation(
        ("user", "Hi"),
        ("assistant", ["Let me see", call("a", "f"), call("b", "f"), call("c", "g")]),
        ("user", result("c", "3")),
        ("user", [result("b", "2"), result("a", "1"), "Also this"]),
        ("user", "Thanks"),
    )

    answers = [part["functionResponse"] for part in contents(swapped)[2][1]]
    assert [(told["id"], told["name"], told["response"]["output"]) for told in answers] == [
        ("a", "f", "1"),
        ("b", "f", "2"),
        ("c", "g", "3"),
    ]
    assert contents(swapped)[3] == ("user", [{"text": "Also this"}, {"text": "Thanks"}])


@pytest.mark.parametrize(
    ("model", "call_id", "sent"),
    [
        (GEMINI_3, "fc-upstream.1", "fc-upstream.1"),
        (GEMINI_3, "toolu_01", "toolu_01"),
        (GEMINI_25, "toolu_01", None),
    ],
)
def test_gemini_id_echo(model: str, call_id: str, sent: str | None) -> None:
    """An id goes back with the call and its result where the model knows ids, and with neither where not."""
    request = conversation(("user", "Hi"), ("assistant", call(call_id)), ("user", result(call_id, "1")))

    told = contents(request, to(model))
    assert told[1][1][0]["functionCall"].get("id") == sent
    assert told[2][1][0]["functionResponse"].get("id") == sent


def test_an_id_that_the_gateway_made_up_never_goes_to_a_model() -> None:
    """A model that gave no id, or another one that does, sees none that it never gave."""
    [made_up] = [block for block in read(answer({"functionCall": {"name": "f"}})).blocks if isinstance(block, ToolCall)]
    request = conversation(("user", "Hi"), ("assistant", made_up), ("user", result(made_up.id, "1")))

    for model in (GEMINI_3, GEMINI_25):
        told = contents(request, to(model))
        assert "id" not in told[1][1][0]["functionCall"] | told[2][1][0]["functionResponse"]


def test_gemini_signature_first_call() -> None:
    """The signature of a step is on its first call again, and the others have none."""
    request = conversation(
        ("user", "Hi"),
        ("assistant", ["Well", signed("U0lH"), call("a"), call("b")]),
        ("user", [result("a"), result("b")]),
        ("assistant", [signed("U0lI"), call("c")]),
        ("user", result("c")),
    )

    for model in (GEMINI_3, GEMINI_25):
        told = contents(request, to(model))
        assert [part.get("thoughtSignature") for part in told[1][1]] == [None, "U0lH", None]
        assert told[3][1][0]["thoughtSignature"] == "U0lI"


def test_gemini_signature_first_call_that_nobody_knows() -> None:
    """A model that checks signatures is asked not to, on the first call of each step; others are sent nothing."""
    turns = [
        ("user", "Hi"),
        ("assistant", [call("a"), call("b")]),
        ("user", [result("a"), result("b")]),
        ("assistant", call("c")),
        ("user", result("c")),
        ("user", "Now"),
    ]
    request = conversation(*turns)

    told = contents(request)
    assert [part.get("thoughtSignature") for part in told[1][1]] == [SKIP_VALIDATION, None]
    assert told[3][1][0]["thoughtSignature"] == SKIP_VALIDATION
    for destination in (to(GEMINI_25), to(checks_signatures=False)):
        assert SKIP_VALIDATION not in str(contents(request, destination))


def test_gemini_signature_empty_text() -> None:
    """A signature that came on an empty last part goes back on one, and not on what stands before it."""
    request = conversation(("user", "Hi"), ("assistant", ["Hello", signed("U0lH")]), ("user", "Bye"))

    assert contents(request)[1] == ("model", [{"text": "Hello"}, {"text": "", "thoughtSignature": "U0lH"}])


def test_a_signature_that_stood_alone_is_not_that_of_the_next_part() -> None:
    """The part that follows it stays unsigned, and is a call with a signature of its own where it has one."""
    request = conversation(
        ("user", "Hi"), ("assistant", [signed(alone("U0lH")), signed("U0lI"), call("a")]), ("user", result("a"))
    )

    [empty, called] = contents(request)[1][1]
    assert empty == {"text": "", "thoughtSignature": "U0lH"}
    assert called["thoughtSignature"] == "U0lI"


def test_thoughts_go_back_as_they_were() -> None:
    """A thought is a part of its own, signed if Gemini signed it, and none without a signature of any kind."""
    unsigned = signed(UNSIGNED_THOUGHT)
    blocks = [signed(UNSIGNED_THOUGHT, "Hmm"), signed("U0lH", "Aha"), signed("U0lI"), unsigned, "Hello"]
    request = conversation(("user", "Hi"), ("assistant", blocks), ("user", "Bye"))

    assert contents(request)[1][1] == [
        {"text": "Hmm", "thought": True},
        {"text": "Aha", "thought": True, "thoughtSignature": "U0lH"},
        {"text": "Hello", "thoughtSignature": "U0lI"},
    ]


PARTS: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "call": ([{"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}, "thoughtSignature": "QUFB"}], None),
    "text": ([{"text": "Hi", "thoughtSignature": "QUFB"}], None),
    "text, then a signed last part": ([{"text": "Hi"}, {"text": "", "thoughtSignature": "QUFB"}], None),
    "a signed empty part in the middle": (
        [
            {"text": "Hi"},
            {"text": "", "thoughtSignature": "QUFB"},
            {"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "QkJC"},
        ],
        None,
    ),
    "thoughts": (
        [
            {"text": "Hmm", "thought": True},
            {"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "QUFB"},
            {"functionCall": {"id": "y", "name": "f", "args": {}}},
        ],
        None,
    ),
    "signed thoughts": ([{"text": "Hmm", "thought": True, "thoughtSignature": "QUFB"}, {"text": "Hi"}], None),
}


@pytest.mark.parametrize("parts", [parts for parts, _ in PARTS.values()], ids=PARTS)
def test_what_gemini_said_goes_back_part_by_part(parts: list[dict[str, Any]]) -> None:
    """Reading an answer and writing it as history gives the same parts, each signature in its place."""
    blocks = read(answer(*parts)).blocks
    results = [result(block.id) for block in blocks if isinstance(block, ToolCall)]
    request = conversation(("user", "Hi"), ("assistant", list(blocks)), ("user", results or "Go on"))

    assert contents(request)[1][1] == parts


def test_arguments_keep_their_text() -> None:
    """Number literals of a call stay as they were written; blank stands for none."""
    turns = [("user", "A"), ("assistant", [call("a", arguments='{"n": 1.0}'), call("b", arguments=" ")])]
    request = conversation(*turns, ("user", [result("a"), result("b")]))

    assert b'"args":{"n": 1.0}' in write(request).body
    assert contents(request)[1][1][1]["functionCall"]["args"] == {}


@pytest.mark.parametrize("block", [call("a", arguments="[1]"), call("a", arguments="x"), call("a", name="1 name")])
def test_a_call_that_is_none_is_refused(block: ToolCall) -> None:
    """Arguments must be an object, and a name must be one that Gemini takes."""
    with pytest.raises(Refusal) as refused:
        write(conversation(("user", "A"), ("assistant", block), ("user", result("a"))))
    assert refused.value.error.param == "messages[1].tool_calls[0]"


def test_a_custom_call_is_a_functions() -> None:
    """Gemini has no tools that take plain text, so its text is the one argument."""
    custom = ToolCall("messages[1].tool_calls[0]", "a", "f", 'say "hi"', kind="custom")
    request = conversation(("user", "A"), ("assistant", custom), ("user", result("a")))

    assert contents(request)[1][1][0]["functionCall"]["args"] == {"input": 'say "hi"'}


def test_results_say_whether_they_are_errors() -> None:
    """Texts of one result are lines; an empty result is one all the same."""
    request = conversation(
        ("user", "A"),
        ("assistant", [call("a"), call("b"), call("c")]),
        ("user", [result("a", "1", "2"), result("b", "no", is_error=True), result("c")]),
    )

    told = [part["functionResponse"]["response"] for part in contents(request)[2][1]]
    assert told == [{"output": "1\n2"}, {"error": "no"}, {"output": ""}]


def test_results_hold_media_where_the_model_takes_them() -> None:
    """Images stand beside the text of a result; an older model is not sent a result without them."""
    shown = ToolResult("messages[2]", "a", (Text("See"), PNG))
    request = conversation(("user", "A"), ("assistant", call("a")), ("user", shown))

    assert contents(request)[2][1][0]["functionResponse"] == {
        "id": "a",
        "name": "f",
        "response": {"output": "See"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}],
    }
    with pytest.raises(Refusal, match="only text"):
        write(request, to(GEMINI_25))


MEDIA: list[tuple[Any, list[dict[str, Any]]]] = [
    (Image("p", "image/jpg", "AAAA"), [{"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}}]),
    (
        Image("p", url="https://a.example/b.PNG?x=1"),
        [{"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/b.PNG?x=1"}}],
    ),
    (
        Image("p", "image/png", "AAAA", detail="high"),
        [
            {
                "inlineData": {"mimeType": "image/png", "data": "AAAA"},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
            }
        ],
    ),
    (Audio("p", "mp3", "AAAA"), [{"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}]),
    (
        Document("p", "application/pdf", "AAAA"),
        [{"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}],
    ),
    (Document("p", text="Words"), [{"text": "Words"}]),
    (
        Document("p", blocks=(Text("One"), Text(""), PNG)),
        [{"text": "One"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}],
    ),
    (
        Document("p", url="https://a.example/b.pdf"),
        [{"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/b.pdf"}}],
    ),
]


@pytest.mark.parametrize(("block", "parts"), MEDIA)
def test_media_are_parts(block: Any, parts: list[dict[str, Any]]) -> None:
    """Each kind is sent inline or by its address, with its type, and nothing is lost."""
    assert contents(conversation(("user", [block]))) == [("user", parts)]
    assert losses(conversation(("user", [block]))) == []


UPLOAD = "https://GenerativeLanguage.googleapis.com/v1beta/files/a.png"


@pytest.mark.parametrize("url", ["gs://bucket/b.png", UPLOAD])
def test_stored_files_are_named_only_where_they_may_be(url: str) -> None:
    """Google reads them as the gateway, so a client may name one only where the backend says so."""
    request = conversation(("user", [Image("p", url=url)]))

    assert contents(request, to(stored_files=True)) == [
        ("user", [{"fileData": {"mimeType": "image/png", "fileUri": url}}])
    ]
    with pytest.raises(Refusal, match="storedFiles"):
        write(request)


@pytest.mark.parametrize("url", ["https://u:p@a.example/b.png", "https://u@a.example/b.png", "http://[a/b.png"])
def test_addresses_hold_no_password(url: str) -> None:
    """An address with a user name in it would be passed on to Google, password and all."""
    with pytest.raises(Refusal) as refused:
        write(conversation(("user", [Image("p", url=url)])))

    assert refused.value.error.param == "p"


def test_what_no_part_has_a_place_for_is_listed() -> None:
    """A document's name and context, a search result, an image's detail at an old model, cache marks."""
    document = Document("p", "text/plain", "AAAA", filename="a.txt", context="c", citations=True)
    found = SearchResult("q", "https://a.example", "Title", (Text("Words"),))

    assert losses(conversation(("user", [document]))) == [("p", "drop")] * 3
    assert losses(conversation(("user", [found]))) == [("q", "approx")]
    assert contents(conversation(("user", [found])))[0][1] == [{"text": "Title\nhttps://a.example\n\nWords"}]
    assert losses(conversation(("user", [Image("p", "image/png", "AAAA", detail="low")])), to(GEMINI_2)) == [
        ("p", "drop")
    ]
    assert losses(conversation(("user", [Text("Hi", "r", cache=Cache("1h"))]))) == [("r", "drop")]
    assert losses(conversation(("assistant", [Text("Hi", "s", citations=(Citation("web"),))]))) == [("s", "drop")]


REFUSED: list[tuple[Any, Destination]] = [
    (Image("p", "image/gif", "AAAA"), to()),
    (Image("p", url="https://a.example/picture"), to()),
    (Image("p", url="https://a.example/b.pdf"), to()),
    (Image("p", url="https://a.example/b.png"), Destination("m")),
    (Image("p", url="gs://bucket/b.png"), to(vertex=False)),
    (Image("p", url="ftp://a.example/b.png"), to()),
    (Image("p", file_id="file-1"), to()),
    (Document("p", file_id="file-1"), to()),
    (Document("p", "application/zip", "AAAA"), to()),
    (Document("p", None, "AAAA"), to()),
]


@pytest.mark.parametrize(("block", "destination"), REFUSED)
def test_media_that_gemini_does_not_read_are_refused(block: Any, destination: Destination) -> None:
    """No type is guessed, and nothing is sent that cannot be fetched."""
    with pytest.raises(Refusal) as refused:
        write(conversation(("user", [block])), destination)
    assert refused.value.error.param == "p"


def test_a_longer_conversation_begins_with_the_same_contents() -> None:
    """Translation only appends, so that caches and signatures stay good."""
    turns: list[tuple[str, Any]] = [
        ("user", "Hi"),
        ("assistant", [signed(UNSIGNED_THOUGHT, "Hmm"), call("a")]),
        ("user", result("a", "1")),
        ("assistant", ["Hello", signed("U0lH")]),
        ("user", "More"),
        ("system", "Short"),
        ("assistant", call("b")),
        ("user", result("b", "2")),
    ]
    whole = contents(conversation(*turns))
    for length in (1, 3, 5, 8):
        shorter = contents(Request("m", conversation(*turns).turns[:length]))
        assert whole[: len(shorter) - 1] == shorter[:-1]
        assert whole[len(shorter) - 1][1][: len(shorter[-1][1])] == shorter[-1][1]
