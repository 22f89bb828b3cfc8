"""How OpenAI puts answers on the wire: JSON, server-sent events, errors."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any
from uuid import uuid4

from controller.standalone.demo.script import CHUNKS_BEFORE_BREAK, Cut, Wishes
from controller.standalone.demo.serving import Answer

_ERROR_TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "server_is_overloaded"),
}
#: The terminator of all streams but those of the Responses API.
DONE = b"data: [DONE]\n\n"


def whole(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in one piece."""
    return Answer(json.dumps(value, ensure_ascii=False).encode(), headers=headers or {})


def failure(status: int, message: str | None = None, *, param: str | None = None, code: str | None = None) -> Answer:
    """An error in OpenAI's shape, with a ``retry-after`` where a retry makes sense."""
    kind, usual_code = _ERROR_TYPES.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    error = {
        "message": message or f"The demo provider was asked for an error {status}.",
        "type": kind,
        "param": param,
        "code": code or usual_code,
    }
    headers = {"x-request-id": f"req_{uuid4().hex}"} | ({"retry-after": "1"} if status in {429, 503} else {})
    return Answer(json.dumps({"error": error}).encode(), status, headers=headers)


async def stream(events: Iterable[Mapping[str, Any]], wishes: Wishes, end: bytes = DONE) -> AsyncGenerator[bytes, None]:
    """Server-sent events with the wished delay between them, broken off where that is wished, and the terminator."""
    for i, event in enumerate(events):
        if wishes.broken and i == CHUNKS_BEFORE_BREAK:
            if wishes.broken == "cut":
                raise Cut
            if wishes.broken == "error":
                error = {"message": "The demo provider broke off.", "type": "server_error", "param": None, "code": None}
                yield sse({"error": error})
            return
        if i:
            await asyncio.sleep(wishes.delay_s)
        yield sse(event)
    yield end


def sse(event: Mapping[str, Any]) -> bytes:
    """One event; named when it has a ``type``, as those of the Responses API are."""
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
