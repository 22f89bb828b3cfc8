"""The AWS event stream, writing side: one binary frame per event, both CRCs.

Frame: u32 total length, u32 length of the headers, u32 CRC of those eight bytes, headers, payload, u32 CRC of all
before it; everything big-endian (https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html, seen 2026-11).
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7
_OVERHEAD_BYTES = 16


def event(kind: str, payload: Mapping[str, Any]) -> bytes:
    """One event of the service."""
    return _frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, payload: Mapping[str, Any]) -> bytes:
    """An exception in the stream; nothing follows it."""
    return _frame({":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}, payload)


def _frame(headers: Mapping[str, str], payload: Mapping[str, Any]) -> bytes:
    head = b"".join(map(_header, headers.items()))
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    prelude = struct.pack(">II", _OVERHEAD_BYTES + len(head) + len(body), len(head))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + body
    return checked + struct.pack(">I", zlib.crc32(checked))


def _header(item: tuple[str, str]) -> bytes:
    name, value = (text.encode() for text in item)
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value
