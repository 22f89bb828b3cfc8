"""The life of one container: started, probed, started again when it ends, and ended in order."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from e2e.support.api import Object
from e2e.support.kubectl import Said
from e2e.support.pod_containers import Prepared
from e2e.support.pod_node import Node
from e2e.support.pod_probes import Prober, Target

#: The kubelet begins with ten seconds.
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 1.0, 20.0
_HOOK_S = 600.0


class Container:
    """Of a pod. ``changed`` is called from any thread when its state may be another."""

    def __init__(
        self, node: Node, network: tuple[str, str], spec: Object, log: Path, changed: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.log = log
        self.restarts = 0
        #: Its last exit code, None before the first.
        self.code: int | None = None
        self.started = self.ready = False
        #: What became of the preStop hook when that went wrong; a kubelet tells it in an Event.
        self.hook_fault = ""
        self._node, (self._network, self._address), self._changed = node, network, changed
        self._target: Target | None = None
        self._probers: list[Prober] = []
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._gone.set()
        self._next_start = 0.0
        self._backoff_s = _FIRST_BACKOFF_S

    @property
    def runs(self) -> bool:
        return not self._gone.is_set()

    @property
    def pid(self) -> int:
        """In the node, whose processes all of its containers can see."""
        assert self._target is not None, "never started"
        return self._target.pid

    @property
    def text(self) -> str:
        """All that it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self, prepared: Prepared) -> None:
        """Start it, and again when it has ended, but not at once."""
        if self.code is not None:
            self.restarts += 1
        self._gone.clear()
        pid = self._node.run(self._network, prepared.command, prepared.environment, self.log)
        self._target = target = Target(self._node, self.spec, self._address, pid, prepared.environment, self.log)
        threading.Thread(target=self._attend, args=(pid,), name="container", daemon=True).start()
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        opinions = {
            "startupProbe": (self._has_started, lambda: True),
            "livenessProbe": (self._lives, lambda: self.started),
            "readinessProbe": (self._is_ready, lambda: self.started),
        }
        self._probers = [
            Prober(target, self.spec[name], *opinion) for name, opinion in opinions.items() if name in self.spec
        ]

    def may_start(self) -> bool:
        """Whether it has ended long enough ago."""
        return not self.runs and time.monotonic() >= self._next_start

    def end(self, deadline: float) -> None:
        """What a hook says, SIGTERM, and at the deadline (monotonic) SIGKILL; returns when it is gone."""
        for prober in self._probers:
            prober.stop()
        if self.runs and self._target is not None:
            self._hook(self._target, deadline)
            self._send(signal.SIGTERM)
            if not self._gone.wait(max(0.0, deadline - time.monotonic())):
                self._send(signal.SIGKILL)
                self._gone.wait()
        for prober in self._probers:
            prober.join()

    def execute(self, *command: str) -> Said:
        """``kubectl exec``: run something beside it, under its environment; both streams are ``out``."""
        assert self._target is not None, "never started"
        target, log = self._target, self.log.with_name(f"exec-{time.monotonic_ns()}.log")
        code = self._node.wait(self._node.enter(target.pid, command, target.environment, log))
        return Said(code, log.read_text(), "")

    def status(self) -> dict[str, Any]:
        """As the API has it."""
        state: dict[str, Any] = {"running": {}} if self.runs else {"waiting": {"reason": "ContainerCreating"}}
        if not self.runs and self.code is not None:
            state = {"terminated": {"exitCode": self.code}}
        return {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "imageID": "",
            "ready": self.ready and self.runs,
            "started": self.started and self.runs,
            "restartCount": self.restarts,
            "state": state,
        }

    def _hook(self, target: Target, deadline: float) -> None:
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook is not None:
            doing = threading.Thread(target=self._do, args=(target, hook), daemon=True)
            doing.start()
            doing.join(max(0.0, deadline - time.monotonic()))

    def _do(self, target: Target, hook: Object) -> None:
        try:
            if why := target.refusal(hook, _HOOK_S):
                self.hook_fault = f"preStop of {self.spec['name']} failed: {why}, {hook}"
        except ConnectionError:
            return  # the node was taken down, and everything on it
        except LookupError as unknown:
            self.hook_fault = f"preStop of {self.spec['name']} cannot be done: {unknown}"

    def _send(self, number: signal.Signals) -> None:
        assert self._target is not None
        with suppress(ProcessLookupError):
            self._node.signal(self._target.pid, int(number))

    def _attend(self, pid: int) -> None:
        with suppress(ConnectionError):  # the whole node went
            self.code = self._node.wait(pid)
        for prober in self._probers:
            prober.stop()
        self.ready = False
        self._next_start = time.monotonic() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, _LAST_BACKOFF_S)
        self._gone.set()
        self._changed()

    def _has_started(self, yes: bool) -> None:
        self.started = yes
        if not yes:
            self._send(signal.SIGKILL)
            return
        self.ready = "readinessProbe" not in self.spec
        self._changed()

    def _lives(self, yes: bool) -> None:
        if not yes:
            threading.Thread(target=self._restart, name="liveness", daemon=True).start()

    def _restart(self) -> None:
        self._send(signal.SIGTERM)
        if not self._gone.wait(30):
            self._send(signal.SIGKILL)

    def _is_ready(self, yes: bool) -> None:
        self.ready = yes
        self._changed()
