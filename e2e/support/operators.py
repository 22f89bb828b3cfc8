"""The operator as a process of its own, under a ServiceAccount and no more rights than that has."""

import ipaddress
import itertools
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.standalone.probes import free_port
from e2e.support.audit import Request
from e2e.support.control_plane import ControlPlane
from e2e.support.process import Process
from tests.support.waiting import until

ACCOUNT = "llmroute-controller"
_NUMBERS = itertools.count()


class Operator(Process):
    """Started with its context. ``account`` as ``NAMESPACE/NAME``; the namespace is also the operator's own.

    ``url``: another way to the API server, such as through a proxy.
    """

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        account: str,
        *flags: str,
        name: str = "operator",
        url: str | None = None,
    ) -> None:
        self.plane = plane
        self.account = account
        self.namespace = account.partition("/")[0]
        # At an address of its own: at 127.0.0.1 somebody else's connection may take the port before it does.
        self.http = f"{_own_address(next(_NUMBERS))}:{free_port()}"
        self.token = folder / f"{name}.token"
        self.renew_token()
        config = plane.kubeconfig(folder / f"{name}.kubeconfig", self.token, url, self.namespace)
        command = [sys.executable, "-m", "controller", "operator", "--kubeconfig", str(config)]
        command += ["--own-namespace", self.namespace, "--identity", name, "--http", self.http]
        # The upstreams of these runs are on this machine.
        command += ["--local-endpoints", *flags]
        super().__init__(name, command, folder)

    def renew_token(self) -> None:
        """Write a new token where the operator looks for it, as a kubelet does: all at once."""
        namespace, _, user = self.account.partition("/")
        new = self.token.with_suffix(".new")
        new.write_text(self.plane.admin.token_of(namespace, user))
        new.rename(self.token)

    def page(self, path: str) -> tuple[int, str]:
        """A page of its own; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as found:
                return found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, limit_s: float = 30.0) -> None:
        """Returns when ``/readyz`` says so."""
        until(lambda: self.code is not None or self.page("/readyz")[0] == 200, f"{self.name} is not ready", limit_s)
        self.demand_running()

    def metric(self, name: str) -> float:
        """The sum of the samples of a metric, or of one sample when its labels are given too."""
        lines = [line for line in self.page("/metrics")[1].splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    @property
    def leads(self) -> bool:
        return self.metric("llmroute_controller_leader") == 1

    def asked(self) -> list[Request]:
        """What its account has asked of the API server; replicas share an account."""
        return self.plane.requests(self.account)

    def writes(self, since: int = 0) -> list[Request]:
        """What changed something, or would have, from a place in ``asked`` on; without Lease, Events and reviews."""
        return [each for each in self.asked()[since:] if each.is_write]

    def freeze(self) -> None:
        """Stop it in mid-step; ``send(SIGCONT)`` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)


@contextmanager
def running_operator(
    plane: ControlPlane, folder: Path, account: str, *flags: str, name: str = "operator", url: str | None = None
) -> Iterator[Operator]:
    """One that is started, not yet ready, and ended with the context, in which it must not have failed badly."""
    operator = Operator(plane, folder, account, *flags, name=name, url=url)
    try:
        yield operator
    except BaseException as fault:
        fault.add_note(f"the end of {name}'s log:\n{operator.log[-3000:]}")
        raise
    finally:
        operator.close()
    assert "Traceback" not in operator.log, operator.log[-6000:]
    assert [line for line in operator.log.splitlines() if not _is_record(line)] == []


def _own_address(number: int) -> str:
    """One of loopback's 16 million, that no other test of this machine has."""
    return str(ipaddress.IPv4Address("127.64.0.0") + (os.getpid() % 8192) * 256 + number % 250 + 1)


def _is_record(line: str) -> bool:
    """Whether a line of the log is a JSON object with a time, a level and a message."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and record.keys() >= {"time", "level", "message"}
