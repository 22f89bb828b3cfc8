"""What an Anthropic client's request means, and what is wrong with it."""

import json
from typing import Any

import httpx2
import pytest

from extproc.conversation.errors import ClientError
from extproc.conversation.request import (
    Cache,
    Citation,
    Document,
    Image,
    Reasoning,
    SearchResult,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from extproc.dialects.anthropic import DIALECT
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import NEWEST, OLDEST, ORIGIN, PNG, USER, body_of, extras, read, refused

CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def says(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def only(block: dict[str, Any], role: str = "user") -> Any:
    """The neutral form of the only block of a message."""
    messages = [says(role, block)] if role == "user" else [USER, says(role, block), USER]
    return read(messages=messages).turns[0 if role == "user" else 1].blocks[0]


def test_sdk_request_is_read() -> None:
    """A request as the SDK sends it, with its own version, is read whole."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"input_tokens": 5})

    client = anthropic_oracle.client(answer)
    counted = client.messages.count_tokens(
        model="m", messages=[{"role": "user", "content": "hi"}], system="be brief", thinking={"type": "adaptive"}
    )
    assert counted.input_tokens == 5
    request = DIALECT.read_request(seen[0].content, dict(seen[0].headers))
    assert request.api_version == "2026-10-21"
    assert request.max_output_tokens is None
    assert request.system == (Text("be brief", "system"),)
    assert request.reasoning == Reasoning(mode="adaptive", path="thinking")


def test_strings_and_blocks_are_read_in_order() -> None:
    """Text is text, however it is written; late system messages stay in place."""
    request = read(
        messages=[
            USER,
            says("assistant", {"type": "text", "text": "a"}, CALL),
            says("user", {"type": "text", "text": "first"}, RESULT),
            {"role": "system", "content": "late"},
        ]
    )
    assert [turn.role for turn in request.turns] == ["user", "assistant", "user", "system"]
    assert request.turns[1].blocks == (
        Text("a", "messages[1].content[0]"),
        ToolCall("messages[1].content[1]", "t1", "f", '{"a": 1}'),
    )
    assert request.turns[2].blocks == (
        Text("first", "messages[2].content[0]"),
        ToolResult("messages[2].content[1]", "t1", (Text("ok", "messages[2].content[1].content"),)),
    )
    assert request.turns[3].blocks == (Text("late", "messages[3].content"),)


def test_inputs_and_schemas_keep_their_text() -> None:
    """Number literals and key order of inputs and schemas are the client's own."""
    literal = '{"z": 1.0, "a": 12345678901234567890}'
    body = (
        '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":'
        f'[{{"type":"tool_use","id":"t1","name":"f","input":{literal}}}]}},{{"role":"user","content":'
        f'[{json.dumps(RESULT)}]}}],"tools":[{{"name":"f","input_schema":{literal}}}],'
        f'"output_config":{{"format":{{"type":"json_schema","schema":{literal}}}}}}}'
    )
    request = DIALECT.read_request(body.encode())
    call = request.turns[1].blocks[0]
    assert isinstance(call, ToolCall)
    assert call.arguments == literal
    assert request.tools[0].schema == literal
    assert request.output_format is not None
    assert (request.output_format.schema, request.output_format.path) == (literal, "output_config.format")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"type": "base64", "media_type": "image/png", "data": PNG}, {"media_type": "image/png", "data": PNG}),
        ({"type": "url", "url": "https://e.com/a.png"}, {"url": "https://e.com/a.png"}),
        ({"type": "file", "file_id": "file_1"}, {"file_id": "file_1"}),
    ],
)
def test_images_are_read(source: dict[str, Any], wanted: dict[str, Any]) -> None:
    """An image has one of three sources."""
    assert only({"type": "image", "source": source}) == Image("messages[0].content[0]", **wanted)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (
            {"type": "base64", "media_type": "application/pdf", "data": PNG},
            {"media_type": "application/pdf", "data": PNG},
        ),
        ({"type": "text", "media_type": "text/plain", "data": "plain"}, {"text": "plain"}),
        ({"type": "url", "url": "https://e.com/a.pdf"}, {"url": "https://e.com/a.pdf"}),
        ({"type": "file", "file_id": "file_1"}, {"file_id": "file_1"}),
        (
            {"type": "content", "content": [{"type": "text", "text": "a"}]},
            {"blocks": (Text("a", "messages[0].content[0].source.content[0]"),)},
        ),
    ],
)
def test_documents_are_read(source: dict[str, Any], wanted: dict[str, Any]) -> None:
    """A document has one of five sources, and a title, a context and a wish for citations beside it."""
    block = {"type": "document", "source": source, "title": "T", "context": "C", "citations": {"enabled": True}}
    document = Document("messages[0].content[0]", filename="T", context="C", citations=True, **wanted)
    assert only(block) == document


