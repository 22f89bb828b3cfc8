"""Streamed answers in every framing, cut everywhere; they say what the same answer says as a whole."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from extproc.conversation.errors import Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Ended,
    Event,
    Fault,
    Lost,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.response import Stop, Usage
from extproc.dialects.gemini import DIALECT
from extproc.dialects.gemini.signatures import UNSIGNED_THOUGHT, alone
from tests.dialects.gemini.generate import SENT, answer, events, sse
from tests.support.gemini_oracle import check_answer
from tests.support.golden_dialects import all_splits
from tests.support.wire_costs import assert_linear

ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
HALF = {"promptTokenCount": 5, "totalTokenCount": 5, "cachedContentTokenCount": 2}
WHOLE = {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 10}

TEXT = [
    answer({"text": "Grüße"}, finish=None, responseId="r", modelVersion="v", usageMetadata=HALF),
    answer({"text": " an dich\u2028"}, finish=None),
    answer({"text": "🙂"}, usageMetadata=WHOLE),
]
CALLS = [
    answer({"text": "Hmm", "thought": True}, finish=None),
    answer({"text": "...", "thought": True}, finish=None),
    answer(
        {"functionCall": {"id": "a", "name": "f", "args": {"q": 1.0}}, "thoughtSignature": "QUFB"},
        {"functionCall": {"id": "b", "name": "f", "args": {}}},
        finish=None,
    ),
    answer({"functionCall": {"id": "c", "name": "g"}}, finish=None),
    answer({"text": ""}, usageMetadata=WHOLE),
]
SIGNED_LAST = [
    answer({"text": "Hi"}, finish=None),
    answer({"text": "", "thoughtSignature": "QUFB"}),
]
SIGNED_TEXT = [
    answer({"text": "Hel"}, finish=None),
    answer({"text": "lo", "thoughtSignature": "QUFB"}, finish=None),
    answer({"text": "", "thoughtSignature": "QkJC"}, finish=None),
    answer({"text": " you"}),
]
TWO = [
    {
        "candidates": [
            {"index": 0, "content": {"parts": [{"text": "A"}]}},
            {"index": 1, "content": {"parts": [{"text": "B"}]}},
        ]
    },
    {"candidates": [{"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS"}]},
    {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
]
STREAMS = {"text": TEXT, "calls": CALLS, "signed last": SIGNED_LAST, "signed text": SIGNED_TEXT, "two": TWO}


def framings(pieces: list[Any]) -> Iterator[tuple[str, bytes]]:
    """The same stream in every form that it may have on the wire."""
    for name, end in {"LF": b"\n\n", "CRLF": b"\r\n\r\n", "CR": b"\r\r"}.items():
        yield name, sse(*pieces, end=end)
    yield "BOM, comments, DONE", b"\xef\xbb\xbf: hi\n\n" + sse(*pieces) + b": bye\n\ndata: [DONE]\n\n"
    yield "no blank line at the end", sse(*pieces).rstrip()
    texts = [json.dumps(piece, ensure_ascii=False, indent=1).encode() for piece in pieces]
    yield "array", b"\n[" + b"\n,\r\n".join(texts) + b"\n]\n"
    yield "objects", b"\n".join(texts)


FRAMED = [(name, form, whole) for name, pieces in STREAMS.items() for form, whole in framings(pieces)]


@pytest.mark.parametrize(
    ("name", "whole"), [(name, whole) for name, _, whole in FRAMED], ids=[f"{n}, {f}" for n, f, _ in FRAMED]
)
def test_gemini_array_and_sse(name: str, whole: bytes) -> None:
    """Every framing gives the same events, byte by byte and cut in two at every place."""
    expected = events(sse(*STREAMS[name]))
    for piece in STREAMS[name]:
        check_answer(json.dumps(piece).encode())

    assert expected[-1] == Ended()
    for chunks in all_splits(whole):
        assert events(*chunks) == expected


def test_text() -> None:
    """Text comes as it came, usage counts are running totals, and the reason is told at the end."""
    assert events(sse(*TEXT)) == [
        Started("r", "v"),
        TextDelta(0, "Grüße"),
        Metered(Usage(5, 0, 5, 2)),
        TextDelta(0, " an dich\u2028"),
        TextDelta(0, "🙂"),
        Metered(Usage(5, 5, 10, 2, reasoning_tokens=2)),
        BlockEnded(0),
        Stopped(Stop.END, "STOP"),
        Ended(),
    ]


def test_calls_in_several_pieces() -> None:
    """Each call is a block, the signature one before the first, and STOP after earlier calls means them."""
    assert events(sse(*CALLS)) == [
        Started(),
        ThinkingDelta(0, "Hmm"),
        ThinkingDelta(0, "..."),
        ThinkingDelta(0, signature=UNSIGNED_THOUGHT),
        BlockEnded(0),
        ThinkingDelta(1, signature="QUFB"),
        BlockEnded(1),
        ToolStarted(2, "a", "f"),
        ArgumentsDelta(2, '{"q":1.0}'),
        BlockEnded(2),
        ToolStarted(3, "b", "f"),
        ArgumentsDelta(3, "{}"),
        BlockEnded(3),
        ToolStarted(4, "c", "g"),
        ArgumentsDelta(4, "{}"),
        BlockEnded(4),
        Metered(Usage(5, 5, 10, reasoning_tokens=2)),
        Stopped(Stop.TOOL_CALLS, "STOP"),
        Ended(),
    ]


def test_gemini_signature_empty_text_in_a_stream() -> None:
    """The signature of an empty last part is the last block of the answer."""
    assert events(sse(*SIGNED_LAST))[1:-2] == [
        TextDelta(0, "Hi"),
        BlockEnded(0),
        ThinkingDelta(1, signature="QUFB"),
        BlockEnded(1),
    ]


def test_signed_text_stays_apart() -> None:
    """A signed part is not merged with its neighbours, and an empty one that others follow says so."""
    assert [event for event in events(sse(*SIGNED_TEXT)) if isinstance(event, TextDelta | ThinkingDelta)] == [
        TextDelta(0, "Hel"),
        ThinkingDelta(1, signature="QUFB"),
        TextDelta(2, "lo"),
        ThinkingDelta(3, signature=alone("QkJC")),
        TextDelta(4, " you"),
    ]


def test_candidates_may_interleave() -> None:
    """The blocks of several answers have indices of their own, and each answer its reason."""
    told = events(sse(*TWO))

    assert [(event.index, event.text, event.candidate) for event in told if isinstance(event, TextDelta)] == [
        (0, "A", 0),
        (1, "B", 1),
        (1, "b", 1),
        (0, "a", 0),
    ]
    assert [event for event in told if isinstance(event, Stopped)] == [
        Stopped(Stop.END, "STOP"),
        Stopped(Stop.LENGTH, "MAX_TOKENS", candidate=1),
    ]


def test_older_models_say_stop_in_every_piece() -> None:
    """Only the end of the bytes is the end."""
    told = events(sse(answer({"text": "A"}), answer({"text": "B"})))

    assert [event for event in told if isinstance(event, TextDelta | Stopped)] == [
        TextDelta(0, "A"),
        TextDelta(0, "B"),
        Stopped(Stop.END, "STOP"),
    ]


@pytest.mark.parametrize(
    ("stream", "status", "kind"),
    [
        (sse(ERROR), 503, Kind.OVERLOADED),
        (sse(TEXT[0], ERROR), 503, Kind.OVERLOADED),
        (sse(TEXT[0]) + json.dumps(ERROR, indent=2).encode(), 503, Kind.OVERLOADED),
        (sse(TEXT[0]) + json.dumps(ERROR, indent=2).encode() + b"\r\n\r\n", 503, Kind.OVERLOADED),
        (sse(TEXT[0]) + b'{\n\n"error":\n\n{"code": 429}}\n', 429, Kind.RATE_LIMIT),
        (json.dumps([TEXT[0], ERROR]).encode(), 503, Kind.OVERLOADED),
        (json.dumps([ERROR]).encode(), 503, Kind.OVERLOADED),
        (json.dumps(ERROR).encode(), 503, Kind.OVERLOADED),
        (sse({"error": {"status": "RESOURCE_EXHAUSTED"}}), 429, Kind.RATE_LIMIT),
        (sse({"error": "no"}), 500, Kind.SERVER),
        (b"", 502, Kind.SERVER),
        (sse(*TEXT[:2]), 502, Kind.SERVER),
        (sse(*TWO[:2]), 502, Kind.SERVER),
        (sse(TEXT[0]) + b"data: {\n\n", 502, Kind.SERVER),
        (sse(TEXT[0]) + b'data: {"candidates": [{"cont', 502, Kind.SERVER),
        (sse(TEXT[0]) + b'{"error": {', 502, Kind.SERVER),
        (sse(TEXT[0]) + b"{} nonsense\n\n", 502, Kind.SERVER),
        (sse({"candidates": "no"}), 502, Kind.SERVER),
        (sse({"usageMetadata": HALF}), 502, Kind.SERVER),
        (json.dumps(TEXT)[:-40].encode(), 502, Kind.SERVER),
        (b"[1, 2]", 502, Kind.SERVER),
        (sse(answer({"text": "Hmm", "thought": True}, finish="MALFORMED_FUNCTION_CALL")), 502, Kind.SERVER),
        (b"data: \xff\xfe\n\n", 502, Kind.SERVER),
    ],
)
def test_a_stream_that_fails_ends_in_a_fault(stream: bytes, status: int, kind: Kind) -> None:
    """An error in the stream, a cut, or damage is told once and last, wherever the bytes are cut."""
    told = events(stream)
    fault = told[-1]

    assert isinstance(fault, Fault)
    assert (fault.error.status, fault.error.kind) == (status, kind)
    assert not any(isinstance(event, Fault | Ended) for event in told[:-1])
    for chunks in all_splits(stream):
        assert events(*chunks) == told


def test_a_cut_at_every_byte_is_never_a_whole_answer() -> None:
    """Unless all of the last piece has come, the stream ends in a fault."""
    whole = sse(*TEXT)
    for cut in range(len(whole) - 4):
        assert isinstance(events(whole[:cut])[-1], Fault), cut


def test_nothing_follows_the_end() -> None:
    """Bytes after a fault are not read."""
    assert [type(event) for event in events(sse(ERROR), sse(*TEXT))] == [Fault]


def test_vendor_members_and_losses_come_where_they_are() -> None:
    """Google's own members are told once they are known, and what has no block is listed."""
    piece = answer({"text": "Hi"}, {"inlineData": {"data": "AAAA"}}, usageMetadata={"trafficType": "ON_DEMAND"})
    piece["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["q"]}
    told: list[Event] = events(sse(piece, piece))

    assert [event for event in told if isinstance(event, VendorDelta)] == [
        VendorDelta({"grounding_metadata": {"webSearchQueries": ["q"]}}),
        VendorDelta({"traffic_type": "ON_DEMAND"}),
        VendorDelta({"grounding_metadata": {"webSearchQueries": ["q"]}}),
    ]
    assert told.count(Lost("candidates[0].content.parts[].inlineData")) == 2


def test_blanks_before_a_stream_cost_no_more_each() -> None:
    """They are not kept, so that many of them, one by one, are each read once."""

    def feeding(size: int) -> Callable[[], object]:
        def work() -> object:
            reader = DIALECT.stream_reader({}, SENT)
            return [reader.feed(b" " * 64) for _ in range(size)]

        return work

    assert_linear(feeding, 500)
    assert events(*[b" \r\n"] * 50, b"\xef\xbb", b"\xbf \n", sse(*TEXT)) == events(sse(*TEXT))
