"""An upstream's error reply, told in the client's dialect."""

from extproc.conversation.errors import ApiError, UpstreamError
from extproc.dialects.contract import NO_HEADERS, ClientDialect
from extproc.exchange.attempt import Answer, Handling
from extproc.exchange.messages import Headers
from extproc.exchange.targets import Target
from extproc.exchange.wrapping import bad_gateway, decoded
from extproc.registry import upstream_dialect


def read_error(target: Target, status: int, headers: Headers, body: bytes) -> ApiError:
    """What the reply says, in whichever form it came: a cloud's own errors are unlike those of what it hosts."""
    name = target.platform.error_dialect(headers, body)
    return upstream_dialect(name).read_error(status, headers, body)


def told_failure(
    client: ClientDialect,
    target: Target,
    status: int,
    headers: Headers,
    identified: tuple[tuple[str, str], ...],
    *,
    end: bool,
) -> Handling | None:
    """How to treat a reply that is no answer, None for one that may be.

    Raises ``UpstreamError`` when there is no body to wait for.
    """
    if status < 300:
        if end:
            raise bad_gateway(f"the upstream answered {status} without a body")
        return None
    if status < 400:
        raise bad_gateway(f"the upstream answered {status}, which is neither an answer nor an error")
    if end:
        raise UpstreamError(read_error(target, status, headers, b""))

    def told(body: bytes) -> Answer:
        plain = decoded(body, headers.get("content-encoding", ""))
        error = read_error(target, status, headers, plain)
        return Answer(error.status, client.write_error(error), "application/json", error=error)

    return Handling(identified, whole=told)


_ID_HEADERS = ("x-request-id", "request-id")


def identified_by(request_id: str, client: str, headers: Headers = NO_HEADERS) -> tuple[tuple[str, str], ...]:
    """Our id under the name that the client's SDKs look for, so that a caller can name it and both logs know it.

    Under the other vendor's name, too, unless ``headers``, an upstream's, have an id of their own there.
    """
    if not request_id:
        return ()
    own, other = reversed(_ID_HEADERS) if client == "anthropic" else _ID_HEADERS
    return ((own, request_id),) if other in headers else ((own, request_id), (other, request_id))
