"""Streams and answers of vendors that end well or badly, for scripted upstreams; their pieces are ``scripted``'s."""

from collections.abc import Sequence
from typing import Any

from tests.support.scripted import chunk, frame
from tests.support.upstreams import Reply

#: The usage of every answer here, in the keys of the access log.
USAGE = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
OPENAI_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def usage_chunk() -> dict[str, Any]:
    """The chunk that ``include_usage`` adds."""
    return {**chunk(), "choices": [], "usage": OPENAI_USAGE}


def counted(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Chunks that each say what has been used so far, as vLLM can; the n-th has n output tokens."""
    return [
        chunk(text, usage={"prompt_tokens": 3, "completion_tokens": n, "total_tokens": 3 + n})
        for n, text in enumerate(texts, 1)
    ]


def converse_frames(*texts: str) -> list[bytes]:
    """The frames of a whole ConverseStream answer: a start, a frame for each text, three for the end."""
    return [
        frame("messageStart", role="assistant"),
        *(frame("contentBlockDelta", contentBlockIndex=0, delta={"text": text}) for text in texts),
        frame("contentBlockStop", contentBlockIndex=0),
        frame("messageStop", stopReason="end_turn"),
        frame("metadata", usage={"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}, metrics={"latencyMs": 1}),
    ]


def stream_of_frames(frames: Sequence[bytes], **fields: Any) -> Reply:
    """Frames as Bedrock sends them, one part each; ``fields`` are the reply's."""
    headers = {"content-type": "application/vnd.amazon.eventstream", "x-amzn-requestid": "aws-1"}
    return Reply(tuple(frames), headers=headers, **{"framing": "chunked", **fields})
