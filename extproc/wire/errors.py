"""All that this room raises.

WireError
├── FrameError                   the peer's SSE or AWS event stream cannot be framed any further
├── JsonError                    the text is not JSON that we accept; knows the offset where it can
│   ├── JsonShapeError           it is JSON, but a value is not what the reader asked for; knows its path
│   └── JsonCostError            it holds more values than we build for one text
├── EncodingError                a compressed body is corrupt or ends too early
├── UnsupportedEncodingError     the content-encoding names a coding that we do not have
├── TooLargeError                decoded bytes would exceed the limit; raised before they are held in memory
└── MultipartError               a form body or its content-type cannot be read without guessing

None of them says whose fault it is: the caller knows whether the bytes came from the client or from the upstream.
Messages name positions and sizes, never the content of a body.
"""


class WireError(ValueError):
    """The base of all errors of this room; never raised itself."""


class FrameError(WireError):
    """A stream that cannot be framed: bad checksum, impossible length, oversized or unfinished frame."""


class JsonError(WireError):
    """A body that is not JSON that we accept.

    Attributes:
        offset: the byte where reading stopped, counted from 0; None where it is not known.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class JsonShapeError(JsonError):
    """Well-formed JSON whose value at `path` is missing, of another type, or a number that we cannot hold.

    Attributes:
        path: where it is, as `$.model` or `$[...]`; `$` is the whole body.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class JsonCostError(JsonError):
    """JSON of so many values that building them would cost out of proportion to its bytes."""


class EncodingError(WireError):
    """A compressed body that is corrupt, truncated, or followed by bytes that belong to nothing."""


class UnsupportedEncodingError(WireError):
    """A content coding that we cannot decode or encode.

    Attributes:
        name: the coding as it was sent, in lower case.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"content-encoding {name!r} is not supported; use gzip, deflate, br, zstd or identity")
        self.name = name


class TooLargeError(WireError):
    """More decoded bytes than the caller allows.

    Attributes:
        limit_bytes: the limit that would have been exceeded.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the decoded body exceeds {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class MultipartError(WireError):
    """A multipart/form-data body or content-type that cannot be read without guessing."""