def test_search_results_and_citations_are_read() -> None:
    """Search results are content, and citations stay with the text that has them."""
    block = {
        "type": "search_result",
        "source": "https://e.com",
        "title": "E",
        "content": [{"type": "text", "text": "x"}],
    }
    inner = (Text("x", "messages[0].content[0].content[0]"),)
    assert only(block) == SearchResult("messages[0].content[0]", "https://e.com", "E", inner)
    place = {"type": "page_location", "cited_text": "q", "document_index": 1, "document_title": "T"}
    cited = {"type": "text", "text": "so", "citations": [{**place, "start_page_number": 1, "end_page_number": 2}]}
    citations = (Citation("page", "q", "T", document=1, start=1, end=2),)
    assert only(cited, "assistant").citations == citations


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
@pytest.mark.parametrize(
    ("written", "plain", "origin"), [("sig", "sig", "anthropic"), (f"llmr1.{ORIGIN}.sig", "sig", ORIGIN)]
)
def test_thinking_says_whose_it_is(kind: str, written: str, plain: str, origin: str) -> None:
    """What the gateway did not mark was made by Anthropic; a mark names its maker and is taken off."""
    if kind == "thinking":
        block = {"type": kind, "thinking": "", "signature": written}
        wanted = Thinking("messages[1].content[0]", "", plain, origin=origin)
    else:
        block = {"type": kind, "data": written}
        wanted = Thinking("messages[1].content[0]", redacted=plain, origin=origin)
    assert only(block, "assistant") == wanted


def test_tool_results_are_read() -> None:
    """A result holds text, images, documents and search results; a mark inside it is one on its end."""
    content = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}},
    ]
    result = {**RESULT, "content": content, "is_error": True}
    read_result = read(messages=[USER, says("assistant", CALL), says("user", result)]).turns[2].blocks[0]
    assert read_result == ToolResult(
        "messages[2].content[0]",
        "t1",
        (
            Text("a", "messages[2].content[0].content[0]"),
            Image("messages[2].content[0].content[1]", url="https://e.com/a.png"),
        ),
        is_error=True,
        cache=Cache("1h"),
    )


