"""What holds for every request: the service model takes it or we refuse it, and a longer one begins like a shorter."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Refusal
from extproc.conversation.request import (
    Audio,
    Block,
    Cache,
    Citation,
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
from extproc.dialects.bedrock.models import FAMILIES
from extproc.platforms.bedrock import PLATFORM
from extproc.platforms.contract import Place
from tests.dialects.bedrock.converse import ABLE, write
from tests.support.bedrock_oracle import check_request

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLOSED = '{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}'
CAPABILITIES = [family.capabilities for family in FAMILIES] + [Capabilities(), ABLE]

texts = st.text(max_size=6) | st.sampled_from(["Hi", "Ho", " "])
caches = st.none() | st.none() | st.builds(Cache, st.sampled_from([None, "5m", "1h", "30m"]))
plain = st.builds(Text, texts, st.just("p"))
documents = st.builds(
    Document,
    st.just("p"),
    media_type=st.just("application/pdf"),
    data=st.just("AAAA"),
    filename=st.none() | st.text(max_size=4) | st.sampled_from(["a.pdf", "a"]),
    cache=caches,
    citations=st.booleans(),
) | st.builds(
    Document,
    st.just("p"),
    blocks=st.lists(plain, max_size=2).map(tuple),
    context=st.none() | texts,
)
found = st.builds(SearchResult, st.just("p"), texts, texts, st.lists(plain, max_size=2).map(tuple), st.booleans())
spans = st.none() | st.integers(-1, 9)
citations = st.builds(
    Citation,
    st.sampled_from(["web", "char", "page", "block", "search_result"]),
    texts,
    st.none() | texts,
    st.none() | texts,
    spans,
    spans,
    spans,
)
blocks = (
    st.builds(Text, texts, st.just("p"), cache=caches)
    | documents
    | found
    | st.builds(Audio, st.just("p"), st.sampled_from(["wav", "mp3"]), st.just("AAAA"))
    | st.builds(Text, texts, st.just("p"), st.just("refusal"))
    | st.builds(Image, st.just("p"), st.sampled_from(["image/png", "image/webp"]), st.just("AAAA"), cache=caches)
)
thoughts = st.builds(Thinking, st.just("p"), texts, st.just("c2ln")) | st.builds(
    Thinking, st.just("p"), redacted=st.just("AAEC/w==")
)
tool_names = st.sampled_from(["f", "g", "g.h"])
arguments = st.sampled_from(["", "{}", '{"a": 1.10}'])
modes = st.sampled_from(["enabled", "adaptive", "disabled"])


@st.composite
def rounds(draw: st.DrawFn) -> list[Turn]:
    """What may follow in a conversation: one message, or calls with all their results."""
    kind = draw(st.sampled_from(["user", "user", "assistant", "system", "tools"]))
    if kind == "user":
        return [Turn("user", tuple(draw(st.lists(blocks, min_size=1, max_size=3))), "p")]
    if kind == "system":
        return [Turn("system", (Text(draw(texts), "p"),), "p")]
    cited = tuple(draw(st.lists(citations, max_size=2)))
    said: list[Block] = [*draw(st.lists(thoughts, max_size=2)), Text(draw(texts), "p", citations=cited)]
    if kind == "assistant":
        return [Turn("assistant", tuple(said), "p")]
    ids = draw(st.lists(st.text(min_size=1, max_size=70), min_size=1, max_size=3, unique=True))
    calls = [ToolCall("p", call_id, draw(tool_names), draw(arguments)) for call_id in ids]
    results = [
        ToolResult("p", call_id, (draw(plain | documents | found),), draw(st.booleans()), draw(caches))
        for call_id in draw(st.permutations(ids))
    ]
    return [Turn("assistant", (*said, *calls), "p"), *(Turn("user", (result,), "p") for result in results)]


greeting = [Turn("user", (Text("Hello", "p"),), "p")]
histories = st.lists(rounds(), max_size=5).map(lambda parts: [turn for part in (greeting, *parts) for turn in part])
tools = st.just((Tool("p", "f", " ", CLOSED, strict=True), Tool("p", "g", "does g", cache=Cache("1h"))))
settings: dict[str, st.SearchStrategy[Any]] = {
    "system": st.lists(st.builds(Text, texts, st.just("p"), cache=caches), max_size=2).map(tuple),
    "tools": tools | tools | tools | st.just(()),
    "tool_choice": st.builds(
        ToolChoice,
        st.sampled_from([None, None, "auto", "none", "any", "named"]),
        st.just("f"),
        st.sampled_from([None, None, None, None, ("f",)]),
        st.sampled_from([None, False]),
    ),
    "sampling": st.builds(
        Sampling,
        temperature=st.none() | st.floats(0, 1),
        top_p=st.none() | st.floats(0, 1),
        top_k=st.none() | st.integers(1, 500),
        seed=st.none() | st.integers(),
    ),
    "max_output_tokens": st.none() | st.integers(1, 9000),
    "stop": st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple),
    "reasoning": st.none()
    | st.builds(Reasoning, st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]))
    | st.builds(Reasoning, mode=modes, budget=st.sampled_from([None, 2000])),
    "output_format": st.none()
    | st.just(OutputFormat("json_object"))
    | st.just(OutputFormat("json_schema", "x", "y", CLOSED, strict=True)),
    "service_tier": st.sampled_from([None, "auto", "flex", "scale"]),
    "user": st.none() | st.just("u"),
    "cache": caches,
    "betas": st.lists(st.sampled_from(["effort-2025-11-24", "other"]), max_size=2).map(tuple),
    "metadata": st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
}
requests = st.builds(lambda turns, **rest: Request("m", tuple(turns), **rest), histories, **settings)


@given(request_=requests, capabilities=st.sampled_from(CAPABILITIES), stream=st.booleans())
def test_converse_body_oracle(request_: Request, capabilities: Capabilities, *, stream: bool) -> None:
    """Whatever is asked of whatever model, botocore takes what we send, unless we refuse to send it."""
    try:
        sent = write(request_, capabilities)
    except Refusal:
        return
    path = PLATFORM.path("chat", Place(MODEL, stream))
    assert path is not None
    check_request(sent.body, MODEL, path, stream=stream)


@given(histories, st.data())
def test_a_longer_conversation_begins_with_the_shorter_one(turns: list[Turn], data: st.DataObject) -> None:
    """Byte for byte up to the end of the shorter one's messages: caches and signed thinking depend on it."""
    unmarked = [_without_marks(turn) for turn in turns]
    declared = (Tool("p", "f"), Tool("p", "g"))
    shorter = unmarked[: data.draw(st.integers(1, len(unmarked)))]
    short, long = (_maybe_body(Request("m", tuple(part), tools=declared)) for part in (shorter, unmarked))
    assume(short is not None and long is not None)
    assert short is not None
    assert long is not None
    closing = b"]}]}"
    assert short.endswith(closing)
    assert long.startswith(short.removesuffix(closing))


