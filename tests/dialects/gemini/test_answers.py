"""Whole answers: blocks, ids, why the model stopped, what it cost, and what only Google has."""

import json
from typing import Any

import pytest
from google.genai import types

from extproc.conversation.errors import Kind, UpstreamError
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import Stop, TokenLogprob, Usage
from extproc.dialects.gemini import DIALECT
from extproc.dialects.gemini.signatures import UNSIGNED_THOUGHT
from tests.dialects.gemini.generate import SENT, answer, read
from tests.support.gemini_oracle import check_answer

FILTERED = {
    "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RECITATION", "LANGUAGE", "MODEL_ARMOR", "ESCALATION",
    "PUP_LIMITED_DISABLED", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
}  # fmt: skip
FAILED = {
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "IMAGE_OTHER", "OTHER", "FINISH_REASON_UNSPECIFIED",
}  # fmt: skip
STOPS = {"STOP": Stop.END, "MAX_TOKENS": Stop.LENGTH, "CONTINUATION": Stop.PAUSED}
REASONS = [reason.value for reason in types.FinishReason]


def test_an_answer_has_its_blocks_in_order() -> None:
    """Text parts that follow each other are one text; a thought, a signature and a call are blocks of their own."""
    told = answer(
        {"text": "Hmm", "thought": True},
        {"text": "Let me "},
        {"text": "see."},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1.0}}, "thoughtSignature": "QUFB"},
        {"functionCall": {"id": "c2", "name": "g"}},
        responseId="r1",
        modelVersion="gemini-3-flash-001",
    )
    check_answer(json.dumps(told).encode())
    response = read(told)

    assert response.blocks == (
        Thinking("", "Hmm", UNSIGNED_THOUGHT),
        Text("Let me see."),
        Thinking("", "", "QUFB"),
        ToolCall("", "c1", "f", '{"a":1.0}'),
        ToolCall("", "c2", "g", "{}"),
    )
    assert (response.stop, response.native_stop) == (Stop.TOOL_CALLS, "STOP")
    assert (response.id, response.model, response.losses) == ("r1", "gemini-3-flash-001", ())


def test_calls_without_ids_get_ids_of_their_own() -> None:
    """Two calls of one function stay two, the same answer gives the same ids, and another answer others."""
    called = {"functionCall": {"name": "f", "args": {}}}
    ids = [
        [block.id for block in read(answer(called, called, responseId=name)).blocks if isinstance(block, ToolCall)]
        for name in ("r1", "r1", "r2")
    ]

    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4
    assert all(len(call_id) <= 40 and call_id.replace("_", "").isalnum() for call_id in ids[0])


def test_the_types_know_the_24_reasons_of_the_notes() -> None:
    """A reason that a new SDK brings fails here until somebody decides what it means."""
    assert set(REASONS) == FILTERED | FAILED | STOPS.keys()
    assert len(REASONS) == 24


@pytest.mark.parametrize("reason", [*REASONS, "SOMETHING_NEW"])
def test_gemini_24_finish(reason: str) -> None:
    """Each reason says why an answer stopped; one that says that the model failed leaves what it said as it is."""
    expected = STOPS.get(reason, Stop.FILTERED if reason in FILTERED else Stop.UNKNOWN)
    response = read(answer({"text": "Hi"}, finish=reason))

    assert (response.stop, response.native_stop) == (expected, reason)
    called = read(answer({"functionCall": {"name": "f"}}, finish=reason))
    assert called.stop == (Stop.TOOL_CALLS if expected in {Stop.END, Stop.UNKNOWN} else expected)


@pytest.mark.parametrize("reason", [*REASONS, "SOMETHING_NEW", None])
@pytest.mark.parametrize("parts", [[], [{"text": "Hmm", "thought": True}], [{"text": " \n"}]])
def test_gemini_24_finish_without_content(reason: str | None, parts: list[dict[str, Any]]) -> None:
    """An answer without any content of a model that failed is an error, with the words that Google has for it."""
    told = answer(*parts, finish=reason)
    told["candidates"][0]["finishMessage"] = "Too bad."
    if reason in FILTERED or reason in STOPS:
        response = read(told)
        assert response.stop == STOPS.get(reason, Stop.FILTERED)
        assert response.explanation == ("Too bad." if reason in FILTERED else None)
    else:
        with pytest.raises(UpstreamError, match=r"broke off.*Too bad\.") as failed:
            read(told)
        assert (failed.value.error.status, failed.value.error.kind) == (502, Kind.SERVER)