@pytest.mark.parametrize(
    "block",
    [
        {"type": "container_upload", "file_id": "f"},
        {"type": "a_new_block"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "mcp_tool_use", "id": "s", "name": "x", "server_name": "y", "input": {}},
        {"type": "compaction", "content": "c"},
    ],
)
def test_blocks_of_anthropics_own_are_essential(block: dict[str, Any]) -> None:
    """What only Anthropic's servers can read is kept as an extra that no other upstream may leave out."""
    request = read(messages=[USER, says("assistant", {"type": "text", "text": "a"}, block), USER])
    assert extras(request) == {"messages[1].content[1]": "refused"}


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({"mcp_servers": [{"name": "x"}]}, {"mcp_servers": "refused"}),
        ({"mcp_servers": []}, {"mcp_servers": "harmless"}),
        ({"container": "c"}, {"container": "refused"}),
        ({"fallbacks": "default"}, {"fallbacks": "refused"}),
        ({"inference_geo": "us"}, {"inference_geo": "refused"}),
        ({"output_config": {"task_budget": {"type": "tokens", "total": 5}}}, {"output_config.task_budget": "refused"}),
        ({"context_management": {"edits": [{}]}}, {"context_management": "listed"}),
        ({"speed": "fast"}, {"speed": "listed"}),
        ({"speed": "standard"}, {"speed": "harmless"}),
        ({"a_new_field": 1}, {"a_new_field": "listed"}),
        ({"metadata": {"user_id": "u", "x": 1}}, {"metadata.x": "listed"}),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, {"tools[0]": "refused"}),
        ({"tools": [{**TOOL, "defer_loading": True}]}, {"tools[0].defer_loading": "listed"}),
        ({"tools": [{**TOOL, "allowed_callers": ["direct"]}]}, {"tools[0].allowed_callers": "harmless"}),
    ],
)
def test_fields_without_neutral_form(fields: dict[str, Any], fate: dict[str, str]) -> None:
    """Each field of the API that has no neutral form is refused elsewhere, listed, or harmless."""
    assert extras(read(**fields)) == fate


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
            Reasoning(None, "enabled", 1024),
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(None, "adaptive", None, "omitted")),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, Reasoning("max", "disabled")),
        ({"output_config": {"effort": "low"}}, Reasoning("low", path="output_config.effort")),
    ],
)
def test_reasoning_is_read(fields: dict[str, Any], reasoning: Reasoning) -> None:
    """``thinking`` and the effort are one wish."""
    read_reasoning = read(**fields).reasoning
    assert read_reasoning is not None
    path = "thinking" if "thinking" in fields else reasoning.path
    assert read_reasoning == Reasoning(reasoning.effort, reasoning.mode, reasoning.budget, reasoning.display, path)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("any", parallel=False)),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("any")),
        ({"type": "tool", "name": "f"}, ToolChoice("named", "f")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_tool_choice_is_read(choice: dict[str, Any], wanted: ToolChoice) -> None:
    """Each form of choice, and the switch against parallel calls."""
    read_choice = read(tools=[TOOL], tool_choice=choice).tool_choice
    assert (read_choice.kind, read_choice.name, read_choice.parallel) == (wanted.kind, wanted.name, wanted.parallel)


def test_tools_are_read() -> None:
    """A tool keeps its schema as text, its strictness and its mark."""
    tool = {**TOOL, "type": "custom", "description": "d", "strict": True, "cache_control": {"type": "ephemeral"}}
    assert read(tools=[tool]).tools == (Tool("tools[0]", "f", "d", '{"type": "object"}', True, Cache()),)


def test_settings_are_read() -> None:
    """Limits, sampling, tier and user have neutral forms, in neutral words."""
    request = read(
        stop_sequences=["x"],
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        service_tier="standard_only",
        metadata={"user_id": "u"},
        stream=True,
        cache_control={"type": "ephemeral", "ttl": "5m"},
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 3)
    assert (request.stop, request.user, request.service_tier) == (("x",), "u", "default")
    assert (request.stream, request.include_usage, request.cache) == (True, True, Cache("5m"))
    assert (request.stop_path, request.user_path) == ("stop_sequences", "metadata.user_id")


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_version_2026_refuses_sampling(name: str) -> None:
    """By the newer version sampling values are refused, even at their defaults."""
    assert refused(NEWEST, **{name: 1}).param == name
    assert read(OLDEST, **{name: 1}).sampling is not None


def test_version_2026_refuses_misplaced_blocks() -> None:
    """By the newer version an assistant has no documents, and a user no citations."""
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    messages = [USER, says("assistant", document), USER]
    assert refused(NEWEST, messages=messages).param == "messages[1].content[0]"
    assert isinstance(read(OLDEST, messages=messages).turns[1].blocks[0], Document)
    place = {
        "type": "char_location",
        "cited_text": "q",
        "document_index": 0,
        "start_char_index": 0,
        "end_char_index": 1,
    }
    cited = [says("user", {"type": "text", "text": "x", "citations": [place]})]
    assert refused(NEWEST, messages=cited).param == "messages[0].content[0].citations"
    assert read(NEWEST, messages=[says("user", {"type": "text", "text": "x", "citations": None})]).turns


def test_beta_headers_are_read() -> None:
    """Betas are words, each once."""
    assert read({"anthropic-beta": " a-1,b-2 ,,a-1"}).betas == ("a-1", "b-2")
    assert read().betas == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [says("user", {"text": "x"})]}, "messages[0].content[0].type"),
        ({"messages": [says("user", {"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [says("user", CALL)]}, "messages[0].content[0].type"),
        ({"messages": [USER, says("assistant", RESULT)]}, "messages[1].content[0].type"),
        ({"messages": [USER, says("assistant", CALL)]}, "messages[1].content[0]"),
        ({"messages": [USER, says("assistant", CALL), USER, says("assistant", CALL)]}, "messages[1].content[0]"),
        ({"messages": [USER, says("assistant", CALL, CALL)]}, "messages[1].content[1].id"),
        ({"messages": [says("user", RESULT)]}, "messages[0].content[0].tool_use_id"),
        (
            {"messages": [USER, says("assistant", CALL), says("user", RESULT, RESULT)]},
            "messages[2].content[1].tool_use_id",
        ),
        ({"messages": [USER, says("assistant", {**CALL, "input": "x"})]}, "messages[1].content[0].input"),
        (
            {"messages": [says("user", {"type": "image", "source": {"type": "base64"}})]},
            "messages[0].content[0].source.media_type",
        ),
        (
            {
                "messages": [
                    says(
                        "user", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?"}}
                    )
                ]
            },
            "messages[0].content[0].source.data",
        ),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [" "]}, "stop_sequences[0]"),
        ({"temperature": 1.5}, "temperature"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "hard"}}, "thinking.type"),
        ({"output_config": {"effort": "none"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"cache_control": {"type": "forever"}}, "cache_control.type"),
    ],
)
def test_wrong_requests_are_refused_by_path(fields: dict[str, Any], param: str) -> None:
    """The error names the path of what is wrong, and is one that the SDK knows."""
    error = refused(**fields)
    assert error.param == param
    assert anthropic_oracle.check_error(DIALECT.write_error(error))["type"] == "invalid_request_error"


def test_results_may_come_in_several_messages() -> None:
    """The API merges neighbours of one role, so results may be spread over them."""
    second = {**CALL, "id": "t2"}
    messages = [
        USER,
        says("assistant", CALL),
        says("assistant", second),
        says("user", {**RESULT, "tool_use_id": "t2"}),
        says("user", RESULT),
    ]
    assert len(read(messages=messages).turns) == 5


def test_huge_conversations_are_refused() -> None:
    """A number of messages beyond all measure is refused before any is read."""
    assert refused(messages=[USER] * 10_001).param == "messages"
    assert refused(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}] * 2_001}]).param is not None


def test_bodies_that_are_no_request() -> None:
    """What is no JSON object is told so."""
    for body in (b"", b"[]", b"{", body_of()[:-1]):
        assert refused_body(body) == "invalid_json"


def refused_body(body: bytes) -> str | None:
    with pytest.raises(ClientError) as caught:
        DIALECT.read_request(body)
    return caught.value.error.code
