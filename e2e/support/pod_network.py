"""What kube-proxy and the cluster's DNS do, for the pods of a node and for the tests outside of it.

Services are relays in user space: each connection goes to a ready endpoint, in turn. Which ones are ready, the real
endpoint controller says.
"""

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

from e2e.support.api import Object
from e2e.support.mirror import Mirror
from e2e.support.pod_dns import Dns
from e2e.support.pod_node import GATEWAY, Node
from tests.support.background import Background

_DOMAIN = "svc.cluster.local"
_PIECE_BYTES = 1 << 16
#: Gives a connected socket to what is behind a relay.
Dial = Callable[[], Awaitable[socket.socket]]


class Network:
    """Of one node. ``changed`` is to be called when Services or Endpoints have."""

    def __init__(self, node: Node, services: Mirror, endpoints: Mirror) -> None:
        self._node, self._services, self._endpoints = node, services, endpoints
        self._background = Background()
        self._turns: Iterator[int] = itertools.count()
        self._relays: dict[tuple[str, int], asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved: dict[str, int] = {}
        # The path of a socket has at most 107 bytes, which the folder of a test may exceed.
        self._sockets = TemporaryDirectory(prefix="pod-network-", dir="/tmp")
        self._background.run(self._answer_names())

    def reserve(self, address: str, port: int, host_port: int) -> None:
        """``address:port`` in the node is a port of the machine's loopback, whatever Services say."""
        self._reserved[address] = port
        if address != GATEWAY:
            self._node.add_address(address)
        self._background.run(self._relay((address, port), self._node.listen(address, port), _to_host(host_port)))

    def expose(self, host_port: int) -> tuple[str, int]:
        """Where in the node a port of the machine's loopback can be reached."""
        listening = self._node.listen(GATEWAY, 0)
        place = (GATEWAY, int(listening.getsockname()[1]))
        self._background.run(self._relay(place, listening, _to_host(host_port)))
        return place

    def open(self, namespace: str, service: str, port: int | str, local: int = 0) -> int:
        """A port of the machine's loopback, ``local`` or any, that leads to a Service as its own address does."""
        listening = socket.create_server(("127.0.0.1", local))
        found = int(listening.getsockname()[1])
        self._background.run(self._relay(("127.0.0.1", found), listening, self._to_service(namespace, service, port)))
        return found

    def open_path(self, namespace: str, service: str, port: int | str) -> str:
        """The same by a Unix socket; its path."""
        path = f"{self._sockets.name}/{next(self._turns)}"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        self._background.run(self._relay((path, 0), listening, self._to_service(namespace, service, port)))
        return path

    def changed(self) -> None:
        """Listen on the addresses of all Services; on those that are gone, no more."""
        wanted = dict(self._ports())
        for place in [each for each in self._relays if each[0].startswith("10.0.") and each[0] not in self._reserved]:
            if place not in wanted:
                self._background.run(self._close(self._relays.pop(place)))
        for (address, port), (namespace, name) in wanted.items():
            if (address, port) not in self._relays:
                self._node.add_address(address)
                dial = self._to_service(namespace, name, port)
                self._background.run(self._relay((address, port), self._node.listen(address, port), dial))

    def ready(self, namespace: str, service: str, port: int | str) -> list[tuple[str, int]]:
        """Where a Service's connections may go now."""
        found = self._services.get(namespace, service)
        targets = self._endpoints.get(namespace, service)
        if found is None or targets is None:
            return []
        [wanted] = [each for each in found["spec"]["ports"] if port in {each["port"], each.get("name")}]
        return [
            (address["ip"], each["port"])
            for subset in targets.get("subsets") or ()
            for each in subset.get("ports") or ()
            if each.get("name") == wanted.get("name")
            for address in subset.get("addresses") or ()
        ]

    def close(self) -> None:
        """Break all connections and stop."""
        self._background.run(self._end())
        self._background.close()
        self._sockets.cleanup()

    def _ports(self) -> Iterator[tuple[tuple[str, int], tuple[str, str]]]:
        for found in self._services.all():
            address = found["spec"].get("clusterIP")
            if address in {None, "", "None"} or address in self._reserved:
                continue
            for port in found["spec"].get("ports") or ():
                yield (address, port["port"]), (found["metadata"]["namespace"], found["metadata"]["name"])

    def _to_service(self, namespace: str, service: str, port: int | str) -> Dial:
        async def dial() -> socket.socket:
            ready = self.ready(namespace, service, port)
            if not ready:
                raise ConnectionRefusedError(f"no endpoint of {namespace}/{service} is ready")
            return await asyncio.to_thread(self._node.connect, *ready[next(self._turns) % len(ready)])

        return dial

    def _lookup(self, name: str) -> Sequence[str] | None:
        labels, _, domain = name.partition(f".{_DOMAIN}")
        service, _, namespace = labels.partition(".")
        found = self._services.get(namespace, service)
        if domain or not name.endswith(_DOMAIN) or found is None:
            return None
        if found["spec"].get("clusterIP") != "None":
            return [found["spec"]["clusterIP"]]
        subsets = (self._endpoints.get(namespace, service) or {}).get("subsets") or ()
        return [address["ip"] for subset in subsets for address in subset.get("addresses") or ()]

    async def _answer_names(self) -> None:
        bound = self._node.listen(GATEWAY, 53, stream=False)
        loop = asyncio.get_running_loop()
        self._dns, _ = await loop.create_datagram_endpoint(lambda: Dns(self._lookup), sock=bound)

    async def _relay(self, place: tuple[str, int], listening: socket.socket, dial: Dial) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_serve(reader, writer, dial))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._relays[place] = await asyncio.start_server(accept, sock=listening)

    async def _close(self, relay: asyncio.Server) -> None:
        relay.close()

    async def _end(self) -> None:
        self._dns.close()
        for relay in self._relays.values():
            relay.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def target_port(container_ports: Sequence[Object], port: Any) -> int:
    """A port by number or by the container's own name for it; those of the pod's other containers do not count.

    Raises ``LookupError``.
    """
    named = {each.get("name"): int(each["containerPort"]) for each in container_ports}
    if not isinstance(port, str) or port.isdigit():
        return int(port)
    if port not in named:
        raise LookupError(f"no port {port!r} among this container's own: {sorted(filter(None, named))}")
    return named[port]


def _to_host(port: int) -> Dial:
    async def dial() -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        except BaseException:
            made.close()
            raise
        return made

    return dial


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dial: Dial) -> None:
    """Bytes in both directions; each end of one is passed on, and a break breaks both."""
    try:
        behind_reader, behind_writer = await asyncio.open_connection(sock=await dial())
    except OSError:
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_pass(reader, behind_writer), _pass(behind_reader, writer))
        for each in (writer, behind_writer):
            each.close()
    except OSError:
        pass
    finally:
        for each in (writer, behind_writer):
            if not each.is_closing():
                each.transport.abort()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE_BYTES):
        sink.write(piece)
        await sink.drain()
    with suppress(OSError):
        sink.write_eof()
