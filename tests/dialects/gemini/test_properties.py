"""What holds for every request, that google-genai takes it or we refuse it, and for all bytes that may come back."""

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Refusal, UpstreamError
from extproc.conversation.events import Ended, Event, Fault
from extproc.conversation.request import (
    Audio,
    Block,
    Cache,
    Document,
    Image,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    SearchResult,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from extproc.dialects.contract import Destination
from extproc.dialects.gemini import DIALECT
from extproc.dialects.gemini.models import FAMILIES
from extproc.dialects.gemini.signatures import UNSIGNED_THOUGHT, alone
from tests.dialects.gemini.generate import SENT, answer, events, read, sse, write

CAPABILITIES = [family.capabilities for family in FAMILIES] + [Capabilities()]
SCHEMA = '{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}'

texts = st.text(max_size=6) | st.sampled_from(["Hi", "Ho", " "])
caches = st.none() | st.none() | st.builds(Cache)
plain = st.builds(Text, texts, st.just("p"))
images = st.builds(Image, st.just("p"), st.sampled_from(["image/png", "image/webp"]), st.just("AAAA"), cache=caches)
documents = st.builds(Document, st.just("p"), st.just("application/pdf"), st.just("AAAA"), filename=st.none() | texts)
documents |= st.builds(Document, st.just("p"), blocks=st.lists(plain, max_size=2).map(tuple))
found = st.builds(SearchResult, st.just("p"), texts, texts, st.lists(plain, max_size=2).map(tuple))
blocks = plain | images | documents | found | st.builds(Audio, st.just("p"), st.just("wav"), st.just("AAAA"))
signatures = st.sampled_from(["QUFB", "QkJC", UNSIGNED_THOUGHT, alone("QUFB")])
thoughts = st.builds(Thinking, st.just("p"), texts, signatures)


@st.composite
def rounds(draw: st.DrawFn) -> list[Turn]:
    """What may follow in a conversation: one message, or calls with all their results."""
    kind = draw(st.sampled_from(["user", "user", "assistant", "system", "tools"]))
    if kind == "user":
        return [Turn("user", tuple(draw(st.lists(blocks, min_size=1, max_size=3))), "p")]
    if kind == "system":
        return [Turn("system", (Text(draw(texts), "p"),), "p")]
    said: list[Block] = draw(st.lists(thoughts | plain, max_size=4))
    if kind == "assistant":
        return [Turn("assistant", tuple(said), "p")]
    ids = draw(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3, unique=True))
    for call_id in ids:
        arguments = draw(st.sampled_from(["", "{}", '{"a": 1.10}']))
        said += [*draw(st.lists(thoughts, max_size=1)), ToolCall("p", call_id, draw(st.sampled_from("fg")), arguments)]
    results = [
        ToolResult("p", call_id, (draw(plain | images | found),), draw(st.booleans()), draw(caches))
        for call_id in draw(st.permutations(ids))
    ]
    return [Turn("assistant", tuple(said), "p"), *(Turn("user", (result,), "p") for result in results)]


greeting = [Turn("user", (Text("Hello", "p"),), "p")]
histories = st.lists(rounds(), max_size=5).map(lambda parts: [turn for part in (greeting, *parts) for turn in part])
settings: dict[str, st.SearchStrategy[Any]] = {
    "system": st.lists(plain, max_size=2).map(tuple),
    "tools": st.just((Tool("p", "f", " ", SCHEMA, strict=True), Tool("p", "g", "g", cache=Cache()))) | st.just(()),
    "tool_choice": st.builds(
        ToolChoice,
        st.sampled_from([None, "auto", "none", "any", "named"]),
        st.just("f"),
        st.sampled_from([None, None, ("f",), ()]),
        st.sampled_from([None, False]),
    ),
    "sampling": st.builds(
        Sampling,
        temperature=st.none() | st.floats(0, 2),
        top_p=st.none() | st.floats(0, 1),
        top_k=st.none() | st.integers(1, 500),
        seed=st.none() | st.integers(),
        n=st.none() | st.integers(1, 3),
        top_logprobs=st.none() | st.integers(0, 5),
    ),
    "max_output_tokens": st.none() | st.integers(1, 9000),
    "reasoning": st.none()
    | st.builds(Reasoning, st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]))
    | st.builds(
        Reasoning, mode=st.sampled_from(["enabled", "adaptive", "disabled"]), budget=st.sampled_from([None, 9])
    ),
    "output_format": st.none()
    | st.just(OutputFormat("json_object"))
    | st.just(OutputFormat("json_schema", schema=SCHEMA)),
    "service_tier": st.sampled_from([None, "auto", "flex", "scale"]),
    "metadata": st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
}
requests = st.builds(Request, st.just("m"), histories.map(tuple), **settings)
destinations = st.builds(
    Destination, st.just("m"), st.sampled_from(CAPABILITIES), fetches_urls=st.booleans(), hosted=st.booleans()
)


