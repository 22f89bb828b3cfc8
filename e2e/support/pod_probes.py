"""The probes and hooks of a container, run as the kubelet runs them: from the node, to the pod's own address."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.support.api import Object
from e2e.support.pod_network import target_port
from e2e.support.pod_node import Node

_GOOD_STATUSES = range(200, 400)
_REST_S = 0.05


@dataclass(frozen=True, slots=True)
class Target:
    """A running container. ``environment`` is its own."""

    node: Node
    spec: Object
    address: str
    pid: int
    environment: Mapping[str, str]
    log: Path

    def does(self, action: Object, limit_s: float) -> bool:
        """Run a probe: whether it says yes. Raises ``LookupError`` for a port that the container has not."""
        return not self.refusal(action, limit_s)

    def refusal(self, action: Object, limit_s: float) -> str:
        """Run a probe or a hook: why it says no, empty for yes."""
        try:
            if "httpGet" in action:
                return self._gets(action["httpGet"], limit_s)
            if "tcpSocket" in action:
                self.node.connect(self.address, self._port(action["tcpSocket"]["port"])).close()
                return ""
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        return self._executes(action["exec"]["command"])

    def _gets(self, get: Object, limit_s: float) -> str:
        with self.node.connect(self.address, self._port(get["port"])) as made:
            made.settimeout(limit_s)
            connection = http.client.HTTPConnection(self.address)
            connection.sock = made
            if get.get("scheme") == "HTTPS":
                connection.sock = _untrusting().wrap_socket(made)
            headers = {each["name"]: each["value"] for each in get.get("httpHeaders") or ()}
            connection.request("GET", get.get("path", "/"), headers={"user-agent": "kube-probe/e2e", **headers})
            status = connection.getresponse().status
        return "" if status in _GOOD_STATUSES else f"HTTP status {status}"

    def _executes(self, command: Sequence[str]) -> str:
        code = self.node.wait(self.node.enter(self.pid, command, self.environment, self.log))
        return f"exit code {code}" if code else ""

    def _port(self, port: int | str) -> int:
        return target_port(self.spec.get("ports") or (), port)


class Prober:
    """One probe of one container, in a thread from its start to ``stop``.

    ``told`` gets each change of its opinion: thresholds have been reached. ``may_begin`` says when it may start.
    """

    def __init__(
        self, target: Target, probe: Object, told: Callable[[bool], None], may_begin: Callable[[], bool]
    ) -> None:
        self._target, self._probe, self._told, self._may_begin = target, probe, told, may_begin
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()

    def join(self) -> None:
        """Returns when the last question has been answered."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._may_begin():
            if self._ended.wait(_REST_S):
                return
        self._ended.wait(self._probe.get("initialDelaySeconds", 0))
        opinion, row, said = None, 0, False
        while not self._ended.is_set():
            began = time.monotonic()
            now = self._target.does(self._probe, self._probe.get("timeoutSeconds", 1))
            row = row + 1 if row and now == said else 1
            said = now
            enough = self._probe.get("successThreshold", 1) if now else self._probe.get("failureThreshold", 3)
            if row >= enough and now != opinion and not self._ended.is_set():
                opinion = now
                self._told(now)
            self._ended.wait(max(0.0, began + self._probe.get("periodSeconds", 10) - time.monotonic()))


def _untrusting() -> ssl.SSLContext:
    """As the kubelet's probes are."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