def _maybe_body(request: Request) -> bytes | None:
    # A begun answer at the end loses its last white space, which it gets back when the conversation goes on.
    try:
        return write(request, replace(ABLE, prefill=False, maker="anthropic")).body
    except Refusal:
        return None


def _without_marks(turn: Turn) -> Turn:
    """Cache marks move with the conversation, on purpose: at most four may stand in it."""
    kept: list[Block] = []
    for block in turn.blocks:
        match block:
            case Text():
                kept.append(Text(block.text, block.path, block.kind))
            case Image():
                kept.append(Image(block.path, block.media_type, block.data))
            case Document() | SearchResult():
                kept.append(replace(block, cache=None))
            case ToolResult():
                kept.append(ToolResult(block.path, block.call_id, block.blocks, block.is_error))
            case _:
                kept.append(block)
    return Turn(turn.role, tuple(kept), turn.path)


@given(requests, st.sampled_from(CAPABILITIES))
def test_writing_is_a_function(request_: Request, capabilities: Capabilities) -> None:
    """The same request gives the same bytes and the same losses, and is not changed by it."""
    before = repr(request_)
    try:
        first, second = write(request_, capabilities), write(request_, capabilities)
    except Refusal:
        return
    assert first == second
    assert repr(request_) == before


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        "anthropic.claude-opus-4-8",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
        "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:provisioned-model/abcdefghijkl",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_converse_path_arn_quoting(model: str, *, stream: bool) -> None:
    """The path is the one that botocore posts to, ``:`` and ``/`` of an ARN quoted."""
    path = PLATFORM.path("chat", Place(model, stream, "v9"))
    assert path is not None
    check_request(b'{"messages":[]}', model, path, stream=stream)


@pytest.mark.parametrize("operation", ["embeddings", "completions", "responses", "models", ""])
def test_converse_serves_chat_only(operation: str) -> None:
    """Anything but chat has no path here, so that the exchange can say who cannot serve it."""
    assert PLATFORM.path(operation, Place(MODEL)) is None
    assert (PLATFORM.provider, PLATFORM.dialect) == ("aws.bedrock", "bedrock")