@pytest.mark.parametrize("message", ["Not that.", None])
def test_gemini_prompt_blocked(message: str | None) -> None:
    """A 200 without candidates is a filtered answer without content, and its usage counts."""
    feedback = {"blockReason": "PROHIBITED_CONTENT"} | ({"blockReasonMessage": message} if message else {})
    told = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}}
    check_answer(json.dumps(told).encode())
    response = read(told)

    assert read(told | {"candidates": [{"content": {}}]}).stop is Stop.FILTERED
    assert (response.blocks, response.stop, response.native_stop) == ((), Stop.FILTERED, "PROHIBITED_CONTENT")
    assert response.explanation == (message or "the prompt was blocked: PROHIBITED_CONTENT")
    assert response.usage == Usage(7, 0, 7)


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 20,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 30,
                "totalTokenCount": 157,
            },
            Usage(120, 37, 157, 60, reasoning_tokens=30),
        ),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, Usage(5, 0, 5)),
        ({"promptTokenCount": "5", "candidatesTokenCount": "3"}, Usage(5, 3, 8)),
        ({"promptTokenCount": -1, "candidatesTokenCount": 1.5, "thoughtsTokenCount": "9" * 30}, Usage()),
        ({}, Usage()),
        (
            {
                "promptTokenCount": 9,
                "toolUsePromptTokenCount": 3,
                "candidatesTokenCount": 1,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 4},
                    {"modality": "IMAGE", "tokenCount": 5},
                    {"modality": "MODALITY_UNSPECIFIED", "tokenCount": 1},
                ],
                "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
            },
            Usage(12, 1, 13, modalities={"text": 7, "image": 5}),
        ),
    ],
)
def test_gemini_usage(metadata: dict[str, Any], usage: Usage) -> None:
    """All that was read is input, all that was thought is output; what is absent is 0, and nonsense is nothing."""
    assert read(answer({"text": "Hi"}, usageMetadata=metadata)).usage == usage


@pytest.mark.parametrize(
    ("metadata", "tier", "vendor"),
    [
        ({"serviceTier": "STANDARD"}, "default", None),
        ({"serviceTier": "flex"}, "flex", None),
        ({"serviceTier": "unspecified"}, None, None),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, None, {"traffic_type": "PROVISIONED_THROUGHPUT"}),
    ],
)
def test_tiers(metadata: dict[str, Any], tier: str | None, vendor: dict[str, Any] | None) -> None:
    """The Gemini API says the tier; Vertex AI's kind of traffic is Google's own word."""
    response = read(answer({"text": "Hi"}, usageMetadata={"promptTokenCount": 1, **metadata}))

    assert (response.service_tier, response.vendor) == (tier, vendor)


def test_several_candidates() -> None:
    """Each has its own blocks and reason, in order of its index; one that failed does not take the others with it."""
    told = {
        "candidates": [
            {"index": 1, "content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"},
            {"content": {"parts": [{"text": "A"}]}, "finishReason": "STOP", "safetyRatings": [{"category": "X"}]},
            {"index": 2, "finishReason": "MALFORMED_FUNCTION_CALL", "avgLogprobs": -0.5},
        ]
    }
    response = read(told)

    assert (response.blocks, response.stop) == ((Text("A"),), Stop.END)
    assert response.vendor == {"safety_ratings": [{"category": "X"}]}
    assert [(other.index, other.stop, len(other.blocks)) for other in response.others] == [
        (1, Stop.TOOL_CALLS, 1),
        (2, Stop.UNKNOWN, 0),
    ]
    assert response.others[1].vendor == {"avg_logprobs": -0.5}


def test_probabilities_of_tokens() -> None:
    """The chosen tokens have the likeliest ones of their place beside them."""
    told = answer({"text": "Hi you"})
    told["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.1}, {"token": " you"}],
        "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.1}, {"token": "Ho"}]}],
    }

    assert read(told).logprobs == (
        TokenLogprob("Hi", -0.1, top=(TokenLogprob("Hi", -0.1), TokenLogprob("Ho", 0.0))),
        TokenLogprob(" you", 0.0),
    )


