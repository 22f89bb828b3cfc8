"""OpenAI's chat completions as a client's dialect, and OpenAI bodies of any endpoint passed through."""

from collections.abc import Mapping, Sequence

from extproc.conversation.errors import ApiError
from extproc.conversation.request import Request
from extproc.conversation.response import Response, Usage
from extproc.dialects.contract import NO_HEADERS, ClientDialect, Identity, Listed, Peek, StreamTap, StreamWriter
from extproc.dialects.openai import body as bodies
from extproc.dialects.openai import errors, passthrough
from extproc.dialects.openai.request import read_request
from extproc.dialects.openai.response import write_response
from extproc.dialects.openai.stream import ChunkWriter
from extproc.dialects.openai.tap import Tap


class OpenAI:
    """The front end, and both ends of passthrough; see ``extproc.dialects.contract.ClientDialect``."""

    name = "openai"
    stream_content_type = "text/event-stream"

    def peek(self, body: bytes) -> Peek:
        """The routing facts."""
        return bodies.peek(body)

    def read_request(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Request:
        """The neutral request."""
        del headers
        return read_request(body)

    def write_count(self, input_tokens: int) -> bytes:
        """Never asked."""
        raise NotImplementedError

    def write_models(self, models: Sequence[Listed], wanted: str | None, query: str) -> bytes | None:
        """Not yet."""
        raise NotImplementedError

    def sticky_key(self, body: bytes) -> bytes:
        """Not yet."""
        raise NotImplementedError

    def write_response(self, response: Response, request: Request, identity: Identity) -> bytes:
        """A ``chat.completion``."""
        return write_response(response, request, identity)

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

    def asks_usage(self, body: bytes) -> bool:
        """Whether the client asked for usage itself."""
        return passthrough.asks_usage(body)

    def read_usage(self, body: bytes) -> tuple[Usage, str | None]:
        """Usage and model of a whole answer."""
        return passthrough.read_usage(body)

    def stream_tap(self, *, strip_usage: bool) -> StreamTap:
        """A watcher of one stream."""
        return Tap(strip_usage=strip_usage)


DIALECT: ClientDialect = OpenAI()
