"""AWS Bedrock's Converse API as an upstream: JSON bodies one way, JSON or an AWS binary event stream back.

Facts are from botocore 1.44's ``bedrock-runtime`` service model (2026-11-22) where no other source is named.
"""

from collections.abc import Mapping

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import ApiError
from extproc.conversation.request import Request
from extproc.conversation.response import Response
from extproc.dialects.bedrock.errors import read_error
from extproc.dialects.bedrock.models import capabilities_of
from extproc.dialects.bedrock.request import write_count, write_request
from extproc.dialects.bedrock.response import read_count, read_response
from extproc.dialects.bedrock.stream import stream_reader
from extproc.dialects.contract import Destination, StreamReader, UpstreamDialect, UpstreamRequest


class Bedrock:
    """The back end; see ``extproc.dialects.contract.UpstreamDialect``."""

    name = "bedrock"
    stream_content_type = "application/vnd.amazon.eventstream"

    def capabilities(self, model: str) -> Capabilities:
        """What is known of a model on Bedrock."""
        return capabilities_of(model)

    def write_request(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A Converse body; the model itself is in the path."""
        return write_request(request, destination.capabilities)

    def write_count(self, request: Request, destination: Destination) -> UpstreamRequest:
        """A CountTokens body; which models can be counted is the service's to say."""
        return write_count(request, destination.capabilities)

    def read_count(self, body: bytes) -> int:
        """``inputTokens``; raises ``UpstreamError`` when the answer does not say it."""
        return read_count(body)

    def read_response(self, body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
        """A Converse answer."""
        return read_response(body, headers, sent)

    def stream_reader(self, headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
        """A reader of one ConverseStream answer."""
        return stream_reader(headers, sent)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An AWS error reply."""
        return read_error(status, headers, body)


DIALECT: UpstreamDialect = Bedrock()
