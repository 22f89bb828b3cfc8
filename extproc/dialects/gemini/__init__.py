"""Google's generateContent as an upstream, on Vertex AI and on the Gemini API.

Facts are from google-genai 3.4 and Google's pages (2026-11-22), each named where it is used.
"""

from collections.abc import Mapping

import msgspec

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import ApiError
from extproc.conversation.request import Request
from extproc.conversation.response import Response
from extproc.dialects.contract import Destination, StreamReader, UpstreamDialect, UpstreamRequest
from extproc.dialects.gemini.errors import bad_answer, read_error
from extproc.dialects.gemini.models import capabilities_of
from extproc.dialects.gemini.request import write_count, write_request
from extproc.dialects.gemini.response import read_response
from extproc.dialects.gemini.shapes import Counted
from extproc.dialects.gemini.stream import GeminiStreamReader

_COUNTED = msgspec.json.Decoder(Counted)


class Gemini:
    """The back end; see ``extproc.dialects.contract.UpstreamDialect``."""

    name = "gemini"
    stream_content_type = "text/event-stream"

    def capabilities(self, model: str) -> Capabilities:
        """What is known of a Gemini model."""
        return capabilities_of(model)

    def write_request(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A generateContent body; the model itself is in the path."""
        return write_request(request, destination)

    def write_count(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A countTokens body."""
        return write_count(request, destination)

    def read_count(self, body: bytes) -> int:
        """``totalTokens``."""
        try:
            tokens = _COUNTED.decode(body).tokens()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise bad_answer(f"its count of tokens cannot be read: {error}") from error
        if tokens is None:
            raise bad_answer("its body has no totalTokens")
        return tokens

    def read_response(self, body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
        """A generateContent answer."""
        del headers, sent
        return read_response(body)

    def stream_reader(self, headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
        """A reader of one streamGenerateContent answer."""
        del headers, sent
        return GeminiStreamReader()

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """A Google error reply."""
        return read_error(status, headers, body)


DIALECT: UpstreamDialect = Gemini()
