"""OpenAI's chat completions: a client's dialect, an upstream's, and bodies of any endpoint passed through."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import ApiError, ClientError, Loss, Refusal
from extproc.conversation.events import Event
from extproc.conversation.request import Request
from extproc.conversation.response import Response, Usage
from extproc.dialects.contract import (
    NO_HEADERS,
    ClientDialect,
    Destination,
    Identity,
    Listed,
    Peek,
    StreamReader,
    StreamTap,
    StreamWriter,
    UpstreamDialect,
    UpstreamRequest,
)
from extproc.dialects.openai import body as bodies
from extproc.dialects.openai import errors, listing, passthrough, upstream
from extproc.dialects.openai.models import capabilities_of
from extproc.dialects.openai.request import read_request
from extproc.dialects.openai.response import write_response
from extproc.dialects.openai.stream import ChunkWriter
from extproc.dialects.openai.tap import Tap
from extproc.dialects.openai.uncarried import carrier_losses
from extproc.dialects.openai.untold import untold, untold_event

_NO_COUNT: Final = "servers of OpenAI's API count no tokens before they are used"


class OpenAI:
    """Both ends; see ``ClientDialect`` and ``UpstreamDialect`` in ``extproc.dialects.contract``."""

    name = "openai"
    stream_content_type = "text/event-stream"

    def peek(self, body: bytes) -> Peek:
        """The routing facts."""
        return bodies.peek(body)

    def read_request(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Request:
        """The neutral request."""
        del headers
        return read_request(body)

    def write_count_answer(self, input_tokens: int) -> bytes:
        """Never asked for: a client of this API has no such request."""
        del input_tokens
        raise ClientError(_NO_COUNT)

    def write_models(self, models: Sequence[Listed], wanted: str | None, query: str) -> bytes | None:
        """OpenAI's list of models, which has no pages, or the one that is wanted."""
        del query
        return listing.write_models(models, wanted)

    def sticky_key(self, body: bytes) -> bytes:
        """What all turns of a conversation have in common."""
        return listing.sticky_key(body)

    def write_response(self, response: Response, request: Request, identity: Identity) -> bytes:
        """A ``chat.completion``."""
        return write_response(response, request, identity)

    def untold(self, response: Response) -> tuple[str, ...]:
        """Sources that are not on the web, and another maker's tier."""
        return untold(response)

    def untold_event(self, event: Event) -> str | None:
        """The same of one event."""
        return untold_event(event)

    def stream_writer(self, request: Request, identity: Identity) -> StreamWriter:
        """A writer of ``chat.completion.chunk`` events."""
        return ChunkWriter(request, identity)

    def write_error(self, error: ApiError) -> bytes:
        """An error body."""
        return errors.write_error(error)

    def error_event(self, error: ApiError) -> bytes:
        """An error inside a stream."""
        return errors.error_event(error)

    def edit(self, body: bytes, *, model: str | None, include_usage: bool) -> bytes:
        """The body with another model, and with usage asked for."""
        return passthrough.edit(body, model=model, include_usage=include_usage)

    def edit_losses(self, body: bytes, *, model: str | None) -> tuple[Loss, ...]:
        """Reasoning that the gateway has marked: this API has no place for any."""
        del model
        return carrier_losses(body)

    def asks_usage(self, body: bytes) -> bool:
        """Whether the client asked for usage itself."""
        return passthrough.asks_usage(body)

    def read_usage(self, body: bytes) -> tuple[Usage, str | None]:
        """Usage and model of a whole answer."""
        return passthrough.read_usage(body)

    def stream_tap(self, *, strip_usage: bool) -> StreamTap:
        """A watcher of one stream."""
        return Tap(strip_usage=strip_usage)

    def capabilities(self, model: str) -> Capabilities:
        """What is known of a model behind this API."""
        return capabilities_of(model)

    def write_request(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A chat completions body."""
        return upstream.write_request(request, destination)

    def write_count(self, request: Request, destination: Destination) -> UpstreamRequest:
        """Refused: chat completions have no such operation, neither asked nor answered."""
        del request, destination
        raise Refusal("model", _NO_COUNT)

    def read_count(self, body: bytes) -> int:
        """As there is no such operation, no answer to it."""
        del body
        raise upstream.bad_answer(_NO_COUNT)

    def read_response(self, body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
        """A ``chat.completion``."""
        return upstream.read_response(body, headers, sent)

    def stream_reader(self, headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
        """A reader of ``chat.completion.chunk`` events."""
        return upstream.stream_reader(headers, sent)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An error reply."""
        return upstream.read_error(status, headers, body)


class _BothEnds(ClientDialect, UpstreamDialect, Protocol):
    """A dialect that clients and upstreams speak."""


DIALECT: Final[_BothEnds] = OpenAI()
