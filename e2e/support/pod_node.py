"""A node for pods on this machine: Linux namespaces of its own, in which each pod has a network and an address.

``unshare`` makes them for anybody, root or not, where user namespaces are allowed. A bridge joins the pods; nothing in
there reaches the machine's own network, nor the machine them, but by the sockets that ``connect`` and ``listen`` give.
"""

import itertools
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.support import pod_runtime
from e2e.support.process import Process
from tests.support.waiting import until

#: The node's own address on the bridge: DNS is there, and what the pods may reach of the machine.
GATEWAY = "10.1.0.1"
_UNSHARE = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]
_START_S = 20.0
#: Said, because a bridge without one takes a pod's: when that pod goes, the others write to nobody for a while.
_BRIDGE_ADDRESS = "02:00:00:00:00:01"
_BRIDGE = f"""
mount -t tmpfs run /run
mkdir -p /run/netns
ip link set lo up
ip link add pods address {_BRIDGE_ADDRESS} type bridge
ip address add {GATEWAY}/16 dev pods
ip link set pods up
"""


class NoNode(Exception):
    """This machine lets nobody make one; says why."""


@dataclass
class Node:
    """Entered by ``running_node``. For any thread; connections to the runtime are kept and lent."""

    folder: Path
    socket_path: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _free: list[socket.socket] = field(default_factory=list)

    def connect(self, address: str, port: int) -> socket.socket:
        """A connection to a pod, as from the node. Raises ``OSError``."""
        _, [descriptor] = self._ask(do="connect", address=address, port=port)
        return socket.socket(fileno=descriptor)

    def listen(self, address: str, port: int, *, stream: bool = True) -> socket.socket:
        """A socket that listens in the node's network; for UDP one that is bound. Raises ``OSError``."""
        _, [descriptor] = self._ask(do="listen", address=address, port=port, stream=stream)
        return socket.socket(fileno=descriptor)

    def script(self, text: str) -> None:
        """Run shell commands as the node's root; they must do well."""
        done, _ = self._ask(do="script", text=text)
        assert done["code"] == 0, f"{text}\n{done['said']}"

    def add_address(self, address: str) -> None:
        """The node answers to one more address: a Service's."""
        self.script(f"ip address replace {address}/32 dev lo")

    def new_network(self) -> tuple[str, str]:
        """A pod's network: its name and its address."""
        number = next(self._numbers)
        name, address = f"pod{number}", f"10.1.{1 + number // 200}.{1 + number % 200}"
        self.script(
            f"""
            ip netns add {name}
            ip link add v{number} type veth peer name eth0 netns {name}
            ip link set v{number} master pods up
            ip -n {name} link set lo up
            ip -n {name} address add {address}/16 dev eth0
            ip -n {name} link set eth0 up
            ip -n {name} route add default via {GATEWAY}
            """
        )
        return name, address

    def drop_network(self, name: str) -> None:
        """The pod is gone."""
        self.script(f"ip netns delete {name}; ip link delete v{name.removeprefix('pod')} || true")

    def run(self, network: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Start a process in a pod's network and a mount namespace of its own, as root; its number in this node."""
        inside = ["/usr/bin/nsenter", f"--net=/run/netns/{network}", "/usr/bin/unshare", "--mount"]
        whole = [*inside, "--propagation", "private", *command]
        started, _ = self._ask(do="run", command=whole, environment=dict(environment), log=str(log))
        return int(started["pid"])

    def enter(self, pid: int, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Start a process beside another: ``kubectl exec``."""
        inside = ["/usr/bin/nsenter", f"--target={pid}", "--mount", "--net", *command]
        started, _ = self._ask(do="run", command=inside, environment=dict(environment), log=str(log))
        return int(started["pid"])

    def wait(self, pid: int) -> int:
        """Returns the exit code of something that was started here; negative for the signal that ended it."""
        done, _ = self._ask(do="wait", pid=pid)
        return int(done["code"])

    def signal(self, pid: int, number: int) -> None:
        """Send one to something that was started here; well when that has ended."""
        self._ask(do="signal", pid=pid, number=number)

    def close(self) -> None:
        """Give back the connections that nobody uses."""
        while self._free:
            self._free.pop().close()

    def _ask(self, **request: Any) -> tuple[dict[str, Any], list[int]]:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = _connected(self.socket_path)
        try:
            connection.send(json.dumps(request).encode())
            said, descriptors, _, _ = socket.recv_fds(connection, pod_runtime.PIECE_BYTES, 1)
        except BaseException:
            connection.close()
            raise
        if not said:
            connection.close()
            raise ConnectionError("the node is gone")
        self._free.append(connection)
        reply: dict[str, Any] = json.loads(said)
        if "error" in reply:
            raise OSError(reply["errno"], reply["error"])
        return reply, descriptors


def why_no_node() -> str:
    """What stands in the way of a node here; empty when nothing does."""
    command = [*_UNSHARE, "--mount-proc", "/bin/sh", "-ec", _BRIDGE]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except OSError as error:
        return f"cannot run unshare: {error}"
    return f"no user, network or mount namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


@contextmanager
def running_node(folder: Path) -> Iterator[Node]:
    """One without pods; whatever runs on it ends with it. Raises ``NoNode``."""
    if reason := why_no_node():
        raise NoNode(reason)
    path = folder / "runtime.socket"
    script = f'{_BRIDGE}exec "$@"'
    runtime = [sys.executable, "-I", "-S", pod_runtime.__file__, str(path)]
    command = [_which("unshare"), *_UNSHARE[1:], "--mount-proc", "/bin/sh", "-ec", script, "sh", *runtime]
    process = Process("node", command, folder)
    try:
        until(lambda: path.exists() or process.code is not None, "the node does not start", _START_S)
        process.demand_running()
        node = Node(folder, path)
        with _connected(path):  # its end is the node's
            yield node
        node.close()
        until(lambda: process.code is not None, "the node does not end", _START_S)
    finally:
        process.kill()


def quoted(words: Sequence[str | Path]) -> str:
    """For a shell."""
    return shlex.join(map(str, words))


def _connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.connect(os.fspath(path))
    return made


def _which(program: str) -> str:
    found = shutil.which(program)
    assert found is not None, f"no {program} in PATH"
    return found