def test_what_only_google_has_is_passed_on() -> None:
    """Ratings, grounding, citations and the token to go on with are vendor members under their snake-case names."""
    told = answer({"text": "Hi"}, finish="CONTINUATION")
    told["candidates"][0] |= {
        "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}],
        "groundingMetadata": {"webSearchQueries": ["q"]},
        "citationMetadata": {"citations": [{"uri": "https://a.example"}]},
        "urlContextMetadata": {"urlMetadata": []},
        "continuationToken": "QUFB",
    }
    check_answer(json.dumps(told).encode())

    assert read(told).vendor == {
        "safety_ratings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}],
        "citation_metadata": {"citations": [{"uri": "https://a.example"}]},
        "grounding_metadata": {"webSearchQueries": ["q"]},
        "url_context_metadata": {"urlMetadata": []},
        "continuation_token": "QUFB",
    }


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, "inlineData"),
        ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "QUFB"}, "inlineData"),
        ({"executableCode": {"language": "PYTHON", "code": ""}}, "executableCode"),
        ({"executableCode": 1}, "executableCode"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK"}}, "codeExecutionResult"),
        ({"functionCall": {"args": {}}}, "functionCall"),
        ({"somethingNew": {}}, "(unknown)"),
    ],
)
def test_what_no_block_can_hold_is_listed(part: dict[str, Any], name: str) -> None:
    """A part without a neutral form is never lost in silence, and the rest of the answer stands."""
    response = read(answer({"text": "Hi"}, part, {"text": " you"}))

    assert response.losses == (f"candidates[0].content.parts[].{name}",)
    assert "".join(block.text for block in response.blocks if isinstance(block, Text)) == "Hi you"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"executableCode": {"language": "PYTHON", "code": "print(1)\n"}}, "\n```python\nprint(1)\n```\n"),
        ({"executableCode": {"code": "1"}, "thoughtSignature": "QUFB"}, "\n```\n1\n```\n"),
        ({"executableCode": {"language": "<b>", "code": "````"}}, "\n`````\n````\n`````\n"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}, "\n```\n1\n```\n"),
    ],
)
def test_code_that_was_run_is_text(part: dict[str, Any], text: str) -> None:
    """Code and what came of it stand in a fence, which nothing inside of them can close."""
    response = read(answer({"text": "See"}, part, {"text": "Done"}))

    assert (response.blocks, response.losses) == ((Text(f"See{text}Done"),), ())


@pytest.mark.parametrize("part", [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"somethingNew": {}}])
def test_an_answer_of_which_nothing_is_left_is_none(part: dict[str, Any]) -> None:
    """It names what there was; one that was filtered or cut may be empty, and so may one of several."""
    with pytest.raises(UpstreamError, match=r"holds nothing that can be passed on \((inlineData|\(unknown\))\)"):
        read(answer(part))

    assert read(answer(part, finish="MAX_TOKENS")).stop is Stop.LENGTH
    assert read(answer(part, finish="SAFETY")).stop is Stop.FILTERED
    assert read({"candidates": [{**answer(part)["candidates"][0], "index": at} for at in (0, 1)]}).stop is Stop.END


@pytest.mark.parametrize(
    ("member", "value", "lost"),
    [
        ("index", "0", ()),
        ("index", {}, ("candidates[].index",)),
        ("logprobsResult", [], ("candidates[].logprobsResult",)),
        ("finishMessage", 5, ("candidates[].finishMessage",)),
        ("logprobsResult", {"chosenCandidates": [{"token": 5}]}, ("candidates[].logprobsResult",)),
    ],
)
def test_members_that_cannot_be_read_cost_only_themselves(member: str, value: Any, lost: tuple[str, ...]) -> None:
    """The answer stands, arguments as they were written, and what is left out is listed."""
    told = answer({"text": "Hi"}, {"functionCall": {"name": "f", "args": {"a": 1.0}}})
    told["candidates"][0][member] = value
    response = read(told)

    assert response.losses == lost
    assert [getattr(block, "text", None) or getattr(block, "arguments", "") for block in response.blocks] == [
        "Hi",
        '{"a":1.0}',
    ]


