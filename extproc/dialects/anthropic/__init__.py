"""Anthropic's Messages API: as a client's dialect, as an upstream's, and passed through between the two."""

from collections.abc import Mapping, Sequence
from typing import Final

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import ApiError, Loss
from extproc.conversation.events import Event
from extproc.conversation.request import Request
from extproc.conversation.response import Response, Usage
from extproc.dialects import body as bodies
from extproc.dialects.anthropic import catalog, errors, passthrough
from extproc.dialects.anthropic.client.request import read_request
from extproc.dialects.anthropic.client.response import write_response
from extproc.dialects.anthropic.client.stream import MessageWriter
from extproc.dialects.anthropic.client.untold import untold, untold_event
from extproc.dialects.anthropic.models import capabilities_of
from extproc.dialects.anthropic.tap import Tap
from extproc.dialects.anthropic.upstream.request import write_count, write_request
from extproc.dialects.anthropic.upstream.response import read_count, read_response
from extproc.dialects.anthropic.upstream.stream import MessageStreamReader
from extproc.dialects.contract import (
    NO_HEADERS,
    Destination,
    Identity,
    Listed,
    Peek,
    StreamReader,
    StreamTap,
    StreamWriter,
    UpstreamRequest,
)

_COUNT: Final = b'{"input_tokens":%d}'


class Anthropic:
    """Both ends; see ``extproc.dialects.contract``: ``ClientDialect`` and ``UpstreamDialect``."""

    name = "anthropic"
    stream_content_type = "text/event-stream"

    def peek(self, body: bytes) -> Peek:
        """The routing facts."""
        return bodies.peek(body)

    def read_request(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Request:
        """The neutral request, by the rules of the client's ``anthropic-version``."""
        return read_request(body, headers)

    def write_count_answer(self, input_tokens: int) -> bytes:
        """The answer to a request to count tokens."""
        return _COUNT % input_tokens

    def write_models(self, models: Sequence[Listed], wanted: str | None, query: str) -> bytes | None:
        """One page of the list of models, or one of them."""
        return catalog.write_models(models, wanted, query)

    def sticky_key(self, body: bytes) -> bytes:
        """The beginning of the conversation."""
        return catalog.sticky_key(body)

    def write_response(self, response: Response, request: Request, identity: Identity) -> bytes:
        """A ``message``."""
        del request
        return write_response(response, identity)

    def untold(self, response: Response) -> tuple[str, ...]:
        """The calls that were cut with the answer."""
        return untold(response)

    def untold_event(self, event: Event) -> str | None:
        """The same of one event."""
        return untold_event(event)

    def stream_writer(self, request: Request, identity: Identity) -> StreamWriter:
        """A writer of message events."""
        del request
        return MessageWriter(identity)

    def write_error(self, error: ApiError) -> bytes:
        """An error body."""
        return errors.write_error(error)

    def error_event(self, error: ApiError) -> bytes:
        """An error inside a stream."""
        return errors.error_event(error)

    def edit(self, body: bytes, *, model: str | None, include_usage: bool) -> bytes:
        """The body with another model, and without reasoning that is another's; usage is always told."""
        del include_usage
        return passthrough.edit(body, model=model)

    def edit_losses(self, body: bytes, *, model: str | None) -> tuple[Loss, ...]:
        """The reasoning that is another's."""
        return passthrough.edit_losses(body, model=model)

    def asks_usage(self, body: bytes) -> bool:
        """Always: every stream of this API tells its usage."""
        del body
        return True

    def read_usage(self, body: bytes) -> tuple[Usage, str | None]:
        """Usage and model of a whole answer."""
        return passthrough.read_usage(body)

    def stream_tap(self, *, strip_usage: bool) -> StreamTap:
        """A watcher of one stream."""
        del strip_usage
        return Tap()

    def capabilities(self, model: str) -> Capabilities:
        """What is known of a Claude, by Anthropic's name for it or a cloud's."""
        return capabilities_of(model)

    def write_request(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A Messages body."""
        return write_request(request, destination)

    def write_count(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A body for ``count_tokens``."""
        return write_count(request, destination)

    def read_count(self, body: bytes) -> int:
        """The number of input tokens."""
        return read_count(body)

    def read_response(self, body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
        """A ``message``."""
        del headers
        return read_response(body, sent)

    def stream_reader(self, headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
        """A reader of one stream of message events."""
        del headers
        return MessageStreamReader(sent)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An error reply."""
        del headers
        return errors.read_error(status, body)


DIALECT: Final = Anthropic()