@given(request=requests, destination=destinations)
def test_every_request_is_taken_or_refused(request: Request, destination: Destination) -> None:
    """What is written passes google-genai's types and the checks beside them."""
    try:
        write(request, destination)
    except Refusal:
        assume(False)


@given(turns=histories, more=rounds(), destination=destinations)
def test_a_longer_conversation_begins_like_a_shorter(
    turns: list[Turn], more: list[Turn], destination: Destination
) -> None:
    """Every content but the last stays byte for byte, and the last is only added to."""
    request = Request("m", tuple(turns))
    try:
        shorter = DIALECT.write_request(request, destination).body
        longer = DIALECT.write_request(replace(request, turns=(*turns, *more)), destination).body
    except Refusal:
        assume(False)
    else:
        assert longer.startswith(shorter.removesuffix(b"]}]}"))


parts = st.fixed_dictionaries(
    {},
    optional={
        "text": st.sampled_from(["", "Hi", " ", "é"]),
        "thought": st.booleans(),
        "thoughtSignature": st.sampled_from(["QUFB", "QkJC"]),
    },
) | st.builds(
    lambda call_id, signature: {
        "functionCall": {"id": call_id, "name": "f", "args": {}},
        **({"thoughtSignature": signature} if signature else {}),
    },
    st.uuids().map(str),
    st.sampled_from([None, "Q0ND"]),
)


@given(told=st.lists(parts, max_size=6))
def test_what_gemini_said_goes_back_with_every_signature_in_its_place(told: list[dict[str, Any]]) -> None:
    """Reading and writing an answer keeps calls, texts and signatures, and each signature with its part."""
    assume(any(part.get("text") or "functionCall" in part for part in told) or all(map(_is_readable, told)))
    blocks = read(answer(*told)).blocks
    results = tuple(ToolResult("p", block.id) for block in blocks if isinstance(block, ToolCall))
    turns = (*greeting, Turn("assistant", blocks, "p"), Turn("user", (*results, Text("Go on")), "p"))
    sent = json.loads(write(Request("m", turns)).body)["contents"]

    written: list[dict[str, Any]] = next((content["parts"] for content in sent if content["role"] == "model"), [])
    signed = [(part["thoughtSignature"], _data(part)) for part in told if part.get("thoughtSignature")]
    kept = [(part["thoughtSignature"], _data(part)) for part in written if len(part.get("thoughtSignature", "")) == 4]
    # A thought is told in pieces: its signature is that of all of them.
    assert [one for one, _ in kept] == [one for one, _ in signed]
    assert [data for _, data in kept if "id" in str(data)] == [data for _, data in signed if "id" in str(data)]


def _is_readable(part: dict[str, Any]) -> bool:
    return bool(part.keys() - {"thought"})


def _data(part: dict[str, Any]) -> Any:
    return part.get("functionCall", part.get("text", ""))


pieces = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "candidates",
                        "content",
                        "parts",
                        "text",
                        "functionCall",
                        "name",
                        "args",
                        "index",
                        "finishReason",
                    ),
                    *("usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "error", "code", "message"),
                    *("thought", "thoughtSignature", "logprobsResult", "chosenCandidates", "details", "status"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(body=st.binary(max_size=40) | pieces.map(lambda told: json.dumps(told).encode()))
def test_no_body_raises_anything_but_an_upstream_error(body: bytes) -> None:
    """Whatever an upstream sends, as a whole answer or as an error."""
    DIALECT.read_error(400, {}, body)
    try:
        DIALECT.read_response(body, {}, SENT)
    except UpstreamError as failed:
        assume(failed.error.status >= 400)


@given(chunks=st.lists(st.binary(max_size=20) | pieces.map(sse) | st.just(sse(answer({"text": "Hi"}))), max_size=4))
def test_no_stream_raises_and_each_has_one_end(chunks: list[bytes]) -> None:
    """The last event is an end or a fault, nothing else is, and one chunk gives what many give."""
    told: list[Event] = events(*chunks)

    assert [isinstance(event, Ended | Fault) for event in told] == [False] * (len(told) - 1) + [True]
    assert events(b"".join(chunks)) == told
