"""What the exchange asks of a dialect. All of it is pure; time and ids come in as arguments."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.conversation.errors import ApiError, Loss
from extproc.conversation.events import Event
from extproc.conversation.request import Request
from extproc.conversation.response import Response, Usage

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_SAME_NAMES: Final[Mapping[str, str]] = MappingProxyType({})


#: How much of a message says which conversation it begins: enough to see past the longest preamble that is the same in
#: all of them, and little enough to be read on the way.
MAX_STICKY_BYTES: Final = 64 * 1024
#: How many blocks of it.
MAX_STICKY_BLOCKS: Final = 256


class Identity(Struct, frozen=True):
    """What an answer says about itself where the upstream says nothing: id tail, model name, Unix seconds.

    ``origin`` is whose its reasoning is (``conversation.provenance``); empty: nobody's, and it is not marked.
    """

    id: str
    model: str
    created: int
    origin: str = ""


class Destination(Struct, frozen=True):
    """Where a request goes, as far as its body depends on it.

    Attributes:
        model: the upstream's name for the model.
        capabilities: what that model can do there.
        version: the version of the upstream's API, where the dialect has several (``anthropic-version``).
        max_output_tokens: the limit for clients that give none, where the upstream demands one; None: not configured.
        fetches_urls: whether the upstream loads images and documents from the web itself.
        hosted: whether a cloud hosts the maker's API (Vertex AI, Bedrock) instead of the maker.
    """

    model: str
    capabilities: Capabilities = Capabilities()
    version: str | None = None
    max_output_tokens: int | None = None
    fetches_urls: bool = False
    hosted: bool = False


class UpstreamRequest(Struct, frozen=True):
    """A request in the upstream's format.

    ``output_tool`` is the name of the forced tool whose arguments are to come back as the content (a stand-in for
    structured output), None in the usual case; readers are told it. ``headers`` are set on the request, over the
    client's. ``tool_names``: the client's name of each tool that had to be sent under another one. ``custom_tools``:
    the names of tools that take plain text, and were sent as functions with that text as their member ``input``.
    """

    body: bytes
    losses: tuple[Loss, ...] = ()
    output_tool: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    tool_names: Mapping[str, str] = _SAME_NAMES
    custom_tools: frozenset[str] = frozenset()


class Listed(Struct, frozen=True):
    """A model in a list of models. ``created``: Unix seconds, 0 when unknown."""

    id: str
    created: int
    owned_by: str


class StreamWriter(Protocol):
    """Writes one client stream.

    Bytes out for events in; after ``Ended`` or ``Fault`` every further event gives ``b""``.
    """

    def write(self, event: Event) -> bytes:
        """The client's bytes for one event, ``b""`` when it shows nothing."""


class StreamReader(Protocol):
    """Reads one upstream stream. Never raises for what an upstream sends: a broken stream ends in a ``Fault`` event."""

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """The events completed by this chunk."""

    def finish(self) -> Sequence[Event]:
        """The end of the bytes: ``Ended`` when the upstream finished properly (if not yet given), else ``Fault``."""


class StreamTap(Protocol):
    """Watches a same-dialect stream: bytes through, usage out."""

    usage: Usage
    model: str | None
    #: The upstream's in-band error, once seen.
    fault: ApiError | None
    #: Whether the answer's own end has passed, after which only the bytes are to end.
    ended: bool

    def feed(self, chunk: bytes) -> bytes:
        """The bytes for the client: the chunk itself, less the usage event when that was the gateway's own wish."""

    def finish(self) -> bytes:
        """What is left at the end, plus an error event when the upstream's terminator never came."""


class Peek(Struct, frozen=True):
    """The routing facts of a request body: read without reading the rest."""

    model: str
    stream: bool = False


