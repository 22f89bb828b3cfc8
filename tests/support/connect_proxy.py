"""An HTTP proxy that opens tunnels by CONNECT, and leads each of them to where the test says."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Tunnels:
    """``asked``: the targets of the CONNECT requests so far."""

    port: int
    asked: list[str] = field(default_factory=list)


@contextmanager
def connect_proxy(leads_to: Callable[[str], int | None]) -> Iterator[Tunnels]:
    """Serves on a free port. ``leads_to`` says on which loopback port a target (``host:port``) is; None: refuse it."""
    listening = socket.create_server(("127.0.0.1", 0))
    tunnels, open_ends = Tunnels(listening.getsockname()[1]), list[socket.socket]()

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (read := client.recv(4096)):
            head += read
        target = head.split(b" ")[1].decode()
        tunnels.asked.append(target)
        if (port := leads_to(target)) is None:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        upstream = socket.create_connection(("127.0.0.1", port))
        open_ends.append(upstream)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=_pump, args=(client, upstream), daemon=True).start()
        _pump(upstream, client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                open_ends.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield tunnels
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        for end in open_ends:
            end.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while read := source.recv(65536):
            sink.sendall(read)
        sink.shutdown(socket.SHUT_WR)
