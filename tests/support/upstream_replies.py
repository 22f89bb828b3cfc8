"""What a scripted upstream is sent and what it answers, as values."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import brotli
import zstandard

Encoding = Literal["identity", "gzip", "br", "zstd"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived. ``line`` is raw; for HTTP/2 it is put together from the pseudo headers."""

    line: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes
    protocol: Literal["HTTP/1.1", "HTTP/2"] = "HTTP/1.1"
    #: Which connection it came on, counted from 0.
    connection: int = 0
    #: HTTP/2's alone.
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def method(self) -> str:
        return self.line.split(b" ")[0].decode()

    @property
    def path(self) -> str:
        return self.line.split(b" ")[1].decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The header's value, several joined by a comma; None without one."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Reply:
    """One response. ``parts`` are the body's pieces, each written by itself.

    ``delay_s`` waits before every part, ``gated`` waits for ``Upstream.release``. ``ending`` ``reset`` breaks the
    connection (RST) or the stream (RST_STREAM) after the last part. ``framing`` is HTTP/1's; ``trailers`` need HTTP/2
    or ``chunked``. ``exact`` replaces all of it by raw bytes, after which the connection is closed.
    """

    parts: Sequence[bytes] = (b"",)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Literal["length", "chunked", "close"] = "length"
    trailers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0
    gated: bool = False
    ending: Literal["end", "reset"] = "end"
    exact: Sequence[bytes] | None = None

    def encoded(self, encoding: Encoding) -> "Reply":
        """The same with a content-encoding, flushed after every part so that each can be read at once."""
        if encoding == "identity":
            return self
        return replace(
            self, parts=tuple(compressed(self.parts, encoding)), headers={**self.headers, "content-encoding": encoding}
        )


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON body with its length. Underscores in the names of ``headers`` stand for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply((json.dumps(value).encode(),), status, {"content-type": "application/json", **named})


def sse_reply(events: Iterable[Any], *, done: bool = True, delay_s: float = 0, gated: bool = False) -> Reply:
    """Server-sent events, one part for each; bytes go as they are, anything else as JSON data."""
    parts = [
        event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n" for event in events
    ]
    if done:
        parts.append(b"data: [DONE]\n\n")
    return Reply(
        tuple(parts), headers={"content-type": "text/event-stream"}, framing="chunked", delay_s=delay_s, gated=gated
    )


def compressed(parts: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    """Each part compressed and flushed; the last one carries the end of the stream as well."""
    pieces = list(parts)
    match encoding:
        case "gzip":
            gzip = zlib.compressobj(wbits=31)
            coded = [gzip.compress(piece) + gzip.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
            end = gzip.flush()
        case "br":
            br = brotli.Compressor()
            coded = [br.process(piece) + br.flush() for piece in pieces]
            end = br.finish()
        case "zstd":
            zstd = zstandard.ZstdCompressor().compressobj()
            coded = [zstd.compress(piece) + zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for piece in pieces]
            end = zstd.flush()
        case _:
            coded, end = pieces, b""
    yield from coded[:-1]
    yield coded[-1] + end


class Script(Protocol):
    """Who decides on answers and keeps the records: what the protocols need of ``upstreams.Upstream``."""

    sent: list[float]
    abandoned: int

    def reply_to(self, request: Received) -> Reply:
        """Record a request and say what it gets."""

    async def before_part(self, reply: Reply) -> None:
        """The waiting that a reply asks for."""
