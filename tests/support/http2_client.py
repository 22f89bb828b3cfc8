"""One HTTP/2 request over plain TCP with prior knowledge, by a client that reads while it writes."""

import contextlib
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

_WINDOW = 1 << 26
_READ_BYTES = 1 << 18
_LIMIT_S = 30.0


class Http2Call:
    """A request and what has come back of its answer; made by ``http2_call``.

    Attributes:
        status: 0 until there is one. Header names are lower-case.
        ended: the answer came to its end. ``reset``: the stream was broken off instead, with this error code.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.ended = False
        self.reset: ErrorCodes | int | None = None
        self._socket = connection
        self._http = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._http.local_settings = Settings(True, {SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self._number = 0

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.ended or self.reset is not None

    def send(self, headers: Mapping[str, str], body: bytes, trailers: Mapping[str, str] | None = None) -> None:
        """Write it all, or as much as the other side takes before it answers for good."""
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW)
        self._number = self._http.get_next_available_stream_id()
        self._http.send_headers(self._number, list(headers.items()), end_stream=not body)
        self._flush()
        left = memoryview(body)
        while left and not self.over:
            room = min(self._http.local_flow_control_window(self._number), self._http.max_outbound_frame_size)
            if room == 0 or self._readable():
                self._receive()
                continue
            piece, left = left[:room], left[room:]
            self._http.send_data(self._number, bytes(piece), end_stream=not left and not trailers)
            self._flush()
        if trailers and not self.over:
            self._http.send_headers(self._number, list(trailers.items()), end_stream=True)
            self._flush()

    def read_until(self, wanted: bytes) -> None:
        """Returns when ``wanted`` is in the body."""
        while wanted not in self.body:
            assert not self.over, f"the body ended before {wanted!r}: {bytes(self.body[:1000])!r}"
            self._receive()

    def read_all(self) -> None:
        """Returns at the end of the answer, whatever kind of end it is."""
        while not self.over:
            self._receive()

    def _readable(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def _receive(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            self.reset = self.reset or ErrorCodes.CONNECT_ERROR
            return
        for event in self._http.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived(headers=headers):
                self.headers = {str(name): str(value) for name, value in headers or ()}
                self.status = int(self.headers.pop(":status"))
            case DataReceived(data=data, flow_controlled_length=length):
                self.body += data or b""
                self._http.acknowledge_received_data(length or 0, self._number)
            case StreamEnded():
                self.ended = True
            case StreamReset(error_code=code):
                # NO_ERROR after a whole answer: the rest of the request is not wanted (RFC 9113, 8.1).
                self.reset = None if self.ended else code
            case ConnectionTerminated(error_code=code):
                self.reset = None if self.ended else code
            case _:
                pass

    def _flush(self) -> None:
        if data := self._http.data_to_send():
            # Broken off while we write: what the other side said before is still to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendall(data)


@contextmanager
def http2_call(
    port: int, body: bytes, headers: Mapping[str, str], path: str, trailers: Mapping[str, str] | None = None
) -> Iterator[Http2Call]:
    """A POST to a loopback port, of which all has been sent; leaving breaks it off if it is under way."""
    with socket.create_connection(("127.0.0.1", port), timeout=_LIMIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        call = Http2Call(connection)
        pseudo = {":method": "POST", ":scheme": "http", ":authority": f"127.0.0.1:{port}", ":path": path}
        call.send({**pseudo, "content-length": str(len(body)), **headers}, body, trailers)
        yield call
