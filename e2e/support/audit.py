"""What the API server was asked, and by whom: its own audit log."""

import heapq
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.support.api import Object

#: Who does what is logged for service accounts alone, and not for kube-controller-manager's.
AUDIT_POLICY: Object = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a service account that the API server has answered. ``resource`` as ``llmroutes/status``."""

    account: str
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    agent: str

    @property
    def is_write(self) -> bool:
        """Changed something, or would have; Leases, Events and questions about rights are no writes."""
        quiet = ("leases", "events", "selfsubjectaccessreviews")
        return self.verb not in {"get", "list", "watch"} and self.resource not in quiet


class AuditLog:
    """Read as it grows, from any thread. Each line is looked at once, however often one asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._count = 0
        #: By account; each with its place in the log.
        self._found: dict[str, list[tuple[int, Request]]] = {}
        self._lock = threading.Lock()

    def requests(self, *accounts: str) -> list[Request]:
        """What these accounts (``NAMESPACE/NAME``) were answered so far, in order."""
        with self._lock:
            self._read_on()
            found = [self._found.get(account, []) for account in accounts]
            return [request for _, request in heapq.merge(*found)]

    def _read_on(self) -> None:
        if not self.path.exists():  # it begins with the first request
            return
        with self.path.open("rb") as log:
            log.seek(self._read)
            lines = log.read().split(b"\n")[:-1]  # a line that is being written has no end yet
        self._read += sum(len(line) + 1 for line in lines)
        for line in lines:
            request = _request(json.loads(line))
            self._found.setdefault(request.account, []).append((self._count, request))
            self._count += 1


def _request(entry: Any) -> Request:
    target = entry.get("objectRef", {})
    resource = "/".join(filter(None, (target.get("resource", ""), target.get("subresource", ""))))
    account = entry["user"]["username"].removeprefix("system:serviceaccount:").replace(":", "/")
    status = entry.get("responseStatus", {}).get("code", 0)
    agent = entry.get("userAgent", "")
    return Request(account, entry["verb"], resource, target.get("namespace", ""), target.get("name", ""), status, agent)
