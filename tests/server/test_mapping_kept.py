"""What is kept of answers to Envoy: what recurs, and nothing of a single request's, nor anything long."""

import msgspec
import pytest

from extproc.exchange.messages import Event, Proceed, RequestBody, ResponseHeaders
from extproc.server import mapping
from extproc.server.mapping import write
from extproc.server.proto import extproc_pb2 as pb
from tests.support.credential_cells import TOKEN, Cell

CACHES = (mapping._changes, mapping._around_value, mapping._before_body, mapping._names, mapping._form)


def read_back(event: Event, action: Proceed) -> pb.ProcessingResponse:
    """The answer as Envoy reads it."""
    return pb.ProcessingResponse.FromString(write(event, action))


def kept() -> list[int]:
    """How much is kept of answers, of each kind."""
    return [cache.cache_info().currsize for cache in CACHES]


@pytest.fixture
def nothing_kept() -> None:
    """As in a process that has answered nobody."""
    for cache in CACHES:
        cache.cache_clear()


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("name", ["x-request-id", "content-length", "x-long", ":path"])
def test_answers_of_one_request_are_not_kept(name: str) -> None:
    """Headers that no other request has leave the kept answers as they are, and are sent all the same."""
    event = ResponseHeaders({}, end=False)
    before: list[int] = []
    for i in range(10, 60):
        value = {"x-long": f"{i}" * 5000, ":path": f"/v1/x?key={i}"}.get(name, f"{i}")
        found = read_back(event, Proceed(set_headers=((name, value),))).response_headers.response
        assert found.header_mutation.set_headers[0].header.raw_value == value.encode()
        before = before or kept()

    assert kept() == before


@pytest.mark.usefixtures("nothing_kept")
def test_long_names_of_removed_headers_are_not_kept() -> None:
    """Clients choose some of them, and would fill the memory of each worker."""
    event = RequestBody(b"{}", end=True)
    for i in range(5):
        removed = (f"x-{i}{'a' * 5000}",)
        found = read_back(event, Proceed((("content-type", "x"),), removed)).request_body.response
        assert tuple(found.header_mutation.remove_headers) == removed

    assert sum(kept()) == 0


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(("size", "more"), [(400, 1), (600, 0)])
def test_long_names_of_models_are_not_kept(size: int, more: int) -> None:
    """Names that recur are kept as they stand in metadata, and those that nobody but a prankster uses are not."""
    event = RequestBody(b"{}", end=True)
    write(event, Proceed())
    before = sum(kept())
    response = read_back(event, Proceed(metadata={"model": "m" * size, "route": "r"}))

    fields = response.dynamic_metadata.fields["io.envoy.ai_gateway"].struct_value.fields
    assert fields["model"].string_value == "m" * size
    assert sum(kept()) == before + more


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("auth", ["apiKey", "header", "gcp", "passthrough", "query"])
def test_no_copy_is_kept_of_a_credential(auth: str) -> None:
    """What an upstream is shown is put into its answer each time anew, so that a token is gone when it is replaced."""
    if auth == "query":
        action, key = Proceed(((":path", f"/v1/models?key={TOKEN.value}"), ("x", "y"))), TOKEN.value
    else:
        made = Cell(auth, "passed", TOKEN, {"authorization": "", "x-api-key": "of the client"}).action
        assert isinstance(made, Proceed)
        action, key = made, "of the client" if auth == "passthrough" else TOKEN.value
    other = tuple((name, value.replace(key, "z" * len(key))) for name, value in action.set_headers)
    write(RequestBody(b"", end=True), msgspec.structs.replace(action, set_headers=other))
    before = kept()

    assert key.encode() in write(RequestBody(b"", end=True), action)
    assert kept() == before
