"""The one program that lives inside a test node's namespaces, as their first process: ``pod_runtime.py SOCKET``.

It opens sockets in the node's network and hands them out, makes network namespaces for pods, and starts processes in
them. Its client is ``pod_node``. When the connection that came first ends, it ends, and with it, because it is the
first process of a PID namespace, all that it has started. Imports nothing of ours: it runs before there is a venv.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Of a request, of an answer.
PIECE_BYTES = 1 << 17
_CONNECT_S = 5.0

Answer = tuple[dict[str, Any], list[int]]


class Runtime:
    """What it has started. For any thread."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._does: Mapping[str, Callable[..., Answer]] = {
            "script": self._script,
            "connect": self._connect,
            "listen": self._listen,
            "run": self._run,
            "wait": self._wait,
            "signal": self._signal,
        }

    def answer(self, request: dict[str, Any]) -> Answer:
        """Do what is asked; an operating system's no is an answer too."""
        try:
            return self._does[request.pop("do")](**request)
        except OSError as error:
            return {"errno": error.errno or 0, "error": str(error)}, []

    def _script(self, text: str) -> Answer:
        done = subprocess.run(["/bin/sh", "-ec", text], capture_output=True, text=True, check=False)
        return {"code": done.returncode, "said": done.stdout + done.stderr}, []

    def _connect(self, address: str, port: int) -> Answer:
        with socket.create_connection((address, port), _CONNECT_S) as made:
            made.setblocking(False)
            return {}, [os.dup(made.fileno())]

    def _listen(self, address: str, port: int, stream: bool) -> Answer:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        with made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setblocking(False)
            made.bind((address, port))
            if stream:
                made.listen(512)
            return {"port": made.getsockname()[1]}, [os.dup(made.fileno())]

    def _run(self, command: list[str], environment: dict[str, str], log: str) -> Answer:
        with Path(log).open("ab") as output:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        self._processes[started.pid] = started
        return {"pid": started.pid}, []

    def _wait(self, pid: int) -> Answer:
        return {"code": self._processes[pid].wait()}, []

    def _signal(self, pid: int, number: int) -> Answer:
        self._processes[pid].send_signal(number)
        return {}, []


def serve(runtime: Runtime, connection: socket.socket, is_first: bool) -> None:
    """Answer one connection until it ends."""
    with connection:
        while request := _received(connection):
            reply, descriptors = runtime.answer(json.loads(request))
            try:
                socket.send_fds(connection, [json.dumps(reply).encode()], descriptors)
            except OSError:
                break  # nobody is there any more
            finally:
                for each in descriptors:
                    os.close(each)
    if is_first:
        os._exit(0)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(PIECE_BYTES)
    except OSError:
        return b""


def main() -> None:
    """Listen, for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then take this down in order
    runtime = Runtime()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        path = Path(sys.argv[1])
        made = path.with_suffix(".new")
        listener.bind(str(made))
        listener.listen(64)
        made.rename(path)  # where it is, it takes connections
        is_first = True
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(runtime, connection, is_first), daemon=True).start()
            is_first = False


if __name__ == "__main__":
    main()
