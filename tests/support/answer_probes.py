"""What becomes of each member of an answer at the client of the other dialect: found out by sending it.

A probe is one answer beside its baseline, whole and streamed. Listed: the record of the exchange says so. Carried: the
client's answer changes. Harmless: it does not, and the probe says why that is right.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extproc.conversation.events import Fault, Lost
from extproc.dialects.contract import Identity, UpstreamRequest
from extproc.registry import client_dialect, upstream_dialect
from tests.support.field_report import APIS, CLIENTS, DOCS, GENERATED, table

SENT = UpstreamRequest(b"")
IDENTITY = Identity("abc", "m", 1_700_000_000, "")
#: Upstream -> its client's dialect, and the body of a request of that client.
OTHERS = {"openai": "anthropic", "anthropic": "openai"}


@dataclass(frozen=True, slots=True)
class Probe:
    """Members put at a place of the whole answer, and of one event of the stream (its number, and the place in it)."""

    field: str
    value: Any
    whole: str
    event: int
    streamed: str
    harmless: str | None = None


_OPENAI_WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_OPENAI_STREAM = [
    {**_CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}]},
    {**_CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**_CHUNK, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
]
_ANTHROPIC_WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 4},
}
_ANTHROPIC_STREAM = [
    {"type": "message_start", "message": {**_ANTHROPIC_WHOLE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
]
BASELINES: Mapping[str, tuple[Any, list[Any]]] = {
    "openai": (_OPENAI_WHOLE, _OPENAI_STREAM),
    "anthropic": (_ANTHROPIC_WHOLE, _ANTHROPIC_STREAM),
}

_LOGPROBS = {"content": [{"token": "hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
_MESSAGE, _DELTA = "choices.0.message", "choices.0.delta"
_PARTS_OF_OUTPUT = "usage.completion_tokens_details"
_OF_DOCUMENT = {"type": "char_location", "cited_text": "q", "document_index": 0, "start_char_index": 0}
_OF_WEB = {"type": "web_search_result_location", "cited_text": "q", "url": "https://a.example", "title": "t"}
_CITING = {"type": "citations_delta", "citation": {**_OF_DOCUMENT, "end_char_index": 1}}
PROBES: Mapping[str, tuple[Probe, ...]] = {
    "openai": (
        Probe("id", "chatcmpl-2", "id", 0, "id"),
        Probe("created", 5, "created", 0, "created", "a message has no time of its own"),
        Probe("model", "other", "model", 0, "model"),
        Probe("system_fingerprint", "fp", "system_fingerprint", 0, "system_fingerprint", "names a build of the server"),
        Probe("moderation", {"input": {}, "output": {"a": 1}}, "moderation", 2, "moderation"),
        Probe("metadata", {"a": "b"}, "metadata", 0, "metadata", "repeats the request"),
        Probe("service_tier: priority", "priority", "service_tier", 2, "service_tier"),
        Probe("service_tier: flex", "flex", "service_tier", 2, "service_tier"),
        Probe("choices[].logprobs", _LOGPROBS, "choices.0.logprobs", 0, "choices.0.logprobs"),
        Probe("message.refusal", "no", f"{_MESSAGE}.refusal", 0, f"{_DELTA}.refusal"),
        Probe("message.reasoning_content", "hm", f"{_MESSAGE}.reasoning_content", 0, f"{_DELTA}.reasoning_content"),
        Probe("message.annotations", [{"type": "url_citation"}], f"{_MESSAGE}.annotations", 0, f"{_DELTA}.annotations"),
        Probe("message.audio", {"id": "a"}, f"{_MESSAGE}.audio", 0, f"{_DELTA}.audio"),
        Probe("usage.prompt_tokens_details.cached_tokens", {"cached_tokens": 2}, "usage.prompt_tokens_details", 2,
              "usage.prompt_tokens_details"),
        Probe("usage.prompt_tokens_details.audio_tokens", {"audio_tokens": 2}, "usage.prompt_tokens_details", 2,
              "usage.prompt_tokens_details", "counted in input_tokens; a message splits them by the cache only"),
        *(
            Probe(f"{_PARTS_OF_OUTPUT}.{name}", {name: 3}, _PARTS_OF_OUTPUT, 2, _PARTS_OF_OUTPUT)
            for name in (
                "reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"
            )
        ),
    ),
    "anthropic": (
        Probe("id", "msg_2", "id", 0, "message.id"),
        Probe("model", "other", "model", 0, "message.model"),
        Probe("container", {"id": "c", "expires_at": "x"}, "container", 4, "delta.container"),
        Probe("context_management: nothing applied", {"applied_edits": []}, "context_management", 4,
              "context_management", "says that nothing was done"),
        Probe("context_management", {"applied_edits": [{"type": "clear_tool_uses"}]}, "context_management", 4,
              "context_management"),
        Probe("input_transformations", [{"type": "x"}], "input_transformations", 0, "message.input_transformations"),
        Probe("stop_details.category", {"type": "refusal", "category": "cyber"}, "stop_details", 4,
              "delta.stop_details"),
        Probe("stop_details.explanation", {"type": "refusal", "explanation": "no"}, "stop_details", 4,
              "delta.stop_details"),
        Probe("content[].citations: of a document", [_CITING["citation"]], "content.0.citations", 2, "delta"),
        Probe("usage.cache_read_input_tokens", 2, "usage.cache_read_input_tokens", 0,
              "message.usage.cache_read_input_tokens"),
        Probe("usage.service_tier: priority", "priority", "usage.service_tier", 0, "message.usage.service_tier"),
        Probe("usage.service_tier: batch", "batch", "usage.service_tier", 0, "message.usage.service_tier",
              "only the batch API, which is not served here, answers so"),
        Probe("usage.server_tool_use", {"web_search_requests": 1}, "usage.server_tool_use", 4, "usage.server_tool_use"),
        Probe("usage.speed: standard", "standard", "usage.speed", 0, "message.usage.speed", "the default"),
        Probe("usage.speed: fast", "fast", "usage.speed", 0, "message.usage.speed"),
        Probe("usage.inference_geo", "us", "usage.inference_geo", 0, "message.usage.inference_geo",
              "repeats what the workspace or the request says"),
        Probe("usage.output_tokens_details.thinking_tokens", {"thinking_tokens": 1}, "usage.output_tokens_details", 4,
              "usage.output_tokens_details"),
    ),
}  # fmt: skip


def put(node: Any, place: str, value: Any) -> Any:
    """A copy with the value at a dotted place; ``delta`` alone is replaced as a whole."""
    copy = deepcopy(node)
    *way, last = place.split(".")
    inner = copy
    for step in way:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[last] = value
    return copy


def judge(upstream: str, probe: Probe, *, stream: bool) -> str:
    """The verdict in words; fails for a member that vanishes without a reason."""
    whole, events = BASELINES[upstream]
    if stream:
        value = _CITING if probe.streamed == "delta" else probe.value
        changed = [put(event, probe.streamed, value) if n == probe.event else event for n, event in enumerate(events)]
        (told, lost), (baseline, known) = _streamed(upstream, changed), _streamed(upstream, events)
    else:
        (told, lost), (baseline, known) = (
            _whole(upstream, put(whole, probe.whole, probe.value)),
            _whole(upstream, whole),
        )
    if fresh := [path for path in lost if path not in known]:
        return "listed as " + ", ".join(f"`{path}`" for path in fresh)
    if told != baseline:
        return "carried"
    assert probe.harmless is not None, f"{probe.field} changes nothing, is not listed, and the probe gives no reason"
    return f"harmless: {probe.harmless}"


def _whole(upstream: str, answer: Any) -> tuple[bytes, list[str]]:
    client = client_dialect(CLIENTS[OTHERS[upstream]])
    response = upstream_dialect(upstream).read_response(json.dumps(answer).encode(), {}, SENT)
    told = client.write_response(response, client.read_request(_REQUEST), IDENTITY)
    return told, [*response.losses, *client.untold(response)]


def _streamed(upstream: str, events: list[Any]) -> tuple[bytes, list[str]]:
    client = client_dialect(CLIENTS[OTHERS[upstream]])
    reader = upstream_dialect(upstream).stream_reader({}, SENT)
    datas = [json.dumps(event) for event in events] + (["[DONE]"] if upstream == "openai" else [])
    read = [*reader.feed("".join(f"data: {data}\n\n" for data in datas).encode()), *reader.finish()]
    assert not any(isinstance(event, Fault) for event in read), read
    writer = client.stream_writer(client.read_request(_REQUEST), IDENTITY)
    told = b"".join(writer.write(event) for event in read if not isinstance(event, Lost))
    lost = [event.path if isinstance(event, Lost) else client.untold_event(event) for event in read]
    return told, [path for path in lost if path is not None]


_REQUEST = json.dumps(
    {
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "a"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
).encode()


def pages() -> dict[Path, str]:
    """The generated page by its place."""
    parts = [_HEAD]
    for upstream, probes in PROBES.items():
        rows = [(f"`{p.field}`", *(judge(upstream, p, stream=stream) for stream in (False, True))) for p in probes]
        title = f"## {APIS[upstream]} to clients of {APIS[OTHERS[upstream]]}"
        parts.append(f"{title}\n\n{table(('member of the answer', 'whole', 'stream'), rows)}")
    return {DOCS / "answers.md": "\n".join(parts)}


_HEAD = f"""{GENERATED}
# What clients get of an answer

Each member of an answer that has no obvious place in the other dialect, sent whole and as a stream. Listed members are
in the log line of the exchange (`lost`), by their path at the upstream, or by the neutral name where the client's
dialect has no place for them.
"""