@pytest.mark.parametrize("member", ["usageMetadata", "promptFeedback", "modelVersion", "responseId"])
def test_an_answer_stands_without_what_is_beside_it(member: str) -> None:
    """Usage and names that cannot be read are listed as lost, and do not take the answer with them."""
    assert read(answer({"text": "Hi"}) | {member: [1]}).losses == (member,)


@pytest.mark.parametrize("told", [{"candidates": [{"content": {"parts": [{"text": 5}]}}]}, {"candidates": 1}])
def test_an_answer_without_readable_content_is_none(told: Any) -> None:
    """What the answer is made of is not left out."""
    with pytest.raises(UpstreamError, match="cannot be read"):
        read(told)


@pytest.mark.parametrize(("written", "known"), [("-Infinity", -9999.0), ("NaN", -9999.0), ("-0.5", -0.5)])
def test_probabilities_in_words(written: str, known: float) -> None:
    """Proto3 JSON writes what is no number of JSON's as a string; nobody's client takes an infinity."""
    told = answer({"text": "Hi"})
    told["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "Hi", "logProbability": written}],
        "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": written}]}],
    }

    assert read(told).logprobs == (TokenLogprob("Hi", known, top=(TokenLogprob("Hi", known),)),)


@pytest.mark.parametrize("finish", ["STOP", "SAFETY", None])
def test_a_prompt_that_is_blocked_late(finish: str | None) -> None:
    """What was said before stands, and the answer was filtered."""
    response = read(answer({"text": "Hi"}, finish=finish, promptFeedback={"blockReason": "SAFETY"}))

    assert (response.blocks, response.stop, response.native_stop) == ((Text("Hi"),), Stop.FILTERED, "SAFETY")
    assert read(answer({"text": "Hi"}, promptFeedback={"blockReason": "BLOCK_REASON_UNSPECIFIED"})).stop is Stop.END


def test_arguments_that_are_not_utf8() -> None:
    """They are left as text by the decoder, and are found out all the same."""
    body = json.dumps(answer({"functionCall": {"name": "f", "args": {"a": "#"}}})).encode().replace(b"#", b"\xff")
    with pytest.raises(UpstreamError, match="cannot be read"):
        DIALECT.read_response(body, {}, SENT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[",
        b"[]",
        b"{}",
        b'"a"',
        b'{"candidates":[]}',
        b'{"candidates":{}}',
        b'{"candidates":[{"content":{"parts":[{"text":1}]}}]}',
        b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}]',
        b"\xff",
        b"[" * 5000,
    ],
)
def test_a_body_that_is_no_answer_is_an_upstream_error(body: bytes) -> None:
    """Whatever a 200 holds, the caller gets a 502, and an array that was cut is no whole answer."""
    with pytest.raises(UpstreamError) as failed:
        DIALECT.read_response(body, {}, SENT)
    assert failed.value.error.status == 502


def test_an_error_that_came_as_a_200() -> None:
    """It is the error that it says it is."""
    error = {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED"}
    for told in ({"error": error}, [{"error": error}]):
        with pytest.raises(UpstreamError) as failed:
            read(told)
        assert (failed.value.error.status, failed.value.error.kind) == (429, Kind.RATE_LIMIT)


def test_an_array_of_pieces_is_an_answer() -> None:
    """A stream that somebody put into one JSON array is read as a whole, where one was due."""
    pieces = [answer({"text": "Hel"}, finish=None), answer({"text": "lo"}, usageMetadata={"promptTokenCount": 3})]
    response = read(pieces)

    assert (response.blocks, response.usage) == ((Text("Hello"),), Usage(3, 0, 3))


@pytest.mark.parametrize(("told", "tokens"), [({"totalTokens": 31}, 31), ({"totalTokens": "31"}, 31)])
def test_counts_of_tokens(told: Any, tokens: int) -> None:
    """The total is the number."""
    assert DIALECT.read_count(json.dumps(told).encode()) == tokens


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"totalTokens":-1}'])
def test_a_count_that_is_none_is_an_upstream_error(body: bytes) -> None:
    """An answer without the number is not a zero."""
    with pytest.raises(UpstreamError):
        DIALECT.read_count(body)
