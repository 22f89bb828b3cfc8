"""An upstream that asks every connection for a certificate, and remembers whose it was shown."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support.scripted import COMPLETION

_ANSWER = json.dumps(COMPLETION).encode()


class MutualTls(ThreadingHTTPServer):
    """HTTP/1.0: a connection, and so a handshake, for each request. ``shown``: common names, with monotonic seconds."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shown: list[tuple[str, float]] = []
        # Handshakes are for the threads of the connections.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client without a certificate is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: MutualTls

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        assert isinstance(self.connection, ssl.SSLSocket)
        certificate = x509.load_der_x509_certificate(self.connection.getpeercert(binary_form=True) or b"")
        [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        self.server.shown.append((str(name.value), time.monotonic()))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(_ANSWER)))
        self.end_headers()
        self.wfile.write(_ANSWER)

    def log_message(self, *args: object) -> None:
        """Nothing: what was shown is kept."""


@contextmanager
def mutual_tls(folder: Path) -> Iterator[MutualTls]:
    """On a free port; ``folder`` has server.pem, server.key and clients.pem, whose certificates are let in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "clients.pem")
    server = MutualTls(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
