"""Where a dialect is hosted: which dialect it speaks, under which path it answers, and how it wraps the bytes."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from extproc.conversation.errors import Loss


class Place(Struct, frozen=True):
    """What of a request decides where it goes.

    ``model`` is the upstream's name, percent-encoded by the platform where the path carries it. ``version`` is
    ``outputSchema.version``. ``project`` and ``location`` are Google Cloud's, None where the backend names none.
    ``configured``: the model's name is the operator's (``modelNameOverride``), and not the client's.
    """

    model: str
    stream: bool = False
    version: str | None = None
    project: str | None = None
    location: str | None = None
    configured: bool = False


class Dressed(Struct, frozen=True):
    """A body as the platform wants it, with the headers that go with it. No edit: the same body object.

    ``losses``: what the platform does not take (betas).
    """

    body: bytes
    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()


class Unframer(Protocol):
    """Takes a platform's own framing off a stream: bytes in, the dialect's bytes out. Never raises for what comes.

    Damage becomes the dialect's error event, and so does an error of the platform's own form.
    """

    def feed(self, chunk: bytes) -> bytes:
        """The dialect's bytes that this chunk completes."""

    def finish(self) -> bytes:
        """What is left at the end of the bytes."""


class Platform(Protocol):
    """One value of ``outputSchema.schema``. Platforms inherit from this class: what they do not say is the usual."""

    #: The provider's name in metrics and logs (OpenTelemetry's ``gen_ai.provider.name`` values: ``openai``,
    #: ``aws.bedrock``).
    provider: str
    #: The package under ``extproc.dialects`` that reads and writes its bodies.
    dialect: str
    #: The media type of its streams where it frames them in another way than the dialect.
    stream_content_type: str | None = None
    #: Whether it loads images and documents from the web itself.
    fetches_urls: bool = False
    #: Whether a cloud hosts the maker's API here.
    hosted: bool = False
    #: The header in which it takes a key: ``authorization`` as a bearer token, any other as the key alone.
    key_header: str = "authorization"
    #: Whether it takes a bearer token, too, where that is another header.
    takes_bearer: bool = True

    def path(self, operation: str, place: Place) -> str | None:
        """The upstream path for an operation, None when it cannot serve it.

        ``chat``, ``count_tokens`` and ``embeddings`` are operations of several dialects; any other is a path of
        OpenAI's below the version (``responses``, ``audio/speech``). The result starts with ``/`` and may have a query.
        Raises ``ClientError`` for a model's name that can stand in no path.
        """
        raise NotImplementedError

    def version(self, version: str | None) -> str | None:
        """The version of the dialect's API that is spoken, from ``outputSchema.version``; None where there is one."""
        del version
        return None

    def dress(self, body: bytes, headers: Mapping[str, str], operation: str, place: Place) -> Dressed:
        """The dialect's body as it is sent here. ``headers`` are the client's, or the dialect's own over them."""
        del headers, operation, place
        return Dressed(body)

    def undress(self, body: bytes, operation: str) -> bytes:
        """The dialect's own form of an answer that is not an error; no edit: the same body object."""
        del operation
        return body

    def maybe_unframer(self) -> Unframer | None:
        """A fresh unframer for one stream of ``stream_content_type``; None where streams are the dialect's own."""
        return None

    def error_dialect(self, headers: Mapping[str, str], body: bytes) -> str:
        """The dialect that can read an error reply; a cloud's own errors look unlike those of the API it hosts."""
        del headers, body
        return self.dialect

    def embeddings_dialect(self, model: str) -> str | None:
        """The dialect of the embeddings of ``model`` where it is not the client's; None when there are none."""
        del model
        return None