class ClientDialect(Protocol):
    """A front end, and the passthrough tools of a dialect that is both ends."""

    name: str
    stream_content_type: str

    def peek(self, body: bytes) -> Peek:
        """``model`` and ``stream`` of a JSON body.

        Raises ``ClientError`` (400, param) when they are absent or wrong.
        """

    def read_request(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Request:
        """The whole request; raises ``ClientError`` naming the JSON path. ``headers``: names in lower case."""

    def write_count_answer(self, input_tokens: int) -> bytes:
        """The answer to a request to count tokens."""

    def write_models(self, models: Sequence[Listed], wanted: str | None, query: str) -> bytes | None:
        """The list of models, or the ``wanted`` one of them; None when it is not there.

        ``query`` is the query string, which may ask for one page; raises ``ClientError`` when it cannot be read.
        """

    def sticky_key(self, body: bytes) -> bytes:
        """What stays the same over all turns of a conversation: its system text and its first message.

        ``MAX_STICKY_BYTES`` of each at most; empty when there is none that can be read.
        """

    def write_response(self, response: Response, request: Request, identity: Identity) -> bytes:
        """The answer's body."""

    def untold(self, response: Response) -> tuple[str, ...]:
        """The paths of what of a whole answer the client's form has no place for, by the neutral names."""

    def untold_event(self, event: Event) -> str | None:
        """The same for one event of a stream: the path of what its writer shows nothing of."""

    def stream_writer(self, request: Request, identity: Identity) -> StreamWriter:
        """A fresh writer for one stream."""

    def write_error(self, error: ApiError) -> bytes:
        """The error's body."""

    def error_event(self, error: ApiError) -> bytes:
        """The same error inside a stream that has begun."""

    def edit(self, body: bytes, *, model: str | None, include_usage: bool) -> bytes:
        """Same-dialect edits in place: the model replaced, usage asked for. Other bytes stay; no edit, same object."""

    def edit_losses(self, body: bytes, *, model: str | None) -> tuple[Loss, ...]:
        """What ``edit`` takes out of this body, for the record; never raises."""

    def asks_usage(self, body: bytes) -> bool:
        """Whether the client itself asked for usage in its stream."""

    def read_usage(self, body: bytes) -> tuple[Usage, str | None]:
        """Usage and model of a whole JSON answer; nothing known when it is not such an answer."""

    def stream_tap(self, *, strip_usage: bool) -> StreamTap:
        """A fresh tap for one stream."""


class UpstreamDialect(Protocol):
    """A back end."""

    name: str
    stream_content_type: str

    def capabilities(self, model: str) -> Capabilities:
        """What the bundled table knows of a model."""

    def write_request(self, request: Request, destination: Destination) -> UpstreamRequest:
        """The upstream's body; raises ``Refusal`` for content that it cannot carry."""

    def write_count(self, request: Request, destination: Destination) -> UpstreamRequest:
        """The body that asks for the number of input tokens; raises ``Refusal`` where nobody can be asked."""

    def read_count(self, body: bytes) -> int:
        """The number of input tokens; raises ``UpstreamError`` when the answer does not say it."""

    def read_response(self, body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
        """The answer; raises ``UpstreamError`` when it is none."""

    def stream_reader(self, headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
        """A fresh reader for one stream."""

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """The error of a reply that is not 2xx; never raises."""


class EmbeddingsClient(Protocol):
    """The client's side of embeddings."""

    name: str

    def read_request(self, body: bytes) -> EmbeddingsRequest:
        """The whole request; raises ``ClientError`` naming the JSON path."""

    def write_response(self, response: EmbeddingsResponse, request: EmbeddingsRequest, identity: Identity) -> bytes:
        """The answer's body; raises ``UpstreamError`` for vectors that the client's form cannot hold."""


class EmbeddingsDialect(Protocol):
    """The upstream's side of embeddings; ``Platform.embeddings_dialect`` names it. Errors are its platform's."""

    name: str

    def write_request(self, request: EmbeddingsRequest, model: str) -> UpstreamRequest:
        """The upstream's body for its ``model``; raises ``Refusal`` for more texts than it takes, naming the limit."""

    def read_response(self, body: bytes, headers: Mapping[str, str], request: EmbeddingsRequest) -> EmbeddingsResponse:
        """The answer; raises ``UpstreamError`` when it is none, or has not one vector for each text."""
